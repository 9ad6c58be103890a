package duckdb

import (
	"cmp"
	"context"
	"math"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cursor"
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

func (p place) cursor() string { return cursor.Encode(p.time, p.partition, p.offset, p.ordinal) }

func parseCursor(s string) (p place, err error) {
	p.time, p.partition, p.offset, p.ordinal, err = cursor.Decode(s)
	return p, err
}

// Events implements millrace.Store.
func (db *DB) Events(ctx context.Context, q millrace.EventQuery) (*millrace.EventPage, error) {
	if q.Limit < 1 || q.Limit > maxEvents {
		return nil, millrace.Errorf(millrace.ErrInvalid, "limit: %d: must be between 1 and %d", q.Limit, maxEvents)
	}
	s := &search{q: q, want: q.Limit + 1, db: db, index: db.index} // one more tells whether there is a next page
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
		page.Events, err = db.readHits(ctx, c, hits)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// within is that a time is in [from, to).
func (c *condition) within(from, to int64) {
	c.add("time >= ?", timeNS(from))
	if to < math.MaxInt64 { // a timestamp cannot be that large, so the bound would cut off the last
		c.add(" AND time < ?", timeNS(to))
	}
}

// selection adds the project and filter of a query to what is there.
func (c *condition) selection(q millrace.EventQuery) {
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
