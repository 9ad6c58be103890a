package clickhouse_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/storetest"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/sketch"
)

// TestEqual feeds this store and the oracle with one random stream of operations.
// MILLRACE_LONG=1 makes it four of full length.
func TestEqual(t *testing.T) {
	s := server(t)
	seeds, small, large := uint64(1), 8, 6
	if os.Getenv("MILLRACE_LONG") == "1" {
		seeds, small, large = 4, 40, 20
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			db := open(t, database(t, s), committest.New(clock))
			defer db.Close()
			storetest.EqualFor(t, seed, small, large, memory.New(), db)
		})
	}
}

// sketches is a rollup of one set with a histogram and a HyperLogLog.
func sketches() millrace.RollupSchema {
	return millrace.RollupSchema{
		Name: "s", Dimensions: []string{"d"},
		Sets: []millrace.DimensionSet{{Dims: []int{0}, Granularities: []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day}}},
		Metrics: []millrace.Metric{
			{Name: "h", Func: millrace.FuncQuantiles, Field: "x", Quantiles: []float64{0.01, 0.5, 0.95, 0.999}},
			{Name: "u", Func: millrace.FuncUniq, Field: "x"},
			{Name: "n", Func: millrace.FuncSum, Field: "x"},
			{Name: "a", Func: millrace.FuncAvg, Field: "x", Scale: 2},
		},
		Derived: []millrace.Derived{{Name: "ratio", Expr: "(h_p95 - h_p50) / u"}},
	}
}

// TestSketchesInSQL compares quantiles, estimates and sums in SQL with those of
// package sketch: equal to the last bit. It has every bucket of a histogram, HLLs of
// all sizes, and sums beyond the ends of an int64.
func TestSketchesInSQL(t *testing.T) {
	db := open(t, database(t, server(t)), committest.New(clock))
	defer db.Close()
	def := sketches()
	ctx := t.Context()
	if err := db.DefineRollups(ctx, []millrace.RollupSchema{def}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	const groups, deltas = 60, 4
	hists, hlls := make([]sketch.Hist, groups), make([]sketch.HLL, groups)
	for round := range deltas {
		b := &millrace.CellBatch{Rollup: "s", Set: def.Sets[0], Dims: make([][]string, 1)}
		for _, spec := range def.States() {
			b.States = append(b.States, millrace.StateColumn{Kind: spec.Kind})
		}
		for g := range groups {
			var h sketch.Hist
			var u sketch.HLL
			for i := range 49 { // all buckets, a few per group
				if bucket := g*49 + i; bucket < len(sketch.BucketValues()) && round == 0 {
					h.AddBucket(sketch.Bucket(bucket), 1+rng.Uint64N(50))
				}
			}
			for range rng.IntN(3) {
				h.Add(math.Exp(rng.NormFloat64()), 1+rng.Uint64N(1<<40))
			}
			for range rng.IntN([]int{2, 40, 600, 3000, 40000}[g%5] + 1) {
				u.AddHash(rng.Uint64())
			}
			hists[g].Merge(&h)
			hlls[g].Merge(&u)
			b.Bucket = append(b.Bucket, storetest.Base.Unix())
			b.Dims[0] = append(b.Dims[0], fmt.Sprint(g))
			big := int64(math.MaxInt64 - 5)
			if g%2 == 1 {
				big = math.MinInt64 + 5
			}
			b.States[0].Blobs = append(b.States[0].Blobs, blob(h.Empty(), h.AppendTo))
			b.States[1].Blobs = append(b.States[1].Blobs, blob(u.Empty(), u.AppendTo))
			b.States[2].Ints = append(b.States[2].Ints, big)
			b.States[3].Ints, b.States[4].Ints = append(b.States[3].Ints, int64(g)), append(b.States[4].Ints, 1)
		}
		if err := db.WriteCells(ctx, []*millrace.CellBatch{b}, &millrace.Commit{Sink: millrace.SinkRollup}); err != nil {
			t.Fatal(err)
		}
		if round == 1 { // half of them from merged rows
			settleAll(t, db, storetest.Base.Add(26*time.Hour))
		}
	}
	for _, g := range []string{"1m", "1h", "1d"} {
		compareSQL(t, db, g, hists, hlls)
	}
}

func compareSQL(t *testing.T, db *clickhouse.DB, granularity string, hists []sketch.Hist, hlls []sketch.HLL) {
	t.Helper()
	table, err := db.SQL(t.Context(), fmt.Sprintf(`SELECT d, h_p1, h_p50, h_p95, h_p99_9, u, n, a, ratio FROM rollup_s
		WHERE granularity = '%s' AND dimension_set = 'd' AND bucket < '2026-03-03 00:00:00' ORDER BY toInt32(d)`, granularity),
		millrace.SQLLimits{Timeout: time.Minute, Rows: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != len(hists) {
		t.Fatalf("%s: %d rows, want %d", granularity, len(table.Rows), len(hists))
	}
	for g, row := range table.Rows {
		for i, q := range []float64{0.01, 0.5, 0.95, 0.999} {
			if want := hists[g].Quantile(q); row[1+i] != want && !(row[1+i] == nil && want != want) {
				t.Errorf("%s, group %d: quantile %v is %v, want %v", granularity, g, q, row[1+i], want)
			}
		}
		if row[5] != int64(hlls[g].Estimate()) {
			t.Errorf("%s, group %d: estimate %v, want %d", granularity, g, row[5], hlls[g].Estimate())
		}
		n := int64(math.MaxInt64)
		if g%2 == 1 {
			n = math.MinInt64
		}
		if row[6] != n || row[7] != float64(4*g)/100/4 {
			t.Errorf("%s, group %d: sum %v and average %v", granularity, g, row[6], row[7])
		}
		if want := (hists[g].Quantile(0.95) - hists[g].Quantile(0.5)) / float64(hlls[g].Estimate()); row[8] != want && row[8] != nil {
			t.Errorf("%s, group %d: derived %v, want %v", granularity, g, row[8], want)
		}
	}
}

func blob(empty bool, appendTo func([]byte) []byte) []byte {
	if empty {
		return nil
	}
	return appendTo(nil)
}

func settleAll(t testing.TB, db *clickhouse.DB, now time.Time) {
	t.Helper()
	for range 1000 {
		more, err := db.Maintain(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
	}
	t.Fatal("Maintain reports more work for ever")
}
