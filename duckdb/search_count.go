package duckdb

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/millrace/millrace"
)

// CountEvents implements millrace.Store.
func (db *DB) CountEvents(ctx context.Context, q millrace.EventQuery, step int64) ([]millrace.TimeCount, error) {
	if step < 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "step: %d: must not be negative", step)
	}
	n := &counter{q: q, step: step, db: db, sums: map[int64]millrace.TimeCount{}}
	err := db.snapshot(ctx, "count events", func(c *conn) error {
		days, err := openDays(ctx, c, db.index, q)
		if err != nil {
			return err
		}
		for _, d := range days {
			if err := n.plan(d); err != nil {
				return fmt.Errorf("count %s: %w", d.name, err)
			}
		}
		return n.run(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	out := make([]millrace.TimeCount, 0, len(n.sums))
	for _, s := range n.sums {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b millrace.TimeCount) int { return cmp.Compare(a.Time, b.Time) })
	return out, nil
}

// counter counts the events of a query by time.
type counter struct {
	q    millrace.EventQuery
	step int64
	db   *DB
	work []countPart

	mu   sync.Mutex
	sums map[int64]millrace.TimeCount
}

// countPart is a part of a table that is counted by one statement.
type countPart struct {
	day *day
	part
}

func (n *counter) add(t, events, weight int64) {
	s := n.sums[t]
	n.sums[t] = millrace.TimeCount{Time: t, Events: s.Events + events, Weight: s.Weight + weight}
}

// plan adds what the index knows and notes what is left to count.
func (n *counter) plan(d *day) error {
	var parts []part
	if wholeMinutes(n.q, n.step) {
		var blocks []*indexBlock
		blocks, parts = d.counted(n.q.From, n.q.To)
		for _, b := range blocks {
			minutes, err := n.minutesOf(d, b)
			if err != nil {
				return err
			}
			if minutes == nil {
				parts = append(parts, part{b.minTime, satAdd(b.maxTime, 1), b.first, b.end()})
			}
			for _, m := range minutes {
				t := int64(0)
				if n.step > 0 {
					t = floorDiv(m.minute*minuteNS, n.step) * n.step
				}
				n.add(t, m.events, m.weight)
			}
		}
	} else {
		var err error
		if parts, err = d.candidates(n.db.index, n.q.Filter, n.q.From, n.q.To); err != nil {
			return err
		}
	}
	for _, p := range parts {
		n.split(d, p)
	}
	return nil
}

// minutesOf returns nil if they are damaged or gone.
func (n *counter) minutesOf(d *day, b *indexBlock) (out []minuteCount, err error) {
	err = n.db.index.view(d.name, func(f *indexFile) error {
		if out, err = f.readMinutes(b); f.bad.Load() {
			out, err = nil, nil
		}
		return err
	})
	return out, err
}

// Rows of a part that one of several connections counts: some 5 ms of work, or
// 100 over texts.
const (
	countRows = 8 * blockRows
	// maxCounters bounds the connections that one histogram keeps busy.
	maxCounters = 4
)

// split adds a part to the work, in pieces that can be shared out.
func (n *counter) split(d *day, p part) {
	p.last = min(p.last, d.rows)
	for p.last-p.first > countRows*3/2 {
		piece := p
		piece.last = p.first + countRows
		n.work = append(n.work, countPart{d, d.clip(piece)})
		p.first = piece.last
	}
	n.work = append(n.work, countPart{d, d.clip(p)})
}

// clip narrows a part to the times of its rows, if blocks tell: by them DuckDB
// skips row groups, while it looks at the numbers of rows vector by vector.
func (d *day) clip(p part) part {
	lo, hi, next := int64(math.MaxInt64), int64(math.MinInt64), p.first
	for _, b := range d.blocks {
		if b.end() <= p.first {
			continue
		}
		if b.first > next || b.first >= p.last {
			break
		}
		lo, hi, next = min(lo, b.minTime), max(hi, b.maxTime), b.end()
	}
	if next >= p.last {
		p.from, p.to = max(p.from, lo), min(p.to, satAdd(hi, 1))
	}
	return p
}

// run counts on c and, if there is work for them, on other connections beside it.
// Rows are never changed and those of a part are committed, so that all see the
// same, though each has a snapshot of its own; but for a day that is dropped
// meanwhile, which only c still sees, so that it counts what others could not.
func (n *counter) run(ctx context.Context, c *conn) error {
	next := make(chan countPart, len(n.work))
	for _, w := range n.work {
		next <- w
	}
	close(next)
	var failed []countPart
	var wg sync.WaitGroup
	for range min(len(n.work), runtime.GOMAXPROCS(0), maxCounters) - 1 {
		other, release, ok := n.db.inst.spareReader()
		if !ok {
			break
		}
		wg.Go(func() {
			defer release()
			for w := range next {
				if n.count(ctx, other, w) != nil {
					n.mu.Lock()
					failed = append(failed, w)
					n.mu.Unlock()
					return
				}
			}
		})
	}
	err := n.drain(ctx, c, next)
	wg.Wait()
	for _, w := range failed {
		if err == nil {
			err = n.count(ctx, c, w)
		}
	}
	return err
}

func (n *counter) drain(ctx context.Context, c *conn, next <-chan countPart) error {
	for w := range next {
		if err := n.count(ctx, c, w); err != nil {
			return err
		}
	}
	return nil
}

func (n *counter) count(ctx context.Context, c *conn, w countPart) error {
	cond := condition{layout: w.day.layout}
	w.restrict(&cond)
	bucket := "0::BIGINT"
	if n.step > 0 {
		// Floor division, also before 1970.
		if w.from >= 0 {
			bucket = fmt.Sprintf("(epoch_ns(time) // %[1]d * %[1]d)", n.step)
		} else {
			bucket = fmt.Sprintf("(epoch_ns(time) - ((epoch_ns(time) %% %[1]d) + %[1]d) %% %[1]d)", n.step)
		}
	}
	cond.selection(n.q, w.from, w.to)
	r, err := c.query(ctx, fmt.Sprintf("SELECT %s AS bucket, count(*), sum(weight)::BIGINT FROM %s WHERE %s GROUP BY bucket",
		bucket, ident(w.day.name), cond.sql.String()), cond.args...)
	if err != nil {
		return fmt.Errorf("count %s: %w", w.day.name, err)
	}
	defer r.close()
	var got []millrace.TimeCount
	for r.next() {
		got = append(got, millrace.TimeCount{Time: r.int64(0), Events: r.int64(1), Weight: r.int64(2)})
	}
	if r.err != nil {
		return fmt.Errorf("count %s: %w", w.day.name, r.err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range got {
		n.add(t.Time, t.Events, t.Weight)
	}
	return nil
}
