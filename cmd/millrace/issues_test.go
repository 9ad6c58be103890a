package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// thrown is a JSON line with a Java trace; equal faults have equal stacks.
func thrown(fault, n int, fields string) string {
	return fmt.Sprintf(`{"time":%q,"level":"error","service":"shop","host":"h%d","trace_id":"t%d-%d","user":{"id":"u%d"},"message":"request failed"%s,`+
		`"stack_trace":"shop.Fault%dException: no stock for order %d\n\tat shop.store.Stock%d.take(Stock%d.java:%d)\n\tat shop.api.Orders.post(Orders.java:14)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)\nCaused by: java.io.IOException: reset\n\tat shop.net.Pipe%d.read(Pipe.java:3)\n\t... 2 more"}`+"\n",
		time.Now().UTC().Format(time.RFC3339Nano), n%2, fault, n, n, fields, fault, n, fault, fault, 10+fault, fault)
}

// issuesCLI runs a command on a server and returns what it printed.
func (in *instance) issuesCLI(stdin string, args ...string) string {
	in.t.Helper()
	out, err := command(in.t, stdin, append(append([]string{"issues"}, args...), "--server", in.url)...)
	if err != nil {
		in.t.Fatalf("issues %v: %v\n%s", args, err, out)
	}
	return out
}

// issueIDs returns the ids of the issues by their type, once they count n in all.
func (in *instance) issueIDs(n int64) map[string]string {
	in.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var page struct {
			Count  int64
			Issues []issueRow
		}
		if err := json.Unmarshal([]byte(in.issuesCLI("", "list", "--json", "--env", "all")), &page); err != nil {
			in.t.Fatal(err)
		}
		ids, sum := map[string]string{}, int64(0)
		for _, i := range page.Issues {
			ids[i.Type] = i.ID
			sum += i.Count
		}
		if sum == n {
			return ids
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("%d counted, want %d\n%s", sum, n, in.logs)
		}
	}
}

