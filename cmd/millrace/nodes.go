package main

import (
	"cmp"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/query"
)

// node is this process among others: what it announces, what it knows of them,
// and the plan that all follow. Safe for concurrent use.
type node struct {
	s    *server
	self millrace.Node

	mu      sync.Mutex
	plan    millrace.Plan
	version int64             // of the plan
	faults  map[string]string // by place, beside those of the pipeline
	locks   map[string]bool   // that this process holds
	others  []query.ClusterNode
}

func newNode(s *server) *node {
	return &node{
		s: s, self: millrace.Node{Name: s.cfg.Node.Hostname(), Instance: rand.Int64()},
		plan: millrace.Plan{Drain: []string{}}, faults: map[string]string{}, locks: map[string]bool{},
	}
}

// fault notes what does not work at a place; nil: it works again.
func (n *node) fault(place string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		delete(n.faults, place)
		return
	}
	n.faults[place] = err.Error()
}

// problems returns the faults in words.
func (n *node) problems() (out []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for place, fault := range n.faults {
		out = append(out, place+": "+fault)
	}
	return out
}

// holds notes that this process has a lock, or no longer.
func (n *node) holds(lock string, yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if yes {
		n.locks[lock] = true
	} else {
		delete(n.locks, lock)
	}
}

// announceEvery is how often a node says that it is there.
const announceEvery = 2 * time.Second

// announceTimeout bounds how long that may take.
const announceTimeout = 5 * time.Second

// run announces the node until ctx ends, and then withdraws it.
func (n *node) run(ctx context.Context) {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		err := n.announce(ctx, first)
		if ctx.Err() == nil {
			n.fault("announce node", err)
		}
		select {
		case <-ctx.Done():
			leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceEvery)
			defer cancel()
			if err := n.s.meta.Withdraw(leave, &n.self); err != nil {
				n.s.log.Warn("withdraw node", "err", err) // others see that it went silent
			}
			return
		case <-tick.C:
		}
	}
}

func (n *node) announce(ctx context.Context, first bool) error {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	info, err := json.Marshal(n.info())
	if err != nil {
		return err
	}
	n.self.Info = info
	other, err := n.s.meta.Announce(ctx, &n.self)
	if err != nil {
		return err
	}
	list, err := n.list(ctx)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.others = list
	n.mu.Unlock()
	if other && !first { // the first time it is whoever had the name before
		return &millrace.Error{
			Code: millrace.ErrConflict, Message: "another process announces itself as node " + n.self.Name,
			Hint: "give each node a name of its own with --node",
		}
	}
	return nil
}

