package pipeline

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/rollup"
)

// driver feeds the rollup sink as pump and drive do, with stops, kills and
// reloads where its own random numbers say.
type driver struct {
	sc      *scenario
	rng     *rand.Rand
	store   *watchedStore
	clock   atomic.Int64
	logs    [][]*entry // per partition
	next    []int
	version int
	p       *Pipeline
	s       *rollupSink
	o       *oracle
	stats   driveStats
}

// driveStats says what a run has gone through, so that the test knows that it
// tests something.
type driveStats struct {
	Sessions, Commits, Early, Retired, FoldedDims, FoldedSets, Poisoned, Cells, Uniques, WideUniques int
}

func (a *driveStats) add(b driveStats) {
	a.Sessions += b.Sessions
	a.Commits += b.Commits
	a.Early += b.Early
	a.Retired += b.Retired
	a.FoldedDims += b.FoldedDims
	a.FoldedSets += b.FoldedSets
	a.Poisoned += b.Poisoned
	a.Cells += b.Cells
	a.Uniques += b.Uniques
	a.WideUniques += b.WideUniques
}

// watchedStore remembers the commits that went through, and can die before one.
// It checks that nobody writes to cells while they are being stored.
type watchedStore struct {
	*memory.Store
	dead atomic.Bool

	mu      sync.Mutex
	commits []written
	changed bool
}

type written struct {
	commit *millrace.Commit
	cells  []*millrace.CellBatch
}

