package rollup

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bench"
	"github.com/millrace/millrace/internal/gen"
)

// TestEngineBench prints what the engine achieves, as Markdown. MILLRACE_BENCH=1
// runs it; MILLRACE_BENCH_EVENTS shortens it.
//
// Everything between the input and the cells is counted: folding, draining every
// 10 s of event time, deriving and encoding every set, hours and days. What makes
// the input is not: it is made while the clock stands.
func TestEngineBench(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes; MILLRACE_BENCH=1 runs it")
	}
	events := benchEvents(20_000_000)
	fmt.Printf("\n%s\n\n", bench.Machine(time.Now(), "MILLRACE_BENCH=1 go test -run TestEngineBench ./rollup"))
	b := engineBench{t: t, events: events}
	b.head()
	b.inputs()
	b.cores()
	b.sets()
	b.cells()
	b.drains()
	b.previous()
}

// benchEvents returns how many events MILLRACE_BENCH_EVENTS asks for, or n.
func benchEvents(n int) int {
	if asked, err := strconv.Atoi(os.Getenv("MILLRACE_BENCH_EVENTS")); err == nil && asked > 0 {
		return asked
	}
	return n
}

type engineBench struct {
	t      *testing.T
	events int
}

const benchColumns = "| %-34s | %-27s | %4s | %5s | %6s | %8s | %8s | %6s | %9s | %9s | %9s | %8s |\n"

func (b *engineBench) head() {
	fmt.Printf(benchColumns, "input", "metrics", "sets", "cores", "events", "M/s", "CPU ns", "drains", "cells", "hour, day", "engine MB", "peak MB")
	fmt.Printf(benchColumns, "---", "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:")
}

func (b *engineBench) row(input string, o outcome) outcome {
	fmt.Printf(benchColumns, input, o.what(), strconv.Itoa(o.sets), strconv.Itoa(o.load.cores), millions(o.events),
		fmt.Sprintf("%.2f", o.rate()/1e6), fmt.Sprintf("%.0f", o.perEvent()), strconv.Itoa(o.drains),
		thousands(o.cells/max(1, o.drains))+" each", thousands(o.coarse), fmt.Sprintf("%.0f", float64(o.size)/1e6), fmt.Sprintf("%.0f", float64(o.peak)/1e6))
	runtime.GC()
	return o
}

func millions(n int) string  { return fmt.Sprintf("%.1fM", float64(n)/1e6) }
func thousands(n int) string { return fmt.Sprintf("%.0fK", float64(n)/1e3) }

// both runs f with sketches and without.
func (b *engineBench) both(l load, f func(load)) {
	l.events = b.events
	for _, l.sketches = range []bool{true, false} {
		f(l)
	}
}

func (b *engineBench) inputs() {
	b.both(load{}, func(l load) { b.row("encoded columns", foldColumnsLoad(b.t, l)) })
	b.both(load{}, func(l load) { b.row("events", foldEventsLoad(b.t, newRun(b.t, l))) })
	b.both(load{}, func(l load) { b.row("JSON lines", foldLinesLoad(b.t, newRun(b.t, l))) })
}

func (b *engineBench) cores() {
	b.both(load{cores: 1}, func(l load) { b.row("encoded columns", foldColumnsLoad(b.t, l)) })
	b.both(load{cores: 1}, func(l load) { b.row("JSON lines", foldLinesLoad(b.t, newRun(b.t, l))) })
}

func (b *engineBench) sets() {
	for _, n := range []int{1, 10, 300} {
		b.both(load{sets: n}, func(l load) { b.row("encoded columns", foldColumnsLoad(b.t, l)) })
	}
}

// benchShops have from 20,000 to 7,000,000 cells in the hundred sets and 10 s,
// each about five times as many as the one before; apart from minutes.
var benchShops = []struct {
	name string
	gen.Options
}{
	{"few cells", gen.Options{URLs: 20, Cities: 2}},
	{"more cells", gen.Options{URLs: 200, Cities: 32}},
	{"many cells", gen.Options{URLs: 10_000, Cities: 32}},
	{"millions of cells", gen.Options{URLs: 300_000, Cities: 1000, Clients: 200_000}},
}

func (b *engineBench) cells() {
	for _, s := range benchShops {
		b.both(load{shop: s.Options}, func(l load) { b.row("encoded columns, "+s.name, foldColumnsLoad(b.t, l)) })
	}
}

// drains shows what it means to drain as seldom as the pipeline does: every 10 s
// of its own time, not of the events'.
func (b *engineBench) drains() {
	b.both(load{drain: min(b.events, 10_000_000)}, func(l load) { b.row("encoded columns, 50 s a drain", foldColumnsLoad(b.t, l)) })
}

// previous compares with the engine before this one, on a shorter stream.
func (b *engineBench) previous() {
	b.both(load{drain: 500_000, noHours: true}, func(l load) {
		l.events = min(b.events, 1_000_000)
		old := b.row("events, previous engine", foldEventsLoad(b.t, newPreviousRun(b.t, l)))
		now := b.row("events, the same ones", foldEventsLoad(b.t, newRun(b.t, l)))
		one := l
		one.cores = 1
		alone := b.row("events, the same ones", foldEventsLoad(b.t, newRun(b.t, one)))
		fmt.Printf("\n%s: %.1f times as fast as the previous engine, which uses one core; %.1f times on one core\n\n",
			l.what(), now.rate()/old.rate(), alone.rate()/old.rate())
		if old.cells != now.cells {
			b.t.Errorf("%d cells, %d from the previous engine", now.cells, old.cells)
		}
	})
}

// The same for development, with figures of one's choice: -bench and -benchtime
// 1x, -cpuprofile.

func BenchmarkFoldColumns(b *testing.B) {
	benchmarkLoads(b, func(b *testing.B, l load) outcome { return foldColumnsLoad(b, l) })
}

func BenchmarkFoldEvents(b *testing.B) {
	benchmarkLoads(b, func(b *testing.B, l load) outcome { return foldEventsLoad(b, newRun(b, l)) })
}

func BenchmarkFoldLines(b *testing.B) {
	benchmarkLoads(b, func(b *testing.B, l load) outcome { return foldLinesLoad(b, newRun(b, l)) })
}

func BenchmarkFoldEventsPrevious(b *testing.B) {
	benchmarkLoads(b, func(b *testing.B, l load) outcome { return foldEventsLoad(b, newPreviousRun(b, l)) })
}

// benchmarkLoads runs 4M events or what MILLRACE_BENCH_EVENTS says, and 10 s of
// event time between drains.
func benchmarkLoads(b *testing.B, f func(*testing.B, load) outcome) {
	for _, sketches := range []bool{false, true} {
		l := load{sketches: sketches, events: benchEvents(4_000_000)}
		b.Run(l.what(), func(b *testing.B) {
			var o outcome
			for b.Loop() {
				o = f(b, l)
			}
			b.ReportMetric(o.rate()/1e6, "Mevents/s")
			b.ReportMetric(o.perEvent(), "cpu-ns/event")
			b.ReportMetric(0, "ns/op")
			b.Log(o.String())
		})
	}
}
