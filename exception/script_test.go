package exception_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/testdata"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expectations in testdata")

// describe writes an exception for people: type and message, then a line per
// frame with '+' for the application's own, then the causes.
func describe(e *millrace.Exception) string {
	var b strings.Builder
	describeTree(&b, e, "", "")
	return b.String() + "fingerprint " + exception.Fingerprint(e) + "\n"
}

func describeTree(b *strings.Builder, e *millrace.Exception, indent, head string) {
	for ; e != nil; e, head = e.Cause, "cause " {
		fmt.Fprintf(b, "%s%s%s: %q\n", indent, head, e.Type, e.Message)
		describeFrames(b, e.Frames, indent)
		if e.Common > 0 {
			fmt.Fprintf(b, "%s  and %d in common\n", indent, e.Common)
		}
		for _, r := range e.Related {
			describeTree(b, r, indent+"    ", "related ")
		}
		for _, m := range e.Members {
			describeTree(b, m, indent+"    ", "member ")
		}
	}
}

func describeFrames(b *strings.Builder, frames []millrace.Frame, indent string) {
	for _, f := range frames {
		mark := byte('-')
		if f.InApp {
			mark = '+'
		}
		fmt.Fprintf(b, "%s  %c %s | %s | %s:%d", indent, mark, f.Module, f.Function, f.File, f.Line)
		if f.Column > 0 {
			fmt.Fprintf(b, ":%d", f.Column)
		}
		if f.Address > 0 {
			fmt.Fprintf(b, " @%x", f.Address)
		}
		if f.Offset > 0 {
			fmt.Fprintf(b, " %.8s+%x", f.Build, f.Offset)
		}
		b.WriteByte('\n')
	}
}

// parse describes what Parse makes of text, and checks what always holds.
func parse(t testing.TB, text string) string {
	t.Helper()
	e, ok := exception.Parse(text)
	if !ok {
		return "no exception\n"
	}
	if !exception.HasTrace(text) {
		t.Errorf("HasTrace is false for %q", text)
	}
	return describe(e)
}

// script runs a file of cases "== name", input, "----", expectation.
func script(t *testing.T, file string, input func(name, input string) (got string)) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, c := range strings.Split("\n"+string(data), "\n== ") {
		if i == 0 { // what stands before the first case
			out.WriteString(strings.TrimPrefix(c+"\n", "\n"))
			continue
		}
		name, rest, _ := strings.Cut(c, "\n")
		body, want, ok := strings.Cut("\n"+rest+"\n", "\n----\n")
		if !ok {
			t.Fatalf("%s: no line ----", name)
		}
		body = strings.TrimPrefix(body+"\n", "\n")
		got := input(name, body)
		if strings.TrimSpace(want) != strings.TrimSpace(got) && !*rewrite {
			t.Errorf("%s:\ngot:\n%s\nwant:\n%s", name, got, want)
		}
		fmt.Fprintf(&out, "== %s\n%s----\n%s", name, body, got)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestParse runs testdata/traces.txt.
func TestParse(t *testing.T) {
	script(t, "testdata/traces.txt", func(_, input string) string {
		return parse(t, strings.TrimSuffix(input, "\n"))
	})
}

// deviations are samples that are not one complete exception.
var deviations = map[string]string{
	"coroot-logparser/java_02.txt":   "the same trace twice: two events",
	"coroot-logparser/python_02.txt": "the same trace twice: two events",
	"coroot-logparser/js_02.txt":     "ends with an access line, an event of its own",
	"coroot-logparser/json_01.txt":   "two lines of text around JSON, no trace",
}

// TestRawTraces checks that each sample is one event, and compares it with the
// expectations in testdata/raw-traces.txt.
func TestRawTraces(t *testing.T) {
	root := testdata.Shared(t, "exceptions/raw-traces")
	files, err := filepath.Glob(filepath.Join(root, "*", "*.txt"))
	if err != nil || len(files) != 35 {
		t.Fatalf("%d samples, want 35: %v", len(files), err)
	}
	seen := map[string]bool{}
	script(t, "testdata/raw-traces.txt", func(name, _ string) string {
		seen[name] = true
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		texts := trimmed(data, join(data))
		if (len(texts) != 1) != (deviations[name] != "") {
			t.Errorf("%s: %d events", name, len(texts))
		}
		if framed := trimmed(data, frame(t, "auto", data)); !equal(texts, framed) {
			t.Errorf("%s: Frame gives %d events, Joiner %d, or others", name, len(framed), len(texts))
		}
		for _, text := range texts {
			got := parse(t, text)
			if deviations[name] == "" && (strings.HasPrefix(got, "no exception") || strings.HasPrefix(got, ":") || !strings.Contains(got, " | ")) {
				t.Errorf("%s: no type or frames: %s", name, got)
			}
			b.WriteString(got)
		}
		return b.String()
	})
	t.Logf("raw-traces: %d of %d decode as expected, %d of them are not one complete exception", len(seen), len(files), len(deviations))
	for _, f := range files {
		name, _ := filepath.Rel(root, f)
		if !seen[filepath.ToSlash(name)] {
			t.Errorf("%s is missing in testdata/raw-traces.txt", name)
		}
	}
}