func (w *watchedStore) WriteCells(ctx context.Context, cells []*millrace.CellBatch, c *millrace.Commit) error {
	if w.dead.Load() {
		return context.Canceled
	}
	before := checksum(cells)
	runtime.Gosched()
	err := w.Store.WriteCells(ctx, cells, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = w.changed || checksum(cells) != before
	if err == nil {
		w.commits = append(w.commits, written{c, cells})
	}
	return err
}

var checksumSeed = maphash.MakeSeed()

func checksum(cells []*millrace.CellBatch) uint64 {
	var h maphash.Hash
	h.SetSeed(checksumSeed)
	for _, b := range cells {
		for i := range b.Bucket {
			maphash.WriteComparable(&h, b.Bucket[i])
			for _, d := range b.Dims {
				_, _ = h.WriteString(d[i])
			}
			for j := range b.States {
				switch s := &b.States[j]; s.Kind {
				case millrace.StateSum:
					maphash.WriteComparable(&h, s.Ints[i])
				case millrace.StateMin, millrace.StateMax:
					maphash.WriteComparable(&h, math.Float64bits(s.Floats[i]))
				default:
					_, _ = h.Write(s.Blobs[i])
				}
			}
		}
	}
	return h.Sum64()
}

// fragile is an engine that panics because of a poisonous event, at the latest
// when it drains.
type fragile struct {
	engine
	sick bool
}

func (f *fragile) Fold(arrived int64, events []millrace.Event) {
	f.sick = f.sick || slices.ContainsFunc(events, func(e millrace.Event) bool { return e.Message == poisonText })
	f.engine.Fold(arrived, events)
}

func (f *fragile) Work() {
	f.check()
	f.engine.Work()
}

func (f *fragile) Drain() rollup.Drained {
	f.check()
	return f.engine.Drain()
}

func (f *fragile) check() {
	if f.sick {
		panic("poisoned")
	}
}

// runScenario runs a scenario to its end and compares the store with the oracle.
func runScenario(ctx context.Context, sc *scenario) (driveStats, error) {
	d := &driver{
		sc: sc, rng: rand.New(rand.NewPCG(sc.seed, 99)), store: &watchedStore{Store: memory.New()},
		logs: make([][]*entry, sc.parts), next: make([]int, sc.parts), o: newOracle(&sc.opts),
	}
	offsets := make([]int64, sc.parts)
	for _, e := range sc.records {
		part := e.rec.Partition
		offsets[part] += e.hole
		e.rec.Offset = offsets[part]
		offsets[part]++
		d.logs[part] = append(d.logs[part], e)
	}
	d.clock.Store(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	if err := d.run(ctx); err != nil {
		return d.stats, err
	}
	if err := errors.Join(d.compare(ctx), d.o.err()); err != nil {
		return d.stats, err
	}
	if d.store.changed {
		return d.stats, errors.New("cells changed while they were being stored")
	}
	return d.stats, nil
}

func (o *oracle) err() error {
	var errs []error
	for _, p := range o.problems {
		errs = append(errs, errors.New(p))
	}
	return errors.Join(errs...)
}

func (d *driver) run(ctx context.Context) error {
	d.restart(ctx)
	if err := d.session(ctx); err != nil {
		return err
	}
	for {
		open := d.open()
		var err error
		if len(open) > 0 {
			err = d.step(ctx, open)
		} else if err = d.stop(ctx); err == nil {
			d.stats.Early += int(d.p.stats.rollups.EarlyFlushes)
			return nil
		}
		if errors.Is(err, errPoison) {
			d.stats.Poisoned++
			err = d.session(ctx) // what the pipeline learned stays
		}
		if err != nil {
			return err
		}
	}
}

// open returns the partitions with records left to feed.
func (d *driver) open() []int {
	var out []int
	for part, at := range d.next {
		if at < len(d.logs[part]) {
			out = append(out, part)
		}
	}
	return out
}

// step feeds one record, or stops the sink in one way or another.
func (d *driver) step(ctx context.Context, open []int) error {
	switch n := d.rng.IntN(1000); {
	case n < 50: // killed: what is not committed is lost
		return d.halt(ctx, true)
	case n < 80: // stopped
		return d.halt(ctx, false)
	case n < 140:
		return d.after(d.s.flush(ctx))
	}
	part := open[d.rng.IntN(len(open))]
	e := d.logs[part][d.next[part]]
	d.next[part]++
	u := &unit{rec: e.rec}
	u.batch.Record, u.batch.Events, u.batch.Rejects = e.rec, e.events, e.rejects
	d.o.feed(e)
	d.clock.Add(d.rng.Int64N(int64(time.Second)))
	err := d.s.fold(ctx, u)
	if err == nil {
		err = d.s.tick(ctx, d.rng.IntN(5) == 0)
	}
	return d.after(err)
}

// after waits for the transaction under way, so that a seed means one run, and
// tells the oracle what is committed.
func (d *driver) after(err error) error {
	for !d.sc.racy && d.s.busy() {
		runtime.Gosched()
	}
	d.collect()
	return err
}

func (d *driver) collect() {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	for _, w := range d.store.commits {
		d.stats.Commits++
		d.stats.Retired += len(w.commit.Retired)
		d.o.apply(w.commit)
		d.o.emitted(w.cells)
	}
	d.store.commits = nil
}

// stop commits what the sink holds.
func (d *driver) stop(ctx context.Context) error {
	err := d.s.flush(ctx)
	if err == nil {
		err = d.s.wait()
	}
	d.collect()
	return err
}

// halt ends the process, with what it holds committed or lost, and starts
// another, perhaps with other definitions.
func (d *driver) halt(ctx context.Context, kill bool) error {
	if kill {
		d.p.Stop() // or a failing transaction would be tried again for ever
		d.store.dead.Store(true)
		_ = d.s.wait()
		d.store.dead.Store(false)
		d.collect()
	} else if err := d.stop(ctx); err != nil {
		return err
	}
	if d.version+1 < len(d.sc.versions) && d.rng.IntN(2) == 0 {
		d.version++
	}
	d.stats.Early += int(d.p.stats.rollups.EarlyFlushes)
	d.restart(ctx)
	return d.session(ctx)
}

// restart makes the pipeline of a new process.
func (d *driver) restart(context.Context) {
	d.p = New(d.sc.opts, Deps{
		Store: d.store, Rollups: d.sc.versions[d.version].rollups, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(0, d.clock.Load()) },
	})
	if d.sc.poison {
		d.p.newEngine = func(r []*rollup.Rollup, l rollup.Limits, a []millrace.Admission) engine {
			return &fragile{engine: restoredEngine(r, l, a)}
		}
	}
}

// session begins at the committed positions, or before them, as it is when the
// other sink is behind.
func (d *driver) session(ctx context.Context) error {
	if d.s != nil {
		_ = d.s.wait() // of the session that failed
		d.collect()
	}
	d.stats.Sessions++
	v := d.sc.versions[d.version]
	var schemas []millrace.RollupSchema
	for _, r := range v.rollups {
		schemas = append(schemas, r.RollupSchema)
	}
	if err := d.store.DefineRollups(ctx, schemas); err != nil {
		return err
	}
	s, admitted, err := d.p.claimSink(ctx, millrace.SinkRollup, nil)
	if err != nil {
		return err
	}
	for part := range d.sc.parts {
		if s.positions[part] == nil {
			s.positions[part] = &millrace.Position{Partition: part, TopicID: "topic"}
		}
		at := s.positions[part].Offset
		d.next[part], _ = slices.BinarySearchFunc(d.logs[part], at, func(e *entry, at int64) int { return int(e.rec.Offset - at) })
		d.next[part] = max(0, d.next[part]-d.rng.IntN(3))
	}
	d.s = d.p.newRollupSink(s, admitted)
	d.o.begin(v)
	return d.o.admissions(admitted)
}

// admissions compares what the store remembers as admitted.
func (o *oracle) admissions(got []millrace.Admission) error {
	have := map[string]int{}
	for _, a := range got {
		name := a.Rollup + "." + a.Dimension
		if d := o.dims[name]; d != nil {
			have[name]++
			if _, ok := d.seen[a.Value]; !ok {
				return fmt.Errorf("%s has admitted %.50q, which it had not", name, a.Value)
			}
		}
	}
	for name, d := range o.dims {
		if have[name] != len(d.seen) {
			return fmt.Errorf("%s has admitted %d values, want %d", name, have[name], len(d.seen))
		}
	}
	return nil
}

// emitted notes which combinations of values a set has stored in this session,
// and checks the set's cap: a limit per hour of arrival, in which a Bloom filter
// may let one in a hundred more pass.
func (o *oracle) emitted(cells []*millrace.CellBatch) {
	for _, b := range cells {
		i := slices.IndexFunc(o.version.rollups, func(r *rollup.Rollup) bool { return r.Name == b.Rollup })
		r := o.version.rollups[i]
		names, set := setNames(r, b.Set), b.Rollup+" ["+r.SetName(b.Set)+"]"
		if o.combos[set] == nil {
			o.combos[set] = map[string]bool{}
		}
		for row := range b.Bucket {
			if _, values := rowKey(r, b.Set, names, b, row); !allOther(values) {
				o.combos[set][cellKey("", 0, names, values)] = true
			}
		}
		if n, most := len(o.combos[set]), len(o.hours)*(o.opts.SetCells+o.opts.SetCells/100+1); n > most {
			o.bad("%s has stored %d combinations, want at most %d", set, n, most)
		}
	}
}
