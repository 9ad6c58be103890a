package pipeline

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/rollup"
)

// TestFoldedIsAccounted: what exceeds the caps of dimensions and sets is in the
// accounts with its exact weight, and the totals have everything.
func TestFoldedIsAccounted(t *testing.T) {
	r := newRig(t, rollup.Definition{
		Name: "r", Dimensions: []string{"url", "status"}, Sets: [][]string{{}, {"url"}, {"url", "status"}},
		Metrics: []rollup.NamedMetric{{Name: "n", Expr: "count()"}},
	})
	r.opts.DimensionValues, r.opts.SetCells = 5, 4
	r.start()
	for i := range 12 {
		r.send(millrace.Record{}, fmt.Sprintf(`10.0.0.1 - - [01/Mar/2026:00:00:01 +0000] "GET /p/%d HTTP/1.1" 200 5 "-" "agent"`, i))
	}
	r.drain()
	entries, err := r.store.Ledger(t.Context(), millrace.LedgerQuery{Sink: millrace.SinkRollup})
	if err != nil {
		t.Fatal(err)
	}
	folded := map[string]int64{}
	for _, e := range entries {
		if e.Outcome == millrace.OutcomeFolded {
			if folded[e.Reason] += e.Weight; e.Project != "" || e.Source != "" || e.Events != 0 {
				t.Errorf("entry %+v", e)
			}
		}
	}
	// Five urls have values of their own and four of them cells; the fifth and
	// the (other), which has a status, are combinations beyond the cap too.
	want := map[string]int64{"r.url": 7, "r [url]": 1, "r [url,status]": 8}
	if fmt.Sprint(folded) != fmt.Sprint(want) {
		t.Errorf("folded %v, want %v", folded, want)
	}
	r.halt() // the numbers of the status follow the commit
	status := map[string]int64{}
	for _, f := range r.p.Status().Folded {
		status[FoldedAt(f)] = f.Weight
	}
	if fmt.Sprint(status) != fmt.Sprint(want) {
		t.Errorf("status %v, want %v", status, want)
	}
	if cells := dump(t, r.store, r.rollups); !strings.Contains(cells, "r [] 1772323200 12\n") ||
		!strings.Contains(cells, `r [url,status] 1772323200 "(other)" "(other)" 8`) {
		t.Error(cells)
	}
}

// TestEarlyFlushesChangeNothing: a memory that is always full gives the same cells.
func TestEarlyFlushesChangeNothing(t *testing.T) {
	calm, tight := newRig(t), newRig(t)
	tight.opts.RollupMemory = 4 << 10
	calm.start()
	tight.start()
	data := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		lines := accessLines(data, 50)
		calm.send(millrace.Record{}, lines...)
		tight.send(millrace.Record{}, lines...)
	}
	calm.drain()
	tight.drain()
	if n := tight.p.Status().Rollups.EarlyFlushes; n == 0 {
		t.Error("the memory was never full")
	}
	if got, want := dump(t, tight.store, tight.rollups), dump(t, calm.store, calm.rollups); got != want || got == "" {
		t.Errorf("cells differ: %d bytes, want %d", len(got), len(want))
	}
}

// idleEngine counts calls and holds what it is told to.
type idleEngine struct {
	works, drains int
	size, floor   int64
}

func (e *idleEngine) Fold(int64, []millrace.Event) {}
func (e *idleEngine) Work()                        { e.works++ }
func (e *idleEngine) Size() int64                  { return e.size }
func (e *idleEngine) Rows() int                    { return 0 }

func (e *idleEngine) Drain() rollup.Drained {
	e.drains++
	e.size = e.floor
	return rollup.Drained{}
}

