package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// rollupSink folds events into cells and stores the deltas at flush barriers.
type rollupSink struct {
	*sink
	p      *Pipeline
	engine *rollup.Engine
	limit  int // events per barrier; less than unlimited after a failure
	folded int // events since the last barrier
	since  time.Time
	last   verdict
}

// unlimited is the number of events per barrier when nothing is wrong: the
// interval and the memory decide.
const unlimited = 1 << 30

func (s *rollupSink) fold(ctx context.Context, u *unit) error {
	from, ok := s.begin(u)
	if s.since.IsZero() {
		s.since = s.p.deps.Now()
	}
	if !ok {
		return nil
	}
	events := u.batch.Events
	for len(events) > 0 && events[0].Ordinal < from {
		events = events[1:]
	}
	for len(events) > 0 {
		n, err := s.foldSome(u, events)
		if err != nil {
			return err
		}
		next := events[n-1].Ordinal + 1
		var weight, stored int64
		for i := range events[:n] {
			if len(s.condemned) == 0 || s.condemned[s.verdictOf(u.rec, events[i].Ordinal)] == "" {
				stored, weight = stored+1, weight+events[i].Weight
			}
		}
		s.account(u, from, next, stored, weight)
		s.reach(u, next)
		from, events = next, events[n:]
		if s.folded >= s.limit || s.engine.Size() > int64(s.p.opts.RollupMemory) {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
	s.account(u, from, int32(len(u.rec.Frames)), 0, 0)
	s.finish(u)
	return nil
}

// foldSome folds the events that the limit allows, at least one, and returns
// how many. A panic of the engine leaves it unusable: the pipeline starts again
// from the committed position.
func (s *rollupSink) foldSome(u *unit, events []millrace.Event) (n int, err error) {
	n = max(1, min(len(events), s.limit-s.folded))
	if len(s.condemned) > 0 {
		n = 1
		if s.refuses(u, &events[0]) {
			return 1, nil
		}
	}
	s.last = s.verdictOf(u.rec, events[n-1].Ordinal)
	s.folded += n
	defer func() {
		if p := recover(); p != nil {
			err = s.p.poison(s.name, s.folded, s.last, fmt.Errorf("fold: panic: %v", p))
		}
	}()
	s.engine.Fold(u.rec.Arrived, events[:n])
	return n, nil
}

// tick is the flush barrier: due after the interval, or twice that while the
// sink is behind.
func (s *rollupSink) tick(ctx context.Context, behind bool) error {
	if s.busy() {
		return nil
	}
	if err := s.wait(); err != nil {
		return err
	}
	wait := s.p.opts.RollupInterval.Std()
	if behind {
		wait *= 2
	}
	if s.since.IsZero() || s.p.deps.Now().Sub(s.since) < wait {
		return nil
	}
	return s.flush(ctx)
}

// flush drains the cells and starts to store them.
func (s *rollupSink) flush(ctx context.Context) error {
	if err := s.wait(); err != nil {
		return err
	}
	s.since = time.Time{}
	if !s.pending() {
		return nil
	}
	drained, folded, last := s.engine.Drain(), s.folded, s.last
	s.folded = 0
	c := s.commit()
	c.Admitted = drained.Admitted
	s.write(func() error {
		return s.p.store(ctx, c, func(ctx context.Context) error {
			return s.p.deps.Store.WriteCells(ctx, drained.Cells, c)
		})
	}, func(err error) error {
		if err != nil {
			return s.p.poison(s.name, folded, last, err)
		}
		s.p.foldedOther(drained.Folded)
		s.limit = min(2*s.limit, unlimited)
		s.p.relax(s.name, s.limit)
		return nil
	})
	return nil
}
