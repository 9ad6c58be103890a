package config

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

const manySources = `
http: 127.0.0.1:9
sources:
  nginx:
    # what nobody looks at
    rules:
      # health checks
      steps:
        - drop: url == "/health"   # every second
          reason: health

  shop/app*:
    rules: {steps: [
        {drop: 'level == "debug"'}]}
  none:
  empty:
    rules:
  inline: {rules: {steps: [{drop: 'true'}]}}
disk_high: 90
`

// The text of rules is what stands in the file, with its comments.
func TestSources(t *testing.T) {
	c, err := Parse([]byte(manySources))
	if err != nil {
		t.Fatal(err)
	}
	seeds := c.Sources.Seeds()
	want := []struct{ project, source, text string }{
		{millrace.DefaultProject, "inline", "{steps: [{drop: 'true'}]}\n"},
		{millrace.DefaultProject, "nginx", "# health checks\nsteps:\n  - drop: url == \"/health\"   # every second\n    reason: health\n"},
		{"shop", "app*", "{steps: [\n        {drop: 'level == \"debug\"'}]}\n"},
	}
	if len(seeds) != len(want) {
		t.Fatalf("%d seeds %q, want %d", len(seeds), seeds, len(want))
	}
	for i, w := range want {
		if s := seeds[i]; s.Project != w.project || s.Source != w.source || s.Text != w.text {
			t.Errorf("seed %q, want %q", s, w)
		}
	}
}

// Every violation is reported where it stands in the file.
func TestBadRulesHaveTheirPlaceInTheFile(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := Parse([]byte(text))
		if millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Fatalf("%v for\n%s", err, text)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error\n%v\nlacks %q", err, w)
			}
		}
	}
	f("disk_high: 5\nsources:\n  a:\n    rules:\n      # no\n      steps:\n        - dorp: 'true'\n  b:\n    rules:\n      masks: [{fields: [x]}]\n",
		"line 1, column 12: disk_high: 5",
		"line 7, column 11: sources.a.rules.steps[0].dorp: unknown key",
		"line 10, column ", "sources.b.rules.masks[0]")
	f("sources:\n  a: {rules: {steps: [{set: {y: '1 +'}}]}}\n", "line 2, column ", "sources.a.rules.steps[0].set.y")
	f("sources:\n  a:\n    rules: {steps: [\n     {dorp: 'x'}]}\n", "line 4, column 7: sources.a.rules.steps[0].dorp")
	f("sources:\n  a b:\n    rules: {}\n  a/b/c:\n  '*a': {}\n  /x: {}\n", "line 2, column 3: sources.a b", "sources.a/b/c", "sources.*a", "sources./x")
	f("sources:\n  a: {rule: {}}\n", "line 2, column 7: sources.a.rule: unknown setting; there are preset, rules")
	f("sources: {a: {rules: {stepz: []}}}", "line 1, column ", "stepz")
	f("sources:\n  a: {preset: nginks}\n  b: {preset: nginx-access, rules: {}}\n",
		"line 2, column 15: sources.a.preset: preset \"nginks\" is not known; known are ", "line 3, column 15: sources.b.preset: stands beside rules")
	f("sources:\n  a:\n    rules: text\n", "line 3, column 12: sources.a.rules: must be a mapping")
}

// Settings that cannot change while the server runs are named, all of them.
func TestCheckReload(t *testing.T) {
	parse := func(text string) *Config {
		t.Helper()
		c, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := parse("http: 127.0.0.1:1\nqueue: {broker: ['a:1']}\n")
	if err := old.CheckReload(parse("disk_high: 50\nhttp: 127.0.0.1:1\nqueue: {broker: ['a:1']}\n" +
		"pipeline: {flush_rows: 7}\ningest: {max_line: 1KiB}\nsources: {a: {rules: {}}}\nrollups: {traffic: null}\n")); err != nil {
		t.Errorf("everything is live: %v", err)
	}
	err := old.CheckReload(parse("http: 127.0.0.1:2\nqueue: {broker: ['b:1']}\npipeline: {flush_rows: 7}\n"))
	if millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{
		"line 1, column 7: http: changed from 127.0.0.1:1 to 127.0.0.1:2: needs a restart",
		"line 2, column 17: queue.broker: changed from [a:1] to [b:1]: needs a restart",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error\n%v\nlacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "flush_rows") {
		t.Errorf("%v", err)
	}
}

// TestWarnings: the lint's warnings stand at their place in the file, and leave
// it valid.
func TestWarnings(t *testing.T) {
	c, err := Parse([]byte("http: 127.0.0.1:0\nsources:\n  good:\n    preset: nginx-access\n  shop:\n    rules:\n      steps:\n" +
		"        - extract:\n            regexp: 'took (?P<took>\\d+)'\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := c.Warnings(time.Now)
	if len(w) == 0 || w[0].Rule != "unanchored" || w[0].Line != 9 || !strings.HasPrefix(w[0].Path, "sources.shop.rules.steps[0].extract") {
		t.Errorf("warnings %v", w)
	}
}
