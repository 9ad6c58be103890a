// Package committest has an implementation of millrace.Commits in memory, for the
// tests of stores that need one, with faults on demand.
package committest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// Memory is a millrace.Commits that forgets everything when the process ends. Safe
// for concurrent use.
type Memory struct {
	// Fault, if set, is called at the beginning ("begin", "commit", "settle",
	// "abandon", "claim", "abandoned", "hidden", "cut", "load", "state") and at the
	// end of a call that changes something ("begin.after", "commit.after", ...). Its
	// error is returned instead: at the end, of something that did happen. Set
	// before the first call.
	Fault func(where string) error

	now func() time.Time

	mu       sync.Mutex
	newest   int64
	flushes  map[int64]*flush
	sinks    map[millrace.Sink]*sink
	gaps     []millrace.Gap
	setAside []millrace.SetAside
	states   map[string]millrace.State
}

var _ millrace.Commits = (*Memory)(nil)

type status uint8

const (
	open status = iota
	committed
	abandoned
	hidden
)

type flush struct {
	millrace.Flush
	status status
}

type sink struct {
	positions map[int32]millrace.Position
	clients   map[string]millrace.ClientWindow
	admitted  map[millrace.Admission]bool
}

// New returns an empty one; now is the clock of Flush.Begun.
func New(now func() time.Time) *Memory {
	return &Memory{now: now, flushes: map[int64]*flush{}, sinks: map[millrace.Sink]*sink{}, states: map[string]millrace.State{}}
}

func (m *Memory) fault(ctx context.Context, where string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Fault != nil {
		return m.Fault(where)
	}
	return nil
}

// change runs f under the lock, with the faults before and after it.
func (m *Memory) change(ctx context.Context, where string, f func() error) error {
	if err := m.fault(ctx, where); err != nil {
		return err
	}
	m.mu.Lock()
	err := f()
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.fault(ctx, where+".after")
}

