package duckdb

import (
	"slices"

	"github.com/millrace/millrace"
)

// A window is to hold work for one statement, whose planning costs as much as
// looking at 100,000 rows of numbers. Texts cost 20 times as much to look into, and
// of rows that match for certain a few more are enough than are wanted.
const (
	firstRows    = 4 // times the rows wanted
	firstFilters = 100_000
	firstTexts   = 8_000
)

// piece is rows of a span that lie evenly between two times, to exclusive.
type piece struct {
	from, to int64
	work     float64 // to look at all of them; 1 is what a first window should hold
}

// windowStart returns from when on, up to to, there is as much work as is given,
// or lo.
func (s *search) windowStart(lo, to int64, work float64) (int64, error) {
	for {
		from := s.reach(lo, to, work)
		if s.taken == len(s.spans) || s.spans[s.taken].maxTime < from {
			return from, nil
		}
		for range max(2, s.taken/2) {
			if s.taken == len(s.spans) {
				break
			}
			p := s.spans[s.taken]
			s.taken++
			if err := p.ask(s.index, s.probe); err != nil {
				return lo, err
			}
			if p.found.may {
				if err := s.cut(p); err != nil {
					return lo, err
				}
			}
		}
	}
}

// reach returns the latest time from which on the pieces hold the work, to the
// millisecond, or lo.
func (s *search) reach(lo, to int64, work float64) int64 {
	const exact = 1_000_000
	if s.workFrom(lo, to) < work {
		return lo
	}
	hi := to
	for hi-lo > exact || hi-lo < 0 {
		mid := lo/2 + hi/2
		if s.workFrom(mid, to) < work {
			hi = mid
		} else {
			lo = mid
		}
	}
	return lo
}

func (s *search) workFrom(from, to int64) (sum float64) {
	for _, p := range s.pieces {
		a, b := max(from, p.from), min(to, p.to)
		if a < b {
			sum += p.work * (float64(b) - float64(a)) / (float64(p.to) - float64(p.from))
		}
	}
	return sum
}

// fewMinutes is how long a span may be for its rows to pass as evenly spread.
const fewMinutes = 3 * minuteNS

// cut adds a span to the pieces, by its minutes if it has many.
func (s *search) cut(p *span) error {
	to, work := satAdd(p.maxTime, 1), 1/s.rowsPerWindow(p)
	minutes, err := p.matching(s.index)
	if err != nil {
		return err
	}
	rows := p.last - p.first
	if minutes != nil {
		rows = 0
	}
	for _, m := range minutes {
		if rows += m.events; to-p.minTime > fewMinutes {
			from := max(m.minute*minuteNS, p.minTime)
			s.pieces = append(s.pieces, piece{from, min((m.minute+1)*minuteNS, to), work * float64(m.events)})
		}
	}
	if minutes == nil || to-p.minTime <= fewMinutes {
		s.pieces = append(s.pieces, piece{p.minTime, to, work * float64(rows)})
	}
	return nil
}

// rowsPerWindow is how many rows of the span are as much work as a first window
// should hold.
func (s *search) rowsPerWindow(p *span) float64 {
	rows := firstRows * s.want
	switch {
	case p.found.listed != nil: // hardly more than are wanted
		rows = s.want + s.want/4
	case s.q.Filter == nil || s.probe.pure && p.found.known:
	case s.probe.needsTrace:
		rows = 16 * blockRows
	case readsText(s.q.Filter, p.day.layout, p.found.known):
		rows = max(rows, firstTexts)
	default:
		rows = max(rows, firstFilters)
	}
	return float64(rows)
}

// readsText reports whether a filter reads messages, which it does not if those are
// known, or attributes without a column.
func readsText(f *millrace.Filter, l *layout, known bool) bool {
	if f.Op == millrace.FilterText || f.Field == "message" {
		return !known || f.Op != millrace.FilterText && f.Op != millrace.FilterGlob && f.Op != millrace.FilterEq
	}
	if f.Field != "" && f.Field != "trace_id" {
		_, text := l.texts[f.Field]
		a, attr := l.attrs[f.Field]
		if !text && (!attr || !a.full) {
			return true
		}
	}
	return slices.ContainsFunc(f.Sub, func(sub *millrace.Filter) bool { return readsText(sub, l, known) })
}
