package pipeline

import (
	"context"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// eventsSink stores raw rows: whole row groups, or what there is after the flush
// interval. It waits a little longer for a row group that is filling up: a
// smaller transaction passes through the store's write-ahead log and is written
// twice.
//
// Of exceptions it stores samples, and tells what it saw of all.
type eventsSink struct {
	*sink
	p      *Pipeline
	rows   *millrace.EventRows
	spare  *millrace.EventRows // being stored, or empty
	limit  int                 // rows per transaction; less than FlushRows after a failure
	since  time.Time           // when the oldest row not yet stored came in
	folded int                 // events since the last flush, stored or not
	took   time.Duration       // what the transaction before took
	late   lateness

	samples *samples
	seen    *sightings // nil if nobody is told
	offered []*sample  // of the unit's events, the reservoirs that have them; empty if none is an exception
}

func (p *Pipeline) newEventsSink(s *sink) *eventsSink {
	out := &eventsSink{
		sink: s, p: p, rows: &millrace.EventRows{}, spare: &millrace.EventRows{}, limit: p.limit(s.name, p.opts.FlushRows),
		samples: newSamples(p.opts.Exceptions),
	}
	if p.deps.Sightings != nil {
		out.seen = newSightings()
	}
	return out
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
	s.offer(u, from, now)
	var stored, sampled tally
	events := u.batch.Events
	limit := min(s.limit, s.p.flushRows())
	for i := range events {
		e := &events[i]
		if e.Ordinal < from || s.refuses(u, e) {
			continue
		}
		s.folded++
		switch {
		case e.Kind != millrace.KindException:
			s.rows.Append(u.rec, e)
			stored.add(e.Weight)
		case !s.sample(u.rec, e, s.offered[i]):
			sampled.add(e.Weight)
			continue
		}
		if s.rows.Len() < limit && s.rows.Bytes() < int(s.p.opts.FlushBytes) {
			continue
		}
		s.account(u, from, e.Ordinal+1, stored, sampled)
		s.reach(u, e.Ordinal+1)
		if err := s.flush(ctx); err != nil {
			return err
		}
		from, stored, sampled = e.Ordinal+1, tally{}, tally{}
		s.since, limit = s.p.deps.Now(), min(s.limit, s.p.flushRows())
		if len(s.offered) > 0 {
			s.samples.begin(u.rec)
		}
	}
	s.account(u, from, int32(len(u.rec.Frames)), stored, sampled)
	s.finish(u)
	if s.seen != nil && s.seen.full() {
		return s.flush(ctx)
	}
	return nil
}

// account writes down the frames from <= ordinal < to of a unit. Rows of exceptions are
// accounted for when it is known whether they stay, see samples.settle.
func (s *eventsSink) account(u *unit, from, to int32, stored, sampled tally) {
	s.sink.account(u, from, to, stored.events, stored.weight)
	s.samples.sampled(u.rec, sampled, s.accounts)
}

// offer shows the unit's exceptions to their reservoirs, all before any is stored: in a
// storm nearly each is the newest until the next one. It notes what was seen of them;
// what a flush in the middle of the unit tells too early does no harm.
func (s *eventsSink) offer(u *unit, from int32, now time.Time) {
	s.offered = s.offered[:0]
	events := u.batch.Events
	for i := range events {
		e := &events[i]
		if e.Kind != millrace.KindException {
			continue
		}
		if len(s.offered) == 0 {
			s.offered = append(s.offered, make([]*sample, len(events))...)
			s.samples.begin(u.rec)
		}
		if e.Ordinal < from || s.condemns(u.rec, e) {
			continue
		}
		fingerprint := attrText(e, millrace.AttrFingerprint)
		hash := exception.FingerprintHash(e.Project, fingerprint)
		s.offered[i] = s.samples.offer(u.rec, e, hash, now)
		if s.seen != nil {
			s.seen.observe(e, fingerprint)
		}
	}
}

// sample appends an exception if its reservoir still has it and reports whether it did.
func (s *eventsSink) sample(rec *millrace.Record, e *millrace.Event, of *sample) bool {
	if of == nil || !of.Holds(placeOf(rec, e)) || !s.samples.allows(of, rec, e) {
		return false
	}
	before := s.rows.Bytes()
	s.rows.Append(rec, e)
	s.samples.appended(of, s.rows.Len()-1, s.rows.Bytes()-before)
	s.samples.tidy(s.rows)
	return true
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
	s.since, s.late.flushed = time.Time{}, true
	if !s.pending() {
		return nil
	}
	s.samples.settle(s.rows, s.accounts)
	c, rows, last, folded := s.commit(), s.rows, s.newest(), s.folded
	s.rows, s.spare, s.folded = s.spare, rows, 0
	var seen []*sighting
	if s.seen != nil {
		seen = s.seen.take()
	}
	s.p.stats.sampled(s.samples)
	s.write(func() error {
		err := s.p.tell(ctx, finished(seen))
		if err != nil {
			return err
		}
		err = s.p.store(ctx, c, func(ctx context.Context) error {
			return s.p.deps.Store.WriteEvents(ctx, rows, c)
		})
		s.took = s.p.deps.Now().Sub(began)
		return err
	}, func(err error) error {
		if err != nil && rows.Len() == 0 {
			return err // no event is to blame
		}
		if err != nil {
			return s.p.poison(s.name, rows.Len(), last, err)
		}
		s.p.pace.flushed(s.name, folded, s.took, waited, interval)
		s.limit = min(2*s.limit, s.p.flushRows())
		s.p.relax(s.name, s.limit)
		rows.Reset()
		return nil
	})
	return nil
}

// newest names the newest row.
func (s *eventsSink) newest() verdict {
	i := s.rows.Len() - 1
	if i < 0 {
		return verdict{}
	}
	part := s.rows.Partition[i]
	return verdict{part, s.positions[part].Generation, s.rows.Offset[i], s.rows.Ordinal[i]}
}