// Begin implements millrace.Commits.
func (m *Memory) Begin(ctx context.Context, s millrace.Sink, partitions []int32, node string) (*millrace.Flush, error) {
	var out *millrace.Flush
	err := m.change(ctx, "begin", func() error {
		m.newest++
		f := millrace.Flush{ID: m.newest, Sink: s, Partitions: slices.Sorted(slices.Values(partitions)), Node: node, Begun: m.now().UTC()}
		m.flushes[f.ID] = &flush{Flush: f}
		out = &f
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// mine returns an open flush. Called with mu held.
func (m *Memory) mine(id int64) (*flush, error) {
	f := m.flushes[id]
	if f == nil || f.status != open {
		return nil, millrace.Errorf(millrace.ErrConflict, "flush %d is not open", id)
	}
	return f, nil
}

// Commit implements millrace.Commits.
func (m *Memory) Commit(ctx context.Context, id int64, c *millrace.Commit) error {
	return m.change(ctx, "commit", func() error {
		f, err := m.mine(id)
		if err != nil {
			return err
		}
		s := m.sink(c.Sink)
		if err := c.CheckFrom(slices.Collect(maps.Values(s.positions))); err != nil {
			return err
		}
		for _, want := range c.Expect {
			if err := m.check(want); err != nil {
				return err
			}
		}
		for _, p := range c.Positions {
			s.positions[p.Partition] = p
		}
		for _, w := range c.Clients {
			w.State = slices.Clone(w.State)
			s.clients[w.Client] = w
		}
		for _, a := range c.Retired {
			delete(s.admitted, a)
		}
		for _, a := range c.Admitted {
			s.admitted[a] = true
		}
		m.gaps = append(m.gaps, c.Gaps...)
		for _, a := range c.SetAside {
			a.Payload = slices.Clone(a.Payload)
			m.setAside = append(m.setAside, a)
		}
		f.status = committed
		return nil
	})
}

func (m *Memory) sink(name millrace.Sink) *sink {
	s := m.sinks[name]
	if s == nil {
		s = &sink{map[int32]millrace.Position{}, map[string]millrace.ClientWindow{}, map[millrace.Admission]bool{}}
		m.sinks[name] = s
	}
	return s
}

// Settle implements millrace.Commits.
func (m *Memory) Settle(ctx context.Context, id int64, states ...millrace.State) error {
	return m.change(ctx, "settle", func() error {
		f, err := m.mine(id)
		if err != nil {
			return err
		}
		for _, s := range states {
			if err := m.check(s); err != nil {
				return err
			}
		}
		for _, s := range states {
			m.put(s)
		}
		f.status = committed
		return nil
	})
}

// Abandon implements millrace.Commits.
func (m *Memory) Abandon(ctx context.Context, ids ...int64) error {
	return m.change(ctx, "abandon", func() error {
		var err error
		for _, id := range ids {
			switch f := m.flushes[id]; {
			case f == nil:
			case f.status == committed:
				err = millrace.Errorf(millrace.ErrConflict, "flush %d has committed", id)
			case f.status == open:
				f.status = abandoned
			}
		}
		return err
	})
}

// Claim implements millrace.Commits. No partitions are all there are.
func (m *Memory) Claim(ctx context.Context, s millrace.Sink, partitions []int32) error {
	return m.change(ctx, "claim", func() error {
		for _, f := range m.flushes {
			touches := partitions == nil || slices.ContainsFunc(f.Partitions, func(p int32) bool { return slices.Contains(partitions, p) })
			if f.status == open && f.Sink == s && touches {
				f.status = abandoned
			}
		}
		return nil
	})
}

// Abandoned implements millrace.Commits.
func (m *Memory) Abandoned(ctx context.Context) ([]int64, error) {
	if err := m.fault(ctx, "abandoned"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []int64
	for id, f := range m.flushes {
		if f.status == abandoned {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Hidden implements millrace.Commits.
func (m *Memory) Hidden(ctx context.Context, ids ...int64) error {
	return m.change(ctx, "hidden", func() error {
		for _, id := range ids {
			if f := m.flushes[id]; f != nil && f.status == abandoned {
				f.status = hidden
			}
		}
		return nil
	})
}

// Cut implements millrace.Commits.
func (m *Memory) Cut(ctx context.Context) (*millrace.Cut, error) {
	if err := m.fault(ctx, "cut"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := &millrace.Cut{Positions: map[millrace.Sink][]millrace.Position{}, Newest: m.newest}
	for name, s := range m.sinks {
		out.Positions[name] = s.load().Positions
	}
	for _, id := range slices.Sorted(maps.Keys(m.flushes)) {
		if f := m.flushes[id]; f.status == open {
			out.Open = append(out.Open, f.Flush)
		}
	}
	return out, nil
}

// Load implements millrace.Commits.
func (m *Memory) Load(ctx context.Context, name millrace.Sink) (*millrace.SinkState, error) {
	if err := m.fault(ctx, "load"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sinks[name]; s != nil {
		return s.load(), nil
	}
	return &millrace.SinkState{}, nil
}

func (s *sink) load() *millrace.SinkState {
	out := &millrace.SinkState{
		Positions: slices.Collect(maps.Values(s.positions)),
		Clients:   slices.Collect(maps.Values(s.clients)),
		Admitted:  slices.Collect(maps.Keys(s.admitted)),
	}
	slices.SortFunc(out.Positions, func(a, b millrace.Position) int { return cmp.Compare(a.Partition, b.Partition) })
	slices.SortFunc(out.Clients, func(a, b millrace.ClientWindow) int { return cmp.Compare(a.Client, b.Client) })
	slices.SortFunc(out.Admitted, func(a, b millrace.Admission) int {
		return cmp.Or(cmp.Compare(a.Rollup, b.Rollup), cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.Value, b.Value))
	})
	return out
}

// Gaps implements millrace.Commits.
func (m *Memory) Gaps(ctx context.Context) ([]millrace.Gap, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.gaps)
	slices.SortStableFunc(out, func(a, b millrace.Gap) int { return cmp.Compare(a.Found, b.Found) })
	return out, ctx.Err()
}

// SetAside implements millrace.Commits.
func (m *Memory) SetAside(ctx context.Context, limit int) ([]millrace.SetAside, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.setAside)
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b millrace.SetAside) int { return cmp.Compare(b.Time, a.Time) })
	return out[:min(max(limit, 0), len(out))], ctx.Err()
}

// State implements millrace.Commits.
func (m *Memory) State(ctx context.Context, name string) (millrace.State, error) {
	if err := m.fault(ctx, "state"); err != nil {
		return millrace.State{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.states[name]
	if !ok {
		return millrace.State{Name: name}, nil
	}
	s.Value = slices.Clone(s.Value)
	return s, nil
}

// SetState implements millrace.Commits.
func (m *Memory) SetState(ctx context.Context, s millrace.State) error {
	return m.change(ctx, "state", func() error {
		if err := m.check(s); err != nil {
			return err
		}
		m.put(s)
		return nil
	})
}

func (m *Memory) check(s millrace.State) error {
	if have := m.states[s.Name].Version; have != s.Version {
		return millrace.Errorf(millrace.ErrConflict, "state %s has version %d, not %d", s.Name, have, s.Version)
	}
	return nil
}

func (m *Memory) put(s millrace.State) {
	s.Value = slices.Clone(s.Value)
	s.Version++
	m.states[s.Name] = s
}
