package meta

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// processNodes are those of a database that only this process uses: itself.
// They are kept in memory, since a file that is synced every two seconds to say
// what the process knows anyhow would wear a disk out for nothing.
type processNodes struct {
	mu    sync.Mutex
	nodes map[string]seenNode
}

type seenNode struct {
	millrace.Node
	seen time.Time // with the monotonic clock
}

func (p *processNodes) announce(n *millrace.Node, now time.Time) (other bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nodes == nil {
		p.nodes = map[string]seenNode{}
	}
	before, known := p.nodes[n.Name]
	p.nodes[n.Name] = seenNode{millrace.Node{Name: n.Name, Instance: n.Instance, Info: slices.Clone(n.Info)}, now}
	return known && before.Instance != n.Instance
}

func (p *processNodes) list(now time.Time) (out []millrace.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, n := range p.nodes {
		if n.Age = now.Sub(n.seen); n.Age > millrace.NodeAge {
			delete(p.nodes, name)
			continue
		}
		out = append(out, n.Node)
	}
	slices.SortFunc(out, func(a, b millrace.Node) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Announce implements millrace.Nodes.
func (s *SQLite) Announce(_ context.Context, n *millrace.Node) (other bool, err error) {
	return s.nodes.announce(n, clock()), nil
}

// Nodes implements millrace.Nodes.
func (s *SQLite) Nodes(context.Context) ([]millrace.Node, error) { return s.nodes.list(clock()), nil }

// Withdraw implements millrace.Nodes.
func (s *SQLite) Withdraw(_ context.Context, n *millrace.Node) error {
	s.nodes.mu.Lock()
	defer s.nodes.mu.Unlock()
	if s.nodes.nodes[n.Name].Instance == n.Instance {
		delete(s.nodes.nodes, n.Name)
	}
	return nil
}
