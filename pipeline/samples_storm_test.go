package pipeline

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// stormEvents is how many exceptions of one fingerprint the storm has.
func stormEvents() int {
	if raceDetector {
		return 100_000
	}
	return 1_000_000
}

// stormMargin is what rows, samples and sightings may take in the storm: rows of one
// second that may be displaced, which are few, twice.
const stormMargin = 32 << 20

// TestStorm: a loop throws 100,000 exceptions of 1 KB a second. All are counted, few of
// them stored, memory stays small, and the lines and the other exceptions that come
// meanwhile are stored as ever.
func TestStorm(t *testing.T) {
	var v millrace.Violations
	def := rollup.Compile(rollup.Definition{
		Name: "exceptions", Where: `kind == "exception"`, Dimensions: []string{"project", "fingerprint"},
		Sets:    [][]string{{}, {"project", "fingerprint"}},
		Metrics: []rollup.NamedMetric{{Name: "count", Expr: "count()"}},
	}, "exceptions", &v)
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	r := newSampleRig(t, DefaultOptions(), &toldSightings{})
	r.p.deps.Rollups = []*rollup.Rollup{def}
	r.check(r.store.DefineRollups(t.Context(), []millrace.RollupSchema{def.RollupSchema}))
	k, _, err := r.p.claimSink(t.Context(), millrace.SinkRollup, nil)
	r.check(err)
	k.positions[0] = &millrace.Position{TopicID: "topic"}
	cells := r.p.newRollupSink(k, nil)

	n, pad := stormEvents(), strings.Repeat("x", 1000)
	storm := make([]millrace.Event, 1000)
	base, peak, offset := liveBytes(), int64(0), int64(0)
	feed := func(events []millrace.Event) {
		t.Helper()
		u := unitOf(0, offset, r.now(), events)
		offset++
		r.check(r.s.fold(t.Context(), u))
		r.check(cells.fold(t.Context(), u))
		r.pass(10 * time.Millisecond)
		r.check(r.s.tick(t.Context(), false))
		r.check(cells.tick(t.Context(), false))
	}
	others, lines := 0, 0
	for sent := 0; sent < n; sent += len(storm) {
		for i := range storm {
			storm[i] = thrown("storm", r.clock.Load()+int64(i)*1e4, 1)
			storm[i].Message = pad
		}
		if offset%10 == 0 { // others in the middle of it
			storm[500] = thrown(fmt.Sprint("other-", others), r.clock.Load(), 1)
			storm[700].Kind = millrace.KindLog
			others, lines = others+1, lines+1
		}
		feed(storm)
		if sent%100_000 == 0 {
			peak = max(peak, liveBytes()-base)
		}
	}
	r.flush()
	r.check(cells.flush(context.Background()))
	r.check(cells.wait())

	kept := map[string]int{}
	for _, row := range r.store.rows {
		if row.kind == millrace.KindLog {
			kept["line"]++
		} else {
			kept[row.fingerprint]++
		}
	}
	minutes := int(r.now().Sub(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))/time.Minute) + 1
	// Per minute the choice, what was in it before, about 20 ln(n/20), and the newest of
	// each flush.
	perMinute := float64(n / minutes)
	most := float64(minutes) * (22 + 20*math.Log(perMinute/20)*1.5 + 70)
	if kept["storm"] < 22 || float64(kept["storm"]) > most {
		t.Errorf("%d of the storm stored, want at most %.0f", kept["storm"], most)
	}
	if kept["line"] != lines {
		t.Errorf("%d lines stored, want %d", kept["line"], lines)
	}
	for i := range others {
		if kept[fmt.Sprint("other-", i)] != 1 {
			t.Errorf("exception %d of another fingerprint: %d stored", i, kept[fmt.Sprint("other-", i)])
		}
	}
	counts := r.counts(def)
	if got, want := counts["storm"], int64(n-others-lines); got != want {
		t.Errorf("the rollup counts %d, want %d", got, want)
	}
	if len(counts) != others+1 {
		t.Errorf("the rollup has %d fingerprints, want %d", len(counts), others+1)
	}
	s := r.sums()
	if s["received"].events != int64(n) || s["stored"].events != int64(len(r.store.rows)) || s[sampledKey].events != int64(n-len(r.store.rows)) {
		t.Errorf("accounts %v of %d events, %d rows", s, n, len(r.store.rows))
	}
	if peak > stormMargin {
		t.Errorf("%d MiB live, want at most %d", peak>>20, stormMargin>>20)
	}
	t.Logf("%d of %d of the storm stored in %d minutes, %d MiB live at most", kept["storm"], n, minutes, peak>>20)
}

// counts returns the rollup's count of each fingerprint.
func (r *sampleRig) counts(def *rollup.Rollup) map[string]int64 {
	r.t.Helper()
	set := def.Sets[len(def.Sets)-1]
	cells, err := r.store.Cells(context.Background(), millrace.CellQuery{
		Rollup: def.Name, Granularity: millrace.Minute, Set: set, By: set.Dims, States: []int{0},
		From: math.MinInt32, To: math.MaxInt32 * 4, Step: 60,
	})
	r.check(err)
	out := map[string]int64{}
	for i := range cells.Len() {
		out[cells.Dims[1][i]] += cells.States[0].Ints[i]
	}
	return out
}

// BenchmarkFoldExceptions is the events sink's work for an exception of 1 KB: of a
// storm of one fingerprint, of 1,000 fingerprints by turns, and of a line, which it
// stores.
func BenchmarkFoldExceptions(b *testing.B) {
	pad := strings.Repeat("x", 1000)
	f := func(name string, fingerprints int, kind millrace.Kind) {
		b.Run(name, func(b *testing.B) {
			r := newSampleRig(b, DefaultOptions(), &toldSightings{})
			const size = 1000
			events := make([]millrace.Event, size)
			for i := range events {
				events[i] = thrown(fmt.Sprint("fingerprint-", i%fingerprints), 0, 1)
				events[i].Message, events[i].Kind = pad, kind
			}
			offset := int64(0)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%size > 0 {
					continue
				}
				for i := range events {
					events[i].Time = r.clock.Load() + int64(i)*1e4
				}
				u := unitOf(0, offset, r.now(), events)
				offset++
				r.check(r.s.fold(b.Context(), u))
				r.pass(10 * time.Millisecond)
				r.check(r.s.tick(b.Context(), false))
				r.store.mu.Lock()
				r.store.rows = r.store.rows[:0]
				r.store.mu.Unlock()
			}
		})
	}
	f("storm", 1, millrace.KindException)
	f("thousand", 1000, millrace.KindException)
	f("line", 1, millrace.KindLog)
}

// TestFoldExceptionsAllocates: an exception that is only counted costs no allocation.
func TestFoldExceptionsAllocates(t *testing.T) {
	r := newSampleRig(t, DefaultOptions(), &toldSightings{})
	events := make([]millrace.Event, 1000)
	for i := range events {
		events[i] = thrown(fmt.Sprint("f", i%50), r.clock.Load()+int64(i), 1)
	}
	for i := range int64(30) { // choices are full, and nothing newer comes
		r.fold(0, i, events)
	}
	offset := int64(30)
	u := unitOf(0, offset, r.now(), events)
	n := testing.AllocsPerRun(50, func() {
		u.rec.Offset = offset
		offset++
		r.check(r.s.fold(context.Background(), u))
	})
	if n > 5 {
		t.Errorf("%v allocations per record of 1,000 exceptions, want at most 5", n)
	}
}
