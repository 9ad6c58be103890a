package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testdata"
)

// traceLines are the test's own idea of lines that only occur in a stack trace,
// by the language that prints them.
var traceLines = []struct {
	language string
	re       *regexp.Regexp
}{
	{"java, javascript, .net", regexp.MustCompile(`^\s+at \S`)},
	{"java cause", regexp.MustCompile(`^\s*(Caused by|Suppressed): [\w.$]+`)},
	{"java elided", regexp.MustCompile(`^\s+\.\.\. \d+ (more|common frames omitted)`)},
	{"python head", regexp.MustCompile(`^Traceback \(most recent call last\):`)},
	{"python", regexp.MustCompile(`^\s+File "[^"]*", line \d+`)},
	{"go head", regexp.MustCompile(`^goroutine \d+ \[`)},
	{"go", regexp.MustCompile(`^\s+\S+\.(go|s):\d+( \+0x[0-9a-f]+)?`)},
	{"go creator", regexp.MustCompile(`^created by `)},
	{"php, dart", regexp.MustCompile(`^#\d+\s+\S`)},
	{"ruby", regexp.MustCompile(`^\s+\S.*\.rb:\d+:in `)},
}

// bracketHead begins an event of Kafka, Elasticsearch and Laravel.
var bracketHead = regexp.MustCompile(`(?m)^\[\d{4}-\d\d-\d\d[ T]`)

// traceLine returns the language of a line of a trace, or "".
func traceLine(line string) string {
	for _, l := range traceLines {
		if l.re.MatchString(line) {
			return l.language
		}
	}
	return ""
}

// traceFile is a log with traces, sent as a source of its own.
type traceFile struct {
	name, source string
	frames       map[string]int // lines of traces, and how often each occurs
	body         string
}

