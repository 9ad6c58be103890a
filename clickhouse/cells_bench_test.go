package clickhouse_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/storetest"
	"github.com/millrace/millrace/sketch"
)

// benchCells is one batch of n minute cells of several minutes and 500 services:
// histograms of 1 to 14 values and HLLs of 1 to 14 hashes.
func benchCells(def millrace.RollupSchema, n, from int) *millrace.CellBatch {
	b := &millrace.CellBatch{Rollup: def.Name, Set: def.Sets[0], Dims: make([][]string, 1)}
	for _, spec := range def.States() {
		b.States = append(b.States, millrace.StateColumn{Kind: spec.Kind})
	}
	for i := from; i < from+n; i++ {
		var h sketch.Hist
		var u sketch.HLL
		for j := range 1 + i%14 {
			h.Add(float64(1+(i*7+j*j*31)%1000)/100, 1)
			u.AddHash(uint64(i*20+j) * 0x9e3779b97f4a7c15)
		}
		b.Bucket = append(b.Bucket, storetest.Base.Unix()+int64(i/500)*60)
		b.Dims[0] = append(b.Dims[0], fmt.Sprint("service-", i%500))
		for j := range b.States {
			switch b.States[j].Kind {
			case millrace.StateSum:
				b.States[j].Ints = append(b.States[j].Ints, int64(i))
			case millrace.StateHist:
				b.States[j].Blobs = append(b.States[j].Blobs, h.AppendTo(nil))
			case millrace.StateHLL:
				b.States[j].Blobs = append(b.States[j].Blobs, u.AppendTo(nil))
			}
		}
	}
	return b
}

// BenchmarkCells measures queries over a million merged cells (MILLRACE_LONG=1: ten
// million) of one set, and writing and settling them.
func BenchmarkCells(b *testing.B) {
	n := 1_000_000
	if os.Getenv("MILLRACE_LONG") == "1" {
		n = 10_000_000
	}
	db := open(b, database(b, server(b)), committest.New(clock))
	defer db.Close()
	def := sketches()
	if err := db.DefineRollups(b.Context(), []millrace.RollupSchema{def}); err != nil {
		b.Fatal(err)
	}
	const flush = 250_000
	var written time.Duration
	for from := 0; from < n; from += flush {
		batch := benchCells(def, flush, from)
		start := time.Now()
		if err := db.WriteCells(b.Context(), []*millrace.CellBatch{batch}, &millrace.Commit{Sink: millrace.SinkRollup}); err != nil {
			b.Fatal(err)
		}
		written += time.Since(start)
	}
	start := time.Now()
	settleAll(b, db, storetest.Base.Add(48*time.Hour))
	b.Logf("%d cells: written in %v, %d ns a cell; settled to minutes, hours and days in %v, %d ns a cell",
		n, written.Round(time.Millisecond), written.Nanoseconds()/int64(n), time.Since(start).Round(time.Millisecond), time.Since(start).Nanoseconds()/int64(n))
	names := map[int]string{0: "quantiles", 1: "uniques", 2: "sum"}
	for _, by := range [][]int{nil, {0}} {
		for _, state := range []int{2, 0, 1} {
			b.Run(fmt.Sprintf("%s by %d", names[state], len(by)), func(b *testing.B) {
				q := millrace.CellQuery{
					Rollup: "s", Granularity: millrace.Minute, Set: def.Sets[0], By: by, States: []int{state},
					From: storetest.Base.Unix(), To: storetest.Base.Unix() + 1000*86400,
				}
				for b.Loop() {
					if _, err := db.Cells(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
			})
		}
	}
}
