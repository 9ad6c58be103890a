package pipeline

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/queue"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected output of scripts")

// TestReconcile runs testdata/reconcile.txt: cases of "-- title", input lines,
// "==" and the expected output.
func TestReconcile(t *testing.T) {
	const path = "testdata/reconcile.txt"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cases := strings.Split(string(text), "\n-- ")
	out.WriteString(strings.TrimRight(cases[0], "\n") + "\n")
	for _, c := range cases[1:] {
		input, _, _ := strings.Cut(c, "\n==")
		out.WriteString("\n-- " + input + "\n==\n" + reconcileScript(t, input))
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != string(text) {
		t.Errorf("output differs from %s; run with -rewrite and look at the diff:\n%s", path, out.String())
	}
}

func reconcileScript(t *testing.T, input string) string {
	t.Helper()
	var b queue.Bounds
	var lost queue.Regression
	var sinks []*sink
	for line := range strings.Lines(input) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "log":
			if _, err := fmt.Sscan(rest, &b.Low, &b.High, &b.TopicID); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		case name == "lost":
			if _, err := fmt.Sscan(rest, &lost.From, &lost.To, &lost.TopicID); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		case name == "events" || name == "rollup":
			s := &sink{
				name: millrace.Sink(name), positions: map[int32]*millrace.Position{}, moved: map[int32]bool{},
				now: func() int64 { return 0 },
			}
			if rest != "none" {
				p := &millrace.Position{}
				if _, err := fmt.Sscanf(rest, "%d.%d g%d %s", &p.Offset, &p.Ordinal, &p.Generation, &p.TopicID); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				s.positions[0] = p
			}
			sinks = append(sinks, s)
		}
	}
	reconcile(0, b, lost, sinks)
	var out strings.Builder
	for _, s := range sinks {
		p := s.positions[0]
		fmt.Fprintf(&out, "%s %d.%d g%d %s", s.name, p.Offset, p.Ordinal, p.Generation, p.TopicID)
		if s.moved[0] {
			out.WriteString(" moved")
		}
		out.WriteString("\n")
		for _, g := range s.gaps {
			fmt.Fprintf(&out, "  gap g%d [%d,%d) %s\n", g.Generation, g.From, g.To, g.Reason)
		}
	}
	return out.String()
}
