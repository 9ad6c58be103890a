package duckdb

import (
	"testing"
	"time"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/gen"
)

// shopBatches returns n events of the load test, decoded, with their records.
// They borrow from memory that stays as it is.
func shopBatches(tb testing.TB, n int, stream uint64) []*millrace.Batch {
	tb.Helper()
	const perRecord = 2500
	g := gen.NewStream(1, stream, gen.Options{})
	at := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC).Add(time.Duration(stream) * time.Second)
	var out []*millrace.Batch
	for made := 0; made < n; {
		var body []byte
		k := min(perRecord, n-made)
		for range k {
			at = at.Add(5 * time.Microsecond)
			body = g.AppendJSON(body, at)
		}
		var fr decode.Framing
		if err := decode.Frame("auto", body, decode.Limits{}, &fr); err != nil || len(fr.Events) != k {
			tb.Fatal(err, len(fr.Events), k)
		}
		rec := &millrace.Record{
			Offset: int64(made / perRecord), Arrived: at.UnixNano(), Project: "default", Source: "bench", Format: "auto", Payload: body,
		}
		for _, s := range fr.Events {
			rec.Frames = append(rec.Frames, uint32(s.End-s.Start))
		}
		b := &millrace.Batch{}
		b.Reset(rec)
		var d decode.Decoder
		d.Decode(b)
		if len(b.Events) != k {
			tb.Fatal(b.Rejects[0])
		}
		out = append(out, b)
		made += k
	}
	return out
}

func shopRows(tb testing.TB, n int, stream uint64) *millrace.EventRows {
	tb.Helper()
	rows := &millrace.EventRows{}
	appendBatches(rows, shopBatches(tb, n, stream))
	return rows
}

func appendBatches(rows *millrace.EventRows, batches []*millrace.Batch) {
	for _, b := range batches {
		for i := range b.Events {
			rows.Append(b.Record, &b.Events[i])
		}
	}
}

// BenchmarkAppendRows reports what the pipeline spends on a row before the
// store sees it.
func BenchmarkAppendRows(b *testing.B) {
	batches := shopBatches(b, rowGroup, 0)
	rows := &millrace.EventRows{}
	appendBatches(rows, batches)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		rows.Reset()
		appendBatches(rows, batches)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rowGroup), "ns/row")
	b.ReportMetric(float64(len(rows.Attrs.Data))/rowGroup, "attrs-B/row")
}

// BenchmarkFillRows reports what a row costs on its way into DuckDB's vectors,
// before DuckDB does anything with it.
func BenchmarkFillRows(b *testing.B) {
	db := openTest(b)
	rows := shopRows(b, rowGroup, 0)
	err := db.write(b.Context(), "bench", func(w *writer) error {
		t, err := w.table("events_none")
		if err != nil {
			return err
		}
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			r := newDayRows(rows)
			err := chunks(rows.Len(), func(from, k int) error {
				r.fill(&t.columns, from, k)
				mapping.DataChunkReset(t.chunk)
				return nil
			})
			if err != nil {
				return err
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rowGroup), "ns/row")
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWriteShop is BenchmarkWriteEvents with the rows of the load test.
func BenchmarkWriteShop(b *testing.B) {
	db := openTest(b)
	sets := make([]*millrace.EventRows, 4)
	for i := range sets {
		sets[i] = shopRows(b, rowGroup, uint64(i))
	}
	writeSets(b, db, sets)
}

// BenchmarkSearchShop reports the latency of what the load test asks, over rows
// as they come in: 200,000 a second.
func BenchmarkSearchShop(b *testing.B) {
	db := openTest(b)
	const groups = 32
	step := int64(rowGroup * 5000)
	base := shopRows(b, rowGroup, 0)
	for i := range groups {
		if i > 0 {
			for j := range base.Time {
				base.Time[j] += step
				base.Arrived[j] += step
				base.Offset[j] += 50
			}
		}
		writeEvents(b, db, base)
	}
	to := base.Time[len(base.Time)-1] + 1
	leaf := func(op millrace.FilterOp, field, value string) *millrace.Filter {
		return &millrace.Filter{Op: op, Field: field, Value: value}
	}
	and := func(f ...*millrace.Filter) *millrace.Filter { return &millrace.Filter{Op: millrace.FilterAnd, Sub: f} }
	for _, q := range []struct {
		name   string
		filter *millrace.Filter
	}{
		{"newest", nil},
		{"service and status", and(leaf(millrace.FilterEq, "service", "checkout"), leaf(millrace.FilterGe, "status", "500"))},
		{"none", and(leaf(millrace.FilterEq, "service", "nosuch"), leaf(millrace.FilterGe, "status", "500"))},
		{"status none", leaf(millrace.FilterEq, "status", "599")},
		{"client", leaf(millrace.FilterEq, "client_ip", "10.1.2.3")},
		{"slow", leaf(millrace.FilterGt, "rt", "100")},
		{"other attribute", leaf(millrace.FilterEq, "city", "nosuch")},
	} {
		b.Run(q.name, func(b *testing.B) {
			found := 0
			cpu := cpuTime()
			for range b.N {
				page, err := db.Events(b.Context(), millrace.EventQuery{From: to - 300e9, To: to, Limit: 100, Filter: q.filter})
				if err != nil {
					b.Fatal(err)
				}
				found = len(page.Events)
			}
			b.ReportMetric(float64(found), "found")
			b.ReportMetric(float64((cpuTime()-cpu).Milliseconds())/float64(b.N), "cpu-ms")
		})
	}
	for _, sql := range []string{
		"SELECT service, count(*) FROM events GROUP BY service", "SELECT host, count(*) FROM events GROUP BY host",
		"SELECT project, count(*) FROM events GROUP BY project", "SELECT count(*) FROM events WHERE attr_status >= 500",
		"SELECT attr_status, count(*) FROM events GROUP BY 1", "SELECT attrs->>'status' AS s, count(*) FROM events WHERE time > TIMESTAMP '2026-03-05 12:00:19' GROUP BY 1",
	} {
		b.Run(sql, func(b *testing.B) {
			cpu := cpuTime()
			for range b.N {
				if _, err := db.SQL(b.Context(), sql, testLimits); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime()-cpu).Milliseconds())/float64(b.N), "cpu-ms")
		})
	}
}
