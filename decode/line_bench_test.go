package decode_test

import (
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/gen"
	"github.com/millrace/millrace/rollup"
)

// now is the clock of BenchmarkLine.
var now = func() time.Duration { return time.Since(epoch) }

var epoch = time.Now()

// BenchmarkLine takes the load test's lines through everything between the
// request and the Store that is plain CPU: framing, decoding, raw rows and the
// default rollups. Each stage finds its input as warm as the stage before left
// it, which is why they are measured here together, each by its own clock.
func BenchmarkLine(b *testing.B) {
	const perRecord, pool = 2500, 120_000
	arrived := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	lines := gen.NewPool(1, 0, pool, gen.Options{})
	var (
		fr    decode.Framing
		dec   decode.Decoder
		batch millrace.Batch
		rows  millrace.EventRows
		spent [4]time.Duration
	)
	engine := rollup.NewEngine(defaults(b), rollup.Limits{Values: 100_000})
	run := func(at time.Time) {
		body, n := lines.Next(perRecord, at.Add(-100*time.Millisecond), at)
		start := now()
		if err := decode.Frame("auto", body, decode.Limits{}, &fr); err != nil || len(fr.Events) != n {
			b.Fatal(err, len(fr.Events), n)
		}
		spent[0] += now() - start
		rec := millrace.Record{Arrived: at.UnixNano(), Project: "default", Source: "bench", Format: "auto", Payload: body}
		for _, s := range fr.Events {
			rec.Frames = append(rec.Frames, uint32(s.End-s.Start))
		}
		start = now()
		batch.Reset(&rec)
		dec.Decode(&batch)
		spent[1] += now() - start
		if len(batch.Events) != n {
			b.Fatal(batch.Rejects[0])
		}
		start = now()
		for i := range batch.Events {
			rows.Append(&rec, &batch.Events[i])
		}
		spent[2] += now() - start
		start = now()
		engine.Fold(0, batch.Events)
		spent[3] += now() - start
		if rows.Len() >= pool {
			rows.Reset()
		}
	}
	for range pool / perRecord { // memory has its size, as in a server that runs
		run(arrived)
	}
	spent = [4]time.Duration{}
	n := 0
	for i := 0; b.Loop(); i++ {
		run(arrived.Add(time.Duration(i) * 100 * time.Millisecond))
		n += perRecord
		if i%100 == 99 {
			engine.Drain()
		}
	}
	for i, name := range []string{"frame", "decode", "rows", "fold"} {
		b.ReportMetric(float64(spent[i].Nanoseconds())/float64(n), name+"-ns/line")
	}
}

func defaults(tb testing.TB) []*rollup.Rollup {
	var v millrace.Violations
	var out []*rollup.Rollup
	for _, d := range rollup.Defaults() {
		out = append(out, rollup.Compile(d, "rollups."+d.Name, &v))
	}
	if err := v.Err(); err != nil {
		tb.Fatal(err)
	}
	return out
}
