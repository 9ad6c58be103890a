package memory

import (
	"context"
	"maps"
	"math"
	"time"

	"github.com/millrace/millrace"
)

// lateness is how long after its end an hour or day still counts as open.
const lateness = 10 * 60

// windowLife is how long an unused client window is kept.
const windowLife = 30 * 24 * time.Hour

// Maintain implements millrace.Store. There is nothing to compact or compute;
// it applies retention, all at once.
func (s *Store) Maintain(ctx context.Context, now time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	kept := s.events[:0]
	gone := millrace.Span{From: math.MaxInt64, To: math.MinInt64}
	for _, e := range s.events {
		arrived := millrace.Day.Floor(e.Arrived.Unix())
		end := time.Unix(arrived+int64(millrace.Day), 0)
		if end.Add(s.Retention.Events).After(now) {
			kept = append(kept, e)
		} else {
			gone.From, gone.To = min(gone.From, e.time), max(gone.To, e.time)
		}
	}
	if gone.From <= gone.To {
		s.dropped = append(s.dropped, gone)
	}
	clear(s.events[len(kept):])
	s.events = kept
	for _, st := range s.sinks {
		maps.DeleteFunc(st.clients, func(_ string, w millrace.ClientWindow) bool {
			return w.Updated+int64(windowLife) <= now.UnixNano()
		})
	}
	for _, r := range s.rollups {
		r.retain(now.Unix(), s.Retention)
	}
	return false, nil
}

// retain seals hours and days whose parts are due to be dropped, and drops days.
func (r *rollup) retain(now int64, keep Retention) {
	due := func(p *period, start int64, g millrace.Granularity, life time.Duration) bool {
		return start+int64(g)+lateness <= now && p.arrived+int64(life/time.Second) <= now
	}
	open := map[int64]bool{} // days with an hour that is not sealed
	for start, p := range r.hours {
		p.sealed = p.sealed || due(p, start, millrace.Hour, keep.Minutes)
		if !p.sealed {
			open[millrace.Day.Floor(start)] = true
		}
	}
	for start, p := range r.days {
		p.sealed = p.sealed || !open[start] && due(p, start, millrace.Day, keep.Hours)
		if p.sealed && due(p, start, millrace.Day, keep.Days) {
			r.drop(start)
		}
	}
}

func (r *rollup) drop(day int64) {
	in := func(t int64) bool { return millrace.Day.Floor(t) == day }
	maps.DeleteFunc(r.cells, func(k cellKey, _ *cell) bool { return in(k.bucket) })
	maps.DeleteFunc(r.hours, func(t int64, _ *period) bool { return in(t) })
	delete(r.days, day)
}
