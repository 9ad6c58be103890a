package transform

import (
	"os"
	"strings"
	"testing"
)

const docs = "../docs/rules.md"

// TestDocumentation loads every rule set of the reference and runs those that
// are followed by lines; -rewrite rewrites what comes out. All names are there.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "```")
	rules, ran := "", 0
	for i := 1; i < len(parts); i += 2 {
		kind, body, _ := strings.Cut(parts[i], "\n")
		switch kind {
		case "yaml":
			rules = body
			if _, err := Load([]byte(rules), testOptions()); err != nil {
				t.Errorf("%v\n%s", err, rules)
			}
		case "text":
			input, want, _ := strings.Cut(body, "\n----")
			got := runCase(t, strings.TrimSpace(rules)+"\n--\n"+input)
			if got != strings.Trim(want, "\n") && !*rewriteRules {
				t.Errorf("%s\n%s\n got\n%s\nwant%s", rules, input, got, want)
			}
			parts[i] = "text\n" + input + "\n----\n" + got + "\n"
			ran++
		}
	}
	if ran < 5 {
		t.Errorf("only %d examples ran", ran)
	}
	if *rewriteRules {
		if err := os.WriteFile(docs, []byte(strings.Join(parts, "```")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name := range FunctionNames() {
		named(t, string(text), name+"(")
	}
	for name := range GrokNames() {
		named(t, string(text), name)
	}
	for name := range typeNames {
		named(t, string(text), "`"+name+"`")
	}
	for name := range namedLayouts {
		named(t, string(text), "`"+name+"`")
	}
	for _, name := range StepKinds() {
		named(t, string(text), name)
	}
	for _, name := range Presets() {
		named(t, string(text), name)
	}
}

func named(t *testing.T, text, name string) {
	t.Helper()
	if !strings.Contains(text, name) {
		t.Errorf("%s does not name %s", docs, name)
	}
}

func TestLint(t *testing.T) {
	f := func(pattern string, want ...string) {
		t.Helper()
		p := mustCompile(t, "steps: [{extract: {regexp: '"+pattern+"'}}]")
		var got []string
		for _, w := range p.Lint([]string{usualLine}) {
			if w.Rule != "cost" { // depends on the machine
				got = append(got, w.Rule)
			}
			if w.Line != 1 || w.Column == 0 || !strings.Contains(w.Message, "per line") {
				t.Errorf("%s: %s", pattern, w)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", pattern, got, want)
		}
	}
	f(`^(?P<a>\S+) (?P<b>[^"]*)`)
	f(`(?P<a>\d+)`, "unanchored")
	f(`user=(?P<a>\d+)`, "unanchored")
	f(`^(?P<a>.*) (?P<b>.*)$`, "ambiguous")
	f(`^(?P<a>(x+)+y)`, "nested")
	f(`^(?P<a>\w+)(?P<b>\S+)`, "ambiguous")
	f(`^(?P<a>.*?): (?P<b>.*)$`)

	p := mustCompile(t, "masks: [{fields: [a], drop: true, only_here: true}]")
	if w := p.Lint(nil); len(w) != 1 || w[0].Rule != "readable" {
		t.Errorf("%v", w)
	}
}

func TestPresetUnknown(t *testing.T) {
	if _, err := Preset("../rules"); err == nil || !strings.Contains(err.Error(), "nginx-access") {
		t.Error(err)
	}
}
