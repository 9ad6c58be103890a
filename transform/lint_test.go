package transform

import (
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

func TestLint(t *testing.T) {
	f := func(pattern string, want ...string) {
		t.Helper()
		p := mustCompile(t, "steps: [{extract: {regexp: '"+pattern+"'}}]")
		var got []string
		for _, w := range p.Lint(nil, time.Now) {
			if w.Rule != "cost" { // depends on the machine
				got = append(got, w.Rule)
			}
			if w.Line != 1 || w.Column == 0 || w.CostNanos <= 0 || w.CostClass == "" || w.Lines != 0 || w.Cure == "" || w.Step != "extract 1" {
				t.Errorf("%s: %+v", pattern, w)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", pattern, got, want)
		}
	}
	f(`^(?P<a>\S+) (?P<b>[^"]*)`)
	f(`(?P<a>\d+)`, "unanchored")
	f(`user=(?P<a>\d+)`, "unanchored")
	f(`, user=(?P<a>\d+)`)
	f(`(?P<a>.*?) x`, "unanchored")
	f(`^(?P<a>.*) (?P<b>.*)$`, "ambiguous")
	f(`^(?P<a>(x+)+y)`, "nested")
	f(`^(?P<a>\w+)(?P<b>\S+)`, "ambiguous")
	f(`^(?P<a>.*)(?P<b>\d*)`, "ambiguous")
	f(`^a:\s*(?P<a>.*)$`) // evident: all white space, then the rest
	f(`^(?P<a>\d+)(?P<b>.*)$`)
	f(`(?m)^at (?P<a>\S+)`)
	f(`\buser=(?P<a>\d+)`)
	f(`(?:^|\s)user=(?P<a>\d+)`)
	f(`\b(?P<a>\d+)`, "unanchored")
	f(`^(?P<a>.*?): (?P<b>.*)$`)

	p := mustCompile(t, "masks: [{fields: [a], drop: true, only_here: true}]")
	if w := p.Lint(nil, time.Now); len(w) != 1 || w[0].Rule != "readable" {
		t.Errorf("%v", w)
	}
}

// TestLintTexts: a pattern is measured on what its step read, not on the line.
func TestLintTexts(t *testing.T) {
	p := mustCompile(t, `steps:
  - {name: head, extract: {regexp: '^(?P<code>\d+) (?P<rest>.*)$'}}
  - {name: tail, extract: {from: rest, regexp: '(?P<n>\d+)'}, when: 'code == "7"'}
  - {name: never, extract: {regexp: '(?P<m>\d+)'}, when: 'code == "8"'}`)
	var reports [][]StepReport
	for _, line := range []string{"7 a" + strings.Repeat("a", 20_000), "9 b", "7 c", "none"} {
		var b millrace.Batch
		b.Reset(&millrace.Record{})
		e := b.Add(0)
		e.Message = line
		reports = append(reports, p.Explain(&b, e, &Scratch{}).Steps)
	}
	found := map[string]Warning{}
	for _, w := range p.Lint(reports, time.Now) {
		if w.Rule == "unanchored" {
			found[w.Step] = w
		}
	}
	tail, never := found["tail"], found["never"]
	if len(found) != 2 || tail.Lines != 2 || tail.Line != 3 || tail.Path != "steps[1].extract.patterns[0].regexp" {
		t.Errorf("%+v", found)
	}
	if never.Lines != 0 || never.CostNanos >= tail.CostNanos {
		t.Errorf("10,000 bytes cost %d ns, 160 bytes %d", tail.CostNanos, never.CostNanos)
	}
	if s := tail.String(); !strings.Contains(s, "line 3, column ") || !strings.Contains(s, "(tail)") || !strings.Contains(s, " per line (") || !strings.HasSuffix(s, " [unanchored]") {
		t.Error(s)
	}
}

// TestLintBudget: however many patterns there are, measuring ends; those that
// there is no time for are named without a cost.
func TestLintBudget(t *testing.T) {
	p := mustCompile(t, "steps: [{extract: {patterns: ["+strings.Repeat(`{regexp: '(?P<a>\d+)'}, `, 10)+"]}}]")
	at := time.Unix(0, 0)
	slow := func() time.Time { // every look at the clock takes a tenth of what there is
		at = at.Add(maxLint / 10)
		return at
	}
	all := p.Lint(nil, slow)
	measured := 0
	for _, w := range all {
		if w.CostNanos > 0 {
			measured++
		}
	}
	if last := all[len(all)-1]; len(all) < 10 || measured == 0 || measured > 5 || last.CostNanos != 0 || strings.Contains(last.String(), "costs") {
		t.Errorf("%d of %d have a cost: %v", measured, len(all), all)
	}
	stuck := p.Lint(nil, func() time.Time { return at }) // ends as well
	if len(stuck) < 10 {
		t.Errorf("%d warnings", len(stuck))
	}
}

// TestLintPresets: what comes with millrace is not what its own lint warns of.
func TestLintPresets(t *testing.T) {
	for _, name := range Presets() {
		text, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range mustCompile(t, string(text)).Lint(nil, time.Now) {
			if w.Rule != "cost" { // depends on the machine
				t.Errorf("%s: %s", name, w)
			}
		}
	}
}

// FuzzLint: whatever compiles can be linted, within bounds.
func FuzzLint(f *testing.F) {
	for _, s := range []string{`^(?P<a>.*) (?P<b>.*)$`, `(?P<a>(x+)+y)`, `(?m)^|\b$`, `()*`, `(?i)(?P<a>[^a-z]*)(?P<b>\W+?)`, `(?P<a>\pL{2,9}){2,}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		p, err := Load([]byte("steps: [{extract: {regexp: "+strconv.Quote(pattern)+"}}]"), testOptions())
		if err != nil {
			return
		}
		within(t, 2*time.Second, func() {
			for _, w := range p.Lint(nil, time.Now) {
				if w.Line != 1 || w.Rule == "" || w.Message == "" || w.Cure == "" || w.CostNanos <= 0 || !utf8.ValidString(w.String()) {
					t.Errorf("%q: %+v", pattern, w)
				}
			}
		})
	})
}
