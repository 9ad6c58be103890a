package exception_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/testdata"
)

// The samples in the shared test data: each must decode, with the frames that
// its origin expects where it says so. docs/exceptions.md lists the deviations.

// family counts how many samples of one kind decode as expected.
type family struct {
	t        *testing.T
	name     string
	ok, all  int
	excepted map[string]string // sample to reason
	seen     map[string]bool
}

func newFamily(t *testing.T, name string, excepted map[string]string) *family {
	return &family{t: t, name: name, excepted: excepted, seen: map[string]bool{}}
}

// check counts one sample; problem is "" if it is as expected.
func (f *family) check(sample, problem string) {
	f.t.Helper()
	f.all++
	f.seen[sample] = true
	reason := f.excepted[sample]
	switch {
	case problem == "" && reason != "":
		f.t.Errorf("%s: %s is as expected now, take it off the deviations (%s)", f.name, sample, reason)
	case problem == "":
		f.ok++
	case reason == "":
		f.t.Errorf("%s: %s: %s", f.name, sample, problem)
	default:
		f.t.Logf("%s: %s: %s (%s)", f.name, sample, problem, reason)
	}
}

func (f *family) done(atLeast int) {
	f.t.Helper()
	f.t.Logf("%s: %d of %d decode as expected (%.1f%%), %d deviations", f.name, f.ok, f.all, 100*float64(f.ok)/float64(max(f.all, 1)), len(f.excepted))
	if f.all < atLeast {
		f.t.Errorf("%s: %d samples, want at least %d", f.name, f.all, atLeast)
	}
	for s := range f.excepted {
		if !f.seen[s] {
			f.t.Errorf("%s: the deviation %s names no sample", f.name, s)
		}
	}
}

func TestScriptStacks(t *testing.T) {
	f := newFamily(t, "js-stacks", map[string]string{
		"IE_9": "Internet Explorer 9 has no stack: there is a message and no frame",
	})
	var cases []struct {
		Browser, Name string
		Input         struct {
			Name, Message, Stack, Stacktrace string
			FramesToPop                      int
		}
		Expected struct {
			Type, Value string
			Stacktrace  struct {
				Frames []struct {
					Filename, Function string
					Lineno, Colno      int
				}
			}
		}
	}
	root := testdata.Shared(t, "exceptions/js-stacks")
	readJSON(t, filepath.Join(root, "sentry-tracekit-cases.json"), &cases)
	for _, c := range cases {
		stack := c.Input.Stacktrace
		if stack == "" {
			stack = c.Input.Stack
		}
		r, ok := exception.ReadScriptError(c.Input.Name, c.Input.Message, stack, c.Input.FramesToPop)
		var problem string
		if !ok {
			problem = "no exception"
		} else if e := r.Exception; e.Type != c.Expected.Type || e.Message != c.Expected.Value {
			problem = fmt.Sprintf("%q: %q, want %q: %q", e.Type, e.Message, c.Expected.Type, c.Expected.Value)
		} else {
			var want []millrace.Frame
			for _, w := range slices.Backward(c.Expected.Stacktrace.Frames) {
				want = append(want, millrace.Frame{Function: strings.TrimPrefix(w.Function, "?"), File: w.Filename, Line: w.Lineno, Column: w.Colno})
			}
			problem = compareFrames(e.Frames, want, func(f millrace.Frame) millrace.Frame { f.InApp = false; return f })
		}
		f.check(c.Browser+": "+c.Name, problem)
	}
	var captured map[string]struct{ Name, Message, Stack, Stacktrace string }
	readJSON(t, filepath.Join(root, "error-stack-parser-captured.json"), &captured)
	for name, c := range captured {
		stack := c.Stacktrace
		switch {
		case stack != "":
		case c.Stack != "":
			stack = c.Stack
		default:
			stack = c.Message
		}
		r, ok := exception.ReadScriptError(c.Name, c.Message, stack, 0)
		problem := ""
		switch {
		case !ok || len(r.Exception.Frames) == 0:
			problem = "no frames"
		case stack != "" && r.Exception.Frames[0].Line == 0 && name != "SAFARI_8_EVAL" && name != "EDGE_20_NESTED_EVAL":
			problem = fmt.Sprintf("no place in %+v", r.Exception.Frames[0])
		default:
			// Every line of the stack that has a URL with a line number is a frame.
			if lines := strings.Count(stack, ".js:") + strings.Count(stack, ".html:") + strings.Count(stack, " > eval:"); c.Stacktrace == "" && name != "OPERA_927" && len(r.Exception.Frames) < lines {
				problem = fmt.Sprintf("%d frames of %d", len(r.Exception.Frames), lines)
			}
		}
		f.check(name, problem)
	}
	f.done(52)
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func compareFrames(got, want []millrace.Frame, look func(millrace.Frame) millrace.Frame) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d frames, want %d", len(got), len(want))
	}
	for i := range got {
		if g := look(got[i]); g != want[i] {
			return fmt.Sprintf("frame %d is %+v, want %+v", i, g, want[i])
		}
	}
	return ""
}

