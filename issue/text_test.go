package issue

import (
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/exception"
)

func TestRulesText(t *testing.T) {
	match := func(pairs ...string) (out []exception.Matcher) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, exception.Matcher{Field: pairs[i], Pattern: pairs[i+1], Not: i == 2})
		}
		return out
	}
	odd := []string{
		"*Timeout", "true", "No", "404", "a: b", "a #b", "- x", "x ", " x", "{{type}} {{message}}", `say "it" \ n`, "ünïcode 库存 👩‍👩‍👧", "a\nb\tc\rd",
		"\x00\x1b[31m\u202edlo\u2028\u0085\ufeff", "com.acme.Shop", "src/a/*", "?", "&a", "!tag", "|", ">", "%x", "@y", "`z`", "[", "a,b", "~", "0x1f", "1e3", ".inf", "2026-01-01", "<<", "=",
	}
	var rules []exception.Rule
	var owners []OwnerRule
	for i, s := range odd {
		rules = append(rules, exception.Rule{Name: odd[(i+1)%len(odd)], Match: match("type", s, "service", odd[(i+2)%len(odd)]), Fingerprint: "x " + s})
		owners = append(owners, OwnerRule{Match: match("file", s), Owner: s})
	}
	rules = append(rules, exception.Rule{Match: match("type", "A*"), Fingerprint: "{{default}}"})
	for n := range rules {
		if strings.TrimSpace(rules[n].Fingerprint) == "x" {
			t.Fatal("a rule of this test is bad")
		}
	}
	text := RulesText(rules)
	got, bad := ReadRules(text)
	if len(bad) == 1 && strings.Contains(bad[0].Message, "{{type}}") {
		t.Fatal(bad[0])
	}
	if len(bad) > 0 || !reflect.DeepEqual(got, rules) {
		t.Errorf("rules came back as %v %v from\n%s", got, bad, text)
	}
	text = OwnersText(owners)
	if got, bad := ReadOwners(text); len(bad) > 0 || !reflect.DeepEqual(got, owners) {
		t.Errorf("owners came back as %v %v from\n%s", got, bad, text)
	}
	if strings.ContainsAny(text, "\u202e\x1b\x00\u2028") {
		t.Error("the text holds characters that cannot be seen")
	}
	for _, empty := range []string{"", "\n", "# nothing\n", "---\n", "[]"} {
		if got, bad := ReadRules(empty); len(got) > 0 || len(bad) > 0 {
			t.Errorf("%q: %v %v", empty, got, bad)
		}
	}
}

func TestRulesTextSaysWhere(t *testing.T) {
	const good = "- name: a\n  match:\n    - {field: type, pattern: x}\n  fingerprint: y\n"
	for _, c := range []struct {
		text string
		want []string // begins of the violations
	}{
		{
			good + "- name: b\n  match:\n    - {field: typ, pattern: x}\n    - {field: env, pattern: x}\n  fingerprint: y\n- name: c\n  match: [{field: type, pattern: x}]\n  fingerprint: '{{nope}}'\n",
			[]string{"line 7, column 7: unknown field", "line 8, column 7: env cannot group", "line 12, column 16: unknown placeholder"},
		},
		{good + "- name: b\n  fingerprint: y\n", []string{"line 5, column 3: it matches"}},
		{"version: 2\nrules:\n  - name: a\n", []string{"line 1, column 1: must be a list"}},
		{good + "- nam: b\n", []string{"line 5, column 3: unknown key \"nam\"; there are fingerprint, match, name"}},
		{good + "- just text\n", []string{"line 5, column 3: a rule must have keys"}},
		{good + "- match:\n    field: type\n  fingerprint: x\n", []string{"line 6, column 5: match must be a list"}},
		{good + "- match: [{field: type, pattern: *Timeout}]\n  fingerprint: x\n", []string{"line 5, column 34: "}},
		{good + "- match: [{field: type, pattern: a}]\n  fingerprint: {{type}}\n", []string{"line 6, column "}},
		{good + "- match: [{field: type, pattern: a, not: maybe}]\n  fingerprint: x\n", []string{"line 5, column 42: not must be true or false"}},
		{good + "  name: again\n", []string{"line 5, column 3: not valid YAML"}},
		{good + "\t- x\n", []string{"line 5, column "}},
		{good + "---\n" + good, []string{"line 6, column "}},
		{"- match: [{field: type, pattern: a", []string{"line 1, column "}},
		{strings.Repeat(good, MaxRules+1), []string{"line 1, column 1: 501 rules: at most 500"}},
	} {
		_, bad := ReadRules(c.text)
		if len(bad) != len(c.want) {
			t.Errorf("%q: %v, want %q", c.text[:min(len(c.text), 300)], bad, c.want)
			continue
		}
		for i, v := range bad {
			if !strings.HasPrefix(v.Error(), c.want[i]) {
				t.Errorf("%q: %v, want %q", c.text[:min(len(c.text), 300)], v, c.want[i])
			}
		}
	}
	for text, want := range map[string]string{
		"- match: [{field: type, pattern: a}]\n":                                     "line 1, column 3: the rule names no owner",
		"- match: [{field: type, pattern: a}]\n  owner: ''\n":                        "line 2, column 10: the rule names no owner",
		"- match: []\n  owner: x\n":                                                  "line 1, column 10: it matches",
		"- match: [{field: file, pattern: a}]\n  owner: " + strings.Repeat("x", 201): "line 2, column 10: the owner has 201",
	} {
		_, bad := ReadOwners(text)
		if len(bad) != 1 || !strings.HasPrefix(bad[0].Error(), want) {
			t.Errorf("%q: %v, want %q", text, bad, want)
		}
	}
	if _, bad := ReadRules(good + "- match: [{field: type, pattern: *Timeout}]\n  fingerprint: x\n"); !strings.Contains(bad[0].Message, "quotes") {
		t.Errorf("an unquoted star: %v", bad[0])
	}
}

// FuzzReadRules checks that what is read and good can be written and read again.
func FuzzReadRules(f *testing.F) {
	f.Add("- name: a\n  match:\n    - {field: type, pattern: \"*x\"}\n  fingerprint: '{{type}}'\n")
	f.Add("[{match: [{field: file, pattern: 3, not: true}], fingerprint: |\n  x}]")
	f.Add("- owner: x\n  match: *a")
	f.Fuzz(func(t *testing.T, text string) {
		if rules, bad := ReadRules(text); len(bad) == 0 {
			again, bad := ReadRules(RulesText(rules))
			if len(bad) > 0 || !reflect.DeepEqual(again, rules) {
				t.Fatalf("%v became %v: %v", rules, again, bad)
			}
		}
		if owners, bad := ReadOwners(text); len(bad) == 0 {
			again, bad := ReadOwners(OwnersText(owners))
			if len(bad) > 0 || !reflect.DeepEqual(again, owners) {
				t.Fatalf("%v became %v: %v", owners, again, bad)
			}
		}
	})
}