// idleSink is a sink on an idleEngine, with a clock.
func idleSink(t *testing.T) (*rollupSink, *idleEngine, *time.Time) {
	t.Helper()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	opts := DefaultOptions()
	opts.RollupMemory = 1 << 20
	p := New(opts, Deps{Store: memory.New(), Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	e := &idleEngine{}
	p.newEngine = func([]*rollup.Rollup, rollup.Limits, []millrace.Admission) engine { return e }
	k, _, err := p.claimSink(t.Context(), millrace.SinkRollup, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.positions[0] = &millrace.Position{TopicID: "topic"}
	return p.newRollupSink(k, nil), e, &now
}

// unitAt is a record of one event.
func unitAt(offset int64, arrived time.Time) *unit {
	u := &unit{rec: &millrace.Record{Offset: offset, Arrived: arrived.UnixNano(), Frames: []uint32{1}}}
	u.batch.Events = []millrace.Event{{Weight: 1}}
	return u
}

// TestBarriers: the engine works every 500 ms; barriers are due after the
// interval, later while all that comes is old, sooner when barriers are slow.
func TestBarriers(t *testing.T) {
	f := func(late, other, took time.Duration, wantWorks int, wantDrain time.Duration) {
		t.Helper()
		s, e, now := idleSink(t)
		s.took = took
		begin := *now
		for i := range int64(1000) {
			at := late
			if i%40 == 1 { // of another client
				at = other
			}
			if err := s.fold(t.Context(), unitAt(i, now.Add(-at))); err != nil {
				t.Fatal(err)
			}
			*now = now.Add(50 * time.Millisecond)
			if err := s.tick(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if e.drains > 0 {
				break
			}
		}
		if at := now.Sub(begin); at != wantDrain || e.works != wantWorks {
			t.Errorf("late %v and %v, took %v: barrier after %v and %d works, want %v and %d",
				late, other, took, at, e.works, wantDrain, wantWorks)
		}
		if err := s.wait(); err != nil {
			t.Fatal(err)
		}
	}
	const live = 100 * time.Millisecond
	f(live, live, 0, 8, 4*time.Second)
	f(live, live, 800*time.Millisecond, 8, 4*time.Second)
	f(live, live, 2*time.Second, 5, 2800*time.Millisecond)
	f(live, live, time.Minute, 4, 2*time.Second)
	f(time.Hour, time.Minute, 0, 16, 8*time.Second) // a replay
	f(time.Hour, time.Minute, 3*time.Second, 11, 5800*time.Millisecond)
	f(time.Hour, live, 0, 8, 4*time.Second) // a client's backlog, beside which others live
}

// TestBarrierAfterReplay: once nothing more comes, what a replay brought waits no
// longer than it would live.
func TestBarrierAfterReplay(t *testing.T) {
	s, e, now := idleSink(t)
	begin := *now
	for i := int64(0); e.drains == 0; i++ {
		if now.Sub(begin) < 2*time.Second {
			if err := s.fold(t.Context(), unitAt(i, now.Add(-time.Hour))); err != nil {
				t.Fatal(err)
			}
		}
		*now = now.Add(50 * time.Millisecond)
		if err := s.tick(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	if at := now.Sub(begin); at != 4*time.Second {
		t.Errorf("barrier after %v, want 4s", at)
	}
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
}

// TestFullOfDictionaries: an engine that is full without open cells does not
// flush for every record, one with open cells does so early.
func TestFullOfDictionaries(t *testing.T) {
	s, e, now := idleSink(t)
	e.floor, e.size, s.floor = 2<<20, 2<<20, 2<<20
	fold := func(i int64) {
		t.Helper()
		if err := s.fold(t.Context(), unitAt(i, *now)); err != nil {
			t.Fatal(err)
		}
	}
	fold(0)
	if e.drains != 0 {
		t.Error("flushed without open cells")
	}
	e.size += 128 << 10
	fold(1)
	if got := s.p.Status().Rollups; e.drains != 1 || got.EarlyFlushes != 1 || got.Dictionaries != 2<<20 || got.PeakBytes != 2<<20+128<<10 {
		t.Errorf("%d drains, %+v", e.drains, got)
	}
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
}

// TestPanicWithoutEvents: a drain that fails with nothing folded condemns no event.
func TestPanicWithoutEvents(t *testing.T) {
	s, _, _ := idleSink(t)
	s.engine = &fragile{engine: &idleEngine{}, sick: true}
	s.moved[0] = true
	if err := s.flush(t.Context()); err == nil || len(s.p.condemned) > 0 {
		t.Errorf("error %v, condemned %v", err, s.p.condemned)
	}
}
