package duckdb

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// rowGroup is the flush size of the pipeline.
const rowGroup = 122880

// accessRows returns n access events of about 415 bytes of JSON each, with the
// skew of real logs: few hosts and agents, many paths and clients.
func accessRows(n int, start int64, seed uint64) *millrace.EventRows {
	rng := rand.New(rand.NewPCG(seed, 1))
	zipf := rand.NewZipf(rng, 1.2, 4, 5000)
	rows := &millrace.EventRows{}
	agents := make([]string, 40)
	for i := range agents {
		agents[i] = fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.%d (KHTML, like Gecko) Chrome/%d.0.0.0", i, 80+i)
	}
	var line []byte
	for i := range n {
		rec := &millrace.Record{Offset: start + int64(i/2000), Arrived: 1_790_000_000_000_000_000 + (start*2000+int64(i))*10_000}
		url, agent := zipf.Uint64(), agents[zipf.Uint64()%40]
		trace := fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64())
		ip := fmt.Sprintf("%d.%d.%d.%d", 10+zipf.Uint64()%90, rng.IntN(256), rng.IntN(256), rng.IntN(256))
		status, bytes, rt := []int64{200, 200, 200, 200, 304, 404, 500}[zipf.Uint64()%7], rng.Int64N(100000), float64(rng.IntN(3000))/1000
		line = fmt.Appendf(line[:0], `{"time":"2026-09-21T14:13:20.%09dZ","host":"web-%02d","service":"shop","method":"GET","url":"/catalog/items/%d","status":%d,"bytes":%d,"rt":%.3f,"client_ip":"%s","referer":"https://example.com/catalog/%d","user_agent":"%s","trace_id":"%s","level":"info"}`,
			rng.IntN(1e9), zipf.Uint64()%20, url, status, bytes, rt, ip, url/7, agent, trace)
		e := millrace.Event{
			Time: rec.Arrived - rng.Int64N(2e9), Weight: 1, Kind: millrace.KindAccess, Ordinal: int32(i % 2000),
			Project: "default", Source: "nginx", Service: "shop", Host: fmt.Sprintf("web-%02d", zipf.Uint64()%20),
			Env: "prod", Release: "1.4.2", Level: "info", TraceID: trace, Message: string(line),
			Attrs: []millrace.Attr{
				{Key: "method", Value: millrace.StringValue("GET")},
				{Key: "url", Value: millrace.StringValue(fmt.Sprintf("/catalog/items/%d", url))},
				{Key: "status", Value: millrace.IntValue(status)},
				{Key: "bytes", Value: millrace.IntValue(bytes)},
				{Key: "rt", Value: millrace.FloatValue(rt)},
				{Key: "client_ip", Value: millrace.StringValue(ip)},
				{Key: "referer", Value: millrace.StringValue(fmt.Sprintf("https://example.com/catalog/%d", url/7))},
				{Key: "user_agent", Value: millrace.StringValue(agent)},
			},
		}
		rows.Append(rec, &e)
	}
	return rows
}

func cpuTime() time.Duration {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkWriteEvents reports rows/s, CPU per row over all threads, and bytes
// per row in the closed file, for flushes of one row group.
func BenchmarkWriteEvents(b *testing.B) {
	db := openTest(b)
	sets := make([]*millrace.EventRows, 4)
	var text int
	for i := range sets {
		sets[i] = accessRows(rowGroup, int64(i)*100, uint64(i))
		text += sets[i].Bytes()
	}
	b.SetBytes(int64(text / len(sets)))
	b.ReportAllocs()
	cpu := cpuTime()
	b.ResetTimer()
	for i := range b.N {
		c := &millrace.Commit{Sink: millrace.SinkEvents, Positions: []millrace.Position{{Offset: int64(i)}}}
		if err := db.WriteEvents(b.Context(), sets[i%len(sets)], c); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	rows := float64(b.N * rowGroup)
	b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/1000/rows, "cpu-µs/row")
	b.ReportMetric(float64(text)/float64(len(sets)*rowGroup), "text-B/row")
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	fi, err := os.Stat(db.path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(fi.Size())/rows, "disk-B/row")
}
