package duckdb

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace"
)

// search finds the newest events of a range. It first looks for their places
// and then reads them whole: what a filter does not need is not read for the
// rows that go.
//
// DuckDB would read a whole day to find the newest 100. So the search goes backwards
// in windows of time, each as wide as should do by what the ones before held: nothing
// is read twice. Within a window only those rows are looked at that the index does
// not rule out.
type search struct {
	q     millrace.EventQuery
	want  int
	below *place
	db    *DB
	index *eventIndex
	probe *probe
	found []hit // newest first

	spans  []*span // by the time of their newest event, newest first
	taken  int     // of spans, in pieces
	pieces []piece
}

// hit is a row that was found; it stays where it is while the snapshot lasts.
type hit struct {
	place
	table string
	row   int64
}

// day is a day table as the search sees it.
type day struct {
	segment
	layout *layout
	spans  []*span
}

// openDays returns the day tables with events in [from, to), with what a filter
// may rely on.
func openDays(ctx context.Context, c *conn, x *eventIndex, q millrace.EventQuery) ([]*day, error) {
	segs, err := loadSegments(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []*day
	for _, g := range overlapping(segs, q.From, q.To) {
		d := &day{segment: g}
		d.spans = d.spansOf(x.blocks(g.name, g.rows))
		if d.layout, err = layoutFor(ctx, c, g.name, q.Filter); err != nil {
			return nil, fmt.Errorf("search %s: %w", g.name, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func (s *search) run(ctx context.Context, c *conn) error {
	days, err := openDays(ctx, c, s.index, s.q)
	if err != nil {
		return err
	}
	s.probe = newProbe(s.q.Filter)
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for _, d := range days {
		for _, p := range d.spans {
			if p.overlaps(s.q.From, s.q.To) {
				s.spans = append(s.spans, p)
				lo, hi = min(lo, p.minTime), max(hi, p.maxTime)
			}
		}
	}
	slices.SortFunc(s.spans, func(a, b *span) int { return cmp.Compare(b.maxTime, a.maxTime) })
	lo, hi = max(lo, s.q.From), min(satAdd(hi, 1), s.q.To)
	work := 1.0
	for to := hi; to > lo && len(s.found) < s.want; {
		from, err := s.windowStart(lo, to, work)
		if err != nil {
			return err
		}
		before := len(s.found)
		if err := s.window(ctx, c, from, to); err != nil {
			return err
		}
		to, work = from, s.nextWork(work, len(s.found)-before)
	}
	return nil
}

// nextWork returns the work of the next window after one with found rows: half
// as much again as should hold what is left, between half the work of this one
// and eight times it.
func (s *search) nextWork(work float64, found int) float64 {
	times := 8.0
	if found > 0 {
		times = min(max(1.5*float64(s.want-len(s.found))/float64(found), 0.5), times)
	}
	return work * times
}

// overlapping returns the segments with event times in [from, to).
func overlapping(segs []segment, from, to int64) []segment {
	var out []segment
	for _, g := range segs {
		if g.minTime < to && g.maxTime >= from {
			out = append(out, g)
		}
	}
	return out
}

// window adds the newest matching events of [from, to), which is older than
// everything found so far.
func (s *search) window(ctx context.Context, c *conn, from, to int64) error {
	var in []*span
	for _, p := range s.spans[:s.taken] {
		if p.overlaps(from, to) && p.found.may {
			in = append(in, p)
		}
	}
	slices.SortFunc(in, func(a, b *span) int {
		return cmp.Or(cmp.Compare(a.day.name, b.day.name), cmp.Compare(a.first, b.first))
	})
	parts := s.index.partsOf(in, from, to)
	each := make([][]hit, len(parts))
	err := s.db.spread(ctx, c, len(parts), func(c *conn, i int) (err error) {
		if each[i], err = s.part(ctx, c, parts[i], from, to); err != nil {
			return fmt.Errorf("search %s: %w", parts[i].day.name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	got := slices.Concat(each...)
	slices.SortFunc(got, func(a, b hit) int { return b.compare(a.place) })
	s.found = append(s.found, got[:min(len(got), s.want-len(s.found))]...)
	return nil
}

// manyHits is how many rows of a part are sorted here. To have DuckDB find the
// newest costs more than the search: it then looks at the time of every row.
const manyHits = 20_000

// part returns the matching rows of a part: all of them, or at least the newest
// that are wanted.
func (s *search) part(ctx context.Context, c *conn, p *part, from, to int64) (got []hit, err error) {
	cond, err := p.condition(s.index, s.probe, s.q, from, to)
	if err != nil {
		return nil, err
	}
	if s.below != nil {
		cond.before(*s.below)
	}
	query := `SELECT time, "partition", "offset", ordinal, rowid FROM ` + ident(p.day.name) + " WHERE " + cond.sql.String()
	read := func(tail string) error {
		r, err := c.query(ctx, query+tail, cond.args...)
		if err != nil {
			return err
		}
		defer r.close()
		for r.next() {
			got = append(got, hit{place{r.int64(0), int32(r.int64(1)), r.int64(2), int32(r.int64(3))}, p.day.name, r.int64(4)})
		}
		return r.err
	}
	if err := read(fmt.Sprintf(" LIMIT %d", manyHits)); err != nil {
		return nil, err
	}
	if len(got) < manyHits {
		return got, nil
	}
	got = got[:0]
	// The number of the row, which decides nothing, keeps DuckDB from reading the
	// rows found in a second pass over the table, slower by far for so few columns.
	err = read(fmt.Sprintf(` ORDER BY time DESC, "partition" DESC, "offset" DESC, ordinal DESC, rowid LIMIT %d`, s.want))
	return got, err
}
