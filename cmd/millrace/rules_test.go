package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rulesAPI sends JSON and returns status and answer.
func (in *instance) rulesAPI(method, path string, body any) (int, map[string]any) {
	in.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		in.t.Fatal(err)
	}
	answer := map[string]any{}
	code, _ := in.call(method, "/api/v1/"+path, strings.NewReader(string(text)), http.Header{"Content-Type": {"application/json"}}, &answer)
	return code, answer
}

// TestRulesAPI changes a source's rules over HTTP: lines sent afterwards are read
// by the new version, and after a restart as well.
func TestRulesAPI(t *testing.T) {
	dir := t.TempDir()
	in := boot(t, dir, reloadRules)
	line := `{"level":"debug","message":"a","n":1}` + "\n"
	put := func(source, rules string, want int) map[string]any {
		t.Helper()
		code, answer := in.rulesAPI(http.MethodPut, "rules/"+source, map[string]any{"rules": rules, "note": "test"})
		if code != want {
			t.Fatalf("PUT %s: %d %v, want %d", source, code, answer, want)
		}
		return answer
	}
	in.post("source=app", line)
	first := put("app", `steps: [{drop: 'n == 1', reason: one}]`, 200)["version"]
	in.post("source=app", line)
	second := put("app", `steps: [{set: {n: 'n + 1'}}]`, 200)["version"]
	in.post("source=app", line)
	if code, _ := in.rulesAPI(http.MethodDelete, "rules/app", nil); code != 200 {
		t.Errorf("DELETE: %d", code)
	}
	in.post("source=app", line)
	in.drain(4)
	if got := fmt.Sprint(in.sqlMap("SELECT attrs->>'n', count(*) FROM events GROUP BY ALL")); got != "map[1:2 2:1]" {
		t.Errorf("n: %s", got)
	}
	if got := in.sqlMap("SELECT reason, sum(events) FROM ledger WHERE outcome = 'filtered' GROUP BY reason"); got["one"] != "2" {
		t.Errorf("filtered %v, want 1 by each sink", got)
	}
	put("shop", "steps: []", http.StatusConflict) // the file owns it
	for rules, want := range map[string]string{
		`steps: [{extract: {regexp: '^(?P<a>.*) (?P<b>.*)$'}}]`: "rule:ambiguous", "steps: []": "[]",
	} {
		if w := fmt.Sprint(put("linted", rules, 200)["warnings"]); !strings.Contains(w, want) {
			t.Errorf("%s: warnings %s, want %s", rules, w, want)
		}
	}
	bad := put("app", "steps: [{dorp: x}]", http.StatusBadRequest)
	if v, _ := bad["violations"].([]any); len(v) != 1 || !strings.Contains(fmt.Sprint(v), "line:1") {
		t.Errorf("violations %v", bad)
	}
	if code, answer := in.rulesAPI(http.MethodPut, "rules/app", map[string]any{"rules": "steps: []", "after": first}); code != http.StatusConflict {
		t.Errorf("a change of an old version: %d %v", code, answer)
	}
	code, history := in.rulesAPI(http.MethodGet, "rules/app/history", nil)
	if versions, _ := history["versions"].([]any); code != 200 || len(versions) != 3 {
		t.Errorf("history: %d %v", code, history)
	} else if v := versions[1].(map[string]any); v["version"] != second || v["author"] != "local" || v["note"] != "test" {
		t.Errorf("version %v", v)
	}
	put("app*", `steps: [{drop: 'true', reason: all}]`, 200)
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	in = boot(t, dir, reloadRules)
	in.post("source=apple", line)
	in.drain(5)
	if got := in.sqlMap("SELECT reason, sum(events) FROM ledger WHERE outcome = 'filtered' AND sink = 'events' GROUP BY reason"); got["all"] != "1" {
		t.Errorf("filtered %v after a restart", got)
	}
}

