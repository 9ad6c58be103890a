package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// Refold implements millrace.Store. What both sinks have committed is here what
// both have been given: writers wait meanwhile.
func (s *Store) Refold(ctx context.Context, q millrace.RefoldQuery, f millrace.Refolder) (*millrace.Refolded, error) {
	if err := rollupdef.CheckRefold(&q); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rollups[q.Rollup.Name]
	if r == nil {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no rollup %q", q.Rollup.Name)
	}
	if err := s.refoldable(r, &q); err != nil {
		return nil, err
	}
	if s.behind() {
		return nil, millrace.Errorf(millrace.ErrUnavailable, "refold %s: the raw rows are behind the rollups", q.Rollup.Name)
	}
	out := &millrace.Refolded{}
	var arrived int64
	for i := range s.events {
		e := &s.events[i]
		if e.time < q.From*1e9 || e.time >= q.To*1e9 || !s.folded(e) {
			continue
		}
		one := make([]millrace.Event, 1)
		e.restore(&one[0], q.Fields)
		if err := f.Fold(one); err != nil {
			return nil, err
		}
		out.Events++
		arrived = max(arrived, e.arrived/1e9)
	}
	cells, err := f.Drain()
	if err != nil {
		return nil, err
	}
	for _, b := range cells {
		if err := s.checkCells(b); err != nil {
			return nil, err
		}
	}
	r.remove(q.From, q.To)
	for _, b := range cells {
		out.Cells += int64(b.Len())
		r.add(b, arrived)
	}
	rollupdef.Refolded(&r.schema, q.From, q.To, !s.eventsBefore(q.From))
	return out, ctx.Err()
}

// refoldable refuses what raw rows no longer tell.
func (s *Store) refoldable(r *rollup, q *millrace.RefoldQuery) error {
	if !rollupdef.Same(&q.Rollup, &r.schema) {
		return millrace.Errorf(millrace.ErrConflict, "refold %s: the definition has changed; begin again", q.Rollup.Name)
	}
	refuse := func(why string) error {
		return millrace.Errorf(millrace.ErrConflict, "rollup %s cannot be folded again exactly: %s", q.Rollup.Name, why)
	}
	for _, gone := range s.dropped {
		if gone.From < q.To*1e9 && gone.To >= q.From*1e9 {
			return refuse("raw rows of that time have been dropped")
		}
	}
	for _, e := range s.ledger {
		if q.Sampled(&e) && e.Minute >= q.From-660 {
			return refuse("raw rows were sampled since then")
		}
	}
	for start, p := range r.hours {
		if end := start + int64(millrace.Hour); !p.sealed || end <= q.From || start >= q.To {
			continue
		} else if r.days[millrace.Day.Floor(start)].sealed {
			return refuse("it is kept by day only")
		} else if start < q.From || end > q.To {
			return refuse("it is kept by hour only, so that whole hours are needed")
		}
	}
	return nil
}

// folded reports whether the rollup sink has committed an event.
func (s *Store) folded(e *event) bool {
	st := s.sinks[millrace.SinkRollup]
	if st == nil {
		return false
	}
	p, known := st.positions[e.Partition]
	return known && (e.Offset < p.Offset || e.Offset == p.Offset && e.Ordinal < p.Ordinal)
}

// behind reports whether the rollup sink has committed more than the events sink.
func (s *Store) behind() bool {
	rollups, events := s.sinks[millrace.SinkRollup], s.sinks[millrace.SinkEvents]
	if rollups == nil {
		return false
	}
	for part, p := range rollups.positions {
		if events == nil {
			return true
		}
		e, known := events.positions[part]
		if !known || e.Generation != p.Generation || e.Offset < p.Offset || e.Offset == p.Offset && e.Ordinal < p.Ordinal {
			return true
		}
	}
	return false
}

// remove deletes the cells of some minutes, of the sets of the definition.
func (r *rollup) remove(from, to int64) {
	sets := map[string]bool{}
	for _, set := range r.schema.Sets {
		sets[setID(r.names(set))] = true
	}
	maps.DeleteFunc(r.cells, func(k cellKey, _ *cell) bool { return sets[k.set] && k.bucket >= from && k.bucket < to })
}

func (s *Store) eventsBefore(sec int64) bool {
	for i := range s.events {
		if s.events[i].time < sec*1e9 {
			return true
		}
	}
	return slices.ContainsFunc(s.dropped, func(d millrace.Span) bool { return d.From < sec*1e9 })
}