// traceFiles returns all files below the folders that have a line of a trace.
func traceFiles(t *testing.T, folders ...string) []traceFile {
	t.Helper()
	var out []traceFile
	for _, folder := range folders {
		root := testdata.Shared(t, folder)
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".md") {
				return err
			}
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			frames := countFrames(string(body))
			if len(frames) == 0 {
				return nil
			}
			rel, err := filepath.Rel(root, path)
			name := filepath.ToSlash(filepath.Join(folder, rel))
			out = append(out, traceFile{name, fmt.Sprintf("traces-%03d", len(out)), frames, string(body)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func countFrames(text string) map[string]int {
	frames := map[string]int{}
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); traceLine(line) != "" {
			frames[line]++
		}
	}
	return frames
}

// storedTrace is an event with lines of a trace.
type storedTrace struct {
	kind, typ, frames, message string
	lines                      int // of the trace
}

// allSamples keeps every exception with its details.
const allSamples = "pipeline: {flush_interval: 100ms, rollup_interval: 200ms, exceptions: {samples: 1000}}\n"

// TestTraces: every line of a stack trace in the real logs is in exactly one
// event, which is an exception with its type and frames, and the view and the
// rollup count these events.
func TestTraces(t *testing.T) {
	files := traceFiles(t, "app-logs/elastic-kafka/kafka0", "app-logs/filebeat-modules/elasticsearch",
		"app-logs/filebeat-modules/kafka", "app-logs/lnav", "exceptions/raw-traces")
	in := boot(t, "", "query: {sql_rows: 100000}\n"+allSamples)
	sent, lines := 0, 0
	for _, f := range files {
		n := in.post("source="+f.source+"&service="+f.source, f.body)
		heads := len(bracketHead.FindAllString(f.body, -1))
		if f.name == "app-logs/filebeat-modules/elasticsearch/server/test.log" {
			heads++ // the rest of a line about the garbage collector whose beginning is not there
		}
		if strings.HasPrefix(f.body, "[") && n != heads {
			t.Errorf("%s: %d events, but %d lines that begin one", f.name, n, heads)
		}
		sent += n
	}
	in.drain(sent)
	languages := map[string]int{}
	exceptions := 0
	for _, f := range files {
		traces := in.tracesOf(f)
		got := map[string]int{}
		for _, tr := range traces {
			for line, n := range countFrames(tr.message) {
				got[line] += n
			}
			in.checkTrace(f, tr)
		}
		for line, n := range f.frames {
			lines += n
			languages[traceLine(line)] += n
			if got[line] != n {
				t.Errorf("%s: %d of %d stored: %q", f.name, got[line], n, line)
			}
		}
		exceptions += len(traces)
	}
	t.Logf("%d files, %d lines of traces in %d events", len(files), lines, exceptions)
	in.checkExceptionCounts(exceptions)
	for _, l := range slices.Sorted(maps.Keys(languages)) {
		t.Logf("%6d lines: %s", languages[l], l)
	}
}

// tracesOf returns the stored events of a file that have lines of a trace.
func (in *instance) tracesOf(f traceFile) []storedTrace {
	in.t.Helper()
	var out []storedTrace
	for _, row := range in.sql(`SELECT kind, coalesce(attrs->>'type', ''), coalesce(json_array_length(attrs->'$.exception_report.exception.frames'), 0), message FROM events WHERE source = '` + f.source + `'`) {
		tr := storedTrace{row[0], row[1], row[2], row[3], 0}
		for _, n := range countFrames(tr.message) {
			tr.lines += n
		}
		if tr.lines > 0 {
			out = append(out, tr)
		}
	}
	return out
}

// checkExceptionCounts: the view has n rows, and the rollup counts the same, in
// all and by type, at each granularity.
func (in *instance) checkExceptionCounts(n int) {
	t := in.t
	t.Helper()
	if got := in.sql("SELECT count(*) FROM exceptions")[0][0]; got != strconv.Itoa(n) {
		t.Errorf("the view exceptions has %s rows, want %d", got, n)
	}
	types := map[string]int{}
	for typ, n := range in.sqlMap("SELECT type, count(*) FROM exceptions GROUP BY 1") {
		types[typ], _ = strconv.Atoi(n) // count(*) is a number
	}
	if len(types) < 2 {
		t.Errorf("only the types %v", types)
	}
	for _, g := range []string{"1m", "1h", "1d"} {
		from := "FROM rollup_exceptions WHERE granularity = '" + g + "' AND dimension_set = "
		if got := in.sql(`SELECT coalesce(sum("count"), 0)::BIGINT ` + from + "''")[0][0]; got != strconv.Itoa(n) {
			t.Errorf("the rollup counts %s exceptions at %s, want %d", got, g, n)
		}
		equalCounts(t, "exceptions by type at "+g, in.sqlMap(`SELECT type, sum("count")::BIGINT `+from+"'type' GROUP BY 1"), types)
	}
}

func (in *instance) checkTrace(f traceFile, tr storedTrace) {
	in.t.Helper()
	if tr.kind != "exception" || tr.typ == "" || tr.frames == "0" {
		in.t.Errorf("%s: an event with %d lines of a trace is kind %s, type %q, %s frames: %.200q", f.name, tr.lines, tr.kind, tr.typ, tr.frames, tr.message)
	}
}

// TestTracesInJSON: Elasticsearch writes JSON with the trace as a list of lines,
// over several lines of the file. Each object is one event, and one with a trace
// is an exception with as many frames as the list has.
func TestTracesInJSON(t *testing.T) {
	body, err := os.ReadFile(testdata.Shared(t, "app-logs/filebeat-modules/elasticsearch/server/test-json.log"))
	if err != nil {
		t.Fatal(err)
	}
	var want [][]string
	dec := json.NewDecoder(strings.NewReader(string(body)))
	objects := 0
	for {
		var o struct {
			Message string
			Trace   []string `json:"stacktrace"`
		}
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		objects++
		if len(o.Trace) > 0 {
			frames := 0
			for _, line := range o.Trace {
				if strings.HasPrefix(strings.TrimSpace(line), "at ") {
					frames++
				}
			}
			typ, _, _ := strings.Cut(o.Trace[0], ":")
			want = append(want, []string{o.Message, typ, strconv.Itoa(frames)})
		}
	}
	in := boot(t, "", allSamples)
	sent := in.post("source=es", string(body))
	if sent != objects {
		t.Errorf("%d events accepted, the file has %d objects", sent, objects)
	}
	in.drain(sent)
	got := in.sql("SELECT message, type, json_array_length(attrs->'$.exception_report.exception.frames') FROM exceptions ORDER BY time, ordinal")
	if fmt.Sprint(got) != fmt.Sprint(want) || len(want) < 2 {
		t.Errorf("exceptions\n got %q\nwant %q", got, want)
	}
}

// TestTracesInFields: a trace in a field of a JSON or logfmt line, its line
// breaks escaped, makes that line an exception.
func TestTracesInFields(t *testing.T) {
	in := boot(t, "", allSamples)
	traces := map[string]string{
		"java.io.IOException":              "java.io.IOException: disk\n\tat com.shop.Cart.save(Cart.java:12)\n\tat com.shop.Main.main(Main.java:3)",
		"ValueError":                       "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in <module>\n    f()\n  File \"/app/a.py\", line 1, in f\n    raise ValueError('x')\nValueError: x",
		"TypeError":                        "TypeError: x is not a function\n    at f (/app/a.js:1:2)\n    at Object.<anonymous> (/app/b.js:3:4)",
		"System.InvalidOperationException": "System.InvalidOperationException: no\r\n   at Shop.Cart.Save() in c:\\\\a\\\\Cart.cs:line 12\r\n   at Shop.Main.Run()",
	}
	sent := 0
	for _, typ := range slices.Sorted(maps.Keys(traces)) {
		for _, field := range []string{"stack_trace", "exception", "stack", "error.stack_trace", "message"} {
			line, err := json.Marshal(map[string]string{"level": "error", "service": field, field: traces[typ]})
			if err != nil {
				t.Fatal(err)
			}
			sent += in.post("source=fields", string(line)+"\n")
		}
		sent += in.post("source=fields", fmt.Sprintf("level=error service=logfmt msg=failed stack=%q\n", traces[typ]))
	}
	in.drain(sent)
	want := map[string]int{}
	for typ := range traces {
		want[typ+" 2"] = sent / len(traces)
	}
	equalCounts(t, "types and frames", in.sqlMap("SELECT type || ' ' || json_array_length(attrs->'$.exception_report.exception.frames'), count(*) FROM exceptions GROUP BY 1"), want)
	for _, row := range in.sql("SELECT service, message, attrs FROM events WHERE kind <> 'exception'") {
		t.Errorf("no exception: %q", row)
	}
	in.checkExceptionCounts(sent)
}
