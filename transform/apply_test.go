package transform

import (
	"sync"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// arrived is when the events of tests arrive: 2026-03-05T12:00:00Z.
const arrived = 1772712000e9

// testOptions are those of the server.
func testOptions() Options {
	return Options{ParseTime: decode.ParseTime, Level: decode.Level, HashKey: []byte("0123456789abcdef")}
}

func mustCompile(t testing.TB, text string) *Program {
	t.Helper()
	r, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\nin %.2000s", err, text)
	}
	p, err := Compile(r, testOptions())
	if err != nil {
		t.Fatalf("%v\nin %.2000s", err, text)
	}
	return p
}

// newBatch returns a batch whose record has lines, decoded in a format.
func newBatch(format string, lines ...string) *millrace.Batch {
	r := &millrace.Record{Arrived: arrived, Project: "default", Source: "src", Format: format, Sender: "10.9.8.7"}
	for _, l := range lines {
		r.Payload = append(r.Payload, l...)
		r.Frames = append(r.Frames, uint32(len(l)))
	}
	b := &millrace.Batch{}
	b.Reset(r)
	new(decode.Decoder).Decode(b)
	return b
}

func TestExtractAndDrop(t *testing.T) {
	p := mustCompile(t, `
steps:
  - extract:
      regexp: '^(?P<method>[A-Z]+) (?P<url>\S+) (?P<status>\d+)$'
      types: {status: int}
  - drop: status < 300 && url startsWith "/health"
    reason: health
`)
	b := newBatch("line", "GET /health 200", "GET /health 503", "nothing")
	var s Scratch
	for i, want := range []Verdict{{true, "health"}, Keep, Keep} {
		if got := p.Apply(b, &b.Events[i], &s); got != want {
			t.Errorf("event %d: %+v, want %+v", i, got, want)
		}
	}
	if v, _ := b.Events[1].Attr("status"); v != millrace.IntValue(503) {
		t.Errorf("status %v", v)
	}
	got := s.Take(p)
	if len(got) != 2 || got[0].Matched != 2 || got[0].Unmatched != 1 || got[1].Matched != 1 || got[1].Unmatched != 2 {
		t.Errorf("counts %+v", got)
	}
}

// A program is used by many goroutines at once, each with a Scratch of its own.
func TestConcurrentUse(t *testing.T) {
	p := mustCompile(t, `
steps:
  - extract: {grok: '^%{COMBINEDAPACHELOG}'}
  - url_template: true
  - user_agent: true
  - set: {class: 'status >= 500 ? "error" : lower(method)'}
masks:
  - {fields: [client_ip], hash: true}
`)
	want := ""
	for range 2 {
		var wg sync.WaitGroup
		got := make([]string, 4)
		for g := range got {
			wg.Go(func() {
				s := &Scratch{}
				for range 200 {
					b := newBatch("line", usualLine)
					p.Apply(b, &b.Events[0], s)
					got[g] = b.Events[0].Message + string(millrace.AppendAttrs(nil, b.Events[0].Attrs))
				}
				if c := s.Take(p); c[0].Matched != 200 || c[4].Matched != 200 || s.Take(p) != nil {
					t.Errorf("counts %+v", c)
				}
				total := NewURLCounts(10)
				s.TakeURLs(p, total)
				if l := total.List(); len(l) != 1 || l[0].Events != 200 {
					t.Errorf("templates %+v", l)
				}
				s.Forget(p)
			})
		}
		wg.Wait()
		for _, g := range got {
			if want == "" {
				want = g
			}
			if g != want {
				t.Errorf("differs:\n%s\n%s", g, want)
			}
		}
	}
}
