package transform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// seedRules adds the rules of the scripts and of the presets.
func seedRules(f *testing.F, add func(text, lines string)) {
	f.Helper()
	files, _ := filepath.Glob("testdata/rules/*.txt")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "\n====\n") {
			head, _, _ := strings.Cut(block, "\n----")
			rules, lines, _ := strings.Cut(head, "\n--\n")
			add(rules, lines)
		}
	}
	for _, name := range Presets() {
		text, err := Preset(name)
		if err != nil {
			f.Fatal(err)
		}
		add(string(text), "2026/03/05 10:00:00 [error] 1#2: *3 open() failed, client: 192.0.2.1")
	}
}

// within fails the test if f takes longer than any input may.
func within(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	started := time.Now()
	f()
	if took := time.Since(started); took > limit {
		t.Fatalf("took %s, more than %s", took, limit)
	}
}

// FuzzParse: any text is rules or violations, whose messages are not empty and
// whose places are in the text; it does not take long.
func FuzzParse(f *testing.F) {
	seedRules(f, func(text, _ string) { f.Add(text) })
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 8<<10 {
			return
		}
		within(t, 3*time.Second, func() {
			_, err := Load([]byte(text), testOptions())
			if err == nil {
				return
			}
			list := err.(*Error).Violations                                    //nolint:errorlint,forcetypeassert // its only type
			lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1 // each ends a line in YAML
			for _, v := range list {
				if v.Message == "" || v.Line > lines+1 || v.Line < 0 || v.Column < 0 {
					t.Fatalf("violation %+v of %d lines", v, lines)
				}
			}
		})
	})
}

// FuzzGrok: any pattern compiles or says why not.
func FuzzGrok(f *testing.F) {
	f.Add("%{IP:a} %{WORD:b:int}", "10.0.0.1 x")
	f.Add("%{COMBINEDAPACHELOG}", usualLine)
	f.Add("(?<x>a+)+%{DATA:d}b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, pattern, line string) {
		if len(pattern) > 500 || len(line) > 4000 || !utf8.ValidString(line) {
			return
		}
		within(t, 3*time.Second, func() {
			c := &compiler{rules: &Rules{pos: map[string]position{}}, opts: testOptions()}
			c.define(nil)
			r := c.grok("grok", pattern)
			if len(c.violations) > 0 || r == nil {
				return
			}
			p := &Program{rules: c.rules, opts: c.opts, steps: []compiledStep{{name: "x", do: &extractor{from: fieldOf("message"), readers: []textReader{r}}}}}
			b := oneEvent(line)
			p.Apply(b, &b.Events[0], &Scratch{})
		})
	})
}

func oneEvent(line string) *millrace.Batch {
	r := &millrace.Record{Arrived: arrived, Project: "p", Source: "s"}
	b := &millrace.Batch{}
	b.Reset(r)
	b.Add(0).Message = line
	return b
}

// FuzzExpression: any expression compiles or says why not, and is evaluated
// within bounds.
func FuzzExpression(f *testing.F) {
	for _, e := range []string{
		`status >= 500 ? "error" : "ok"`, `lower(part(url, "/", 1)) + a`, `x in [1, "a"] or y matches "^a+$"`,
		`a.b ?? attrs["c d"]`, `message[1:-1] + message`, `replace(message, "a", message)`, `-n ** 9 % 7`, `[1,2][0]`, `{"a": 1}.a`,
	} {
		f.Add(e, "text", int64(5), 0.5)
	}
	f.Add("`\xd3`", "0", int64(-24), -21.9375)
	f.Fuzz(func(t *testing.T, src, s string, i int64, x float64) {
		if len(src) > 1000 || len(s) > 10_000 || !utf8.ValidString(s) {
			return
		}
		within(t, 3*time.Second, func() {
			fn, err := compileExpr(src)
			if err != nil {
				if err.Error() == "" {
					t.Fatal("no message")
				}
				return
			}
			b := oneEvent(s)
			e := &b.Events[0]
			e.Set("a", millrace.StringValue(s))
			e.Set("n", millrace.IntValue(i))
			e.Set("x", millrace.FloatValue(x))
			sc := &Scratch{}
			sc.begin(&Program{}, b, e)
			v := fn(sc)
			if v.k == text && (len(v.s) > max(MaxText, len(s)+MaxText) || !utf8.ValidString(v.s)) {
				t.Fatalf("%s gives %d bytes, valid %v", src, len(v.s), utf8.ValidString(v.s))
			}
		})
	})
}

// FuzzApply: presets and scripts on any line keep the event valid.
func FuzzApply(f *testing.F) {
	var programs []*Program
	seedRules(f, func(text, lines string) {
		if p, err := Load([]byte(text), testOptions()); err == nil {
			programs = append(programs, p)
			f.Add(lines)
		}
	})
	s := &Scratch{}
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 4000 || !utf8.ValidString(line) || strings.TrimSpace(line) == "" {
			return
		}
		for _, p := range programs {
			within(t, time.Second, func() {
				for _, format := range []string{"auto", "line"} {
					b := newBatch(format, line)
					for i := range b.Events {
						checkApplied(t, p, b, &b.Events[i], s)
					}
				}
			})
		}
	})
}

func checkApplied(t *testing.T, p *Program, b *millrace.Batch, e *millrace.Event, s *Scratch) {
	t.Helper()
	p.Apply(b, e, s)
	if e.Weight < 1 || len(e.Attrs) > MaxAttrs+1 {
		t.Fatalf("weight %d, %d attributes", e.Weight, len(e.Attrs))
	}
	seen := map[string]bool{}
	for _, a := range e.Attrs {
		if seen[a.Key] {
			t.Fatalf("attribute %q stands twice", a.Key)
		}
		seen[a.Key] = true
		if text := a.Value.AppendJSON(nil); scanJSON(string(text)) != len(text) {
			t.Fatalf("attribute %q is no JSON: %s", a.Key, text)
		}
	}
	for _, c := range []string{e.Service, e.Host, e.Level, e.Message, e.TraceID} {
		if !utf8.ValidString(c) {
			t.Fatalf("not valid UTF-8: %q", c)
		}
	}
}