// TestIssuesCommand lists, shows and changes issues of a real server.
func TestIssuesCommand(t *testing.T) {
	in := boot(t, "", "")
	var b strings.Builder
	for i := range 10 {
		b.WriteString(thrown(1, i, `,"env":"prod","release":"shop@1.0.0"`))
	}
	for i := range 4 {
		b.WriteString(thrown(2, i, `,"env":"prod","release":"shop@1.1.0"`))
	}
	b.WriteString(thrown(3, 0, `,"env":"staging"`))
	in.post("source=shop", b.String())
	in.drain(15)
	ids := in.issueIDs(15)
	one, two := ids["shop.Fault1Exception"], ids["shop.Fault2Exception"]
	if len(ids) != 3 || one == "" || two == "" {
		t.Fatalf("issues %v", ids)
	}
	lacks := func(out string, wants ...string) {
		t.Helper()
		for _, w := range wants {
			if !regexp.MustCompile(w).MatchString(out) {
				t.Errorf("%q is not in\n%s", w, out)
			}
		}
	}
	out := in.issuesCLI("", "list")
	lacks(out, `(?m)^`+one+` +new +10 +\d+ +\S+ +\S+Z +- +shop\.Fault1Exception: no stock for order \d$`, `\(2 rows\)`)
	if strings.Contains(out, "Fault3") {
		t.Errorf("staging shows in production's list:\n%s", out)
	}
	lacks(in.issuesCLI("", "list", "--env", "staging"), `Fault3Exception`, `\(1 row\)`)
	lacks(in.issuesCLI("", "list", "--limit", "1"), `1 more: see --limit`)
	lacks(in.issuesCLI("", "list", "--where", "host:h1", "Fault1"), one+` +new +5 `, `\(1 row\)`)

	out = in.issuesCLI("", "show", one)
	lacks(out, `issue +`+one, `state +new`, `count +10, `, `shop\.store\.Stock1\.take \(Stock1\.java:11\)`, `caused by: java\.io\.IOException: reset`,
		`shop@1\.0\.0 +10`, `h0 +5`, `fingerprint +2:\S+  10`)
	if strings.Contains(out, "java.lang.Thread.run") {
		t.Errorf("frames outside of the application are not folded:\n%s", out)
	}
	lacks(in.issuesCLI("", "show", one, "--frames"), `java\.lang\.Thread\.run`)
	lacks(in.issuesCLI("", "events", one, "--limit", "3"), `t1-9`)
	lacks(in.issuesCLI("", "explain", one), `application frames`, `Stock1\.take|take`)

	lacks(in.issuesCLI("", "assign", one, two, "--to", "team-stock"), one+` +changed`, two+` +changed`)
	lacks(in.issuesCLI("", "list", "--owner", "team-stock"), `\(2 rows\)`, `team-stock`)
	lacks(in.issuesCLI("", "list", "--nobody"), `\(0 rows\)`)
	lacks(in.issuesCLI("", "note", one, "--text", "seen at noon"), one+` +changed`)
	resolved := in.issuesCLI("", "resolve", one, "--json")
	var answer struct{ Outcomes []issueOutcome }
	if err := json.Unmarshal([]byte(resolved), &answer); err != nil || len(answer.Outcomes) != 1 || answer.Outcomes[0].Activity == 0 {
		t.Fatalf("%v: %s", err, resolved)
	}
	lacks(in.issuesCLI("", "show", one), `state +resolved; resolved \S+ by local`, `seen at noon`, `owner +team-stock`)
	lacks(in.issuesCLI("", "undo", fmt.Sprint(answer.Outcomes[0].Activity), "--issue", one), one+` +changed`)
	lacks(in.issuesCLI("", "show", one), `state +new`)
	in.issuesCLI("", "resolve", one)
	in.post("source=shop", thrown(1, 11, `,"env":"prod","release":"shop@1.0.0"`))
	in.drain(16)
	in.issueIDs(16)
	lacks(in.issuesCLI("", "list", "--state", "regressed"), one+` +regressed +11 `)
	lacks(in.issuesCLI("", "ignore", two, "--for", "1h", "--occurrences", "100"), two+` +changed`)
	lacks(in.issuesCLI("", "show", two), `state +ignored since \S+ by local until \S+Z until 100 more occurrences`)
	lacks(in.issuesCLI("", "reopen", one, two), one+` +changed`, two+` +changed`)

	if out, err := command(t, "", "issues", "resolve", "000000000000", one, "--server", in.url); err == nil || !strings.Contains(out, one) || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("an issue that is not there: %v\n%s", err, out)
	}
	for want, args := range map[string][]string{
		"state \"odd\"":    {"list", "--state", "odd"},
		"there is no":      {"show", "nosuchissue"},
		"must be positive": {"ignore", one, "--occurrences=-5"},
	} {
		if out, err := command(t, "", append(append([]string{"issues"}, args...), "--server", in.url)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// TestIssuesGrouping merges, parts and regroups issues and takes all of it back.
func TestIssuesGrouping(t *testing.T) {
	in := boot(t, "", "")
	var b strings.Builder
	for fault := range 4 {
		for i := range 5 {
			b.WriteString(thrown(fault, i, `,"env":"prod"`))
		}
	}
	in.post("source=shop", b.String())
	in.drain(20)
	ids := in.issueIDs(20)
	id := func(n int) string { return ids[fmt.Sprintf("shop.Fault%dException", n)] }
	state := func() string { // of all issues, whatever their order
		return fmt.Sprint(in.issueIDs(20))
	}
	first := state()

	out := in.issuesCLI("", "merge", id(0), id(1), id(2), "--note", "one pool")
	if !regexp.MustCompile(`^change 1: merge, \d+ moves; millrace issues undo 1`).MatchString(out) {
		t.Errorf("merge: %s", out)
	}
	if got := in.issueIDs(20); len(got) != 2 {
		t.Errorf("after a merge: %v", got)
	}
	shown := in.issuesCLI("", "show", id(1))
	if !strings.Contains(shown, id(1)+" is part of "+id(0)) {
		t.Errorf("a merged issue:\n%s", shown)
	}
	fingerprint := regexp.MustCompile(`fingerprint +(2:\S+)  5 +no stock|fingerprint +(2:\S+)  5`).FindStringSubmatch(shown)
	if fingerprint == nil {
		t.Fatalf("no fingerprints in\n%s", shown)
	}
	var detail issueDetail
	if err := json.Unmarshal([]byte(in.issuesCLI("", "show", id(0), "--json")), &detail); err != nil || len(detail.Known) != 3 || detail.Count != 15 {
		t.Fatalf("%v: %+v", err, detail)
	}
	for _, f := range detail.Known {
		if f.Type == "shop.Fault2Exception" {
			in.issuesCLI("", "unmerge", id(0), f.Fingerprint)
		}
	}
	if got := in.issueIDs(20); len(got) != 3 || got["shop.Fault2Exception"] != id(2) {
		t.Errorf("after an unmerge: %v", got)
	}

	rules := "version: 2\nrules:\n  - name: by service\n    match: [{field: service, pattern: shop}]\n    fingerprint: all of {{service}}\n"
	preview := in.issuesCLI(rules, "regroup", "-")
	if !strings.Contains(preview, "4 fingerprints: 3 issues now, 1 after") || !strings.Contains(preview, "--apply does it") {
		t.Errorf("preview:\n%s", preview)
	}
	if got := in.issueIDs(20); len(got) != 3 {
		t.Errorf("a preview changed something: %v", got)
	}
	if out := in.issuesCLI(rules, "regroup", "-", "--apply", "--note", "coarse"); !strings.HasPrefix(out, "change 3: regroup") {
		t.Errorf("regroup: %s", out)
	}
	if got := in.issueIDs(20); len(got) != 1 {
		t.Errorf("after regrouping: %v", got)
	}
	settings := in.issuesCLI("", "settings")
	if !strings.Contains(settings, "all of {{service}}") {
		t.Errorf("settings:\n%s", settings)
	}
	changes := in.issuesCLI("", "changes")
	for _, want := range []string{"coarse", "one pool", "(3 rows)"} {
		if !strings.Contains(changes, want) {
			t.Errorf("changes lack %q:\n%s", want, changes)
		}
	}
	for _, change := range []string{"3", "2", "1"} {
		in.issuesCLI("", "undo", change)
	}
	if got := state(); got != first {
		t.Errorf("after all is taken back: %s\nwant %s", got, first)
	}
	if out := in.issuesCLI("", "changes"); strings.Count(out, "undone by") != 3 || !strings.Contains(out, "(6 rows)") {
		t.Errorf("changes:\n%s", out)
	}

	owners := strings.Replace(in.issuesCLI("", "settings"), "owners: []", "owners:\n- owner: team-9\n  match:\n  - {field: type, pattern: 'shop.Fault9*'}", 1)
	if out := in.issuesCLI(owners, "settings", "--set", "-"); !strings.HasPrefix(out, "settings of default: version ") {
		t.Errorf("set: %s", out)
	}
	in.post("source=shop", thrown(9, 1, `,"env":"prod"`))
	in.drain(21)
	in.issueIDs(21)
	if out := in.issuesCLI("", "list", "--owner", "team-9"); !strings.Contains(out, "Fault9Exception") {
		t.Errorf("the new issue has no owner:\n%s", out)
	}
	if out, err := command(t, owners, "issues", "settings", "--set", "-", "--server", in.url); err == nil {
		t.Errorf("an old version of the settings is taken: %s", out)
	}
}
