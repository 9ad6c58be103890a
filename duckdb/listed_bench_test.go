package duckdb

import (
	"fmt"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// benchFaults is how many fingerprints exceptions of the benchmarks have.
const benchFaults = 2000

func benchPrint(i uint64) string { return fmt.Sprintf("v2:%016x", (i+1)*0x9E3779B97F4A7C15) }

// mixedRows are accessRows of which every share-th is an exception of one of the
// faults, the first of which make up a third, with a stack of size bytes and a
// report of a third of that.
func mixedRows(n int, start int64, seed uint64, share, size int) *millrace.EventRows {
	access := accessRows(n, start, seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	zipf := rand.NewZipf(rng, 1.1, 8, benchFaults-1)
	rows := &millrace.EventRows{}
	for i := range n {
		if i%share != int(seed)%share {
			copyRow(rows, access, i)
			continue
		}
		f := zipf.Uint64()
		stack := benchStack(rng, f, size)
		e := millrace.Event{
			Time: access.Time[i], Weight: 1, Kind: millrace.KindException, Ordinal: access.Ordinal[i],
			Project: "default", Source: "app", Service: fmt.Sprintf("shop-%d", f%20), Host: fmt.Sprintf("web-%02d", f%7),
			Env: []string{"prod", "test"}[f%2], Level: "error", TraceID: string(access.TraceID.At(i)), Message: stack,
		}
		e.Set("type", millrace.StringValue(fmt.Sprintf("com.example.Fault%dException", f%97)))
		e.Set("exception_message", millrace.StringValue(fmt.Sprintf("order %d could not be stored", rng.Uint32())))
		e.Set("fingerprint", millrace.StringValue(benchPrint(f)))
		e.Set("exception_report", millrace.JSONValue(string(millrace.AppendJSONString([]byte{}, stack[:size/3]))))
		rows.Append(&millrace.Record{Offset: access.Offset[i], Arrived: access.Arrived[i]}, &e)
	}
	return rows
}

// benchStack is a message of an exception: a stack, and what the request carried.
func benchStack(rng *rand.Rand, fault uint64, size int) string {
	b := fmt.Appendf(nil, "com.example.Fault%dException: order %d could not be stored\n", fault%97, rng.Uint32())
	for i := uint64(0); i < 50 && len(b) < size*2/3; i++ {
		b = fmt.Appendf(b, "\tat com.example.shop.layer%d.Service%d.handle%d(Service%d.java:%d)\n", (fault+i)%13, fault%200, i, fault%200, 10+(fault*31+i*7)%900)
	}
	for len(b) < size {
		b = fmt.Appendf(b, "item=sku-%08x-%06x qty=%d price=%d.%02d; ", rng.Uint32(), rng.Uint32()>>8, 1+rng.IntN(9), rng.IntN(500), rng.IntN(100))
	}
	return string(b[:size])
}

// BenchmarkListed reports how soon the newest hundred of a fingerprint, and their
// counts, are found among two million rows of which one in a hundred is an exception.
func BenchmarkListed(b *testing.B) {
	db := openTest(b)
	for i := range 16 {
		writeEvents(b, db, mixedRows(rowGroup, int64(i)*100, uint64(i), 100, 2000))
	}
	eq := func(field, v string) *millrace.Filter {
		return &millrace.Filter{Op: millrace.FilterEq, Field: field, Value: v}
	}
	anyOf := func(from, n uint64) *millrace.Filter {
		f := &millrace.Filter{Op: millrace.FilterOr}
		for i := range n {
			f.Sub = append(f.Sub, eq("fingerprint", benchPrint(from+i)))
		}
		return f
	}
	for _, c := range []struct {
		name string
		f    *millrace.Filter
	}{
		{"most frequent", anyOf(0, 1)},
		{"rare", anyOf(1500, 1)},
		{"three hundred rare", anyOf(1500, 300)},
		{"three hundred", anyOf(0, 300)},
		{"none", anyOf(5000, 1)},
	} {
		q := millrace.EventQuery{From: math.MinInt64, To: math.MaxInt64, Limit: 100, Project: "default", Filter: &millrace.Filter{
			Op: millrace.FilterAnd, Sub: []*millrace.Filter{eq("kind", "exception"), c.f, eq("env", "prod")},
		}}
		b.Run(c.name, func(b *testing.B) {
			n := 0
			for range b.N {
				page, err := db.Events(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				n = len(page.Events)
			}
			b.ReportMetric(float64(n), "found")
		})
		b.Run(c.name+", places", func(b *testing.B) {
			for range b.N {
				s := &search{q: q, want: q.Limit + 1, db: db, index: db.index}
				if err := db.snapshot(b.Context(), "bench", func(c *conn) error { return s.run(b.Context(), c) }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+", counted", func(b *testing.B) {
			var n int64
			for range b.N {
				counts, err := db.CountEvents(b.Context(), q, minuteNS)
				if err != nil {
					b.Fatal(err)
				}
				n = 0
				for _, t := range counts {
					n += t.Events
				}
			}
			b.ReportMetric(float64(n), "found")
		})
	}
}

// BenchmarkWriteExceptions stores flushes of 500 exceptions of 50 KB with reports of
// a third of that, and reports the CPU time of a megabyte, and what of it the index
// takes.
func BenchmarkWriteExceptions(b *testing.B) {
	const n = 500
	db := openTest(b)
	rows := mixedRows(n, 0, 1, 1, 50_000)
	b.SetBytes(int64(rows.Bytes()))
	b.ReportAllocs()
	cpu := cpuTime()
	for b.Loop() {
		if err := db.WriteEvents(b.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
			b.Fatal(err)
		}
	}
	mb := float64(b.N) * float64(rows.Bytes()) / 1e6
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/1e3/mb, "cpu-ms/MB")
	b.StopTimer()
	started := time.Now()
	builder := newBlockBuilder("t", 0)
	builder.add(rows, 0, n)
	b.ReportMetric(float64(time.Since(started).Microseconds())/1e3/(float64(rows.Bytes())/1e6), "index-ms/MB")
	b.ReportMetric(float64(peakMemory(b))/1e6, "peak-MB")
}

// peakMemory is the greatest resident size of the process so far.
func peakMemory(b *testing.B) int64 {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	return ru.Maxrss << 10
}
