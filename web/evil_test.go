package web

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/browsertest"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/rollup"
)

// evil is what a client may send in any field: markup for every context that a
// page has, control characters, marks that turn the direction of writing, and
// what only looks like a template or a URL.
func evil(field string) string {
	return field + `"'><img src=x onerror="window.pwned='` + field + `'"><script>window.pwned='` + field + `'</script>` +
		`</script></style></textarea></title></select></details><svg onload=window.pwned=1><a href=javascript:window.pwned=1>x</a>` +
		"{{.}}${1}`<!--" + "\u202edlo\u202c\u2066\u2067\x1b[31m\x00\x07\u2028\u0085end-of-" + field
}

// loadEvil makes issues whose every field is evil, and one whose texts are URLs of
// scripts and nothing else.
func loadEvil(f *fakeIssues) {
	for k, text := range []func(string) string{evil, func(string) string { return "javascript:window.pwned=1" }} {
		frame := millrace.Frame{Module: text("module"), Function: text("function"), File: text("file"), Line: 3, InApp: true}
		other := millrace.Frame{Module: text("library"), Function: text("libfn"), File: text("libfile")}
		frames := []millrace.Frame{frame, other, other, {Function: text("third")}, {File: text("fourth")}, frame}
		report := &millrace.Report{
			Language: text("language"), Mechanism: text("mechanism"),
			Exception: &millrace.Exception{
				Type: text("type"), Message: text("message"), Thread: text("thread"), Frames: frames,
				Cause:   &millrace.Exception{Type: text("cause"), Message: text("causemsg"), Frames: frames[:1], Common: 2},
				Related: []*millrace.Exception{{Type: text("related"), Message: text("relatedmsg")}},
				Members: []*millrace.Exception{{Type: text("member"), Message: text("membermsg")}},
			},
			Threads: []millrace.Thread{{ID: text("id"), Name: text("name"), State: text("state"), Frames: frames}},
		}
		attrs := map[string]any{
			text("key"): text("value"), "tags." + text("tag"): text("tagvalue"), "request.url": text("requesturl"), "user": text("user"),
			"url": "javascript:window.pwned=1", "contexts." + text("context"): map[string]any{text("k"): text("v")},
			"breadcrumbs": []any{
				map[string]any{"timestamp": text("when"), "type": text("crumbtype"), "category": text("category"), "level": text("crumblevel"), "message": text("crumb"), "data": map[string]any{text("dk"): text("dv")}},
				text("not a crumb"), 7,
			},
		}
		row := f.add(millrace.Issue{
			Type: text("type"), Title: text("title"), Culprit: text("culprit"), Level: text("level"), Service: text("service"), Language: text("lang"),
			Owner: text("owner"), FirstRelease: text("firstrelease"), LastRelease: text("lastrelease"), FirstSeen: f.now.Add(-time.Hour).UnixNano(),
			LastSeen: f.now.Add(-time.Minute).UnixNano(), State: millrace.IssueResolved,
			Resolution: millrace.Resolution{At: 1, By: text("resolver"), Release: text("inrelease")},
		}, report, attrs, 3)
		if k == 1 {
			row.State, row.Ignore = millrace.IssueIgnored, millrace.Ignore{At: 1, By: text("ignorer")}
		}
		row.Issue.Service = text("service")
		row.Fingerprints = append(row.Fingerprints, text("fingerprint"))
		for i := range f.events[row.ID] {
			e := &f.events[row.ID][i]
			e.Host, e.Env, e.Source, e.TraceID, e.Message = text("host"), text("env"), text("source"), text("trace"), text("raw")+"\n"+text("line")
		}
		data := issue.ActivityData{After: &issue.Facts{Owner: text("newowner"), Resolution: millrace.Resolution{Release: text("r")}}, Env: text("env"), Release: text("rel"), Reason: text("reason")}
		for _, kind := range []string{"assigned", "resolved", "regressed", "unignored", "note", text("kind")} {
			f.nextID++
			f.activities[row.ID] = append(f.activities[row.ID], millrace.Activity{
				ID: f.nextID, Issue: row.ID, At: f.now.UnixNano(), Author: text("author"), Kind: kind, Text: text("note"), Data: mustJSON(data),
			})
		}
		f.changes = append(f.changes, millrace.Regrouping{ID: 1, Author: text("changer"), Kind: text("changekind"), Note: text("changenote")})
		f.settings.Owners = append(f.settings.Owners, ownedBy(text("ruleowner")))
		f.settings.Author = text("settingsauthor")
		f.settings.Grouping.Rules = append(f.settings.Grouping.Rules, exception.Rule{
			Name: text("rulename"), Match: []exception.Matcher{{Field: "type", Pattern: text("pattern")}}, Fingerprint: text("x"),
		})
		f.changes = append(f.changes, millrace.Regrouping{
			ID: 2, Author: text("changer"), Kind: kindOwners, Note: text("changenote"), SettingsAfter: &millrace.IssueSettings{Owners: mustJSON(f.settings.Owners), Grouping: mustJSON(f.settings.Grouping)},
		})
	}
	f.shares = []issue.Share{{Value: evil("share"), Count: 3, Users: 1}, {Value: "javascript:window.pwned=1", Count: 1}}
	f.explain = &exception.Explanation{Version: 2, Basis: evil("basis"), Rule: evil("rule"), Parts: []exception.Part{
		{Kind: evil("partkind"), Raw: evil("partraw"), Used: evil("partused"), Stripped: []string{evil("stripped")}},
	}}
}