// TestSentryEvents compares each event with what a walk over its JSON finds.
func TestSentryEvents(t *testing.T) {
	for _, dir := range []string{"sentry-events", "bugsink-events", "glitchtip-events", "sentry-cocoa-events", "sentry-java-protocol"} {
		f := newFamily(t, dir, map[string]string{})
		files, err := filepath.Glob(filepath.Join(testdata.Shared(t, "exceptions"), dir, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f.check(filepath.Base(file), compareSentry(t, data))
		}
		f.done(len(files))
	}
}

func compareSentry(t *testing.T, data []byte) string {
	var event map[string]any
	if err := json.Unmarshal(data, &event); err != nil { // a fragment that is no object
		if _, ok := sentryReport(t, data); ok {
			return "an exception, of what is no event"
		}
		return ""
	}
	var types []string
	frames, inThreads := 0, 0
	for _, v := range sentryList(event["exception"]) {
		x, _ := v.(map[string]any)
		types = append(types, fmt.Sprint(x["type"]))
		frames += countJSONFrames(x["stacktrace"])
	}
	for _, v := range sentryList(event["threads"]) {
		x, _ := v.(map[string]any)
		inThreads += countJSONFrames(x["stacktrace"])
	}
	r, ok := sentryReport(t, data)
	if want := len(types) > 0 || inThreads > 0 || countJSONFrames(event["stacktrace"]) > 0; ok != want {
		return fmt.Sprintf("an exception: %v, want %v", ok, want)
	}
	if !ok {
		return ""
	}
	got, n := 0, 0
	var walk func(e *millrace.Exception) string
	walk = func(e *millrace.Exception) string {
		if e == nil {
			return ""
		}
		n++
		got += len(e.Frames)
		i := slices.IndexFunc(types, func(s string) bool {
			return s == e.Type || s == "<nil>" && e.Type == "" || strings.HasSuffix(e.Type, "."+s)
		})
		if i < 0 && len(types) > 0 {
			return fmt.Sprintf("type %q is none of %q", e.Type, types)
		}
		for _, c := range append(append([]*millrace.Exception{e.Cause}, e.Related...), e.Members...) {
			if problem := walk(c); problem != "" {
				return problem
			}
		}
		return ""
	}
	if problem := walk(r.Exception); problem != "" {
		return problem
	}
	if n != max(len(types), 1) || frames > 0 && got != frames || frames == 0 && inThreads > 0 && got == 0 {
		return fmt.Sprintf("%d exceptions of %d, %d frames of %d", n, len(types), got, frames)
	}
	return ""
}

// sentryReport decodes an event as the server does.
func sentryReport(t *testing.T, event []byte) (r millrace.Report, ok bool) {
	t.Helper()
	var p decode.Pieces
	if err := decode.Split("sentry-event", nil, event, decode.Limits{}, &p); err != nil {
		t.Fatal(err)
	}
	var b millrace.Batch
	for i := range p.Events {
		payload := decode.AppendPiece(nil, 0, &p.Events[i])
		b.Reset(&millrace.Record{Project: "default", Source: "s", Format: "sentry-event", Payload: payload, Frames: []uint32{uint32(len(payload))}})
		new(decode.Decoder).Decode(&b)
	}
	if len(b.Events) != 1 || b.Events[0].Report == nil || b.Events[0].Report.Exception == nil {
		return r, false
	}
	r = *b.Events[0].Report
	exception.MarkInApp(&r)
	return r, true
}

func sentryList(v any) []any {
	switch v := v.(type) {
	case []any:
		return v
	case map[string]any:
		if values, ok := v["values"].([]any); ok {
			return values
		}
		if v["type"] != nil || v["value"] != nil {
			return []any{v}
		}
	}
	return nil
}

func countJSONFrames(v any) (n int) {
	stack, _ := v.(map[string]any)
	frames, _ := stack["frames"].([]any)
	for _, f := range frames {
		if f != nil {
			n++
		}
	}
	return n
}

func TestAppleReports(t *testing.T) {
	f := newFamily(t, "apple-crash", map[string]string{
		"apple-crash-report-parser/xcode16.crash.txt": "a header without exception, threads or images: there is nothing to read",
	})
	root := testdata.Shared(t, "crash/apple-crash")
	for name, expected := range map[string]string{
		"apple-crash-report-parser/bruno.crash.txt":       "apple-crash-report-parser/EXPECTED.bruno.snap.yaml",
		"apple-crash-report-parser/handcrafted.crash.txt": "apple-crash-report-parser/EXPECTED.handcrafted.snap.yaml",
		"apple-crash-report-parser/xcode16.crash.txt":     "",
		"symbolicator/apple_crash_report.txt":             "apple-crash-report-parser/EXPECTED.handcrafted.snap.yaml", // the same report
	} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		r, ok := exception.ReadCrash(data)
		switch {
		case !ok:
			f.check(name, "no exception")
		case expected == "":
			f.check(name, "")
		default:
			f.check(name, compareApple(t, r, filepath.Join(root, expected)))
		}
	}
	f.done(4)
}

