package pipeline

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// eventsSink stores raw rows: whole row groups, or what there is after the flush
// interval. It waits a little longer for a row group that is filling up: a
// smaller transaction passes through the store's write-ahead log and is written
// twice.
type eventsSink struct {
	*sink
	p     *Pipeline
	rows  *millrace.EventRows
	spare *millrace.EventRows // being stored, or empty
	limit int                 // rows per transaction; less than FlushRows after a failure
	since time.Time           // when the oldest row not yet stored came in
	last  verdict             // the newest row
	took  time.Duration       // what the transaction before took
	late  lateness
}

func (s *eventsSink) fold(ctx context.Context, u *unit) error {
	from, ok := s.begin(u)
	now := s.p.deps.Now()
	if s.since.IsZero() {
		s.since = now
	}
	s.late.came(u.rec.Arrived, now)
	if !ok {
		return nil
	}
	var stored, weight int64
	v := s.verdictOf(u.rec, 0)
	events := u.batch.Events
	limit := min(s.limit, s.p.flushRows())
	for i := range events {
		e := &events[i]
		if e.Ordinal < from || s.refuses(u, e) {
			continue
		}
		s.rows.Append(u.rec, e)
		v.ordinal = e.Ordinal
		s.last = v
		stored++
		weight += e.Weight
		if s.rows.Len() < limit && s.rows.Bytes() < int(s.p.opts.FlushBytes) {
			continue
		}
		s.account(u, from, e.Ordinal+1, stored, weight)
		s.reach(u, e.Ordinal+1)
		if err := s.flush(ctx); err != nil {
			return err
		}
		from, stored, weight = e.Ordinal+1, 0, 0
		s.since, limit = s.p.deps.Now(), min(s.limit, s.p.flushRows())
	}
	s.account(u, from, int32(len(u.rec.Frames)), stored, weight)
	s.finish(u)
	return nil
}

// tick flushes if the oldest row has waited long enough.
func (s *eventsSink) tick(ctx context.Context, behind bool) error {
	if s.busy() {
		return nil // rows gather meanwhile, for a larger transaction
	}
	if err := s.wait(); err != nil {
		return err
	}
	now := s.p.deps.Now()
	fuller := behind || s.rows.Len() > s.limit/2
	if s.since.IsZero() || now.Sub(s.since) < s.patience(fuller, s.late.by(now)) {
		return nil
	}
	return s.flush(ctx)
}

// patience is how long a row waits for others. Rows that come late already wait half
// as long again, up to two intervals of the rollups: a server merges what it gets
// again and again, the more often the smaller it comes.
func (s *eventsSink) patience(fuller bool, late time.Duration) time.Duration {
	wait := s.p.opts.FlushInterval.Std()
	if fuller {
		wait = wait * 8 / 5
	}
	return max(wait, min(late/2, 2*s.p.opts.RollupInterval.Std()))
}

// flush starts to store the rows. The other buffer takes the next ones.
func (s *eventsSink) flush(ctx context.Context) error {
	if err := s.wait(); err != nil {
		return err
	}
	began := s.p.deps.Now()
	interval := s.patience(false, s.late.late)
	waited := began.Sub(s.since) - s.patience(true, s.late.late) // the longest that tick waits
	s.since = time.Time{}
	if !s.pending() {
		return nil
	}
	c, rows, last := s.commit(), s.rows, s.last
	s.rows, s.spare = s.spare, rows
	s.write(func() error {
		err := s.p.store(ctx, c, func(ctx context.Context) error {
			return s.p.deps.Store.WriteEvents(ctx, rows, c)
		})
		s.took = s.p.deps.Now().Sub(began)
		return err
	}, func(err error) error {
		if err != nil {
			return s.p.poison(s.name, rows.Len(), last, err)
		}
		s.p.pace.flushed(s.name, rows.Len(), s.took, waited, interval)
		s.limit = min(2*s.limit, s.p.flushRows())
		s.p.relax(s.name, s.limit)
		rows.Reset()
		return nil
	})
	return nil
}
