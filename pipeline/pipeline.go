package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/queue"
	"github.com/millrace/millrace/rollup"
)

// Deps is what a Pipeline works with.
type Deps struct {
	Queue   *queue.Queue
	Store   millrace.Store
	Rollups []*rollup.Rollup
	// Rules holds the programs that records are read by. Nil serves only records
	// that carry no version.
	Rules *RuleBook
	Now   func() time.Time
	Log   *slog.Logger

	// Fingerprint is the version by which exceptions are told apart, one of package
	// exception's; 0 is 1. It must stay what it was, since cells are keyed by it.
	Fingerprint int

	// Sightings is told of exceptions before they are stored. Nil: nobody is.
	Sightings millrace.Sightings

	// Join makes this worker a member of a group that shares the partitions out.
	// Nil reads all partitions.
	Join func(ctx context.Context, h Handler) (Membership, error)
	// Alone calls do for as long as no other node of the group does so under that
	// name, again and again until ctx ends. Only for Join.
	Alone func(ctx context.Context, name string, do func(ctx context.Context))
}

// Pipeline is the worker. Recover, then Run once; everything else is safe for
// concurrent use.
type Pipeline struct {
	opts   Options
	deps   Deps
	water  *watermark
	stats  *stats
	own    *ownership // nil reads all partitions
	pace   *pace
	orders *orders

	newEngine func([]*rollup.Rollup, rollup.Limits, []millrace.Admission) engine

	// What a failure taught, kept from one session to the next. Written by the
	// sinks' goroutines of a session and read when the next one begins.
	mu        sync.Mutex
	limits    map[millrace.Sink]int // events per transaction while isolating a bad one
	condemned map[millrace.Sink]map[verdict]string

	change  *reconfiguration // asked for, not yet begun
	restart func(error)      // ends the session under way, nil between sessions
}

// New returns a pipeline that has not read anything yet.
func New(opts Options, deps Deps) *Pipeline {
	p := &Pipeline{
		opts: opts, deps: deps,
		water:     newWatermark(opts.AllowedLateness.Std()),
		stats:     newStats(),
		pace:      newPace(deps.Now),
		orders:    newOrders(),
		newEngine: restoredEngine,
		limits:    map[millrace.Sink]int{},
		condemned: map[millrace.Sink]map[verdict]string{},
	}
	if deps.Rules != nil {
		deps.Rules.fingerprint.Store(int64(deps.Fingerprint))
	}
	if deps.Join != nil {
		p.own = newOwnership()
	}
	p.pace.free = p.own == nil
	return p
}

// errPoison ends a session because a sink could not take what it had folded; the
// next session folds fewer events per transaction until the bad one is alone.
var errPoison = errors.New("a sink refused events")

// poison notes that a sink failed with events folded since its last commit, the
// newest of which was last. A single event that fails is condemned.
func (p *Pipeline) poison(name millrace.Sink, events int, last verdict, cause error) error {
	if errors.Is(cause, context.Canceled) || millrace.ErrorCode(cause) == millrace.ErrConflict {
		return cause // another worker was faster; no event is to blame
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if events > 1 {
		p.limits[name] = max(1, events/8)
	} else {
		if p.condemned[name] == nil {
			p.condemned[name] = map[verdict]string{}
		}
		p.condemned[name][last] = cause.Error()
		p.limits[name] = 1
	}
	p.deps.Log.Warn("isolating a bad event", "sink", name, "events", events, "err", cause)
	return fmt.Errorf("%w: %s: %w", errPoison, name, cause)
}

// relax notes that a sink's transactions work again at the given size.
func (p *Pipeline) relax(name millrace.Sink, limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.limits[name]; ok {
		p.limits[name] = limit
	}
}

func (p *Pipeline) limit(name millrace.Sink, normal int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.limits[name]; ok {
		return min(l, normal)
	}
	return normal
}

// Run works until ctx ends, then commits what the sinks hold and returns nil, or
// what kept it from leaving its group. Faults of the queue or the Store do not
// end it: it starts again from the committed positions.
func (p *Pipeline) Run(ctx context.Context) error {
	if p.own != nil {
		return p.runGroup(ctx)
	}
	p.sessions(ctx, nil)
	return nil
}

// sessions runs one session after the other until ctx ends.
func (p *Pipeline) sessions(ctx context.Context, member Membership) {
	var moved *queue.OffsetError
	for fails := 0; ; {
		var owned partitions
		if p.own != nil {
			if owned = p.own.wait(ctx, p.changing); len(owned) == 0 && ctx.Err() == nil {
				p.reconfigure(ctx) // between two sessions, as ever
				continue
			}
		}
		began := p.deps.Now()
		lost := lostBy(moved)
		moved = nil
		err := p.session(ctx, owned, member, lost)
		if ctx.Err() != nil {
			return
		}
		if p.deps.Now().Sub(began) > time.Minute {
			fails = 0
		}
		p.stats.fault("session", err)
		errors.As(err, &moved)
		if p.reconfigure(ctx) && errors.Is(err, errReconfigured) || errors.Is(err, errRebalanced) {
			p.stats.fault("session", nil)
			continue
		}
		if errors.Is(err, errPoison) || moved != nil {
			continue
		}
		fails++
		p.deps.Log.Error("pipeline starts again", "err", err, "failures", fails)
		if !sleep(ctx, backoff(fails)) {
			return
		}
	}
}

// lostBy returns what the log had and lost, as a session's end showed: a broker
// that was behind became the leader, and its log may be longer again by now.
func lostBy(moved *queue.OffsetError) map[int32]queue.Regression {
	if moved == nil || moved.Lost == (queue.Regression{}) {
		return nil
	}
	return map[int32]queue.Regression{moved.Partition: moved.Lost}
}

// session is one run over the partitions owned, from the committed positions
// until something fails.
func (p *Pipeline) session(ctx context.Context, owned partitions, member Membership, lost map[int32]queue.Regression) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if p.own != nil {
		p.own.begin(owned, stop)
		defer p.own.ended()
	}
	p.sessionEndsBy(stop)
	defer p.sessionEndsBy(nil)
	st, err := p.recover(ctx, owned, lost)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	consumer, err := p.deps.Queue.Consumer(startOffsets([]*sink{st.events.sink, st.rollup.sink}))
	if err != nil {
		return fmt.Errorf("start consumer: %w", err)
	}
	defer consumer.Close()

	events, rollups := make(chan *unit, unitsAhead), make(chan *unit, unitsAhead)
	var producers, sinks sync.WaitGroup
	producers.Go(func() { stop(p.pump(ctx, consumer, st, events, rollups)) })
	producers.Go(func() { p.learn(ctx) })
	if member != nil {
		producers.Go(func() { p.showProgress(ctx, owned, member) })
	} else {
		producers.Go(func() { p.watch(ctx) })
		producers.Go(func() { p.maintain(ctx, p.opts.Maintenance.Std()) })
	}
	sinks.Go(func() { p.drive(ctx, stop, st.events, events) })
	sinks.Go(func() { p.drive(ctx, stop, st.rollup, rollups) })
	sinks.Wait()
	stop(nil)
	producers.Wait()
	return context.Cause(ctx)
}