// TestRulesTry: on lines, on the last stored events of a source, and without a
// server.
func TestRulesTry(t *testing.T) {
	in := boot(t, "", reloadRules)
	in.post("source=web", `10.0.0.1 - - [01/Mar/2026:00:00:01 +0000] "GET /p/7 HTTP/1.1" 200 5 "-" "agent"`+"\n"+
		`{"level":"info","message":"took 12 ms","city":"bonn"}`+"\n"+"plain, took 13 ms\n")
	in.drain(3)
	rules := `steps: [{name: took, extract: {regexp: 'took (?P<took>\d+) ms', types: {took: int}}}]`
	code, answer := in.rulesAPI(http.MethodPost, "rules/try", map[string]any{"source": "web", "rules": rules, "last": 10})
	if code != 200 || fmt.Sprintf("%v %v %v", answer["lines"], answer["kept"], answer["changed"]) != "3 3 2" {
		t.Fatalf("%d %v", code, answer)
	}
	found := map[string]bool{}
	for _, e := range answer["events"].([]any) {
		event := e.(map[string]any)["event"].(map[string]any)
		found[fmt.Sprintf("%v %v %v", event["took"], event["city"], event["url"])] = true
	}
	for _, want := range []string{"12 bonn <nil>", "13 <nil> <nil>", "<nil> <nil> /p/7"} {
		if !found[want] {
			t.Errorf("events %v lack %s", found, want)
		}
	}
	if n := in.sqlMap("SELECT 'n', count(*) FROM events")["n"]; n != "3" {
		t.Errorf("%s events, a trial stores nothing", n)
	}

	if w := fmt.Sprint(answer["warnings"]); !strings.Contains(w, "rule:unanchored") || !strings.Contains(w, "lines:3") || !strings.Contains(w, "step:took") {
		t.Errorf("warnings %s", w)
	}

	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	for ext, text := range map[string]string{
		".skip": "steps: [{set: {a: '1'}, when: 'false'}]", ".bad": "steps:\n  - extract: {regexp: '('}\n  - dorp: x\n",
	} {
		if err := os.WriteFile(file+ext, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string][]string{
		"here":      {"rules", "try", "--rules", file, "-"},
		"lines":     {"rules", "try", "--rules", file, "--server", in.url, "--source", "web", "-"},
		"of source": {"rules", "try", "--rules", file, "--server", in.url, "--source", "web", "--last", "5"},
	} {
		out, err := command(t, "one, took 5 ms\n", args...)
		if err != nil || !strings.Contains(out, "took = ") || !strings.Contains(out, "a line costs ") || !strings.Contains(out, "[unanchored]") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	for _, c := range []struct{ stdin, want string }{
		{"", "no lines to try the rules on\nwarning: line 1, column "},
		{"a\n", "1 lines: 1 stored\n0.0% matched a step; 0 differ from no rules\na line costs "},
	} {
		if out, err := command(t, c.stdin, "rules", "try", "--rules", file); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%q: %v\n%s lacks %s", c.stdin, err, out, c.want)
		}
	}
	for want, args := range map[string][]string{
		"the source has no stored events":         {"--source", "none", "--last", "5"},
		"there is no rule: this is what":          {"--source", "none", "-"},
		"every step was skipped: its condition":   {"--rules", file + ".skip", "-"},
		"steps[0].extract.patterns[0].regexp: is": {"--rules", file + ".bad", "-"},
	} {
		out, err := command(t, "one\n", append([]string{"rules", "try", "--server", in.url}, args...)...)
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, want) {
			t.Errorf("%v:\n%s lacks %s", args, out, want)
		}
	}
	if out, err := command(t, rules, "rules", "set", "--server", in.url, "--note", "why", "web", "-"); err != nil || !strings.Contains(out, "rules of web: version ") || !strings.Contains(out, "[unanchored]") {
		t.Errorf("set: %v %s", err, out)
	}
	if out, err := command(t, "", "rules", "show", "--server", in.url, "web"); err != nil || out != rules {
		t.Errorf("show: %v %s", err, out)
	}
	for _, args := range [][]string{{"list"}, {"history", "web"}} {
		out, err := command(t, "", append(append([]string{"rules"}, args...), "--server", in.url)...)
		if err != nil || !strings.Contains(out, "why") {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	if out, err := command(t, "", "rules", "remove", "--server", in.url, "web"); err != nil || !strings.Contains(out, "rules of web: removed by version ") {
		t.Errorf("remove: %v %s", err, out)
	}
	if out, err := command(t, "", "rules", "show", "--server", in.url, "web"); err == nil || !strings.Contains(err.Error(), "has no rules since version ") {
		t.Errorf("show what was removed: %v %s", err, out)
	}
	if out, err := command(t, "", "rules", "presets"); err != nil || !strings.Contains(out, "nginx-access\n") {
		t.Errorf("presets: %v %s", err, out)
	}
	if out, err := command(t, "", "rules", "presets", "nginx-access"); err != nil || !strings.Contains(out, "steps:") {
		t.Errorf("preset: %v %s", err, out)
	}
}

// TestRulesCounts: what steps and URL templates did shows in the API, on the
// command line and in the metrics, for a source's own rules and for a pattern's.
func TestRulesCounts(t *testing.T) {
	in := boot(t, "", "sources: {shop*: {rules: {steps: [{name: debug, drop: 'level == \"debug\"'}, {name: urls, url_template: true}, {name: n, convert: {n: int}}]}}}\n")
	read := func(args ...string) (string, error) {
		return command(t, "", append([]string{"rules", "show", "--counts", "--server", in.url}, args...)...)
	}
	if out, err := read("shop*"); err != nil || !strings.Contains(out, "no event was read by them") {
		t.Errorf("before: %v %s", err, out)
	}
	var b strings.Builder
	for i := range 6 {
		fmt.Fprintf(&b, `{"level":"info","url":"/orders/%d","n":"%d"}`+"\n", i, i)
	}
	b.WriteString(`{"level":"info","url":"/<b>/x\u001b[31m","n":"many"}` + "\n" + `{"level":"debug","url":"/orders/7"}` + "\n")
	in.post("source=shop1", b.String())
	in.post("source=shop2", b.String())
	in.drain(16)

	code, tally := in.rulesAPI(http.MethodGet, "rules/shop2/tally?limit=1", nil)
	if got := fmt.Sprintf("%v %v %v %v %v", code, tally["source"], tally["events"], tally["template_count"], tally["templates"]); got !=
		"200 shop* 16 2 [map[events:12 example:/orders/0 paths:6 template:/orders/{id}]]" {
		t.Errorf("%s", got)
	}
	steps, _ := tally["steps"].([]any)
	for i, want := range []string{
		"debug seen:16 matched:2 dropped:2 unmatched:14 failed:0", "urls seen:14 matched:14 dropped:0 unmatched:0 failed:0", "n seen:14 matched:12 dropped:0 unmatched:0 failed:2",
	} {
		if i >= len(steps) {
			t.Fatalf("steps %v", steps)
		}
		s := steps[i].(map[string]any)
		if got := fmt.Sprintf("%v seen:%v matched:%v dropped:%v unmatched:%v failed:%v", s["name"], s["seen"], s["matched"], s["dropped"], s["unmatched"], s["failed"]); got != want {
			t.Errorf("step %d: %s, want %s", i, got, want)
		}
	}
	if code, answer := in.rulesAPI(http.MethodGet, "rules/other/tally", nil); code != http.StatusNotFound {
		t.Errorf("a source without rules: %d %v", code, answer)
	}

	out, err := read("shop1")
	for _, want := range []string{"rules of shop*: version ", ", 16 events since ", "/orders/{id}", "/<b>/x", "(2 rows)", "URL template"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v\n%s lacks %s", err, out, want)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("a path reaches the terminal as it is: %q", out)
	}
	if out, err := read("shop1", "--templates", "1"); err != nil || !strings.Contains(out, "1 more templates") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := read("shop1", "--templates", "0"); err == nil || !strings.Contains(err.Error(), "--templates 0") {
		t.Errorf("%v", err)
	}
	if out, err := read("shop1", "--json"); err != nil || !strings.Contains(out, `"template_count":2`) {
		t.Errorf("%v\n%s", err, out)
	}
	_, metrics := in.call(http.MethodGet, "/metrics", nil, nil, nil)
	for _, want := range []string{
		`millrace_rule_events_total{outcome="dropped",project="default",source="shop*",step="debug"} 2`,
		`millrace_rule_events_total{outcome="matched",project="default",source="shop*",step="debug"} 0`,
		`millrace_rule_events_total{outcome="failed",project="default",source="shop*",step="n"} 2`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestRulesLearned: what was learned of URLs shows, in the form in which it can be
// written into rules.
func TestRulesLearned(t *testing.T) {
	in := boot(t, "", "pipeline: {flush_interval: 50ms, rollup_interval: 100ms, learn_interval: 50ms}\nsources: {web: {rules: {steps: [{url_template: true}]}}}\n")
	show := func() string {
		t.Helper()
		out, err := command(t, "", "rules", "show", "--learned", "--server", in.url, "web")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := show(); out != "# nothing was learned\n" {
		t.Errorf("before: %s", out)
	}
	sent := 0
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(show(), "learned:\n  - '/people/{*}'\n"); {
		if time.Now().After(deadline) {
			t.Fatal(show())
		}
		var b strings.Builder
		for i := range 400 {
			name := []byte("abcd")
			for k, n := 0, sent+i; k < len(name); k, n = k+1, n/20 {
				name[k] = "bcdfghjklmnpqrstvwxz"[n%20]
			}
			fmt.Fprintf(&b, `{"url":"/people/%sa"}`+"\n", name)
		}
		in.post("source=web", b.String())
		sent += 400
		in.drain(sent)
	}
	rules := "steps:\n  - url_template:\n      " + strings.ReplaceAll(strings.TrimSpace(show()), "\n", "\n      ")
	if out, err := command(t, `{"url":"/people/bcdfa"}`+"\n", "rules", "try", "--rules", writeFile(t, rules), "-"); err != nil || !strings.Contains(out, "/people/{*}") {
		t.Errorf("%s\n%v\n%s", rules, err, out)
	}
	if code, answer := in.rulesAPI(http.MethodGet, "rules/web", nil); code != 200 || !strings.Contains(fmt.Sprint(answer["learned"]), "/people/{*}") {
		t.Errorf("%d %v", code, answer)
	}
}

// writeFile writes a file of the test's own and returns its name.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// command runs a command of the program and returns what it printed.
func command(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	out := &lockedBuffer{}
	m := &Main{Stdin: strings.NewReader(stdin), Stdout: out, Stderr: out, Now: time.Now}
	if err := m.ParseFlags(args); err != nil {
		return out.String(), err
	}
	err := m.Run(t.Context())
	return out.String(), err
}
