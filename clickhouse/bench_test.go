package clickhouse_test

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/storetest"
)

// flushRows is what the pipeline flushes at once.
const flushRows = 122_880

func accessRows(n, from int) *millrace.EventRows {
	rows := &millrace.EventRows{}
	for i := range n {
		k := from + i
		e := &millrace.Event{
			Time: storetest.Base.UnixNano() + int64(k)*1e6, Weight: 1, Ordinal: int32(i), Kind: millrace.KindAccess, Project: "default",
			Source: "web", Service: fmt.Sprint("s", k%7), Host: fmt.Sprint("h", k%40), Level: "info", TraceID: fmt.Sprintf("%032x", traceOf(k)),
			Message: fmt.Sprintf("10.0.%d.%d - - [02/Mar/2026:00:00:00 +0000] \"GET /api/v1/items/%d HTTP/1.1\" 200 %d \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\" rt=0.%03d",
				k%200, k%250, k%5000, k%9000, k%1000),
		}
		e.Set("url", millrace.StringValue(fmt.Sprint("/api/v1/items/", k%5000)))
		e.Set("method", millrace.StringValue("GET"))
		e.Set("status", millrace.IntValue([]int64{200, 200, 200, 404, 500}[k%5]))
		e.Set("bytes", millrace.IntValue(int64(k%9000)))
		e.Set("rt", millrace.NumberValue(float64(k%1000)/1000, fmt.Sprintf("0.%03d", k%1000)))
		e.Set("client_ip", millrace.StringValue(fmt.Sprintf("10.0.%d.%d", k%200, k%250)))
		e.Set("city", millrace.StringValue([]string{"oslo", "rome", "lima"}[k%3]))
		rows.Append(&millrace.Record{Partition: 1, Offset: int64(k), Arrived: storetest.Base.UnixNano()}, e)
	}
	return rows
}

func BenchmarkWriteEvents(b *testing.B) {
	db := open(b, database(b, server(b)), committest.New(clock))
	defer db.Close()
	rows := accessRows(flushRows, 0)
	for b.Loop() {
		if err := db.WriteEvents(b.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(flushRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkHidden counts all rows, with so many hidden flushes to leave out, and
// what the same costs without the condition.
func BenchmarkHidden(b *testing.B) {
	s := server(b)
	opt := database(b, s)
	db := open(b, opt, committest.New(clock))
	defer db.Close()
	for i := range 16 {
		if err := db.WriteEvents(b.Context(), accessRows(flushRows, i*flushRows), &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
			b.Fatal(err)
		}
	}
	name := databaseOf(opt)
	ask := func(b *testing.B, where string) {
		for b.Loop() {
			admin(b, s, "SELECT service, count(), sum(weight) FROM "+name+".events_rows WHERE "+where+" GROUP BY service FORMAT Null")
		}
		b.ReportMetric(16*flushRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	}
	for _, n := range []int{0, 10, 1000, 100_000} {
		admin(b, s, "TRUNCATE TABLE "+name+".hidden_flushes")
		admin(b, s, fmt.Sprintf("INSERT INTO %s.hidden_flushes SELECT 1000000 + number, now() FROM numbers(%d)", name, n))
		b.Run(fmt.Sprint("without/", n), func(b *testing.B) { ask(b, "status >= 404") })
		b.Run(fmt.Sprint("with/", n), func(b *testing.B) {
			ask(b, "status >= 404 AND flush NOT IN (SELECT flush FROM "+name+".hidden_flushes)")
		})
	}
}

func BenchmarkSearch(b *testing.B) {
	opt := database(b, server(b))
	db := open(b, opt, committest.New(clock))
	defer db.Close()
	const flushes = 16
	for i := range flushes {
		if err := db.WriteEvents(b.Context(), accessRows(flushRows, i*flushRows), &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
			b.Fatal(err)
		}
	}
	leaf := func(op millrace.FilterOp, field, value string) *millrace.Filter {
		return &millrace.Filter{Op: op, Field: field, Value: value}
	}
	for name, f := range map[string]*millrace.Filter{
		"newest":    nil,
		"word":      leaf(millrace.FilterText, "", "items/4711 "),
		"missing":   leaf(millrace.FilterText, "", "Kraken"),
		"trace":     leaf(millrace.FilterEq, "trace_id", fmt.Sprintf("%032x", traceOf(1_000_000))),
		"status":    leaf(millrace.FilterGe, "status", "500"),
		"attribute": leaf(millrace.FilterEq, "city", "paris"),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := db.Events(b.Context(), millrace.EventQuery{From: 0, To: 1<<63 - 1, Filter: f, Limit: 100}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScan hands on raw rows as an answer does that no rollup has: by service,
// how many lines have a status.
func BenchmarkScan(b *testing.B) {
	db := open(b, database(b, server(b)), committest.New(clock))
	defer db.Close()
	for i := range 4 {
		if err := db.WriteEvents(b.Context(), accessRows(flushRows, i*flushRows), &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := 0
		err := db.ScanEvents(b.Context(), millrace.EventScan{To: 1<<63 - 1, Fields: []string{"service", "status"}, MaxRows: 1 << 30}, func(events []millrace.Event) error {
			n += len(events)
			return nil
		})
		if err != nil || n != 4*flushRows {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(4*flushRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

// traceOf spreads numbers over all of 64 bits.
func traceOf(k int) uint64 { return uint64(k) * 0x9E3779B97F4A7C15 }
