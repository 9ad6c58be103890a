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
	engine engine
	limit  int // events per barrier; less than unlimited after a failure
	folded int // events since the last barrier
	last   verdict
	floor  int64 // what the engine holds without open cells: mostly dictionaries

	since   time.Time // when the oldest event since the last barrier came in
	handed  time.Time // when the oldest event the engine may not have worked off was handed to it
	arrived int64     // latest arrival since the last barrier, ns
	late    lateness
	took    time.Duration // what the barrier before took, from drain to commit
}

// engine is what the sink needs of a rollup.Engine, which may put off the work
// of a Fold until a later Fold, Work or Drain: each of them may panic because
// of any event since the last barrier.
type engine interface {
	Fold(arrived int64, events []millrace.Event)
	Work()
	Drain() rollup.Drained
	Size() int64
	Rows() int
}

// unlimited is the number of events per barrier when nothing is wrong: the
// interval and the memory decide.
const unlimited = 1 << 30

// workInterval is how long events may wait in the engine before cells are
// updated with them: longer, and the barrier would find so much left to do that
// it is late; shorter, and tables are visited for too few events to stay in cache.
const workInterval = 500 * time.Millisecond

// newRollupSink returns a sink that goes on from s with the values admitted so far.
func (p *Pipeline) newRollupSink(s *sink, admitted []millrace.Admission) *rollupSink {
	e := p.newEngine(p.deps.Rollups, rollup.Limits{
		Values: p.opts.DimensionValues, Cells: p.opts.SetCells, Age: p.opts.ValueAge.Std(),
		Memory: int64(p.opts.RollupMemory), Workers: p.opts.RollupWorkers,
	}, admitted)
	return &rollupSink{sink: s, p: p, engine: e, limit: p.limit(s.name, unlimited), floor: e.Size()}
}

// restoredEngine is what Pipeline.newEngine does unless a test replaces it.
func restoredEngine(rollups []*rollup.Rollup, lim rollup.Limits, admitted []millrace.Admission) engine {
	e := rollup.NewEngine(rollups, lim)
	e.Restore(admitted)
	return e
}

func (s *rollupSink) fold(ctx context.Context, u *unit) error {
	from, ok := s.begin(u)
	now := s.p.deps.Now()
	if s.since.IsZero() {
		s.since = now
	}
	s.late.came(u.rec.Arrived, now)
	s.arrived = max(s.arrived, u.rec.Arrived)
	if !ok {
		return nil
	}
	events := u.batch.Events
	for len(events) > 0 && events[0].Ordinal < from {
		events = events[1:]
	}
	for len(events) > 0 {
		n, weight, err := s.foldSome(u, events)
		if err != nil {
			return err
		}
		next := events[n-1].Ordinal + 1
		stored := int64(n)
		if weight == 0 { // refused; events weigh at least 1
			stored = 0
		}
		s.account(u, from, next, stored, weight)
		s.reach(u, next)
		from, events = next, events[n:]
		if err := s.flushIfFull(ctx); err != nil {
			return err
		}
	}
	s.account(u, from, int32(len(u.rec.Frames)), 0, 0)
	s.finish(u)
	if s.since.IsZero() { // flushed in between: the end of the record is to be committed too
		s.since = s.p.deps.Now()
	}
	return nil
}

// foldSome folds the events that the limit allows, at least one, and returns
// how many and their weight: one of no weight if it was refused.
func (s *rollupSink) foldSome(u *unit, events []millrace.Event) (n int, weight int64, err error) {
	n = max(1, min(len(events), s.limit-s.folded))
	if s.suspects(u) {
		n = 1
		if s.refuses(u, &events[0]) {
			return 1, 0, nil
		}
	}
	for i := range events[:n] {
		weight += events[i].Weight
	}
	s.last = s.verdictOf(u.rec, events[n-1].Ordinal)
	s.folded += n
	if s.handed.IsZero() {
		s.handed = s.p.deps.Now()
	}
	return n, weight, s.guard("fold", func() { s.engine.Fold(u.rec.Arrived, events[:n]) })
}

// guard runs a step of the engine. A panic leaves the engine unusable: the
// pipeline starts again from the committed position, with fewer events per
// barrier until the one to blame is alone between two barriers.
func (s *rollupSink) guard(step string, do func()) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		err = fmt.Errorf("%s: panic: %v", step, p)
		if s.folded > 0 { // else no event is to blame
			err = s.p.poison(s.name, s.folded, s.last, err)
		}
	}()
	do()
	return nil
}

