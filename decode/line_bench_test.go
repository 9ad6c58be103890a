package decode_test

import (
	"bytes"
	"strings"
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

// BenchmarkFormats decodes the generator's lines, no two of them the same, in the
// formats of the rates: what branch predictors learn from one line
// repeated does not help here.
func BenchmarkFormats(b *testing.B) {
	const lines = 2500
	at := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	g := gen.New(1, gen.Options{})
	for _, c := range []struct {
		format string
		line   func(dst []byte, t time.Time) []byte
	}{
		{"json", g.AppendJSON},
		{"logfmt", func(dst []byte, t time.Time) []byte { return appendLogfmt(dst, g.AppendJSON(nil, t)) }},
		{"nginx", g.AppendAccess},
		{"apache", func(dst []byte, t time.Time) []byte { // as far as the user agent
			line := g.AppendAccess(nil, t)
			return append(append(dst, line[:bytes.LastIndex(line, []byte(`" rt=`))+1]...), '\n')
		}},
	} {
		b.Run(c.format, func(b *testing.B) {
			rec := millrace.Record{Arrived: at.UnixNano(), Project: "default", Source: "bench", Format: c.format}
			for i := range lines {
				n := len(rec.Payload)
				rec.Payload = c.line(rec.Payload, at.Add(time.Duration(i)*time.Millisecond))
				rec.Frames = append(rec.Frames, uint32(len(rec.Payload)-n))
			}
			var dec decode.Decoder
			var batch millrace.Batch
			b.SetBytes(int64(len(rec.Payload) / lines))
			b.ReportAllocs()
			for i := 0; i < b.N; i += lines {
				batch.Reset(&rec)
				dec.Decode(&batch)
				if len(batch.Events) != lines {
					b.Fatal(len(batch.Events), batch.Rejects)
				}
			}
		})
	}
}

// appendLogfmt writes a flat object of strings and numbers as logfmt.
func appendLogfmt(dst, object []byte) []byte {
	for i, pair := range strings.Split(strings.Trim(string(object), "{}\n"), `,"`) {
		key, value, _ := strings.Cut(strings.TrimPrefix(pair, `"`), `":`)
		if !strings.ContainsAny(value, " =") {
			value = strings.Trim(value, `"`)
		}
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(append(append(dst, key...), '='), value...)
	}
	return append(dst, '\n')
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