// storeEvil stores the same texts as rows and cells, for the pages of others.
func (f *fixture) storeEvil(t *testing.T) {
	rows := &millrace.EventRows{}
	rollups := compileDefaults(t)
	eng := rollup.NewEngine(rollups, rollup.Limits{Values: 10_000})
	var events []millrace.Event
	for k := range 3 {
		text := func(field string) string { return strings.ReplaceAll(evil(field), "\x00", "") }
		report := &millrace.Report{Language: text("language"), Exception: &millrace.Exception{Type: text("type"), Message: text("m"), Frames: []millrace.Frame{{Function: text("fn"), File: text("file")}}}}
		e := millrace.Event{
			Time: f.now.Add(-time.Duration(k+1) * time.Minute).UnixNano(), Weight: 1, Kind: millrace.KindException, Project: "default", Source: text("source"),
			Service: text("service"), Host: text("host"), Env: text("env"), Release: text("release"), Level: text("level"), TraceID: text("trace"), Message: text("message") + "\n" + text("line"),
		}
		e.Set(millrace.AttrType, millrace.StringValue(text("type")))
		e.Set("exception_message", millrace.StringValue(text("exceptionmessage")))
		e.Set(text("attr"), millrace.StringValue(text("attrvalue")))
		e.Set(millrace.AttrReport, millrace.JSONValue(string(exception.AppendReport(nil, report))))
		e.Ordinal = int32(k)
		events = append(events, e)
	}
	rec := &millrace.Record{Offset: 9_000, Arrived: f.now.UnixNano(), Project: "default", Source: "web"}
	eng.Fold(0, events)
	for i := range events {
		rows.Append(rec, &events[i])
	}
	must(t, f.store.WriteEvents(t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}))
	drained := eng.Drain()
	must(t, f.store.WriteCells(t.Context(), drained.Cells, &millrace.Commit{Sink: millrace.SinkRollup, Admitted: drained.Admitted}))
}

// harmless says what on a page is not ours, or runs; empty if nothing is.
const harmless = `(() => {
	const bad = [];
	if (window.pwned) bad.push("ran: " + window.pwned);
	for (const e of document.querySelectorAll("img, iframe, object, embed, base, style, svg a, foreignObject")) bad.push("element " + e.outerHTML.slice(0, 80));
	for (const e of document.querySelectorAll("svg")) if (!e.getAttribute("viewBox") && !e.matches(".share")) bad.push("svg " + e.outerHTML.slice(0, 80));
	for (const e of document.scripts) if (!e.src.startsWith(location.origin + "/static/") && e.type !== "application/json") bad.push("script " + e.outerHTML.slice(0, 80));
	for (const e of document.querySelectorAll("*")) for (const a of e.attributes) {
		if (/^on/i.test(a.name)) bad.push("handler " + a.name);
		if (a.name === "style" && !e.closest(".uplot")) bad.push("style " + a.value);
		if (a.name === "title" && /[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u001b]/.test(a.value)) bad.push("title " + a.value.slice(0, 60));
	}
	for (const a of document.links) if (a.origin !== location.origin) bad.push("link " + a.href.slice(0, 80));
	for (const f of document.forms) if (new URL(f.action).origin !== location.origin) bad.push("form " + f.action);
	const shown = document.body.innerText + document.title;
	const odd = shown.match(/[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u001b\u2028\u0085]/);
	if (odd) bad.push("character U+" + odd[0].charCodeAt(0).toString(16) + " in " + JSON.stringify(shown.slice(Math.max(0, odd.index - 60), odd.index + 20)));
	return bad.slice(0, 8).join("\n");
})()`

