package duckdb

import (
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
// Times are roughly ascending in a day table, so that DuckDB skips row groups
// outside a time window; but it would read a whole day to find the newest 100.
// So the search goes backwards in windows, each as wide as should do by what the
// ones before held: nothing is read twice. Within a window only those rows are
// looked at that the index does not rule out.
type search struct {
	q     millrace.EventQuery
	want  int
	below *place
	index *eventIndex
	days  []*day
	found []hit // newest first
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
	blocks []*indexBlock
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
		d := &day{segment: g, blocks: x.blocks(g.name, g.rows)}
		if d.layout, err = layoutFor(ctx, c, g.name, q.Filter); err != nil {
			return nil, fmt.Errorf("search %s: %w", g.name, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func (s *search) run(ctx context.Context, c *conn) error {
	var err error
	if s.days, err = openDays(ctx, c, s.index, s.q); err != nil || len(s.days) == 0 {
		return err
	}
	lo, hi := s.days[0].minTime, s.days[0].maxTime
	var rows int64
	for _, d := range s.days {
		lo, hi, rows = min(lo, d.minTime), max(hi, d.maxTime), rows+d.rows
	}
	width := s.firstWindow(float64(hi)-float64(lo), rows)
	lo, hi = max(lo, s.q.From), min(satAdd(hi, 1), s.q.To)
	for to := hi; to > lo && len(s.found) < s.want; {
		from := lo
		if w := float64(to) - width; w > float64(lo) {
			from = min(int64(w), to-1)
		}
		before := len(s.found)
		if err := s.window(ctx, c, from, to); err != nil {
			return err
		}
		to, width = from, s.nextWindow(width, len(s.found)-before)
	}
	return nil
}

// Rows that a first window should hold: with a filter over numbers, as many as
// are looked at in the time that another window costs; over texts, which cost 20
// times as much, fewer.
const (
	firstRows    = 4 // times the rows wanted
	firstFilters = 100_000
	firstTexts   = 8_000
	minWindow    = float64(time1ms)
	time1ms      = 1_000_000
)

// firstWindow is the width that holds the rows to look at first if the rows are
// spread evenly over span.
func (s *search) firstWindow(span float64, rows int64) float64 {
	first := float64(firstRows * s.want)
	if s.q.Filter != nil {
		first = max(first, firstFilters)
		if readsText(s.q.Filter, s.days) {
			first = max(float64(firstRows*s.want), firstTexts)
		}
	}
	return max(span*min(first/float64(max(rows, 1)), 1), minWindow)
}

// readsText reports whether a filter reads the message or attributes without a
// column.
func readsText(f *millrace.Filter, days []*day) bool {
	if f == nil {
		return false
	}
	if f.Op == millrace.FilterText {
		return true
	}
	if f.Field != "" && f.Field != "trace_id" {
		l := days[len(days)-1].layout
		_, text := l.texts[f.Field]
		a, attr := l.attrs[f.Field]
		if f.Field == "message" || !text && (!attr || !a.full) {
			return true
		}
	}
	return slices.ContainsFunc(f.Sub, func(sub *millrace.Filter) bool { return readsText(sub, days) })
}

// nextWindow returns the width of the next window after one with found rows: half
// as much again as should hold what is left, between half the width of this one
// and eight times it.
func (s *search) nextWindow(width float64, found int) float64 {
	times := 8.0
	if found > 0 {
		times = min(max(1.5*float64(s.want-len(s.found))/float64(found), 0.5), times)
	}
	return width * times
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
	var got []hit
	for _, d := range s.days {
		if d.minTime >= to || d.maxTime < from {
			continue
		}
		parts, err := d.candidates(s.index, s.q.Filter, from, to)
		if err != nil {
			return fmt.Errorf("search %s: %w", d.name, err)
		}
		for _, p := range parts {
			if got, err = s.part(ctx, c, d, p, got); err != nil {
				return fmt.Errorf("search %s: %w", d.name, err)
			}
		}
	}
	slices.SortFunc(got, func(a, b hit) int { return b.compare(a.place) })
	s.found = append(s.found, got[:min(len(got), s.want-len(s.found))]...)
	return nil
}

// manyHits is how many rows of a part are sorted here. To have DuckDB find the
// newest costs more than the search: it then looks at the time of every row.
const manyHits = 20_000

// part appends the matching rows of a part to got: all of them, or at least the
// newest that are wanted.
func (s *search) part(ctx context.Context, c *conn, d *day, p part, got []hit) ([]hit, error) {
	cond := condition{layout: d.layout}
	p.restrict(&cond)
	cond.selection(s.q, p.from, p.to)
	if s.below != nil {
		cond.before(*s.below)
	}
	query := `SELECT time, "partition", "offset", ordinal, rowid FROM ` + ident(d.name) + " WHERE " + cond.sql.String()
	before := len(got)
	read := func(tail string) error {
		r, err := c.query(ctx, query+tail, cond.args...)
		if err != nil {
			return err
		}
		defer r.close()
		for r.next() {
			got = append(got, hit{place{r.int64(0), int32(r.int64(1)), r.int64(2), int32(r.int64(3))}, d.name, r.int64(4)})
		}
		return r.err
	}
	if err := read(fmt.Sprintf(" LIMIT %d", manyHits)); err != nil {
		return nil, err
	}
	if len(got)-before < manyHits {
		return got, nil
	}
	got = got[:before]
	// The number of the row, which decides nothing, keeps DuckDB from reading the
	// rows found in a second pass over the table, slower by far for so few columns.
	return got, read(fmt.Sprintf(` ORDER BY time DESC, "partition" DESC, "offset" DESC, ordinal DESC, rowid LIMIT %d`, s.want))
}

// part is a range of rows of a day table within a window.
type part struct {
	from, to    int64 // event time, to exclusive
	first, last int64 // numbers of rows, last exclusive; the whole table: 0, all
}

const allRows = math.MaxInt64

func (p *part) restrict(c *condition) {
	if p.first > 0 {
		c.add(fmt.Sprintf("rowid >= %d AND ", p.first))
	}
	if p.last < allRows {
		c.add(fmt.Sprintf("rowid < %d AND ", p.last))
	}
}