func compareApple(t *testing.T, r millrace.Report, expected string) string {
	snapshot, err := os.ReadFile(expected)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(snapshot), "\n---\n")
	var want struct {
		Metadata map[string]string
		Threads  []struct {
			ID      int
			Name    string
			Crashed bool
			Frames  []struct {
				Module, Symbol, Filename string
				Lineno                   int
				Addr                     string `yaml:"instruction_addr"`
			}
		}
	}
	if err := yaml.Unmarshal([]byte(body), &want); err != nil {
		t.Fatal(err)
	}
	if len(r.Threads) != len(want.Threads) {
		return fmt.Sprintf("%d threads, want %d", len(r.Threads), len(want.Threads))
	}
	if r.Exception.Type != want.Metadata["Exception Type"] {
		return fmt.Sprintf("type %q, want %q", r.Exception.Type, want.Metadata["Exception Type"])
	}
	for i, w := range want.Threads {
		th := r.Threads[i]
		if th.ID != strconv.Itoa(w.ID) || th.Name != w.Name || th.Crashed != w.Crashed {
			return fmt.Sprintf("thread %+v, want %d %s %v", th, w.ID, w.Name, w.Crashed)
		}
		frames := th.Frames
		if w.Crashed {
			frames = r.Exception.Frames
		}
		var wanted []millrace.Frame
		for _, wf := range w.Frames {
			addr, _ := strconv.ParseUint(wf.Addr, 0, 64)
			wanted = append(wanted, millrace.Frame{Module: wf.Module, Function: wf.Symbol, File: wf.Filename, Line: wf.Lineno, Address: addr})
		}
		look := func(f millrace.Frame) millrace.Frame { f.InApp, f.Offset, f.Build = false, 0, ""; return f }
		if problem := compareFrames(frames, wanted, look); problem != "" {
			return fmt.Sprintf("thread %d: %s", i, problem)
		}
	}
	return ""
}

