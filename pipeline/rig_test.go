package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/queue"
	"github.com/millrace/millrace/rollup"
)

// rig is a pipeline on a real embedded queue and the in-memory store, which
// survives restarts of the pipeline.
type rig struct {
	t       *testing.T
	opts    Options
	queue   *queue.Queue
	dir     string
	store   *faultyStore
	rollups []*rollup.Rollup
	rules   *RuleBook
	told    millrace.Sightings
	p       *Pipeline
	stop    func()
}

// faultyStore fails, or is told to, before or after the transaction.
type faultyStore struct {
	millrace.Store
	mu     sync.Mutex
	before func(sink millrace.Sink, rows *millrace.EventRows) error
	after  func(sink millrace.Sink) error
}

func (f *faultyStore) write(sink millrace.Sink, rows *millrace.EventRows, do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before != nil {
		if err := f.before(sink, rows); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && f.after != nil {
		err = f.after(sink)
	}
	return err
}

func (f *faultyStore) WriteEvents(ctx context.Context, rows *millrace.EventRows, c *millrace.Commit) error {
	return f.write(c.Sink, rows, func() error { return f.Store.WriteEvents(ctx, rows, c) })
}

func (f *faultyStore) WriteCells(ctx context.Context, cells []*millrace.CellBatch, c *millrace.Commit) error {
	return f.write(c.Sink, nil, func() error { return f.Store.WriteCells(ctx, cells, c) })
}

func newRig(t *testing.T, defs ...rollup.Definition) *rig {
	t.Helper()
	if defs == nil {
		defs = rollup.Defaults()
	}
	var v millrace.Violations
	r := &rig{t: t, opts: DefaultOptions(), dir: t.TempDir()}
	r.opts.FlushInterval = millrace.Duration(20 * time.Millisecond)
	r.opts.RollupInterval = millrace.Duration(30 * time.Millisecond)
	for _, d := range defs {
		r.rollups = append(r.rollups, rollup.Compile(d, d.Name, &v))
	}
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	r.store = &faultyStore{Store: memory.New()}
	var schemas []millrace.RollupSchema
	for _, d := range r.rollups {
		schemas = append(schemas, d.RollupSchema)
	}
	if err := r.store.DefineRollups(t.Context(), schemas); err != nil {
		t.Fatal(err)
	}
	r.openQueue()
	t.Cleanup(func() {
		r.halt()
		if err := r.queue.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) openQueue() {
	r.t.Helper()
	opts := queue.DefaultOptions()
	opts.Durability, opts.Partitions = queue.DurabilityOS, 3
	q, err := queue.Open(context.Background(), opts, r.dir, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		r.t.Fatal(err)
	}
	r.queue = q
}

// start runs a new pipeline from what the store has committed.
func (r *rig) start() {
	r.t.Helper()
	r.p = New(r.opts, Deps{
		Queue: r.queue, Store: r.store, Rollups: r.rollups, Rules: r.rules, Now: time.Now, Log: slog.New(slog.DiscardHandler), Sightings: r.told,
	})
	ctx, cancel := context.WithCancel(context.Background())
	if err := r.p.Recover(ctx); err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.p.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	r.stop = func() {
		cancel()
		<-done
	}
}

func (r *rig) halt() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

// send appends lines as one record.
func (r *rig) send(rec millrace.Record, lines ...string) {
	r.t.Helper()
	for _, l := range lines {
		rec.Payload = append(rec.Payload, l+"\n"...)
		rec.Frames = append(rec.Frames, uint32(len(l)+1))
	}
	if rec.Project == "" {
		rec.Project = millrace.DefaultProject
	}
	if rec.Source == "" {
		rec.Source = "test"
	}
	if rec.Format == "" {
		rec.Format = "auto"
	}
	rec.Parts = max(1, rec.Parts)
	if err := r.queue.Append(r.t.Context(), []*millrace.Record{&rec}); err != nil {
		r.t.Fatal(err)
	}
}

// drain waits until both sinks have committed the whole log.
func (r *rig) drain() {
	r.t.Helper()
	bounds, err := r.queue.Bounds(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		done := true
		for _, name := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
			st, err := r.store.Load(r.t.Context(), name)
			if err != nil {
				r.t.Fatal(err)
			}
			at := map[int32]int64{}
			for _, p := range st.Positions {
				at[p.Partition] = p.Offset
			}
			for part, b := range bounds {
				done = done && at[part] >= b.High
			}
		}
		if done {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not drained: %+v", r.p.Status())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// dump returns all cells in canonical form: one line per cell, sorted.
func dump(t *testing.T, store millrace.Store, rollups []*rollup.Rollup) string {
	t.Helper()
	var lines []string
	for _, r := range rollups {
		var states []int
		for i := range r.States() {
			states = append(states, i)
		}
		for _, set := range r.Sets {
			cells, err := store.Cells(t.Context(), millrace.CellQuery{
				Rollup: r.Name, Granularity: millrace.Minute, Set: set, By: set.Dims, States: states,
				From: math.MinInt32, To: math.MaxInt32 * 4, Step: 60,
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range cells.Len() {
				line := fmt.Sprintf("%s [%s] %d", r.Name, r.SetName(set), cells.Bucket[i])
				for _, d := range cells.Dims {
					line += fmt.Sprintf(" %q", d[i])
				}
				for _, s := range cells.States {
					switch {
					case s.Ints != nil:
						line += fmt.Sprintf(" %d", s.Ints[i])
					case s.Floats != nil:
						line += fmt.Sprintf(" %g", s.Floats[i])
					default:
						line += fmt.Sprintf(" %x", s.Blobs[i])
					}
				}
				lines = append(lines, line)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// ledger returns the accounts of a sink, summed, as outcome/reason=events/weight.
func (r *rig) ledger(sink millrace.Sink) string {
	r.t.Helper()
	entries, err := r.store.Ledger(r.t.Context(), millrace.LedgerQuery{Sink: sink})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		name := string(e.Outcome)
		if e.Reason != "" {
			name += "/" + e.Reason
		}
		out = append(out, fmt.Sprintf("%s=%d/%d", name, e.Events, e.Weight))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (r *rig) wantLedger(want string) {
	r.t.Helper()
	for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
		if got := r.ledger(sink); got != want {
			r.t.Errorf("ledger of %s: %s\nwant %s", sink, got, want)
		}
	}
}

func (r *rig) stored() int64 {
	r.t.Helper()
	points, err := r.store.CountEvents(r.t.Context(), millrace.EventQuery{From: math.MinInt64, To: math.MaxInt64}, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	n := int64(0)
	for _, p := range points {
		n += p.Events
	}
	return n
}