// flushIfFull flushes if the limit or the memory is reached. An engine whose
// dictionaries alone fill the memory would flush all the time: open cells must
// have taken an eighth of it.
func (s *rollupSink) flushIfFull(ctx context.Context) error {
	memory := int64(s.p.opts.RollupMemory)
	if size := s.engine.Size(); size > memory && size-s.floor >= memory/8 {
		s.p.stats.flushedEarly()
		return s.flush(ctx)
	}
	if s.folded >= s.limit {
		return s.flush(ctx)
	}
	return nil
}

// tick lets the engine work, and is the flush barrier when that is due.
func (s *rollupSink) tick(ctx context.Context, _ bool) error {
	if err := s.work(ctx); err != nil {
		return err
	}
	if s.busy() {
		return nil
	}
	if err := s.wait(); err != nil {
		return err
	}
	if s.since.IsZero() || s.p.deps.Now().Sub(s.since) < s.patience() {
		return nil
	}
	return s.flush(ctx)
}

// work updates the cells with events that have waited for workInterval.
func (s *rollupSink) work(ctx context.Context) error {
	if s.handed.IsZero() || s.p.deps.Now().Sub(s.handed) < workInterval {
		return nil
	}
	if err := s.guard("work", s.engine.Work); err != nil {
		return err
	}
	s.handed = time.Time{}
	s.p.stats.engine(s.engine.Size(), s.floor, s.engine.Rows())
	return s.flushIfFull(ctx)
}

// patience is the time from the oldest event to the barrier: the interval, or
// twice that while behind. What the barrier before took beyond a fifth of the
// interval is taken off, down to half, so that cells are visible within 6/5 of
// the interval (11/5 while behind) although a barrier is slow.
func (s *rollupSink) patience() time.Duration {
	interval := s.p.opts.RollupInterval.Std()
	wait := interval
	if s.behind() {
		wait *= 2
	}
	return max(wait/2, wait-max(0, s.took-interval/5))
}

// behind reports whether all that comes is old already: a replay, or events come
// faster than they are stored. Then fewer, larger deltas are stored sooner, and nobody
// sees the difference. A full queue of the sink says nothing: records come in bursts.
func (s *rollupSink) behind() bool {
	return s.late.by(s.p.deps.Now()) > 2*s.p.opts.RollupInterval.Std()
}

// flush drains the cells and starts to store them.
func (s *rollupSink) flush(ctx context.Context) error {
	if err := s.wait(); err != nil {
		return err
	}
	if !s.pending() {
		s.since = time.Time{}
		return nil
	}
	began := s.p.deps.Now()
	waited := began.Sub(s.since) - 2*s.p.opts.RollupInterval.Std() // the longest patience
	s.p.stats.engine(s.engine.Size(), s.floor, s.engine.Rows())
	var drained rollup.Drained
	if err := s.guard("drain", func() { drained = s.engine.Drain() }); err != nil {
		return err
	}
	s.floor = s.engine.Size()
	s.p.stats.engine(s.floor, s.floor, s.engine.Rows())
	c := s.commit()
	c.Admitted, c.Retired = drained.Admitted, drained.Retired
	c.Ledger = append(c.Ledger, foldedEntries(drained.Folded, s.arrived)...)
	folded, last := s.folded, s.last
	s.folded, s.arrived = 0, 0
	s.since, s.handed, s.late.flushed = time.Time{}, time.Time{}, true
	s.write(func() error {
		err := s.p.store(ctx, c, func(ctx context.Context) error {
			return s.p.deps.Store.WriteCells(ctx, drained.Cells, c)
		})
		s.took = s.p.deps.Now().Sub(began)
		if err == nil {
			s.p.stats.foldedOther(drained.Folded)
		}
		return err
	}, func(err error) error {
		if err != nil {
			return s.p.poison(s.name, folded, last, err)
		}
		s.p.pace.flushed(s.name, folded, s.took, waited, s.p.opts.RollupInterval.Std())
		s.limit = min(2*s.limit, unlimited)
		s.p.relax(s.name, s.limit)
		return nil
	})
	return nil
}
