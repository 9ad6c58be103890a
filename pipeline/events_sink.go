package pipeline

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// eventsSink stores raw rows: whole row groups, or what there is after the
// flush interval.
type eventsSink struct {
	*sink
	p     *Pipeline
	rows  *millrace.EventRows
	limit int       // rows per transaction; less than FlushRows after a failure
	since time.Time // when the oldest row not yet stored came in
	last  verdict   // the newest row
}

func (s *eventsSink) fold(ctx context.Context, u *unit) error {
	from, ok := s.begin(u)
	if s.since.IsZero() {
		s.since = s.p.deps.Now()
	}
	if !ok {
		return nil
	}
	var stored, weight int64
	events := u.batch.Events
	for i := range events {
		e := &events[i]
		if e.Ordinal < from || s.refuses(u, e) {
			continue
		}
		s.rows.Append(u.rec, e)
		s.last = s.verdictOf(u.rec, e.Ordinal)
		stored++
		weight += e.Weight
		if s.rows.Len() < s.limit && s.rows.Bytes() < int(s.p.opts.FlushBytes) {
			continue
		}
		s.account(u, from, e.Ordinal+1, stored, weight)
		s.reach(u, e.Ordinal+1)
		if err := s.flush(ctx); err != nil {
			return err
		}
		from, stored, weight = e.Ordinal+1, 0, 0
		s.since = s.p.deps.Now()
	}
	s.account(u, from, int32(len(u.rec.Frames)), stored, weight)
	s.finish(u)
	return nil
}

// tick flushes if the oldest row has waited long enough.
func (s *eventsSink) tick(ctx context.Context, _ bool) error {
	if s.since.IsZero() || s.p.deps.Now().Sub(s.since) < s.p.opts.FlushInterval.Std() {
		return nil
	}
	return s.flush(ctx)
}

func (s *eventsSink) flush(ctx context.Context) error {
	s.since = time.Time{}
	if !s.pending() {
		return nil
	}
	c := s.commit()
	err := s.p.store(ctx, c, func(ctx context.Context) error {
		return s.p.deps.Store.WriteEvents(ctx, s.rows, c)
	})
	if err != nil {
		return s.p.poison(s.name, s.rows.Len(), s.last, err)
	}
	s.limit = min(2*s.limit, s.p.opts.FlushRows)
	s.p.relax(s.name, s.limit)
	s.rows.Reset()
	return nil
}
