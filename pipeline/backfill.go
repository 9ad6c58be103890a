package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// Backfills folds stored events into rollups again, for what joined a definition
// later: hour by hour from the newest to the oldest, each replaced in one
// transaction of the Store. So a backfill may be killed at any time, run again,
// and run while events arrive: an hour is as it was or has all events, and what
// is done shows in the rollup's coverage.
//
// Caps hold as ever: values admitted now stay, others are admitted up to the cap
// while the backfill lasts. Safe for concurrent use.
type Backfills struct {
	store   millrace.Store
	current func() (Options, []*rollup.Rollup)

	ctx  context.Context // of all that runs; ended by Close
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	newest map[string]*backfill // by rollup; ended ones too, for their outcome
}

// NewBackfills returns what runs backfills. current returns the options and the
// rollups that are in force.
func NewBackfills(store millrace.Store, current func() (Options, []*rollup.Rollup)) *Backfills {
	b := &Backfills{store: store, current: current, newest: map[string]*backfill{}}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// Close ends what runs after the hour it is at and waits for it.
func (b *Backfills) Close() {
	b.stop()
	b.work.Wait()
}

// Start begins a backfill, which goes on when ctx ends. ErrNotFound: no such
// rollup. ErrConflict: one of the rollup is running.
func (b *Backfills) Start(ctx context.Context, q millrace.BackfillQuery) (millrace.BackfillProgress, error) {
	opts, rollups := b.current()
	f := &backfill{of: b, opts: opts}
	for _, r := range rollups {
		if r.Name == q.Rollup {
			f.rollup = r
		}
	}
	if f.rollup == nil {
		return f.state, millrace.Errorf(millrace.ErrNotFound, "there is no rollup %q", q.Rollup)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.newest[q.Rollup]; old != nil && !old.state.Done {
		return old.state, millrace.Errorf(millrace.ErrConflict, "a backfill of rollup %s is running", q.Rollup)
	}
	if err := f.plan(ctx, q); err != nil {
		return f.state, fmt.Errorf("backfill %s: %w", q.Rollup, err)
	}
	run, cancel := context.WithCancel(b.ctx)
	f.cancel = cancel
	b.newest[q.Rollup] = f
	b.work.Go(func() {
		defer cancel()
		err := f.run(run)
		f.update(func(p *millrace.BackfillProgress) { p.Done, p.Err = true, err })
	})
	return f.state, nil
}

// Progress returns how far the newest backfill of a rollup is. ErrNotFound:
// there was none since the start of the process.
func (b *Backfills) Progress(rollup string) (millrace.BackfillProgress, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.newest[rollup]; f != nil {
		return f.state, nil
	}
	return millrace.BackfillProgress{}, millrace.Errorf(millrace.ErrNotFound, "no backfill of rollup %q was started since the server was", rollup)
}

// Cancel ends a backfill after the hour it is at; what is done stays.
func (b *Backfills) Cancel(rollup string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.newest[rollup]
	if f == nil || f.state.Done {
		return millrace.Errorf(millrace.ErrNotFound, "no backfill of rollup %q is running", rollup)
	}
	f.cancel()
	return nil
}

// backfill is one of them.
type backfill struct {
	of       *Backfills
	opts     Options
	rollup   *rollup.Rollup
	admitted []millrace.Admission
	slices   []millrace.Span // ascending and without gaps
	cancel   context.CancelFunc
	state    millrace.BackfillProgress // under Backfills.mu once it runs
}

func (b *backfill) update(change func(*millrace.BackfillProgress)) {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	change(&b.state)
}

func (b *backfill) run(ctx context.Context) error {
	for _, s := range slices.Backward(b.slices) {
		if err := b.slice(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// plan cuts the range into slices that begin with an hour that has events.
func (b *backfill) plan(ctx context.Context, q millrace.BackfillQuery) error {
	from, to, err := b.bounds(ctx, q)
	if err != nil {
		return err
	}
	st, err := b.of.store.Load(ctx, millrace.SinkRollup)
	if err != nil {
		return err
	}
	for _, a := range st.Admitted {
		if a.Rollup == b.rollup.Name {
			b.admitted = append(b.admitted, a)
		}
	}
	hours, err := b.of.store.CountEvents(ctx, millrace.EventQuery{From: from * 1e9, To: to * 1e9}, int64(time.Hour))
	if err != nil {
		return err
	}
	at := from
	for _, h := range hours {
		b.state.Total += h.Events
		if start := h.Time / 1e9; start > at {
			b.slices = append(b.slices, millrace.Span{From: at, To: start})
			at = start
		}
	}
	if to > at {
		b.slices = append(b.slices, millrace.Span{From: at, To: to})
	}
	b.state.From, b.state.To = time.Unix(to, 0).UTC(), time.Unix(to, 0).UTC()
	return nil
}

// bounds returns the range in whole hours, Unix seconds.
func (b *backfill) bounds(ctx context.Context, q millrace.BackfillQuery) (from, to int64, err error) {
	const hour = millrace.Hour
	if to = q.To.Unix(); q.To.IsZero() {
		if to, err = b.completeFrom(ctx); err != nil {
			return 0, 0, err
		}
	}
	if from = q.From.Unix(); q.From.IsZero() {
		st, err := b.of.store.Stats(ctx)
		if err != nil {
			return 0, 0, err
		}
		if from = to; !st.OldestEvent.IsZero() {
			from = min(to, st.OldestEvent.Unix())
		}
	}
	from, to = hour.Floor(from), hour.Floor(to+int64(hour)-1)
	if from > to || !q.From.IsZero() && from == to {
		return 0, 0, millrace.Errorf(millrace.ErrInvalid, "from %s must be before to %s",
			time.Unix(from, 0).UTC().Format(time.RFC3339), time.Unix(to, 0).UTC().Format(time.RFC3339))
	}
	return from, to, nil
}

// completeFrom returns since when all sets and metrics are complete; what is
// always so does not count.
func (b *backfill) completeFrom(ctx context.Context) (int64, error) {
	c, err := b.of.store.Coverage(ctx, b.rollup.Name, 0, 0)
	if err != nil {
		return 0, err
	}
	var last int64
	for _, set := range c.Sets {
		for _, t := range set.CompleteFrom {
			last = max(last, t)
		}
	}
	for _, m := range c.Metrics {
		last = max(last, m.CompleteFrom)
	}
	return last, nil
}

// errCells ends a slice that has more cells than fit the memory of a backfill.
var errCells = errors.New("too many cells")

// slice folds one range again, by halves if it has too many cells.
func (b *backfill) slice(ctx context.Context, s millrace.Span) error {
	limit := int64(b.opts.RollupMemory) / 2
	if s.To-s.From <= int64(millrace.Minute) {
		limit = 0 // a minute has to fit: the live engine holds as much
	}
	kind, one := rollup.WhereKind(b.rollup.Where)
	done, err := b.of.store.Refold(ctx, millrace.RefoldQuery{
		Rollup: b.rollup.RollupSchema, From: s.From, To: s.To, Fields: b.rollup.Fields(),
		NoExceptions: one && kind != millrace.KindException,
	}, b.refolder(limit))
	if errors.Is(err, errCells) {
		middle := millrace.Minute.Floor((s.From + s.To) / 2)
		if err := b.slice(ctx, millrace.Span{From: middle, To: s.To}); err != nil {
			return err
		}
		return b.slice(ctx, millrace.Span{From: s.From, To: middle})
	}
	if err != nil {
		return err
	}
	b.update(func(p *millrace.BackfillProgress) {
		p.Rows += done.Events
		p.Cells += done.Cells
		p.From = time.Unix(s.From, 0).UTC()
	})
	return nil
}

// refolder returns an engine for one slice, with one worker: the sinks go on.
func (b *backfill) refolder(limit int64) *refolder {
	e := rollup.NewEngine([]*rollup.Rollup{b.rollup}, rollup.Limits{
		Values: b.opts.DimensionValues, Cells: b.opts.SetCells, Memory: limit, Workers: 1,
	})
	e.Restore(b.admitted)
	return &refolder{engine: e, limit: limit, empty: e.Size()}
}

// refolder implements millrace.Refolder.
type refolder struct {
	engine       *rollup.Engine
	limit, empty int64 // bytes; limit 0 is none
	folded       int
}

// refoldWork is how many events wait in the engine until its size is looked at.
const refoldWork = 1 << 17

func (r *refolder) Fold(events []millrace.Event) (err error) {
	defer recovered(&err)
	r.engine.Fold(0, events) // all of one arrival: a cap on cells holds per slice
	if r.folded += len(events); r.folded < refoldWork || r.limit == 0 {
		return nil
	}
	r.folded = 0
	r.engine.Work()
	if r.engine.Size()-r.empty > r.limit {
		return errCells
	}
	return nil
}

func (r *refolder) Drain() (cells []*millrace.CellBatch, err error) {
	defer recovered(&err)
	return r.engine.Drain().Cells, nil
}
