package decode

import (
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// recordOf frames body as ingest does.
func recordOf(t testing.TB, format string, body []byte) (*millrace.Record, *Framing) {
	t.Helper()
	var fr Framing
	if err := Frame(format, body, Limits{}, &fr); err != nil {
		t.Fatal(err)
	}
	r := &millrace.Record{
		Arrived: arrivedTest, Project: "default", Source: "src", Format: format, Sender: "10.9.8.7",
	}
	for _, s := range fr.Events {
		r.Payload = append(r.Payload, body[s.Start:s.End]...)
		r.Frames = append(r.Frames, uint32(s.End-s.Start))
	}
	return r, &fr
}

// decodeAll frames and decodes body and checks what holds for every batch.
func decodeAll(t testing.TB, format string, body []byte) *millrace.Batch {
	t.Helper()
	r, _ := recordOf(t, format, body)
	b := &millrace.Batch{}
	b.Reset(r)
	new(Decoder).Decode(b)
	checkBatch(t, b)
	return b
}

// checkBatch verifies that each frame is one event or one reject, in order, and
// that all text is valid UTF-8.
func checkBatch(t testing.TB, b *millrace.Batch) {
	t.Helper()
	seen := make([]int, len(b.Record.Frames))
	last := int32(-1)
	for i := range b.Events {
		e := &b.Events[i]
		if e.Ordinal <= last {
			t.Fatalf("ordinal %d after %d", e.Ordinal, last)
		}
		last = e.Ordinal
		seen[e.Ordinal]++
		checkEvent(t, e)
	}
	for _, r := range b.Rejects {
		seen[r.Ordinal]++
		if r.Reason == "" || !utf8.ValidString(r.Example) || !utf8.ValidString(r.Detail) {
			t.Fatalf("bad reject %+v", r)
		}
	}
	for i, n := range seen {
		if n != 1 {
			t.Fatalf("frame %d has %d events and rejects", i, n)
		}
	}
}

func checkEvent(t testing.TB, e *millrace.Event) {
	t.Helper()
	keys := map[string]bool{}
	for _, a := range e.Attrs {
		if keys[a.Key] {
			t.Fatalf("duplicate attribute %q in %q", a.Key, e.Message)
		}
		keys[a.Key] = true
		if !utf8.ValidString(a.Key) || !utf8.ValidString(a.Value.String()) {
			t.Fatalf("invalid UTF-8 in attribute %q", a.Key)
		}
	}
	for _, s := range []string{e.Message, e.Service, e.Host, e.Env, e.Release, e.Level, e.TraceID} {
		if !utf8.ValidString(s) {
			t.Fatalf("invalid UTF-8 in %q", s)
		}
	}
	if e.Weight < 1 || e.Message == "" {
		t.Fatalf("weight %d, message %q", e.Weight, e.Message)
	}
}

// attr returns an attribute as text, "" if the event lacks it.
func attr(e *millrace.Event, key string) string {
	v, ok := e.Attr(key)
	if !ok {
		return ""
	}
	return v.String()
}
