package decode

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// TestScripts runs testdata/decode/*.txt. A case is a comment line "# …", a line
// "format NAME", the body, a line "----", and what comes out: for each event
// its kind, columns that are not empty, and attributes with their JSON text;
// for each reject and refused line its reason. In the body ␤ stands for a
// newline within a string, nothing else is special. Records arrive on
// 2026-03-05T12:00:00Z from 10.9.8.7 for the source src. Cases are separated by
// blank lines. -rewrite rewrites what comes out.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/decode/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) { runScript(t, name) })
	}
}

func runScript(t *testing.T, name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		head, want, ok := strings.Cut(block, "\n----")
		if !ok {
			t.Fatalf("%s: case %d has no ----:\n%s", name, i+1, block)
		}
		if i > 0 {
			out.WriteByte('\n')
		}
		format, body := "", head
		for strings.HasPrefix(body, "#") || strings.HasPrefix(body, "format ") {
			line, rest, _ := strings.Cut(body, "\n")
			if f, ok := strings.CutPrefix(line, "format "); ok {
				format = f
			}
			body = rest
		}
		got := describe(t, format, strings.ReplaceAll(body, "␤", "\n"))
		if got != strings.Trim(want, "\n") && !*rewrite {
			t.Errorf("%s:\n got\n%s\nwant\n%s", head, got, want)
		}
		fmt.Fprintf(&out, "%s\n----\n%s\n", head, got)
	}
	if *rewrite {
		if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// describe decodes body and renders what came out.
func describe(t *testing.T, format, body string) string {
	t.Helper()
	r, fr := recordOf(t, format, []byte(body))
	var out []string
	for _, l := range fr.Refused {
		out = append(out, fmt.Sprintf("refused %s: %s", l.Reason, l.Detail))
	}
	b := &millrace.Batch{}
	b.Reset(r)
	new(Decoder).Decode(b)
	checkBatch(t, b)
	for i := range b.Events {
		out = append(out, describeEvent(&b.Events[i], body))
	}
	for _, rej := range b.Rejects {
		out = append(out, fmt.Sprintf("reject %s: %s", rej.Reason, rej.Detail))
	}
	return strings.Join(out, "\n")
}

func describeEvent(e *millrace.Event, body string) string {
	s := e.Kind.String()
	f := func(name, v, unless string) {
		if v != unless {
			s += " " + name + "=" + strings.NewReplacer("\n", "␤", "\x00", "␀").Replace(v)
		}
	}
	if e.HasTime {
		f("time", time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano), "")
	}
	f("service", e.Service, "src")
	f("host", e.Host, "10.9.8.7")
	f("env", e.Env, "")
	f("release", e.Release, "")
	f("level", e.Level, "")
	f("trace", e.TraceID, "")
	f("weight", fmt.Sprint(e.Weight), "1")
	if e.MultiLine {
		s += " multiline"
	}
	msg := e.Message
	if strings.Contains("\n"+body+"\n", "\n"+msg+"\n") {
		msg = "(the line)"
	}
	f("message", msg, "")
	for _, a := range e.Attrs {
		s += fmt.Sprintf("\n  %s=%s", a.Key, strings.ReplaceAll(string(a.Value.AppendJSON(nil)), "\n", "␤"))
	}
	return s
}
