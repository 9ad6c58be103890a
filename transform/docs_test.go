package transform

import (
	"os"
	"strings"
	"testing"
	"time"
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
		case "console": // a warning; what it costs depends on the machine
			p, err := Load([]byte(rules), testOptions())
			if err != nil {
				t.Fatal(err)
			}
			want, _, _ := strings.Cut(body, "; it costs")
			if all := p.Lint(nil, time.Now); len(all) == 0 || !strings.HasPrefix("warning: "+all[0].String(), want) {
				t.Errorf("%s\n%v, want %s", rules, all, want)
			}
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

func TestPresetUnknown(t *testing.T) {
	if _, err := Preset("../rules"); err == nil || !strings.Contains(err.Error(), "nginx-access") {
		t.Error(err)
	}
}