// info is what this node says of itself.
func (n *node) info() query.NodeInfo {
	st, snap, cfg := n.s.pipeline.Status(), n.s.status.snapshot(), n.s.cfg
	out := query.NodeInfo{
		Roles: roles(cfg), Version: version(), URL: reachable(n.s.url), Started: n.s.status.started.UTC(),
		Received: snap.Received, Partitions: st.Owned, MemoryBytes: residentBytes(), MemoryLimit: int64(cfg.Memory),
		Pace: []query.NodePace{}, Faults: append([]string{}, snap.Problems...), Locks: []string{},
	}
	if cfg.Node.Has(config.RoleWorker) && !cfg.Shared() { // it reads all there are
		for _, p := range snap.Partitions {
			out.Partitions = append(out.Partitions, p.Partition)
		}
	}
	if out.Partitions == nil {
		out.Partitions = []int32{}
	}
	for _, p := range st.Pace {
		rate := p.Rate
		if p.Unbounded() {
			rate = 0
		}
		out.Pace = append(out.Pace, query.NodePace{Sink: p.Sink, Rate: rate, Error: p.Error, Delay: p.Delay.Seconds()})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	out.Plan = n.version
	for lock := range n.locks {
		out.Locks = append(out.Locks, lock)
	}
	slices.Sort(out.Locks)
	switch works := cfg.Node.Has(config.RoleWorker); {
	case n.drained() && works && !st.Drained:
		out.State = query.NodeDraining
	case n.drained():
		out.State = query.NodeDrained
	case works && st.Paused:
		out.State = query.NodePaused
	default:
		out.State = query.NodeRunning
	}
	return out
}

func roles(cfg *config.Config) []string {
	if len(cfg.Node.Roles) > 0 {
		return cfg.Node.Roles
	}
	return []string{config.RoleIngest, config.RoleWorker, config.RoleQuery}
}

// reachable names the host of a URL that listens everywhere.
func reachable(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsUnspecified() {
		return address
	}
	host, err := os.Hostname()
	if err != nil {
		return address
	}
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}

// list reads what the nodes say of themselves.
func (n *node) list(ctx context.Context) ([]query.ClusterNode, error) {
	nodes, err := n.s.meta.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := []query.ClusterNode{}
	for _, m := range nodes {
		one := query.ClusterNode{Name: m.Name, Age: m.Age.Seconds()}
		if err := json.Unmarshal(m.Info, &one.NodeInfo); err != nil {
			one.Faults = []string{"what it says of itself cannot be read: " + err.Error()}
		}
		if m.Age > query.NodeSilence {
			one.State, one.Received, one.Pace = query.NodeSilent, query.Rate{}, nil
		}
		out = append(out, one)
	}
	return out, nil
}

// Cluster implements web.Cluster.
func (n *node) Cluster(ctx context.Context) (*query.Cluster, error) {
	list, err := n.list(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if one := &list[i]; one.Name == n.self.Name && one.State != query.NodeSilent {
			one.NodeInfo = n.info() // as of now
		}
	}
	snap := n.s.status.snapshot()
	c := &query.Cluster{Node: n.self.Name, Nodes: list, Partitions: []query.ClusterPartition{}}
	c.Plan, c.Version = n.current()
	for _, p := range snap.Partitions {
		one := query.ClusterPartition{Partition: p.Partition, End: p.End, Sinks: []query.ClusterSink{}}
		for _, s := range snap.Sinks {
			if s.Partition == p.Partition {
				one.Sinks = append(one.Sinks, query.ClusterSink{Sink: s.Sink, Committed: s.Offset, Records: s.Records, Seconds: s.Seconds})
			}
		}
		c.Partitions = append(c.Partitions, one)
	}
	slices.SortFunc(c.Partitions, func(a, b query.ClusterPartition) int { return cmp.Compare(a.Partition, b.Partition) })
	c.Assign()
	return c, nil
}

var (
	descOwned = desc("worker_owned_partitions", "Partitions of the queue that this process's worker owns.")
	descPace  = desc("worker_pace_rate", "Events a second that the controller of a worker in a group lets in; absent while it sets no bound.", "sink")
	descNodes = desc("cluster_nodes", "Nodes that announced themselves in the last ten seconds.", "role")
)

func (n *node) collect(gauge func(*prometheus.Desc, float64, ...string)) {
	info := n.info()
	gauge(descOwned, float64(len(info.Partitions)))
	for _, p := range info.Pace {
		if p.Rate > 0 {
			gauge(descPace, p.Rate, string(p.Sink))
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, role := range []string{config.RoleIngest, config.RoleWorker, config.RoleQuery} {
		alive := 0
		for _, o := range n.others {
			if o.State != query.NodeSilent && slices.Contains(o.Roles, role) {
				alive++
			}
		}
		gauge(descNodes, float64(alive), role)
	}
}

// drained reports whether the plan names this node. Called with mu held.
func (n *node) drained() bool { return slices.Contains(n.plan.Drain, n.self.Name) }

// refusal is why a drained node takes no events; nil while it does.
func (n *node) refusal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.drained() {
		return nil
	}
	return &millrace.Error{
		Code: millrace.ErrUnavailable, Message: "node " + strings.ToValidUTF8(n.self.Name, "?") + " is drained: send to another",
		Hint: "POST /api/v1/cluster with a list drain that lacks it takes it back",
	}
}

// runNode starts what a node does beside its roles. What must hold from the first
// request and record on is looked at before.
func (s *server) runNode(ctx context.Context) {
	s.node.fault("follow plan", s.node.look(ctx))
	s.work.Go(func() { s.node.follow(ctx) })
	s.work.Go(func() { s.node.run(ctx) })
	if s.cfg.Node.Has(config.RoleIngest) {
		report := func(err error) { s.node.fault("lag", err) }
		report(s.lag.look(ctx))
		s.work.Go(func() { s.lag.run(ctx, report) })
		if s.full != nil {
			s.work.Go(func() { s.full.run(ctx, func(err error) { s.node.fault("disks of ClickHouse", err) }) })
		}
	}
	if s.cfg.Shared() { // others change rules, too
		s.work.Go(func() {
			s.rules.Follow(ctx, pipeline.FollowRules, func(err error) { s.node.fault("follow rules", err) })
		})
	}
}
