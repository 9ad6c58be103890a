package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// Retention says how long things are kept, counted from arrival.
type Retention struct {
	Events  time.Duration // from the end of the day of arrival
	Minutes time.Duration // from the last arrival in the hour
	Hours   time.Duration // from the last arrival in the day
	Days    time.Duration // from the last arrival in the day
}

// DefaultRetention is what the design fixes.
var DefaultRetention = Retention{
	Events: 90 * 24 * time.Hour, Minutes: 8 * 24 * time.Hour,
	Hours: 90 * 24 * time.Hour, Days: 730 * 24 * time.Hour,
}

// Store implements millrace.Store in memory. Safe for concurrent use.
type Store struct {
	Retention Retention // set before the first call

	mu      sync.Mutex
	events  []event
	dropped []millrace.Span // least and greatest times, in ns, of days of arrival that retention dropped
	rollups map[string]*rollup
	// lastArrival is the latest of a rollup's events, Unix seconds.
	lastArrival int64
	sinks       map[millrace.Sink]*sinkState
	ledger      map[account]millrace.LedgerEntry
	gaps        []millrace.Gap
	setAside    []millrace.SetAside
}

var _ millrace.Store = (*Store)(nil)

type sinkState struct {
	positions map[int32]millrace.Position
	clients   map[string]millrace.ClientWindow
	admitted  map[millrace.Admission]bool
}

// New returns an empty store with the default retention.
func New() *Store {
	return &Store{
		Retention: DefaultRetention,
		rollups:   map[string]*rollup{},
		sinks:     map[millrace.Sink]*sinkState{},
		ledger:    map[account]millrace.LedgerEntry{},
	}
}

// Load implements millrace.Store. Positions are ordered by partition, windows
// by client, admissions by rollup, dimension and value.
func (s *Store) Load(ctx context.Context, sink millrace.Sink) (*millrace.SinkState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &millrace.SinkState{}
	st := s.sinks[sink]
	if st == nil {
		return out, ctx.Err()
	}
	for _, p := range st.positions {
		out.Positions = append(out.Positions, p)
	}
	for _, c := range st.clients {
		c.State = slices.Clone(c.State)
		out.Clients = append(out.Clients, c)
	}
	for a := range st.admitted {
		out.Admitted = append(out.Admitted, a)
	}
	slices.SortFunc(out.Positions, func(a, b millrace.Position) int { return cmp.Compare(a.Partition, b.Partition) })
	slices.SortFunc(out.Clients, func(a, b millrace.ClientWindow) int { return cmp.Compare(a.Client, b.Client) })
	slices.SortFunc(out.Admitted, func(a, b millrace.Admission) int {
		return cmp.Or(cmp.Compare(a.Rollup, b.Rollup), cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.Value, b.Value))
	})
	return out, ctx.Err()
}

// Positions implements millrace.Store.
func (s *Store) Positions(ctx context.Context) (map[millrace.Sink][]millrace.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[millrace.Sink][]millrace.Position{}
	for sink := range s.sinks {
		out[sink] = s.positionsOf(sink)
		slices.SortFunc(out[sink], func(a, b millrace.Position) int { return cmp.Compare(a.Partition, b.Partition) })
	}
	return out, ctx.Err()
}

// Claim implements millrace.Store: there is one worker.
func (s *Store) Claim(ctx context.Context, sink millrace.Sink, _ []int32) (*millrace.SinkState, error) {
	return s.Load(ctx, sink)
}

// positionsOf returns a sink's, in any order. Called with mu held.
func (s *Store) positionsOf(sink millrace.Sink) []millrace.Position {
	st := s.sinks[sink]
	if st == nil {
		return nil
	}
	return slices.Collect(maps.Values(st.positions))
}

// WriteEvents implements millrace.Store.
func (s *Store) WriteEvents(ctx context.Context, rows *millrace.EventRows, c *millrace.Commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.CheckFrom(s.positionsOf(c.Sink)); err != nil {
		return err
	}
	if err := failpoint.Hit("events.commit"); err != nil {
		return err
	}
	if rows != nil {
		s.addEvents(rows)
	}
	s.commit(c)
	return failpoint.Hit("events.commit.after")
}

// WriteCells implements millrace.Store.
func (s *Store) WriteCells(ctx context.Context, cells []*millrace.CellBatch, c *millrace.Commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, b := range cells {
		if err := s.checkCells(b); err != nil {
			return err
		}
	}
	if err := c.CheckFrom(s.positionsOf(c.Sink)); err != nil {
		return err
	}
	if err := failpoint.Hit("rollup.commit"); err != nil {
		return err
	}
	arrived := c.LastArrival(cells)
	s.lastArrival = max(s.lastArrival, arrived)
	for _, b := range cells {
		s.rollups[b.Rollup].add(b, arrived)
	}
	s.commit(c)
	return failpoint.Hit("rollup.commit.after")
}

func (s *Store) commit(c *millrace.Commit) {
	st := s.sinks[c.Sink]
	if st == nil {
		st = &sinkState{
			positions: map[int32]millrace.Position{},
			clients:   map[string]millrace.ClientWindow{},
			admitted:  map[millrace.Admission]bool{},
		}
		s.sinks[c.Sink] = st
	}
	for _, p := range c.Positions {
		st.positions[p.Partition] = p
	}
	for _, w := range c.Clients {
		w.State = slices.Clone(w.State)
		st.clients[w.Client] = w
	}
	for _, a := range c.Retired {
		delete(st.admitted, a)
	}
	for _, a := range c.Admitted {
		st.admitted[a] = true
	}
	for _, e := range c.Ledger {
		s.addAccount(e)
	}
	s.gaps = append(s.gaps, c.Gaps...)
	for _, a := range c.SetAside {
		a.Payload = slices.Clone(a.Payload)
		s.setAside = append(s.setAside, a)
	}
}

// Gaps implements millrace.Store.
func (s *Store) Gaps(ctx context.Context) ([]millrace.Gap, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.gaps)
	slices.SortStableFunc(out, func(a, b millrace.Gap) int { return cmp.Compare(a.Found, b.Found) })
	return out, ctx.Err()
}

// SetAside implements millrace.Store.
func (s *Store) SetAside(ctx context.Context, limit int) ([]millrace.SetAside, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.setAside)
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b millrace.SetAside) int { return cmp.Compare(b.Time, a.Time) })
	return out[:min(max(limit, 0), len(out))], ctx.Err()
}

// SQL implements millrace.Store: there is no SQL here.
func (s *Store) SQL(context.Context, string, millrace.SQLLimits) (*millrace.Table, error) {
	return nil, millrace.Errorf(millrace.ErrInvalid, "SQL is not available in the memory store")
}

// Stats implements millrace.Store. Sizes on disk are zero.
func (s *Store) Stats(ctx context.Context) (*millrace.StoreStats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &millrace.StoreStats{Events: int64(len(s.events))}
	for _, r := range s.rollups {
		out.Cells += int64(len(r.cells))
	}
	for i := range s.events {
		if t := s.events[i].Time; out.OldestEvent.IsZero() || t.Before(out.OldestEvent) {
			out.OldestEvent = t
		}
	}
	return out, ctx.Err()
}

// Close implements millrace.Store; it does nothing.
func (s *Store) Close() error { return nil }
