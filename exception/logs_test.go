package exception_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/testdata"
)

// Real logs: each line that looks like part of a stack trace must be inside
// exactly one event, and that event must parse to an exception with a type and
// all the frames. What looks like one is decided here, by expressions that share
// nothing with the code under test.

type span struct{ start, end int }

// join splits data with the Joiner alone.
func join(data []byte) []span {
	var j decode.Joiner
	var events []span
	for start := 0; start < len(data); {
		end := len(data)
		if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		line := bytes.TrimRight(data[start:end], "\n")
		switch {
		case j.Continues(line):
			events[len(events)-1].end = end
		case len(bytes.TrimSpace(line)) > 0:
			events = append(events, span{start, end})
		}
		start = end
	}
	return events
}

// frame splits data as the server does.
func frame(t testing.TB, format string, data []byte) []span {
	t.Helper()
	var f decode.Framing
	if err := decode.Frame(format, data, decode.Limits{}, &f); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.Refused {
		t.Errorf("line %d is refused: %s: %s", r.Line, r.Reason, r.Detail)
	}
	events := make([]span, len(f.Events))
	for i, e := range f.Events {
		events[i] = span{e.Start, e.End}
	}
	return events
}

// trimmed are the spans without blank lines at their ends, which the two ways
// of splitting attribute differently.
func trimmed(data []byte, events []span) []string {
	var out []string
	for _, e := range events {
		out = append(out, string(bytes.TrimRight(data[e.start:e.end], "\r\n\t ")))
	}
	return out
}

var (
	atLine    = regexp.MustCompile(`(?m)^\s+at \S+\.\S+`)
	traceLine = regexp.MustCompile(`(?m)^(\s+at \S+\.\S+\(|Caused by: |\s*File "[^"]+", line \d|#\d+ (/|\{|\[|Command)|\[stacktrace\]|Traceback \(most|goroutine \d+ \[).*$`)
)

func countFrames(e *millrace.Exception) (n int) {
	for ; e != nil; e = e.Cause {
		n += len(e.Frames)
	}
	return n
}

func TestLogs(t *testing.T) {
	f := func(dir string, patterns []string, wantTraces int) {
		t.Run(dir, func(t *testing.T) {
			traces := 0
			for _, p := range patterns {
				files, err := filepath.Glob(filepath.Join(testdata.Shared(t, "app-logs", dir), p))
				if err != nil || len(files) == 0 {
					t.Fatalf("no files match %s: %v", p, err)
				}
				for _, file := range files {
					traces += checkLog(t, file)
				}
			}
			if traces != wantTraces {
				t.Errorf("%d events with stack traces, want %d", traces, wantTraces)
			}
		})
	}
	// The numbers are independent counts: grep for lines "…Exception: …", awk for
	// Laravel records with a line "#0", one trace each in the vdsm and zap files.
	f("elastic-kafka/kafka0", []string{"*"}, 93)
	f("filebeat-modules/elasticsearch", []string{"server/test.log", "server/elasticsearch.624.log"}, 3)
	f("filebeat-modules/kafka/log", []string{"*.log"}, 1)
	f("lnav", []string{"logfile_java.*", "logfile_laravel.*", "logfile_vdsm.0", "logfile_zap_console.0", "logfile_spark.0"}, 86)
}

// checkLog returns the number of events with stack traces in one file.
func checkLog(t *testing.T, file string) (traces int) {
	t.Helper()
	name := filepath.Base(file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	events := join(data)
	for _, format := range []string{"text", "auto"} {
		if a, b := trimmed(data, events), trimmed(data, frame(t, format, data)); !equal(a, b) {
			t.Errorf("%s: Joiner gives %d events, Frame as %s %d, or others", name, len(a), format, len(b))
		}
	}
	next := 0
	for _, l := range traceLine.FindAllIndex(data, -1) {
		for next < len(events) && events[next].end < l[1] {
			next++
		}
		// Events do not overlap, so the line is in this one or in none.
		if next == len(events) || events[next].start > l[0] {
			t.Errorf("%s: %q is in no event", name, data[l[0]:l[1]])
		}
	}
	for _, ev := range events {
		text := string(bytes.TrimRight(data[ev.start:ev.end], "\n"))
		e, ok := exception.Parse(text)
		if !traceLine.MatchString(text) {
			if ok && len(e.Frames) > 0 {
				t.Logf("%s: %s: frames without a line of the expected shape", name, e.Type)
				traces++
			}
			continue
		}
		traces++
		if !exception.HasTrace(text) || !ok || e.Type == "" || len(e.Frames) == 0 {
			t.Errorf("%s: no exception in %q", name, text)
			continue
		}
		if want, got := len(atLine.FindAllString(text, -1)), countFrames(e); want > 0 && want != got {
			t.Errorf("%s: %d frames of %d: %q", name, got, want, text)
		}
	}
	return traces
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestFilebeatBoundaries compares where events begin with what Filebeat's own
// tests expect of the same files.
func TestFilebeatBoundaries(t *testing.T) {
	f := func(file string, differ map[int]string) {
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
			var want []struct {
				Offset int `json:"log.offset"`
			}
			if err := json.Unmarshal(expected, &want); err != nil {
				t.Fatal(err)
			}
			starts := map[int]bool{}
			for _, w := range want {
				starts[w.Offset] = true
			}
			limit := len(data)
			if len(want) == 100 { // Filebeat's tests keep the first hundred events
				limit = want[99].Offset + 1
			}
			got := map[int]bool{}
			for _, e := range join(data) {
				got[e.start] = true
				if e.start < limit && !starts[e.start] && differ[e.start] == "" {
					t.Errorf("event at %d is none in Filebeat: %.100q", e.start, data[e.start:e.end])
				}
			}
			for s := range starts {
				if !got[s] {
					t.Errorf("no event at %d: %.100q", s, data[s:])
				}
			}
		})
	}
	f("elasticsearch/server/test.log", map[int]string{
		9671: "a line break in the middle of a word of the message, which only a parser told that every record starts with '[' can join",
	})
	f("elasticsearch/server/elasticsearch.624.log", nil)
	f("elasticsearch/deprecation/elasticsearch_deprecation.log", nil)
	f("elasticsearch/deprecation/other_elasticsearch_deprecation.log", nil)
	f("elasticsearch/slowlog/test.log", nil)
	f("elasticsearch/slowlog/auditlog_index_indexing_slowlog.log", nil)
	f("kafka/log/controller-2.0.0.log", nil)
	f("kafka/log/controller.log", nil)
	f("kafka/log/server-2.0.0.log", nil)
	f("kafka/log/server.log", nil)
	f("kafka/log/state-change-1.1.0.log", nil)
	f("kafka/log/state-change-2.0.0.log", nil)
	f("kafka/log/state-change-2.2.2.log", nil)
	f("kafka/log/state-change.log", nil)
	f("logstash/log/logstash-plain-7.4.log", nil)
	f("logstash/log/logstash-plain.log", map[int]string{
		306: "the third line of an SQL statement begins like any text",
	})
	f("postgresql/log/postgresql-11.4.log", nil)
	f("postgresql/log/postgresql-9.6-debian-with-slowlog.log", nil)
	f("postgresql/log/postgresql-13-log-statement-all.log", nil)
	f("postgresql/log/postgresql-ubuntu-9.5.log", nil)
	f("system/syslog/darwin-syslog.log", nil)
	f("system/auth/secure-rhel7.log", nil)
}
