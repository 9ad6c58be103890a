package web

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/browsertest"
	"github.com/millrace/millrace/internal/issuetest"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/rollup"
)

// newRulesFixture serves package issue itself, with an issue of every sample fault.
func newRulesFixture(t *testing.T, now time.Time, guard *auth.Guard) (*fixture, *issue.Service) {
	t.Helper()
	f := newFixture(t, setting{now: now, lines: 1, guard: guard})
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	service := issue.New(issue.Deps{Store: issuetest.New(), Query: f.query, Now: func() time.Time { return now }, Log: log, Options: issue.DefaultOptions()})
	var events []millrace.Event
	var seen []millrace.Sighting
	for k, x := range faults {
		report := sampleReport(x)
		fingerprint := exception.FingerprintOf(exception.LatestVersion, report)
		e := millrace.Event{
			Time: now.Add(-time.Duration(10+k) * time.Minute).UnixNano(), Weight: int64(k + 1), Kind: millrace.KindException, Project: "default", Source: "app",
			Service: x.service, Env: "production", Level: "error", Message: x.title, Ordinal: int32(k),
		}
		e.Set(millrace.AttrType, millrace.StringValue(x.typ))
		e.Set(millrace.AttrFingerprint, millrace.StringValue(fingerprint))
		events = append(events, e)
		seen = append(seen, millrace.Sighting{
			Project: "default", Fingerprint: fingerprint, Env: "production", First: e.Time, Last: e.Time, Type: x.typ, Title: x.title,
			Culprit: x.culprit, Level: "error", Service: x.service, Language: x.language, Report: exception.AppendReport(nil, report),
		})
	}
	eng := rollup.NewEngine(compileDefaults(t), rollup.Limits{Values: 10_000})
	eng.Fold(0, events)
	drained := eng.Drain()
	must(t, f.store.WriteCells(t.Context(), drained.Cells, &millrace.Commit{Sink: millrace.SinkRollup, Admitted: drained.Admitted}))
	must(t, service.See(t.Context(), seen))
	h, err := New(Deps{Query: f.query, Guard: f.guard, Now: func() time.Time { return now }, Issues: service, Log: log})
	must(t, err)
	served := &fixture{Server: httptest.NewServer(h), now: now}
	t.Cleanup(served.Close)
	return served, service
}

const (
	javaRule   = "- name: all of the shop\n  match:\n    - {field: module, pattern: \"com.acme.*\"}\n  fingerprint: shop\n"
	ownerRules = "- match: [{field: service, pattern: billing}]\n  owner: Ada\n- match: [{field: service, pattern: nowhere}]\n  owner: Bob\n"
)

// between returns what stands in a page between two texts, "" if they are not there.
func between(page, from, to string) string {
	_, rest, ok := strings.Cut(page, from)
	if !ok {
		return ""
	}
	out, _, _ := strings.Cut(rest, to)
	return out
}

// undoOf returns the form of the undo buttons in a piece of a page.
func undoOf(page string) url.Values {
	form := url.Values{"do": {"undo"}}
	for _, part := range strings.Split(page, `name="undo" value="`)[1:] {
		value, _, _ := strings.Cut(part, `"`)
		form.Add("undo", value)
	}
	return form
}

