package duckdb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/millrace/millrace"
)

// CountEvents implements millrace.Store.
func (db *DB) CountEvents(ctx context.Context, q millrace.EventQuery, step int64) ([]millrace.TimeCount, error) {
	if step < 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "step: %d: must not be negative", step)
	}
	n := &counter{q: q, step: step, db: db, probe: newProbe(q.Filter), sums: map[int64]millrace.TimeCount{}}
	err := db.snapshot(ctx, "count events", func(c *conn) error {
		days, err := openDays(ctx, c, db.index, q)
		if err != nil {
			return err
		}
		for _, d := range days {
			if err := n.plan(d); err != nil {
				return err
			}
		}
		return db.spread(ctx, c, len(n.work), func(c *conn, i int) error { return n.count(ctx, c, n.work[i]) })
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
	q     millrace.EventQuery
	step  int64
	db    *DB
	probe *probe
	work  []*part

	mu   sync.Mutex
	sums map[int64]millrace.TimeCount
}

func (n *counter) add(t, events, weight int64) {
	s := n.sums[t]
	n.sums[t] = millrace.TimeCount{Time: t, Events: s.Events + events, Weight: s.Weight + weight}
}

// plan adds what the index knows and notes what is left to count.
func (n *counter) plan(d *day) error {
	// The index counts by minutes, and knows nothing of projects.
	minutes := n.q.Project == "" && n.step%minuteNS == 0 && n.probe.pure
	var rest []*span
	for _, s := range d.spans {
		if !s.overlaps(n.q.From, n.q.To) {
			continue
		}
		if err := s.ask(n.db.index, n.probe); err != nil {
			return err
		}
		if !s.found.may {
			continue
		}
		if minutes && s.block != nil && s.found.known && s.within(n.q.From, n.q.To) {
			done, err := n.counted(s)
			if err != nil {
				return fmt.Errorf("count %s: %w", d.name, err)
			}
			if done {
				continue
			}
		}
		rest = append(rest, s.split()...)
	}
	n.work = append(n.work, n.db.index.partsOf(rest, n.q.From, n.q.To)...)
	return nil
}

// split returns a span of rows in no block, which may be many, in pieces.
func (s *span) split() (out []*span) {
	if s.block != nil || s.found.listed != nil {
		return []*span{s}
	}
	for first := s.first; first < s.last; first += partRows {
		piece := *s
		piece.first, piece.last = first, min(s.last, first+partRows)
		out = append(out, &piece)
	}
	return out
}

// counted adds the events of a block of which all is known but for its rows; false
// if the index has not counted them.
func (n *counter) counted(s *span) (bool, error) {
	if s.block.minutes == uncounted {
		return false, nil
	}
	minutes, err := s.minutes(n.db.index)
	if err != nil || minutes == nil {
		return false, err
	}
	if all := s.found.all(); all {
		for _, m := range minutes {
			n.addMinute(m.minute, m.events, m.weight)
		}
		return true, nil
	}
	counts, err := s.counts(n.db.index)
	if err != nil || counts == nil {
		return false, err
	}
	for _, c := range counts {
		if s.found.whole[c.class] == always && int(c.minute) < len(minutes) {
			n.addMinute(minutes[c.minute].minute, c.events, c.weight)
		}
	}
	return true, nil
}

func (n *counter) addMinute(minute, events, weight int64) {
	n.add(n.stepOf(minute*minuteNS), events, weight)
}

// count counts a part. Grouping takes several times as long as all else, and most
// parts have events of one step or two: these are counted by a statement for each.
func (n *counter) count(ctx context.Context, c *conn, p *part) error {
	from, to := max(p.minTime, n.q.From), min(satAdd(p.maxTime, 1), n.q.To)
	var got []millrace.TimeCount
	var err error
	switch first, last := n.stepOf(from), n.stepOf(to-1); {
	case from < -farTime || to > farTime || from >= to || last-first > n.step:
		got, err = n.ask(ctx, c, p, from, to, n.stepSQL(from), " GROUP BY bucket")
	case first < last:
		if got, err = n.ask(ctx, c, p, from, last, fmt.Sprint(first), ""); err != nil {
			break
		}
		var rest []millrace.TimeCount
		rest, err = n.ask(ctx, c, p, last, to, fmt.Sprint(last), "")
		got = append(got, rest...)
	default:
		got, err = n.ask(ctx, c, p, from, to, fmt.Sprint(first), "")
	}
	if err != nil {
		return fmt.Errorf("count %s: %w", p.day.name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range got {
		n.add(t.Time, t.Events, t.Weight)
	}
	return nil
}

// stepOf returns the start of the step that a time is in.
func (n *counter) stepOf(t int64) int64 {
	if n.step == 0 {
		return 0
	}
	return floorDiv(t, n.step) * n.step
}

// stepSQL is stepOf a row whose time is from or later.
func (n *counter) stepSQL(from int64) string {
	switch {
	case n.step == 0:
		return "0::BIGINT"
	case from >= 0:
		return fmt.Sprintf("(epoch_ns(time) // %[1]d * %[1]d)", n.step)
	}
	return fmt.Sprintf("(epoch_ns(time) - ((epoch_ns(time) %% %[1]d) + %[1]d) %% %[1]d)", n.step)
}

// ask counts the rows of a part with events of [from, to), by step.
func (n *counter) ask(ctx context.Context, c *conn, p *part, from, to int64, step, group string) (out []millrace.TimeCount, err error) {
	cond, err := p.condition(n.db.index, n.probe, n.q, from, to)
	if err != nil {
		return nil, err
	}
	r, err := c.query(ctx, fmt.Sprintf("SELECT (%s)::BIGINT AS bucket, count(*), sum(weight)::BIGINT FROM %s WHERE %s%s",
		step, ident(p.day.name), cond.sql.String(), group), cond.args...)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for r.next() {
		if events := r.int64(1); events > 0 {
			out = append(out, millrace.TimeCount{Time: r.int64(0), Events: events, Weight: r.int64(2)})
		}
	}
	return out, r.err
}
