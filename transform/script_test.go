package transform

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

var rewriteRules = flag.Bool("rewrite", false, "rewrite what comes out in testdata/rules")

// TestScripts runs testdata/rules/*.txt. A case is lines "# …", the rules, a line
// "--", lines to decode (a first line "format NAME" gives their format, else it is
// line), a line "----", and what comes out: the violations, or for every event
// its verdict, the steps that were not matched and what the program changed. In
// lines ␤ stands for a newline. Cases are separated by "====". -rewrite rewrites
// what comes out.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/rules/*.txt")
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
	for i, block := range strings.Split(string(text), "\n====\n") {
		head, want, ok := strings.Cut(strings.Trim(block, "\n"), "\n----")
		if !ok {
			t.Fatalf("%s: case %d has no ----:\n%s", name, i+1, block)
		}
		got := runCase(t, head)
		if got != strings.Trim(want, "\n") && !*rewriteRules {
			t.Errorf("%s:\n got\n%s\nwant\n%s", head, got, want)
		}
		if i > 0 {
			out.WriteString("\n====\n")
		}
		fmt.Fprintf(&out, "%s\n----\n%s\n", head, got)
	}
	if *rewriteRules {
		if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runCase returns what comes out of a case.
func runCase(t *testing.T, head string) string {
	t.Helper()
	text, input, _ := strings.Cut(head, "\n--\n")
	p, err := Load([]byte(text), testOptions())
	if err != nil {
		return err.Error()
	}
	format := "line"
	if rest, ok := strings.CutPrefix(input, "format "); ok {
		format, input, _ = strings.Cut(rest, "\n")
	}
	lines := strings.Split(input, "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], "␤", "\n")
	}
	b := newBatch(format, lines...)
	var s Scratch
	var out []string
	for i := range b.Events {
		out = append(out, describeEvent(p, b, &b.Events[i], &s))
	}
	return strings.Join(out, "\n")
}

// describeEvent explains one event, and checks that Apply does the same.
func describeEvent(p *Program, b *millrace.Batch, e *millrace.Event, s *Scratch) string {
	before, twin := snapshot(e), snapshot(e)
	x := p.Explain(b, e, s)
	verdict := p.Apply(b, &twin, s)
	var out []string
	if verdict != x.Verdict || len(changes(*e, &twin)) > 0 {
		out = append(out, fmt.Sprintf("Apply differs from Explain: %+v, %+v", verdict, changes(*e, &twin)))
	}
	if x.Verdict.Dropped {
		out = append(out, "dropped "+x.Verdict.Reason)
	} else {
		out = append(out, "kept")
	}
	for _, st := range x.Steps {
		if st.Outcome != "matched" && st.Outcome != "dropped" {
			out = append(out, strings.TrimSuffix(fmt.Sprintf("  (%s %s: %s)", st.Name, st.Outcome, st.Detail), ": )")+")")
			out[len(out)-1] = strings.ReplaceAll(out[len(out)-1], "))", ")")
		}
	}
	for _, c := range changes(before, e) {
		if c.Field == "time" {
			c.After = time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano)
		}
		if c.After == "" {
			c.After = "(removed)"
		}
		out = append(out, "  "+c.Field+"="+c.After)
	}
	return strings.Join(out, "\n")
}
