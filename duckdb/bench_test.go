package duckdb

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	driver "github.com/duckdb/duckdb-go/v2"

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
	writeSets(b, db, sets)
	b.ReportMetric(float64(text)/float64(len(sets)*rowGroup), "text-B/row")
}

// writeSets writes one of sets, of a row group each, per iteration, by turns.
func writeSets(b *testing.B, db *DB, sets []*millrace.EventRows) {
	b.Helper()
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
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	fi, err := os.Stat(db.path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(fi.Size())/rows, "disk-B/row")
}

// BenchmarkRowAppender writes the same rows through the driver's row appender,
// for comparison with BenchmarkWriteEvents.
func BenchmarkRowAppender(b *testing.B) {
	connector, err := driver.NewConnector(b.TempDir()+"/rows.duckdb?storage_compatibility_version=latest&threads=1&memory_limit=512MiB", nil)
	if err != nil {
		b.Fatal(err)
	}
	std := sql.OpenDB(connector)
	defer std.Close()
	c, err := std.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	exec := func(q string) {
		if _, err := c.ExecContext(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	exec("CREATE TABLE e " + eventColumns)
	rows := accessRows(rowGroup, 0, 1)
	b.ReportAllocs()
	cpu := cpuTime()
	b.ResetTimer()
	for range b.N {
		exec("BEGIN")
		err := c.Raw(func(dc any) error {
			a, err := driver.NewAppenderFromConn(dc.(*driver.Conn), "", "e")
			if err != nil {
				return err
			}
			for i := range rows.Len() {
				if err := a.AppendRow(rowValues(rows, i)...); err != nil {
					return err
				}
			}
			return a.Close()
		})
		if err != nil {
			b.Fatal(err)
		}
		exec("COMMIT")
	}
	b.StopTimer()
	n := float64(b.N * rowGroup)
	b.ReportMetric(n/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/1000/n, "cpu-µs/row")
}

func rowValues(r *millrace.EventRows, i int) []sqldriver.Value {
	var id driver.UUID
	_, _ = hex.Decode(id[:], r.TraceID.At(i)) // all of them are hex
	origin := strings.Join([]string{string(r.Project.At(i)), string(r.Source.At(i)), string(r.Env.At(i)), string(r.Release.At(i))}, originSep)
	return []sqldriver.Value{
		time.Unix(0, r.Time[i]), r.Kind[i].String(), string(r.Level.At(i)), origin, string(r.Service.At(i)), string(r.Host.At(i)), id, "",
		string(r.Message.At(i)), r.Weight[i], millrace.Methods[r.Method[i]], string(r.URL.At(i)), r.Status[i], r.BodyBytes[i],
		int64(r.RT[i]), int64(r.RTBackend[i]), r.ClientIP[i], string(r.UserAgent.At(i)), string(r.Attrs.At(i)),
		time.Unix(0, r.Arrived[i]), r.Partition[i], r.Offset[i], r.Ordinal[i],
	}
}

// loadedStore returns a store with n events, written as the pipeline does.
func loadedStore(b *testing.B, groups int) (*DB, *millrace.EventRows) {
	db := openTest(b)
	var rows *millrace.EventRows
	for i := range groups {
		rows = accessRows(rowGroup, int64(i)*100, uint64(i))
		writeEvents(b, db, rows)
	}
	return db, rows
}

// BenchmarkEvents reports the latency of the searches people do, over two
// million rows.
func BenchmarkEvents(b *testing.B) {
	db, rows := loadedStore(b, 16)
	all := func(f ...*millrace.Filter) millrace.EventQuery {
		return millrace.EventQuery{From: math.MinInt64, To: math.MaxInt64, Limit: 100, Filter: &millrace.Filter{Op: millrace.FilterAnd, Sub: f}}
	}
	f := func(name string, q millrace.EventQuery) {
		b.Run(name, func(b *testing.B) {
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
	}
	f("newest", all())
	f("status=500", all(&millrace.Filter{Op: millrace.FilterEq, Field: "status", Value: "500"}))
	f("common word", all(&millrace.Filter{Op: millrace.FilterText, Value: "Mozilla"}))
	f("rare word", all(&millrace.Filter{Op: millrace.FilterText, Value: "items/4999\""}))
	f("absent word", all(&millrace.Filter{Op: millrace.FilterText, Value: "nosuchword"}))
	f("trace", all(&millrace.Filter{Op: millrace.FilterEq, Field: "trace_id", Value: string(rows.TraceID.At(77))}))
	f("absent url", all(&millrace.Filter{Op: millrace.FilterEq, Field: "url", Value: "/nope"}))
	b.Run("histogram", func(b *testing.B) {
		for range b.N {
			if _, err := db.CountEvents(b.Context(), all(), int64(time.Second)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("histogram rt>=2", func(b *testing.B) {
		q := all(&millrace.Filter{Op: millrace.FilterGe, Field: "rt", Value: "2"})
		for range b.N {
			if _, err := db.CountEvents(b.Context(), q, int64(time.Second)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