// unitsAhead bounds decoded records waiting for a sink, beside those that the pool
// holds: at about 3 MB each they are the pipeline's largest memory apart from rows and
// cells.
const unitsAhead = 6

// sinkLoop is what drive needs of a sink.
type sinkLoop interface {
	fold(ctx context.Context, u *unit) error
	tick(ctx context.Context, behind bool) error
	flush(ctx context.Context) error // starts; see wait
	wait() error
}

// drive feeds one sink until ctx ends, then commits what it holds.
func (p *Pipeline) drive(ctx context.Context, stop context.CancelCauseFunc, s sinkLoop, in <-chan *unit) {
	tick := time.NewTicker(min(p.opts.FlushInterval.Std(), p.opts.RollupInterval.Std()) / 5)
	defer tick.Stop()
	storing := context.WithoutCancel(ctx) // a transaction under way is finished, not torn
	defer func() { stop(s.wait()) }()
	for {
		var err error
		select {
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errPoison) {
				err = s.flush(storing)
			}
			stop(err)
			return
		case u := <-in:
			err = s.fold(storing, u)
			p.stats.release(u)
			if err == nil {
				err = s.tick(storing, len(in) == cap(in))
			}
		case <-tick.C:
			err = s.tick(storing, false)
		}
		if err != nil {
			stop(err)
			return
		}
	}
}

// store runs a transaction of a sink until it is known to be committed or can
// never be. A fault that may pass is retried for as long as it lasts: meanwhile
// the queue fills and ingest is told to wait.
func (p *Pipeline) store(ctx context.Context, c *millrace.Commit, write func(context.Context) error) error {
	for fails := 0; ; {
		tctx, cancel := context.WithTimeout(ctx, p.opts.StoreDeadline.Std())
		began := p.deps.Now()
		err := write(tctx)
		cancel()
		if err != nil && p.committed(ctx, c) {
			err = nil // the answer was lost, the transaction was not
		}
		now := p.deps.Now()
		p.stats.stored(c, now, now.Sub(began), err)
		if err == nil {
			if c.Sink == millrace.SinkRollup {
				p.water.commit(c.Positions)
			}
			return nil
		}
		if code := millrace.ErrorCode(err); code == millrace.ErrInvalid || code == millrace.ErrConflict || p.stats.stopping.Load() {
			return err
		}
		fails++
		p.deps.Log.Error("store", "sink", c.Sink, "err", err, "hint", millrace.ErrorHint(err), "failures", fails)
		if !sleep(ctx, backoff(fails)) {
			return ctx.Err()
		}
	}
}

// committed reports whether the Store has the positions of a commit whose
// outcome is unknown.
func (p *Pipeline) committed(ctx context.Context, c *millrace.Commit) bool {
	stored, err := p.deps.Store.Positions(ctx)
	if err != nil || len(c.Positions) == 0 {
		return false
	}
	have := map[int32]millrace.Position{}
	for _, pos := range stored[c.Sink] {
		have[pos.Partition] = pos
	}
	for _, want := range c.Positions {
		if have[want.Partition] != want {
			return false
		}
	}
	return true
}

// Stop tells the pipeline that the process is about to end, so that a failing
// Store is not retried for ever: what is not stored is replayed at the next start.
func (p *Pipeline) Stop() { p.stats.stopping.Store(true) }

// CompleteUntil returns the time up to which rollups are complete; zero if unknown.
func (p *Pipeline) CompleteUntil() time.Time { return p.water.completeUntil() }

// backoff doubles from 100 ms to 5 s.
func backoff(fails int) time.Duration {
	return min(5*time.Second, 50*time.Millisecond<<min(fails, 10))
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
