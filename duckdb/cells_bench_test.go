package duckdb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// BenchmarkHundredSets follows the deltas of a minute of the hundred sets, from
// six flushes to the computed hour: CPU per delta in each stage.
func BenchmarkHundredSets(b *testing.B) {
	for _, events := range []int{2_000, 30_000} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			var flushes [][]*millrace.CellBatch
			deltas := 0
			for range 6 {
				cells := wideCells(wideSchema(100), rng, viewBase.Unix(), 1, events)
				flushes = append(flushes, cells)
				deltas += countCells(cells)
			}
			b.ReportMetric(float64(deltas/6), "cells/flush")
			for b.Loop() {
				db, _ := defineWide(b, 100)
				stage := func(name string, f func() error) {
					cpu := cpuTime()
					if err := f(); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(deltas), "cpu-ns/"+name)
				}
				stage("write", func() error {
					for _, cells := range flushes {
						if err := db.WriteCells(b.Context(), cells, rollupCommit(viewBase)); err != nil {
							return err
						}
					}
					return nil
				})
				upkeep := func(run func(context.Context, time.Time) (bool, error)) func() error {
					return func() error {
						for {

							more, err := run(b.Context(), viewBase.Add(3*time.Hour))
							if !more || err != nil {
								return err
							}
						}
					}
				}
				stage("compact", upkeep(db.compact))
				stage("hour", upkeep(db.computePeriods))
				stage("close", db.Close)
				if fi, err := os.Stat(db.path); err == nil {
					b.ReportMetric(float64(fi.Size())/float64(deltas), "disk-B/delta")
				}
			}
		})
	}
}