// TestCrashReports decodes every other report and compares what testdata/
// crash.txt tells of each; for KSCrash and SentryCrash a walk over the JSON
// must find the same addresses.
func TestCrashReports(t *testing.T) {
	var files []string
	root := testdata.Shared(t, "crash")
	for _, dir := range []string{"android", "apple-ips", "kscrash-json", "sentrycrash-json", "metrickit", "plcrash"} {
		more, err := filepath.Glob(filepath.Join(root, dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	seen := map[string]bool{}
	script(t, "testdata/crash.txt", func(name, _ string) string {
		seen[name] = true
		data := readMaybeGzip(t, filepath.Join(root, name))
		r, ok := exception.ReadCrash(data)
		if strings.Contains(name, "crash-json/") && ok {
			if problem := compareKSCrash(data, r); problem != "" {
				t.Errorf("%s: %s", name, problem)
			}
		}
		return summary(r, ok)
	})
	families := map[string]*family{}
	for _, file := range files {
		name, _ := filepath.Rel(root, file)
		name = filepath.ToSlash(name)
		dir := filepath.Dir(name)
		if strings.HasSuffix(name, "debug_meta.json.gz") {
			continue // the images of the tombstone, no report
		}
		if families[dir] == nil {
			families[dir] = newFamily(t, dir, crashDeviations(dir))
		}
		if !seen[name] {
			t.Errorf("%s is missing in testdata/crash.txt", name)
		}
		_, ok := exception.ReadCrash(readMaybeGzip(t, file))
		problem := ""
		if !ok {
			problem = "no exception"
		}
		families[dir].check(name, problem)
	}
	for _, f := range families {
		f.done(1)
	}
}

// TestCrashTexts runs testdata/crashes.txt.
func TestCrashTexts(t *testing.T) {
	script(t, "testdata/crashes.txt", func(_, input string) string {
		return summary(exception.ReadCrash([]byte(input)))
	})
}

func crashDeviations(dir string) map[string]string {
	if dir == "sentrycrash-json" {
		return map[string]string{
			"sentrycrash-json/crash-report-user-info-scope-v1.json": "the user and debug sections alone, without a crash",
		}
	}
	return nil
}

func readMaybeGzip(t *testing.T, file string) []byte {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var r io.Reader = in
	if strings.HasSuffix(file, ".gz") {
		if r, err = gzip.NewReader(in); err != nil {
			t.Fatal(err)
		}
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// summary is what testdata/crash.txt keeps of a report.
func summary(r millrace.Report, ok bool) string {
	if !ok {
		return "no exception\n"
	}
	var b strings.Builder
	frames := 0
	for _, th := range r.Threads {
		frames += len(th.Frames)
	}
	e := *r.Exception
	fmt.Fprintf(&b, "%s %s, %d threads with %d frames, %d in the exception, thread %q\n",
		r.Language, r.Mechanism, len(r.Threads), frames, len(e.Frames), e.Thread)
	e.Frames = e.Frames[:min(len(e.Frames), 6)]
	describeTree(&b, &e, "", "")
	return b.String() + "fingerprint " + exception.FingerprintOf(2, &r) + "\n"
}

// compareKSCrash walks the JSON for instruction addresses.
func compareKSCrash(data []byte, r millrace.Report) string {
	var raw map[string]any
	if json.Unmarshal(data, &raw) != nil {
		return "no JSON"
	}
	crash, _ := raw["crash"].(map[string]any)
	threads, _ := crash["threads"].([]any)
	var want []uint64
	for _, th := range threads {
		m, _ := th.(map[string]any)
		bt, _ := m["backtrace"].(map[string]any)
		contents, _ := bt["contents"].([]any)
		for _, c := range contents {
			f, _ := c.(map[string]any)
			n, _ := f["instruction_addr"].(float64)
			want = append(want, uint64(n))
		}
	}
	var got []uint64
	for _, th := range r.Threads {
		frames := th.Frames
		if frames == nil && th.Crashed {
			frames = r.Exception.Frames
		}
		for _, f := range frames {
			got = append(got, f.Address)
		}
	}
	if !slices.Equal(got, want) && len(want) > 0 {
		return fmt.Sprintf("%d addresses, want %d, or others", len(got), len(want))
	}
	return ""
}
