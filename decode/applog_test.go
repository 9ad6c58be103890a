package decode

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testdata"
)

var applogArrived = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).UnixNano()

// decodeText decodes a frame of format text.
func decodeText(d *Decoder, b *millrace.Batch, frame []byte) *millrace.Event {
	b.Reset(&millrace.Record{Format: "text", Source: "app", Arrived: applogArrived})
	d.DecodeFrame(b, 0, frame)
	if len(b.Events) != 1 {
		return nil
	}
	return &b.Events[0]
}

func describeText(e *millrace.Event) string {
	var b strings.Builder
	if e.HasTime {
		fmt.Fprintf(&b, "time %s\n", time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano))
	}
	if e.Level != "" {
		fmt.Fprintf(&b, "level %s\n", e.Level)
	}
	for _, a := range e.Attrs {
		fmt.Fprintf(&b, "%s %s\n", a.Key, a.Value.String())
	}
	if e.MultiLine {
		b.WriteString("multi-line\n")
	}
	return b.String()
}

// TestTextEvent runs testdata/applog.txt.
func TestTextEvent(t *testing.T) {
	const file = "testdata/applog.txt"
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d Decoder
	var b millrace.Batch
	var out strings.Builder
	for i, c := range strings.Split(string(script), "\n== ") {
		if i == 0 {
			out.WriteString(c + "\n")
			continue
		}
		name, rest, _ := strings.Cut(c, "\n")
		input, want, ok := strings.Cut(rest+"\n", "\n----\n")
		if !ok {
			t.Fatalf("%s: no line ----", name)
		}
		e := decodeText(&d, &b, []byte(input+"\n"))
		if e == nil {
			t.Fatalf("%s: %d events, %d rejects", name, len(b.Events), len(b.Rejects))
		}
		if e.Message != strings.TrimRight(input, "\n") || e.Kind != millrace.KindLog {
			t.Errorf("%s: kind %v, message %q", name, e.Kind, e.Message)
		}
		got := describeText(e)
		if strings.TrimSpace(got) != strings.TrimSpace(want) && !*rewrite {
			t.Errorf("%s:\ngot:\n%swant:\n%s", name, got, want)
		}
		fmt.Fprintf(&out, "== %s\n%s\n----\n%s", name, input, got)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTextFilebeat compares the fields of real logs with what Filebeat's own
// tests expect of the same files, event by event.
func TestTextFilebeat(t *testing.T) {
	f := func(file string, names map[string]string, wantEvents int) {
		t.Run(file, func(t *testing.T) {
			path := testdata.Shared(t, "app-logs/filebeat-modules", file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			expected, err := os.ReadFile(path + "-expected.json")
			if err != nil {
				t.Fatal(err)
			}
			var want []map[string]any
			if err := json.Unmarshal(expected, &want); err != nil {
				t.Fatal(err)
			}
			var framing Framing
			if err := Frame("text", data, Limits{}, &framing); err != nil {
				t.Fatal(err)
			}
			events := map[int]Span{}
			for _, s := range framing.Events {
				events[s.Start] = s
			}
			var d Decoder
			var b millrace.Batch
			compared := 0
			for _, w := range want {
				span, ok := events[int(w["log.offset"].(float64))]
				if !ok {
					continue // boundaries are another test's subject
				}
				compared++
				e := decodeText(&d, &b, data[span.Start:span.End])
				compareFields(t, e, w, names)
			}
			if compared != wantEvents {
				t.Errorf("compared %d events, want %d", compared, wantEvents)
			}
		})
	}
	es := map[string]string{"elasticsearch.component": "logger"}
	f("elasticsearch/server/test.log", es, 19)
	f("elasticsearch/server/elasticsearch.624.log", es, 59)
	f("elasticsearch/deprecation/elasticsearch_deprecation.log", es, 7)
	kafka := map[string]string{"kafka.log.class": "logger", "kafka.log.thread": "thread"}
	f("kafka/log/controller-2.0.0.log", kafka, 22)
	f("kafka/log/server-2.0.0.log", kafka, 100)
	f("kafka/log/state-change-2.2.2.log", kafka, 2)
	f("logstash/log/logstash-plain-7.4.log", map[string]string{"logstash.log.module": "logger"}, 2)
	postgres := map[string]string{"process.pid": "pid", "user.name": "user", "postgresql.log.database": "database"}
	f("postgresql/log/postgresql-11.4.log", postgres, 29)
	f("postgresql/log/postgresql-9.6-debian-with-slowlog.log", postgres, 19)
	f("postgresql/log/postgresql-ubuntu-9.5.log", postgres, 78)
}

// compareFields compares the time as printed, the level and the named fields.
func compareFields(t *testing.T, e *millrace.Event, want map[string]any, names map[string]string) {
	t.Helper()
	stamp, _ := want["@timestamp"].(string)
	if zone, _ := want["event.timezone"].(string); zone == "-02:00" && strings.HasSuffix(stamp, zone) {
		// Filebeat's tests run in that zone; without one in the log, ours is UTC.
		if got := time.Unix(0, e.Time).UTC().Format("2006-01-02T15:04:05.000"); got != strings.TrimSuffix(stamp, zone) {
			t.Errorf("time %s, want %s: %.200q", got, stamp, e.Message)
		}
	}
	level, _ := want["log.level"].(string)
	if level == "DEPRECATION" {
		level = "warning"
	}
	if norm, _, _ := normalLevel(level); norm != e.Level {
		t.Errorf("level %q, want %q: %.200q", e.Level, level, e.Message)
	}
	for theirs, ours := range names {
		w, ok := want[theirs]
		if !ok {
			continue
		}
		got, _ := e.Attr(ours)
		if fmt.Sprint(w) != got.String() {
			t.Errorf("%s %q, want %v: %.200q", ours, got.String(), w, e.Message)
		}
	}
}

const textLine = `2016-12-19 16:00:00,123 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: Created MRAppMaster for application appattempt_1445144423722_0020_000001`

// TestTextAllocs: a log line costs no allocation; a number formatted into an
// attribute would be one.
func TestTextAllocs(t *testing.T) {
	var d Decoder
	var b millrace.Batch
	frame := []byte(textLine)
	r := &millrace.Record{Format: "text", Source: "app", Arrived: applogArrived}
	decode := func() {
		b.Reset(r)
		d.DecodeFrame(&b, 0, frame)
	}
	decode()
	if n := testing.AllocsPerRun(100, decode); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkTextEvent(b *testing.B) {
	var d Decoder
	var batch millrace.Batch
	frame := []byte(textLine)
	r := &millrace.Record{Format: "text", Source: "app", Arrived: applogArrived}
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		batch.Reset(r)
		d.DecodeFrame(&batch, 0, frame)
	}
}

// FuzzTextEvent: no panic, one event whose message is the frame, and attributes
// that are parts of it.
func FuzzTextEvent(f *testing.F) {
	script, err := os.ReadFile("testdata/applog.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(script)) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, frame string) {
		if strings.TrimSpace(frame) == "" {
			return
		}
		var d Decoder
		var b millrace.Batch
		e := decodeText(&d, &b, []byte(frame))
		if e == nil || !strings.Contains(frame, e.Message) {
			t.Fatalf("event %v of %q", e, frame)
		}
		for _, a := range e.Attrs {
			if a.Key == millrace.AttrTimeOriginal || a.Key == attrLevelOriginal {
				continue // not taken from the text
			}
			if a.Value.Kind() == millrace.ValueString && !strings.Contains(frame, a.Value.String()) {
				t.Errorf("%s %q is not in %q", a.Key, a.Value.String(), frame)
			}
		}
	})
}