// TestStoredTextDoesNothing opens every page on which text of clients stands, and
// everything that folds on them, and looks for what should not be there.
func TestStoredTextDoesNothing(t *testing.T) {
	b := browsertest.Start(t)
	f := newFixture(t, setting{now: time.Now().UTC(), lines: 1, issues: loadEvil})
	f.storeEvil(t)
	p := b.Open(t, f.URL+"/healthz", browsertest.View{Width: 1440, Height: 900})
	owner := url.Values{"owner": {evil("posted")}, "q": {""}, "state": {"all"}, "env": {evil("env")}, "class": {evil("class")}, "order": {evil("order")}}
	dir := shots(t)
	for i, path := range []string{
		"/exceptions?state=all", "/exceptions?" + owner.Encode(), "/issues/" + f.fake.rows[0].ID, "/issues/" + f.fake.rows[1].ID,
		"/issues/" + f.fake.rows[0].ID + "?env=" + url.QueryEscape(evil("env")), "/exceptions/types", "/exceptions/types?q=javascript&host=" + url.QueryEscape(evil("host")),
		"/logs?q=kind:exception", "/", "/exceptions/grouping", "/issues/" + url.PathEscape(strings.ReplaceAll(evil("id"), "/", "")),
	} {
		p.Go(f.URL + path)
		p.Eval("document.querySelectorAll('details:not(.menu)').forEach(d => d.open = true)", nil)
		var bad string
		if p.Eval(harmless, &bad); bad != "" {
			t.Errorf("%s:\n%s", path, bad)
		}
		var sticksOut bool
		if p.Eval(wide, &sticksOut); sticksOut {
			t.Errorf("%s: the page is wider than the window", path)
		}
		if i < 3 {
			p.Screenshot(filepath.Join(dir, fmt.Sprintf("evil-%d.png", i)), true)
		}
	}
	for _, e := range p.Errors() {
		if !strings.Contains(e, "404 (Not Found)") { // the last page
			t.Error(e)
		}
	}
	// Rules that somebody writes stand on the page, in messages and in what they would do.
	for _, rules := range []string{"- name: " + strings.ReplaceAll(evil("named"), ":", ""), issue.RulesText(f.fake.settings.Grouping.Rules[:1])} {
		p.Go(f.URL + "/exceptions/grouping")
		p.Eval(fmt.Sprintf("document.querySelector('#rules').value = %s; document.querySelector('#rulesform button.primary').click()", mustJSON(rules)), nil)
		p.Wait("document.querySelector('#result')")
		p.Eval("document.querySelectorAll('details:not(.menu)').forEach(d => d.open = true)", nil)
		var bad string
		if p.Eval(harmless, &bad); bad != "" {
			t.Errorf("%.40s…:\n%s", rules, bad)
		}
	}
	var text string
	p.Go(f.URL + "/issues/" + f.fake.rows[0].ID)
	p.Eval("document.querySelector('.stack').innerText", &text)
	for _, field := range []string{"type", "message", "module", "function", "file", "cause", "related", "member"} {
		if !strings.Contains(text, "end-of-"+field) {
			t.Errorf("the stack does not show %s: it must be there as text", field)
		}
	}
	if !strings.Contains(text, "⟨U+202E⟩") || !strings.Contains(text, "␛[31m") {
		t.Error("control characters and marks of direction are not made visible")
	}
	// What somebody types into a form comes back in a message.
	p.Eval(fmt.Sprintf("(() => { const i = document.querySelector('input[name=owner]'); i.value = %s; i.closest('.field').querySelector('button').click(); })()", mustJSON(evil("typed"))), nil)
	p.Wait("document.querySelector('.flash')")
	var bad string
	if p.Eval(harmless, &bad); bad != "" {
		t.Errorf("after an action:\n%s", bad)
	}
	if p.Eval("document.querySelector('.flash').innerText", &text); !strings.Contains(text, "end-of-typed") && !strings.Contains(text, "…") {
		t.Errorf("the message says %q", text)
	}
}
