package duckdb

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/millrace/millrace"
)

// maxEvents bounds a page: about 10 MB of typical rows.
const maxEvents = 10000

// place is an event's position in the order of pages: by time, then by where it
// lies in the queue. Pages go downwards.
type place struct {
	time      int64
	partition int32
	offset    int64
	ordinal   int32
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.time, q.time), cmp.Compare(p.partition, q.partition),
		cmp.Compare(p.offset, q.offset), cmp.Compare(p.ordinal, q.ordinal))
}

func (p place) cursor() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.time))
	b = binary.BigEndian.AppendUint32(b, uint32(p.partition))
	b = binary.BigEndian.AppendUint64(b, uint64(p.offset))
	b = binary.BigEndian.AppendUint32(b, uint32(p.ordinal))
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(s string) (place, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 24 {
		return place{}, millrace.Errorf(millrace.ErrInvalid, "cursor: %.40q is not one this server gave out", s)
	}
	return place{
		int64(binary.BigEndian.Uint64(b)), int32(binary.BigEndian.Uint32(b[8:])),
		int64(binary.BigEndian.Uint64(b[12:])), int32(binary.BigEndian.Uint32(b[20:])),
	}, nil
}

// Events implements millrace.Store.
func (db *DB) Events(ctx context.Context, q millrace.EventQuery) (*millrace.EventPage, error) {
	if q.Limit < 1 || q.Limit > maxEvents {
		return nil, millrace.Errorf(millrace.ErrInvalid, "limit: %d: must be between 1 and %d", q.Limit, maxEvents)
	}
	s := &search{q: q, want: q.Limit + 1, layouts: map[string]*layout{}} // one more tells whether there is a next page
	if q.Cursor != "" {
		p, err := parseCursor(q.Cursor)
		if err != nil {
			return nil, err
		}
		s.below = &p
		s.q.To = min(q.To, satAdd(p.time, 1))
	}
	page := &millrace.EventPage{}
	err := db.snapshot(ctx, "search events", func(c *conn) error {
		if err := s.run(ctx, c); err != nil {
			return err
		}
		hits := s.found[:min(len(s.found), q.Limit)]
		if len(s.found) > q.Limit {
			page.Next = hits[q.Limit-1].cursor()
		}
		var err error
		page.Events, err = readHits(ctx, c, hits)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func placeOf(e *millrace.StoredEvent) place {
	return place{e.Time.UnixNano(), e.Partition, e.Offset, e.Ordinal}
}

// search finds the newest events of a range. It first looks for their places
// and then reads them whole: what a filter does not need is not read for the
// rows that go.
//
// Times are roughly ascending in a day table, so that DuckDB skips row groups
// outside a time window; but it would read a whole day to find the newest 100.
// So the search goes backwards in windows, at first as small as should do, then
// each four times as large as the one before: nothing is read twice, and at most
// four times as much is read as a search that knew where to stop would.
type search struct {
	q       millrace.EventQuery
	want    int
	below   *place
	layouts map[string]*layout // by table, as the filter may use them
	found   []hit              // newest first
}

// hit is a row that was found; it stays where it is while the snapshot lasts.
type hit struct {
	place
	table string
	row   int64
}

func (s *search) run(ctx context.Context, c *conn) error {
	segs, err := loadSegments(ctx, c)
	if err != nil {
		return err
	}
	segs = overlapping(segs, s.q.From, s.q.To)
	if len(segs) == 0 {
		return nil
	}
	lo, hi := segs[0].minTime, segs[0].maxTime
	var rows int64
	for _, g := range segs {
		lo, hi, rows = min(lo, g.minTime), max(hi, g.maxTime), rows+g.rows
		if s.layouts[g.name], err = layoutFor(ctx, c, g.name, s.q.Filter); err != nil {
			return fmt.Errorf("search %s: %w", g.name, err)
		}
	}
	width := s.firstWindow(float64(hi)-float64(lo), rows)
	lo, hi = max(lo, s.q.From), min(satAdd(hi, 1), s.q.To)
	for to := hi; to > lo && len(s.found) < s.want; width *= 4 {
		from := lo
		if w := float64(to) - width; w > float64(lo) {
			from = min(int64(w), to-1)
		}
		if err := s.window(ctx, c, overlapping(segs, from, to), from, to); err != nil {
			return err
		}
		to = from
	}
	return nil
}

// Rows that a first window should hold: with a filter, as many as are looked at
// in the time that another window costs.
const (
	firstRows    = 4 // times the rows wanted
	firstFilters = 100_000
	minWindow    = float64(time.Millisecond)
)

// firstWindow is the width that holds the rows to look at first if the rows are
// spread evenly over span.
func (s *search) firstWindow(span float64, rows int64) float64 {
	first := float64(firstRows * s.want)
	if s.q.Filter != nil {
		first = max(first, firstFilters)
	}
	return max(span*min(first/float64(max(rows, 1)), 1), minWindow)
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
func (s *search) window(ctx context.Context, c *conn, segs []segment, from, to int64) error {
	var got []hit
	for _, g := range segs {
		cond := condition{layout: s.layouts[g.name]}
		cond.selection(s.q, from, to)
		if s.below != nil {
			cond.before(*s.below)
		}
		query := fmt.Sprintf(`SELECT time, "partition", "offset", ordinal, rowid FROM %s WHERE %s
			ORDER BY time DESC, "partition" DESC, "offset" DESC, ordinal DESC LIMIT %d`,
			ident(g.name), cond.sql.String(), s.want-len(s.found))
		r, err := c.query(ctx, query, cond.args...)
		if err != nil {
			return fmt.Errorf("search %s: %w", g.name, err)
		}
		for r.next() {
			got = append(got, hit{place{r.int64(0), int32(r.int64(1)), r.int64(2), int32(r.int64(3))}, g.name, r.int64(4)})
		}
		r.close()
		if r.err != nil {
			return fmt.Errorf("search %s: %w", g.name, r.err)
		}
	}
	slices.SortFunc(got, func(a, b hit) int { return b.compare(a.place) })
	s.found = append(s.found, got[:min(len(got), s.want-len(s.found))]...)
	return nil
}

// selection is the range, project and filter of a query.
func (c *condition) selection(q millrace.EventQuery, from, to int64) {
	c.add("time >= ?", timeNS(from))
	if to < math.MaxInt64 { // a timestamp cannot be that large, so the bound would cut off the last
		c.add(" AND time < ?", timeNS(to))
	}
	if q.Project != "" {
		c.add(" AND ")
		c.equal("project", q.Project)
	}
	if q.Filter != nil {
		c.add(" AND (")
		c.filter(q.Filter)
		c.add(")")
	}
}

func (c *condition) before(p place) {
	c.add(` AND (time < ? OR (time = ? AND ("partition" < ? OR ("partition" = ? AND
		("offset" < ? OR ("offset" = ? AND ordinal < ?))))))`,
		timeNS(p.time), timeNS(p.time), p.partition, p.partition, p.offset, p.offset, p.ordinal)
}

func nsTime(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// satAdd adds without overflow; n is not negative.
func satAdd(t, n int64) int64 {
	if t > math.MaxInt64-n {
		return math.MaxInt64
	}
	return t + n
}

// CountEvents implements millrace.Store.
func (db *DB) CountEvents(ctx context.Context, q millrace.EventQuery, step int64) ([]millrace.TimeCount, error) {
	if step < 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "step: %d: must not be negative", step)
	}
	sums := map[int64]*millrace.TimeCount{}
	err := db.snapshot(ctx, "count events", func(c *conn) error {
		segs, err := loadSegments(ctx, c)
		if err != nil {
			return err
		}
		for _, g := range overlapping(segs, q.From, q.To) {
			if err := countSegment(ctx, c, g, q, step, sums); err != nil {
				return fmt.Errorf("count %s: %w", g.name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]millrace.TimeCount, 0, len(sums))
	for _, s := range sums {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b millrace.TimeCount) int { return cmp.Compare(a.Time, b.Time) })
	return out, nil
}

func countSegment(ctx context.Context, c *conn, g segment, q millrace.EventQuery, step int64, sums map[int64]*millrace.TimeCount) error {
	lay, err := layoutFor(ctx, c, g.name, q.Filter)
	if err != nil {
		return err
	}
	cond := condition{layout: lay}
	bucket := "0::BIGINT"
	if step > 0 {
		// Floor division, also before 1970.
		bucket = fmt.Sprintf("(epoch_ns(time) - ((epoch_ns(time) %% %[1]d) + %[1]d) %% %[1]d)", step)
	}
	cond.selection(q, q.From, q.To)
	r, err := c.query(ctx, fmt.Sprintf("SELECT %s AS bucket, count(*), sum(weight)::BIGINT FROM %s WHERE %s GROUP BY bucket",
		bucket, ident(g.name), cond.sql.String()), cond.args...)
	if err != nil {
		return err
	}
	defer r.close()
	for r.next() {
		t := r.int64(0)
		if sums[t] == nil {
			sums[t] = &millrace.TimeCount{Time: t}
		}
		sums[t].Events += r.int64(1)
		sums[t].Weight += r.int64(2)
	}
	return r.err
}
