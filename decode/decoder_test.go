package decode

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// TestRecordDefaults: what the line says wins, then the request's parameters,
// then the source's name and the sender.
func TestRecordDefaults(t *testing.T) {
	f := func(r millrace.Record, line, service, host, env, release string) {
		t.Helper()
		r.Format, r.Arrived, r.Source, r.Sender = "auto", arrivedTest, "src", "10.9.8.7"
		b := &millrace.Batch{}
		b.Reset(&r)
		new(Decoder).DecodeFrame(b, 7, []byte(line))
		if len(b.Events) != 1 {
			t.Fatalf("%q: %d events", line, len(b.Events))
		}
		e := &b.Events[0]
		if e.Service != service || e.Host != host || e.Env != env || e.Release != release || e.Ordinal != 7 || e.Source != "src" {
			t.Errorf("%q: got %q %q %q %q ordinal %d", line, e.Service, e.Host, e.Env, e.Release, e.Ordinal)
		}
	}
	preset := millrace.Record{Service: "ps", Host: "ph", Env: "pe", Release: "pr"}
	full := `{"service":"ls","host":"lh","env":"le","release":"lr"}`
	f(millrace.Record{}, "text", "src", "10.9.8.7", "", "")
	f(preset, "text", "ps", "ph", "pe", "pr")
	f(preset, full, "ls", "lh", "le", "lr")
	f(millrace.Record{}, full, "ls", "lh", "le", "lr")
	f(preset, `{"service":"","host":null}`, "ps", "ph", "pe", "pr")
	f(preset, "Mar  5 11:00:00 web app[1]: x", "app", "web", "pe", "pr")
	f(preset, `h.com 1.2.3.4 - - [05/Mar/2026:11:00:00 +0000] "GET / HTTP/1.1" 200 5`, "ps", "h.com", "pe", "pr")
	// A parser that gives up half-way leaves no trace.
	f(preset, `{"service":"ls","host":"lh","env":"le","release":"lr"} x`, "ps", "ph", "pe", "pr")
}

func TestDecodeBadRecords(t *testing.T) {
	f := func(format string, frames []uint32, want ...string) {
		t.Helper()
		b := &millrace.Batch{}
		b.Reset(&millrace.Record{Format: format, Arrived: arrivedTest, Payload: []byte("one\ntwo\n"), Frames: frames})
		new(Decoder).Decode(b)
		var got []string
		for _, e := range b.Events {
			got = append(got, e.Message)
		}
		for _, r := range b.Rejects {
			got = append(got, fmt.Sprintf("%d %s %s", r.Ordinal, r.Reason, r.Example))
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f("line", []uint32{4, 4}, "one", "two")
	f("line", []uint32{4, 4, 1}, "one", "two", "2 bad_frame ")
	f("line", []uint32{4, 9, 1}, "one", "1 bad_frame two\n", "2 bad_frame ")
	f("line", []uint32{4, 1<<32 - 1}, "one", "1 bad_frame two\n")
	f("line", []uint32{0, 4}, "one", "0 empty ")
	f("cobol", []uint32{4, 4}, "0 unknown_format one\n", "1 unknown_format two\n")
}

// TestManyAttributes: the last value of a key wins however many there are, and
// tens of thousands of keys in a line are no way to stop the pipeline.
func TestManyAttributes(t *testing.T) {
	for _, n := range []int{2, 60, 70, 20000} {
		var sb strings.Builder
		for round := range 2 {
			for i := range n / 2 {
				fmt.Fprintf(&sb, `,"k%d":%d`, i, round)
			}
		}
		line := "{" + sb.String()[1:] + "}"
		start := time.Now()
		b := decodeAll(t, "json", []byte(line))
		if len(b.Events) == 0 {
			t.Fatalf("n=%d: no event", n)
		}
		e := &b.Events[0]
		if len(e.Attrs) != n/2 {
			t.Errorf("n=%d: %d attributes", n, len(e.Attrs))
		}
		for _, a := range e.Attrs {
			if a.Value.String() != "1" {
				t.Fatalf("n=%d: %s is %s", n, a.Key, a.Value)
			}
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("n=%d took %s", n, d)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	f := func(depth int, ok bool) {
		t.Helper()
		line := []byte(`{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "}")
		if _, got := checkJSON(line); got != ok {
			t.Errorf("depth %d: the check says %v", depth, got)
		}
		b := &millrace.Batch{}
		b.Reset(&millrace.Record{Format: "json"})
		new(Decoder).DecodeFrame(b, 0, line)
		if (len(b.Events) == 1) != ok {
			t.Errorf("depth %d: %d events, %v", depth, len(b.Events), b.Rejects)
		}
	}
	f(2, true)
	f(maxDepth, true)
	f(maxDepth+1, false)
	f(100000, false)
}

// TestFutureTimes: more than ten minutes ahead of the arrival is the arrival.
func TestFutureTimes(t *testing.T) {
	f := func(ahead time.Duration, clamped bool) {
		t.Helper()
		at := time.Unix(0, arrivedTest).Add(ahead).UTC().Format(time.RFC3339Nano)
		e := &decodeAll(t, "auto", []byte(`{"time":"`+at+`","msg":"x"}`)).Events[0]
		original := attr(e, millrace.AttrTimeOriginal)
		if clamped && (e.Time != arrivedTest || e.HasTime || original != at) {
			t.Errorf("%s ahead: time %d, original %q", ahead, e.Time, original)
		}
		if !clamped && (e.Time != arrivedTest+int64(ahead) || !e.HasTime || original != "") {
			t.Errorf("%s ahead: time %d, original %q", ahead, e.Time, original)
		}
	}
	f(0, false)
	f(10*time.Minute, false)
	f(10*time.Minute+1, true)
	f(365*24*time.Hour, true)
	f(-10*365*24*time.Hour, false)
}

// TestDecoderIsReusable: a decoder keeps nothing from one record to the next.
func TestDecoderIsReusable(t *testing.T) {
	var d Decoder
	b := &millrace.Batch{}
	for range 2 {
		for _, line := range hardLines {
			r, _ := recordOf(t, "auto", []byte(line))
			fresh := &millrace.Batch{}
			fresh.Reset(r)
			new(Decoder).Decode(fresh)
			b.Reset(r)
			d.Decode(b)
			for i := range fresh.Events {
				if got, want := describeEvent(&b.Events[i], line), describeEvent(&fresh.Events[i], line); got != want {
					t.Errorf("%q:\n got %s\nwant %s", line, got, want)
				}
			}
		}
	}
}
