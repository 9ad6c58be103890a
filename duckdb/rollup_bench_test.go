package duckdb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// trafficSchema is the default rollup for access logs: both sketches of
// latency and one of visitors on every set.
func trafficSchema() millrace.RollupSchema {
	all := []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day}
	s := millrace.RollupSchema{
		Name: "traffic", Dimensions: []string{"service", "host", "url", "method", "status"},
		Metrics: []millrace.Metric{
			{Name: "pv", Func: millrace.FuncCount},
			{Name: "uv", Func: millrace.FuncUniq, Field: "client_ip"},
			{Name: "bytes", Func: millrace.FuncSum, Field: "bytes"},
			{Name: "rt", Func: millrace.FuncQuantiles, Field: "rt"},
			{Name: "rt_backend", Func: millrace.FuncQuantiles, Field: "rt_backend"},
		},
	}
	for _, dims := range [][]int{{}, {0}, {2}, {4}, {0, 2}, {0, 4}} {
		s.Sets = append(s.Sets, millrace.DimensionSet{Dims: dims, Granularities: all})
	}
	return s
}

// trafficCells returns one flush of about n cells in minutes from start on: a
// sixtieth of them in the small sets, the others by url and by service and url.
func trafficCells(s millrace.RollupSchema, rng *rand.Rand, start int64, minutes, n int) []*millrace.CellBatch {
	share := []int{1, n / 200, n * 45 / 100, n / 200, n * 45 / 100, n / 60}
	var out []*millrace.CellBatch
	for i, set := range s.Sets {
		b := &millrace.CellBatch{Rollup: s.Name, Set: set, Dims: make([][]string, len(set.Dims))}
		b.States = make([]millrace.StateColumn, len(s.States()))
		for j := range max(share[i], 1) {
			b.Bucket = append(b.Bucket, start+int64(j%minutes)*60)
			for d, dim := range set.Dims {
				b.Dims[d] = append(b.Dims[d], fmt.Sprintf("/%s/items/%d", s.Dimensions[dim], rng.IntN(max(2, share[i]/(d+1)))))
			}
			events := 1 + rng.IntN(4)
			var hist sketch.Hist
			var hll sketch.HLL
			for range events {
				hist.Add(rng.ExpFloat64()/10, 1)
				hll.AddHash(rng.Uint64())
			}
			for c, spec := range s.States() {
				col := &b.States[c]
				col.Kind = spec.Kind
				switch spec.Kind {
				case millrace.StateSum:
					col.Ints = append(col.Ints, int64(events))
				case millrace.StateHist:
					col.Blobs = append(col.Blobs, hist.AppendTo(nil))
				case millrace.StateHLL:
					col.Blobs = append(col.Blobs, hll.AppendTo(nil))
				}
			}
		}
		out = append(out, b)
	}
	return out
}

func trafficStore(b testing.TB) (*DB, millrace.RollupSchema) {
	db, s := openTest(b), trafficSchema()
	if err := db.DefineRollups(context.Background(), []millrace.RollupSchema{s}); err != nil {
		b.Fatal(err)
	}
	return db, s
}

func BenchmarkWriteCells(b *testing.B) {
	db, s := trafficStore(b)
	cells := trafficCells(s, rand.New(rand.NewPCG(1, 1)), viewBase.Unix(), 2, 20_000)
	n := 0
	for _, c := range cells {
		n += c.Len()
	}
	b.ReportAllocs()
	cpu := cpuTime()
	for b.Loop() {
		if err := db.WriteCells(b.Context(), cells, rollupCommit(viewBase)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N)/float64(n), "cpu-us/cell")
}