// TestGroupingPage changes rules with forms alone: mistakes, preview, what changed
// meanwhile, applying, the log, undo.
func TestGroupingPage(t *testing.T) {
	f, service := newRulesFixture(t, fixedNow, nil)
	browse := f.browse(t)
	settings := func() *issue.Settings {
		set, err := service.Settings(t.Context(), "default")
		must(t, err)
		return set
	}
	has := func(page string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
	}
	const path = "/exceptions/grouping"
	has(browse("/exceptions", nil), `href="/exceptions/grouping"`)
	has(browse(path, nil), "Nobody changed the grouping", `<option value="0" selected>`)

	form := func(do, version, rules, owners string) url.Values {
		return url.Values{"do": {do}, "version": {version}, "rules": {strings.ReplaceAll(rules, "\n", "\r\n")}, "owners": {owners}, "settled": {"0"}, "note": {"so that <b>one</b> looks"}}
	}
	res, page := f.do(t, "POST", path, form("preview", "2", javaRule+"- nam: x\n", "- owner: x\n").Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if res.StatusCode != 400 || !strings.Contains(page, "2 mistakes") || !strings.Contains(page, "Owners, <a") || !strings.Contains(page, `href="#rules-5"`) || !strings.Contains(page, "<code>- nam: x</code>") || !strings.Contains(page, `href="#owners-1"`) {
		t.Errorf("mistakes: %d %s", res.StatusCode, between(page, `id="result"`, "</section>"))
	}
	has(page, "- nam: x\n</textarea>", `<option value="2" selected>`) // what was written stays

	has(browse(path, form("preview", "0", "", "")), "Nothing to change")
	page = browse(path, form("preview", "0", javaRule, ownerRules))
	result := between(page, `id="result"`, "</section>")
	seen := between(result, `name="seen" value="`, `"`)
	p := post[previewJSON](t, f, "/api/v1/issues/regroup", `{"preview":true,"grouping":{"version":0,"rules":[{"name":"all of the shop","match":[{"field":"module","pattern":"com.acme.*"}],"fingerprint":"shop"}]}}`)
	var moved int64
	for _, g := range p.Groups {
		for _, part := range g.Parts {
			if part.Issue != g.Issue {
				moved += *part.Count
			}
		}
	}
	if p.Moved == 0 || moved == 0 || len(p.Groups) != 1 {
		t.Fatalf("the test's rule joins nothing: %+v", p)
	}
	has(result, plural(p.Moved, "fingerprint")+" of "+formatCount(int64(p.Fingerprints))+" would move, which occurred "+times(moved)+" in the last 30 days",
		plural(p.Issues, "issue")+" now, "+formatCount(int64(p.After))+" after", "/issues/"+p.Groups[0].Issue, "/issues/"+p.Groups[0].Parts[1].Issue,
		">joined<", "2 would have an owner by these rules", "Rule 2", "0 issues")
	if set := settings(); set.Version != 0 || seen == "" {
		t.Fatalf("a preview changed the settings to %+v", set)
	}
	apply := form("apply", "0", javaRule, ownerRules)
	has(browse(path, apply), "others than those that were previewed")
	apply.Set("seen", seen)
	page = browse(path, apply)
	flash := between(page, `class="flash`, "</div>")
	has(flash, "Grouped anew: "+plural(p.Moved, "fingerprint")+" moved. Owners are as written")
	undo := undoOf(flash)
	if len(undo["undo"]) != 2 {
		t.Fatalf("undo offers %v", undo)
	}
	has(page, "so that &lt;b&gt;one&lt;/b&gt; looks", "Owners: 2 owner rules, before 0", "1 grouping rule, before 0", "Settings 2, by <bdi>local</bdi>", "name: all of the shop", "owner: Ada")
	if set := settings(); len(set.Grouping.Rules) != 1 || len(set.Owners) != 2 || set.Owners[0].Owner != "Ada" {
		t.Fatalf("settings %+v", set)
	}
	// Why an issue is grouped so leads to the rule, and what it was before is listed.
	has(browse("/issues/"+p.Groups[0].Issue, nil), `Grouped so by rule</dt><dd><a href="/exceptions/grouping#rules-1"><bdi>all of the shop</bdi></a>`, "Grouped anew")

	// What was previewed before others changed the settings is not applied.
	set := settings()
	set.Owners = set.Owners[:1]
	_, err := service.SetSettings(t.Context(), *set, "Grace")
	must(t, err)
	apply.Set("version", "2")
	has(browse(path, apply), "Somebody changed the settings meanwhile")
	grace := undoOf(between(browse(path, nil), "<bdi>Grace</bdi>", "</li>"))
	has(browse(path, url.Values{"do": {"undo"}, "undo": undo["undo"][1:]}), "undo that first")
	has(browse(path, grace), "1 change taken back")
	page = browse(path, undo)
	has(page, "2 changes taken back", "Taken back: ")
	if set := settings(); len(set.Grouping.Rules) != 0 || len(set.Owners) != 0 {
		t.Errorf("undone: %+v", set)
	}
	if list := get[issuePageJSON](t, f, "/api/v1/issues?limit=100"); list.Total != p.Issues {
		t.Errorf("%d issues after undoing, before %d", list.Total, p.Issues)
	}
	res, page = f.do(t, "POST", path, "do=preview&rules="+strings.Repeat("x", rulesForm), "Content-Type", "application/x-www-form-urlencoded")
	if res.StatusCode != 400 || !strings.Contains(page, "more than 1048576 bytes") {
		t.Errorf("a form without bound: %d", res.StatusCode)
	}
}

// TestGroupingPageOfReaders shows the rules to who may look, and changes nothing.
func TestGroupingPageOfReaders(t *testing.T) {
	keys := keysInMemory{byHash: map[string]*millrace.Key{}}
	guard := auth.NewGuard(auth.Options{Require: auth.RequireAlways}, false, keys, func() time.Time { return fixedNow })
	reader := keys.add(t, "default", millrace.ScopeRead)
	f, service := newRulesFixture(t, fixedNow, guard)
	_, err := service.Regroup(t.Context(), "default", issue.Grouping{Version: 2}, "Ada", "")
	must(t, err)
	_, page := f.do(t, "GET", "/exceptions/grouping", "", "Authorization", "Bearer "+reader)
	if !strings.Contains(page, "version 2 of the fingerprint, before each") || strings.Contains(page, `value="apply"`) || strings.Contains(page, `name="undo"`) || strings.Contains(page, ">Preview</button></div>") {
		t.Error("a reader's page lacks the log, or offers changes")
	}
	for _, do := range []string{"do=apply&version=0&rules=&owners=", "do=undo&undo=change.1"} {
		f.do(t, "POST", "/exceptions/grouping", do, "Authorization", "Bearer "+reader, "Content-Type", "application/x-www-form-urlencoded")
	}
	if set, err := service.Settings(t.Context(), "default"); err != nil || set.Grouping.Version != 2 {
		t.Errorf("a reader changed the settings: %+v %v", set, err)
	}
}

// TestGroupingInBrowser writes rules by keyboard: a mistake, its line, preview,
// apply, undo; at all sizes.
func TestGroupingInBrowser(t *testing.T) {
	b := browsertest.Start(t)
	dir := shots(t)
	for _, v := range issueViews {
		f, _ := newRulesFixture(t, time.Now().UTC(), nil)
		p := b.Open(t, f.URL+"/exceptions", v.view)
		look := func(name string) {
			t.Helper()
			var sticksOut bool
			if p.Eval(wide, &sticksOut); sticksOut {
				t.Errorf("%s %s: the page is wider than the window", name, v.name)
			}
			p.Screenshot(filepath.Join(dir, "grouping-"+name+"-"+v.name+".png"), true)
		}
		p.Eval("[...document.querySelectorAll('.subnav a')].find(a => a.innerText.includes('Grouping')).click()", nil)
		p.Wait("document.querySelector('#rules')")
		look("empty")
		p.Eval("document.querySelector('#rules').focus()", nil)
		p.Eval("document.querySelector('#rules').value = "+string(mustJSON(javaRule+"- name: bad\n  match: [{field: typ, pattern: x}]\n  fingerprint: x\n")), nil)
		p.Eval("document.querySelector('#rulesform button.primary').click()", nil)
		p.Wait("document.querySelector('#result')?.innerText.includes('one mistake')")
		look("mistake")
		p.Eval("document.querySelector('#result .problems a').click()", nil)
		p.Wait(`(() => { const t = document.querySelector('#rules'); return document.activeElement === t && t.value.slice(t.selectionStart, t.selectionEnd).includes('typ, pattern') })()`)
		p.Eval("document.querySelector('#rules').value = "+string(mustJSON(javaRule))+"; document.querySelector('#owners').value = "+string(mustJSON(ownerRules)), nil)
		p.Eval("document.querySelector('#rulesform [name=note]').focus()", nil)
		p.Key("Enter") // previews, and does not apply
		p.Wait("document.querySelector('#result')?.innerText.includes('would move')")
		look("preview")
		p.Eval("document.querySelector('#result [value=apply]').focus()", nil)
		p.Key("Enter")
		p.Wait("document.querySelector('.flash')?.innerText.includes('Grouped anew')")
		look("applied")
		p.Eval("document.querySelector('.flash button').click()", nil)
		p.Wait("document.querySelector('.flash')?.innerText.includes('2 changes taken back')")
		for _, e := range p.Errors() {
			if !strings.Contains(e, "400 (Bad Request)") { // the mistake
				t.Error(e)
			}
		}
	}
}
