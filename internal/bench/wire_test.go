package bench

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/gen"
)

// Each wire says the same events, and no line twice.
func TestWiresSayTheSame(t *testing.T) {
	const lines = 300
	from := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	want := map[string]string{} // by trace id
	for _, wire := range Wires() {
		s := &sender{load: &Load{Wire: wire, Lines: lines, PoolSize: 500}, pool: gen.NewPool(1, 0, 500, gen.Options{})}
		if err := s.pack(""); err != nil {
			t.Fatal(err)
		}
		if wire == NDJSON { // so that the pool has been handed out as often as for the others
			s.pool.Next(lines, from, from)
			s.pool.Next(lines, from, from)
		}
		got := map[string]string{}
		for round := range 3 {
			at := from.Add(time.Duration(round) * time.Second)
			body, n := s.pool.Next(lines, at, at.Add(time.Second))
			if s.packed != nil {
				body = s.restamp(body, n, at, at.Add(time.Second))
			}
			for _, e := range decoded(t, wire, body, s.pool.LineBytes()) {
				got[strings.Clone(e.TraceID)] = fmt.Sprint(time.Unix(0, e.Time).UTC(), e.Kind, e.Level, e.Service, e.Host, e.Env, e.Release, e.Message, attrsOf(&e))
			}
		}
		if wire == NDJSON {
			want = got
		}
		if len(got) != 800 || !maps.Equal(got, want) {
			t.Errorf("%s: %d events", wire, len(got))
			for id := range want {
				if got[id] != want[id] {
					t.Fatalf("%s\n%q, want\n%q", id, got[id], want[id])
				}
			}
		}
	}
}

func attrsOf(e *millrace.Event) []string {
	var all []string
	for i := range e.Attrs {
		v := e.Attrs[i].Value
		text := v.String()
		if v.Kind() == millrace.ValueFloat { // JSON may have written 0.10, where protobuf has a number
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				panic(err)
			}
			text = fmt.Sprint(f)
		}
		all = append(all, e.Attrs[i].Key+"="+text)
	}
	slices.Sort(all)
	return all
}

// decoded returns the events of a body as the pipeline sees them.
func decoded(t *testing.T, wire Wire, body []byte, size int) []millrace.Event {
	t.Helper()
	r := &millrace.Record{Arrived: time.Now().UnixNano(), Project: "default", Source: "bench", Format: string(wire)}
	if wire == NDJSON {
		r.Format, r.Payload = "json", body
		for range len(body) / size {
			r.Frames = append(r.Frames, uint32(size))
		}
	} else {
		var p decode.Pieces
		if err := decode.Split(string(wire), nil, body, decode.Limits{MaxEvent: 1 << 20}, &p); err != nil || len(p.Refused) > 0 {
			t.Fatal(err, p.Refused)
		}
		for i := range p.Events {
			at := len(r.Payload)
			r.Payload = decode.AppendPiece(r.Payload, 0, &p.Events[i])
			r.Frames = append(r.Frames, uint32(len(r.Payload)-at))
		}
	}
	var d decode.Decoder
	b := &millrace.Batch{}
	b.Reset(r)
	d.Decode(b)
	if len(b.Rejects) > 0 {
		t.Fatal(b.Rejects)
	}
	return b.Events
}

func TestWiresHaveNoRate(t *testing.T) {
	for wire, l := range map[Wire]*Load{OTLP: {Wire: OTLP, Rate: 5, PoolSize: 10}, "x": {Wire: "x", PoolSize: 10}} {
		if _, err := l.Prepare("http://127.0.0.1"); err == nil {
			t.Errorf("%s: a rate, or a wire that is not there", wire)
		}
	}
}