// BenchmarkCompact merges the deltas of 60 minutes, 12 flushes each.
func BenchmarkCompact(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		db, s := trafficStore(b)
		rng, rows := rand.New(rand.NewPCG(1, 1)), 0
		for m := range 60 {
			for range 12 {
				cells := trafficCells(s, rng, viewBase.Unix()+int64(m)*60, 1, 1400)
				for _, c := range cells {
					rows += c.Len()
				}
				if err := db.WriteCells(b.Context(), cells, rollupCommit(viewBase)); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.StartTimer()
		cpu := cpuTime()
		longest, slices := time.Duration(0), 0
		for more := true; more; slices++ {
			start := time.Now()
			var err error
			if more, err = db.compact(b.Context(), viewBase.Add(time.Hour)); err != nil {
				b.Fatal(err)
			}
			longest = max(longest, time.Since(start))
		}
		b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(rows), "cpu-us/row")
		b.ReportMetric(float64(longest.Milliseconds()), "ms-longest")
		b.ReportMetric(float64(slices), "slices")
	}
}

// monthStore has 30 computed days of hours, written straight into the table.
func monthStore(b testing.TB, cellsPerHour int) (*DB, millrace.RollupSchema) {
	db, s := trafficStore(b)
	rng := rand.New(rand.NewPCG(2, 2))
	for day := range 30 {
		var cells []*millrace.CellBatch
		start := viewBase.AddDate(0, 0, day)
		for h := range 24 {
			cells = append(cells, trafficCells(s, rng, start.Unix()+int64(h)*3600, 1, cellsPerHour)...)
		}
		if err := db.WriteCells(b.Context(), cells, rollupCommit(start)); err != nil {
			b.Fatal(err)
		}
		maintain(b, db, start.Add(24*time.Hour).Add(15*time.Minute))
	}
	if os.Getenv("MILLRACE_BENCH_VERBOSE") != "" {
		b.Log(text(b, db, "SELECT granularity, state, count(*) FROM cell_periods GROUP BY ALL ORDER BY ALL"),
			text(b, db, "SELECT count(*) FROM hours_traffic"))
	}
	return db, s
}

func BenchmarkMonth(b *testing.B) {
	db, s := monthStore(b, 5000)
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			cpu := cpuTime()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
	cells := func(set int, by []int, step int64, states ...int) func() error {
		q := millrace.CellQuery{
			Rollup: "traffic", Granularity: millrace.Hour, Set: s.Sets[set], By: by, Step: step, States: states,
			From: viewBase.Unix(), To: viewBase.AddDate(0, 0, 30).Unix(),
		}
		return func() error { _, err := db.Cells(b.Context(), q); return err }
	}
	run("total by hour all states", cells(0, nil, 3600, 0, 1, 2, 3, 4))
	run("service by hour pv", cells(1, []int{0}, 3600, 0))
	run("service by day p99", cells(1, []int{0}, 86400, 3))
	run("top urls pv", cells(2, []int{2}, 0, 0))
	run("top urls rt", cells(2, []int{2}, 0, 3))
	view := func(query string) func() error {
		return func() error {
			return db.read(b.Context(), "bench", func(c *conn) error {
				return each(b.Context(), c, query, func(*rows) error { return nil })
			})
		}
	}
	run("view total hour", view("SELECT bucket, pv, uv, rt_p99 FROM rollup_traffic WHERE granularity = '1h' AND dimension_set = '' ORDER BY bucket"))
	run("view service day", view("SELECT bucket, service, pv FROM rollup_traffic WHERE granularity = '1d' AND dimension_set = 'service'"))
	run("view minutes", view("SELECT bucket, pv FROM rollup_traffic WHERE granularity = '1m' AND dimension_set = '' AND bucket >= TIMESTAMP '2026-03-30'"))
}

// TestWriteCellsAllocations holds the flush to a budget that does not grow with
// the number of cells: columns are filled in place.
func TestWriteCellsAllocations(t *testing.T) {
	db, s := trafficStore(t)
	cells := trafficCells(s, rand.New(rand.NewPCG(1, 1)), viewBase.Unix(), 2, 20_000)
	commit := rollupCommit(viewBase)
	got := testing.AllocsPerRun(3, func() {
		if err := db.WriteCells(t.Context(), cells, commit); err != nil {
			t.Fatal(err)
		}
	})
	if got > 1000 {
		t.Errorf("a flush of 20,000 cells allocates %.0f times, the budget is 1000", got)
	}
}
