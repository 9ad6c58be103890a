package web

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/issue"
)

// post sends a JSON body and decodes the answer of status 200.
func post[T any](t *testing.T, f *fixture, path, body string) T {
	t.Helper()
	res, got := f.do(t, "POST", path, body, "Content-Type", "application/json")
	if res.StatusCode != 200 {
		t.Fatalf("POST %s %s: %d %s", path, body, res.StatusCode, got)
	}
	var v T
	must(t, json.Unmarshal([]byte(got), &v))
	return v
}

type outcomesAnswer struct {
	Outcomes []struct {
		Issue    string
		Changed  bool
		Activity int64
		Error    string
	}
}

func TestIssuesAPI(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1, issues: (*fakeIssues).loadFaults})
	list := get[issuePageJSON](t, f, "/api/v1/issues?state=open&limit=5&offset=2&from=-2d&env=all&q=exception&owner=&where=service:checkout&error_class=system&order=last_seen&step=1h&silent=true")
	asked := f.fake.asked[len(f.fake.asked)-1]
	if len(list.Issues) == 0 || len(list.Issues) > 5 || asked.Limit != 5 || asked.Offset != 2 || asked.Env != "all" || asked.Text != "exception" || asked.Owner == nil || *asked.Owner != "" ||
		asked.Where != "service:checkout" || asked.ErrorClass != "system" || asked.Order != "last_seen" || !asked.Silent || asked.Step.Hours() != 1 ||
		strings.Join(asked.Phases, " ") != "new ongoing regressed" || asked.Range.To.Sub(asked.Range.From).Hours() != 48 || asked.Project != "default" {
		t.Errorf("asked %+v, got %d issues", asked, len(list.Issues))
	}
	row := f.fake.rows[2]
	detail := get[issueDetailJSON](t, f, "/api/v1/issues/"+row.ID)
	if detail.ID != row.ID || detail.Count != row.Count || detail.Resolution == nil || detail.Resolution.Release != "shop@4.20.0" || detail.LastWeek == nil || len(detail.Details) != 1 || len(detail.Activities) != 1 {
		t.Errorf("detail %+v", detail)
	}
	row.LastWeek = -1
	if _, body := f.do(t, "GET", "/api/v1/issues/"+row.ID, ""); !strings.Contains(body, `"last_week":null`) {
		t.Error("a count that is not known is not null")
	}
	events := get[struct {
		Events []millrace.StoredEvent
		Next   string
	}](t, f, "/api/v1/issues/"+row.ID+"/events?limit=3")
	if len(events.Events) != 3 || events.Next == "" {
		t.Errorf("events %d, next %q", len(events.Events), events.Next)
	}
	if x := get[map[string]any](t, f, "/api/v1/issues/"+row.ID+"/explain?fingerprint="+url.QueryEscape(row.Fingerprints[0])); x["text"] == "" || x["fingerprint"] != row.Fingerprints[0] {
		t.Errorf("explanation %v", x)
	}
	if ty := get[typesJSON](t, f, "/api/v1/exceptions/types?hosts=true&limit=3&q=e"); len(ty.Types) != 3 || ty.LastWeek != nil || len(ty.Types[0].Hosts) != 2 {
		t.Errorf("types %+v", ty)
	}
}

func TestChangingIssuesByAPI(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1, issues: (*fakeIssues).loadFaults})
	row, other := f.fake.rows[0], f.fake.rows[1]
	at := "/api/v1/issues/" + row.ID
	out := post[outcomesAnswer](t, f, at+"/resolve", `{"release":"shop@5"}`)
	if row.State != millrace.IssueResolved || row.Resolution.Release != "shop@5" || row.Resolution.By != "local" || !out.Outcomes[0].Changed {
		t.Errorf("resolved: %+v %+v", row.Issue, out)
	}
	post[any](t, f, at+"/activities/1/undo", "")
	if row.State != millrace.IssueOpen {
		t.Errorf("undone: %s", row.State)
	}
	post[any](t, f, at+"/ignore", `{"until":"24h","users":3}`)
	if want := fixedNow.AddDate(0, 0, 1).UnixNano(); row.State != millrace.IssueIgnored || row.Ignore.Until != want || row.Ignore.Users != 3 {
		t.Errorf("ignored: %+v", row.Ignore)
	}
	post[any](t, f, at+"/reopen", "")
	post[any](t, f, at+"/assign", `{"owner":"Grace"}`)
	post[any](t, f, at+"/note", `{"text":"seen it"}`)
	if row.State != millrace.IssueOpen || row.Owner != "Grace" {
		t.Errorf("after all: %+v", row.Issue)
	}
	log := get[struct{ Activities []activityJSON }](t, f, at+"/activities?limit=2").Activities
	if len(log) != 2 || log[0].Text != "seen it" || log[0].Author != "local" {
		t.Errorf("log %+v", log)
	}
	bulk := post[outcomesAnswer](t, f, "/api/v1/issues/bulk", `{"action":"resolve","next":true,"ids":["`+row.ID+`","000000000000"]}`)
	if len(bulk.Outcomes) != 2 || !bulk.Outcomes[0].Changed || !strings.Contains(bulk.Outcomes[1].Error, "no issue") || !row.Resolution.Next {
		t.Errorf("bulk %+v", bulk)
	}
	change := post[changeJSON](t, f, at+"/merge", `{"ids":["`+other.ID+`"],"note":"same"}`)
	if change.Kind != "merge" || len(change.Moves) != 1 || get[issueDetailJSON](t, f, "/api/v1/issues/"+other.ID).RedirectedFrom != other.ID {
		t.Errorf("merge %+v", change)
	}
	post[changeJSON](t, f, at+"/unmerge", `{"fingerprints":["`+other.Fingerprints[0]+`"]}`)
	post[changeJSON](t, f, "/api/v1/issues/changes/1/undo", "")
	if list := get[struct{ Changes []changeJSON }](t, f, "/api/v1/issues/changes?limit=5").Changes; len(list) != 3 || list[2].UndoneBy == 0 {
		t.Errorf("changes %+v", list)
	}
	if p := post[previewJSON](t, f, "/api/v1/issues/regroup", `{"grouping":{"version":2},"preview":true}`); p.Moved != 29 || len(p.Groups) != 1 || f.fake.settings.Grouping.Version == 2 {
		t.Errorf("preview %+v", p)
	}
	if c := post[changeJSON](t, f, "/api/v1/issues/regroup", `{"grouping":{"version":2}}`); c.Kind != "regroup" {
		t.Errorf("regroup %+v", c)
	}
	res, body := f.do(t, "PUT", "/api/v1/issues/settings", `{"version":0,"owners":[{"match":[{"field":"service","pattern":"*"}],"owner":"all"}]}`, "Content-Type", "application/json")
	if res.StatusCode != 200 || !strings.Contains(body, `"version":1`) || f.fake.settings.Grouping.Version != 2 {
		t.Errorf("settings: %d %s", res.StatusCode, body)
	}
}

func TestIssueProblems(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1, issues: (*fakeIssues).loadFaults})
	at := "/api/v1/issues/" + f.fake.rows[0].ID
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/api/v1/issues/nope", "", 404, "12 digits"},
		{"GET", "/api/v1/issues/000000000000", "", 404, "no issue"},
		{"GET", "/api/v1/issues?state=closed", "", 400, "must be open, new"},
		{"GET", "/api/v1/issues?limit=1001", "", 400, "between 1 and 1000"},
		{"GET", "/api/v1/issues?silent=maybe", "", 400, "true or false"},
		{"GET", "/api/v1/issues?project=a/b", "", 400, "project"},
		{"POST", at + "/ignore", `{"release":"x"}`, 400, "release belongs to resolve"},
		{"POST", at + "/ignore", `{"unitl":"1h"}`, 400, "unitl"},
		{"POST", at + "/ignore", `{"until":"2001-01-01T00:00:00Z"}`, 400, "not in the future"},
		{"POST", at + "/ignore", `{"occurrences":-1}`, 400, "at least 1"},
		{"POST", at + "/resolve", `{"ids":["a"]}`, 400, "belong to /api/v1/issues/bulk"},
		{"POST", "/api/v1/issues/000000000000/resolve", ``, 404, "no issue"},
		{"POST", "/api/v1/issues/bulk", `{"action":"resolve"}`, 400, "1 to 1000"},
		{"POST", "/api/v1/issues/bulk", `{"action":"delete","ids":["a"]}`, 400, "must be resolve, reopen"},
		{"POST", at + "/merge", `{}`, 400, "ids"},
		{"POST", at + "/unmerge", `{}`, 400, "fingerprints"},
		{"POST", at + "/activities/x/undo", ``, 404, "activity"},
		{"POST", "/api/v1/issues/changes/0/undo", ``, 404, "change"},
		{"POST", "/api/v1/issues/regroup", `{}`, 400, "grouping"},
		{"PUT", "/api/v1/issues/settings", `{"version":7,"grouping":{"version":0}}`, 409, "version 0"},
		{"DELETE", "/api/v1/issues", ``, 405, "takes GET"},
	} {
		res, body := f.do(t, c.method, c.path, c.body, "Content-Type", "application/json")
		if res.StatusCode != c.status || res.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %s: %d %s; want %d %q", c.method, c.path, c.body, res.StatusCode, body, c.status, c.want)
		}
	}
	if res, _ := f.do(t, "POST", at+"/resolve", `{}`, "Content-Type", "text/plain"); res.StatusCode != 400 {
		t.Errorf("a body that is not JSON: %d", res.StatusCode)
	}
	if res, _ := f.do(t, "POST", "/exceptions", "do=resolve", "Sec-Fetch-Site", "cross-site", "Content-Type", "application/x-www-form-urlencoded"); res.StatusCode != 403 {
		t.Errorf("a form of another site: %d", res.StatusCode)
	}
}

// keysInMemory is as much of Meta as a guard asks.
type keysInMemory struct {
	millrace.Meta
	byHash map[string]*millrace.Key
}

func (k keysInMemory) KeyByHash(_ context.Context, hash string) (*millrace.Key, error) {
	if key := k.byHash[hash]; key != nil {
		return key, nil
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "no such key")
}

func (k keysInMemory) add(t *testing.T, project string, scope millrace.Scope) string {
	t.Helper()
	secret, key, err := auth.NewKeyRequest{Name: "k", Project: project, Scope: scope}.New(fixedNow)
	must(t, err)
	k.byHash[key.Hash] = key
	return secret
}

// TestIssueScopes checks who may look at and change issues: a reading key its own
// project's, and nothing else.
func TestIssueScopes(t *testing.T) {
	keys := keysInMemory{byHash: map[string]*millrace.Key{}}
	guard := auth.NewGuard(auth.Options{Require: auth.RequireAlways}, false, keys, func() time.Time { return fixedNow })
	f := newFixture(t, setting{now: fixedNow, lines: 1, issues: (*fakeIssues).loadFaults, guard: guard})
	reader, foreign, admin := keys.add(t, "default", millrace.ScopeRead), keys.add(t, "other", millrace.ScopeRead), keys.add(t, "default", millrace.ScopeAdmin)
	at := "/api/v1/issues/" + f.fake.rows[0].ID
	for _, c := range []struct {
		key, method, path string
		status            int
	}{
		{"", "GET", "/api/v1/issues", 401},
		{reader, "GET", "/api/v1/issues", 200},
		{reader, "GET", at, 200},
		{reader, "GET", at + "?project=other", 403},
		{foreign, "GET", at, 404},
		{foreign, "GET", at + "?project=default", 403},
		{foreign, "GET", "/api/v1/exceptions/types?project=default", 403},
		{reader, "POST", at + "/resolve", 403},
		{reader, "POST", "/api/v1/issues/bulk", 403},
		{reader, "POST", "/api/v1/issues/regroup", 403},
		{reader, "PUT", "/api/v1/issues/settings", 403},
		{reader, "POST", "/api/v1/issues/changes/1/undo", 403},
		{admin, "POST", at + "/resolve", 200},
		{admin, "GET", at + "?project=other", 404},
	} {
		res, body := f.do(t, c.method, c.path, "", "Authorization", "Bearer "+c.key)
		if res.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, res.StatusCode, c.status, body)
		}
	}
	_, body := f.do(t, "GET", "/issues/"+f.fake.rows[0].ID, "", "Authorization", "Bearer "+reader)
	if strings.Contains(body, `method="post" action="/issues`) || !strings.Contains(body, "Sample") {
		t.Error("a reader's page offers actions, or shows nothing")
	}
	res, _ := f.do(t, "POST", "/issues/"+f.fake.rows[1].ID, "do=resolve", "Authorization", "Bearer "+reader, "Content-Type", "application/x-www-form-urlencoded")
	if res.StatusCode != 303 || f.fake.rows[1].State != millrace.IssueOpen {
		t.Errorf("a reader's form: %d, the issue is %s", res.StatusCode, f.fake.rows[1].State)
	}
}

// browse is a client that keeps cookies and follows redirects, as a browser
// without scripts does.
func (f *fixture) browse(t *testing.T) func(path string, form url.Values) string {
	jar, err := cookiejar.New(nil)
	must(t, err)
	client := http.Client{Jar: jar}
	return func(path string, form url.Values) string {
		t.Helper()
		var res *http.Response
		if form == nil {
			res, err = client.Get(f.URL + path)
		} else {
			res, err = client.PostForm(f.URL+path, form)
		}
		must(t, err)
		defer func() { must(t, res.Body.Close()) }()
		if res.StatusCode != 200 {
			t.Fatalf("%s: %d", path, res.StatusCode)
		}
		body, err := io.ReadAll(res.Body)
		must(t, err)
		return string(body)
	}
}

// TestActionsWithoutScripts does everything that pages offer with forms alone.
func TestActionsWithoutScripts(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1, issues: (*fakeIssues).loadFaults})
	browse := f.browse(t)
	a, b, c := f.fake.rows[0], f.fake.rows[1], f.fake.rows[9]
	says := func(page, want string) {
		t.Helper()
		if _, rest, ok := strings.Cut(page, `class="flash`); !ok || !strings.Contains(rest[:min(len(rest), 600)], want) {
			t.Errorf("the page does not say %q: %.300s", want, rest)
		}
	}
	undo := func(page string) url.Values {
		form := url.Values{"do": {"undo"}}
		for _, part := range strings.Split(page, `name="undo" value="`)[1:] {
			value, _, _ := strings.Cut(part, `"`)
			form.Add("undo", value)
			if len(form["undo"]) == 2 {
				break
			}
		}
		return form
	}
	page := browse("/exceptions?state=open&q=", url.Values{"do": {"resolve-in"}, "release": {"shop@5"}, "id": {a.ID, b.ID}})
	says(page, "2 issues resolved in shop@5")
	if a.State != millrace.IssueResolved || b.Resolution.Release != "shop@5" {
		t.Errorf("states %s %s", a.State, b.State)
	}
	says(browse("/exceptions", undo(page)), "2 changes taken back")
	if a.State != millrace.IssueOpen || b.State != millrace.IssueOpen {
		t.Errorf("states %s %s after undo", a.State, b.State)
	}
	if page := browse("/exceptions", nil); strings.Contains(page, `class="flash`) {
		t.Error("the message stays")
	}
	says(browse("/exceptions", url.Values{"do": {"resolve"}}), "No issue is selected")
	says(browse("/exceptions", url.Values{"do": {""}, "id": {a.ID}}), "Nothing was chosen")
	says(browse("/exceptions", url.Values{"do": {""}, "owner": {"Ada"}, "id": {a.ID}}), "assigned to Ada")
	says(browse("/exceptions", url.Values{"do": {"ignore-count"}, "occurrences": {"x"}, "id": {a.ID}}), "not a number")
	says(browse("/exceptions", url.Values{"do": {"ignore-count"}, "occurrences": {"1,000"}, "id": {a.ID}}), "ignored until 1,000 more came")
	says(browse("/exceptions", url.Values{"do": {"ignore-7d"}, "id": {b.ID}}), "ignored for a week")
	says(browse("/exceptions", url.Values{"do": {"reopen"}, "id": {a.ID, b.ID, "000000000000"}}), "1 issue failed: there is no issue")
	page = browse("/exceptions", url.Values{"do": {"merge"}, "id": {a.ID, b.ID}})
	says(page, "2 issues merged into "+a.ID)
	if page := browse("/issues/"+b.ID, nil); !strings.Contains(page, "Issue "+b.ID+" was merged into this one") {
		t.Error("a merged issue does not lead to the one it is part of")
	}
	says(browse("/exceptions", url.Values{"do": {"undo"}, "undo": {"change.1"}}), "1 change taken back")
	page = browse("/issues/"+a.ID, url.Values{"do": {"merge"}, "other": {"http://x/issues/" + c.ID + "?from=-1h"}})
	says(page, "2 issues merged into "+a.ID)
	says(browse("/issues/"+a.ID, url.Values{"do": {"unmerge"}, "fingerprint": {c.Fingerprints[0]}}), "1 fingerprint taken out")
	says(browse("/issues/"+a.ID, url.Values{"do": {"note"}, "text": {"watch <b>this</b>"}}), "noted")
	if page := browse("/issues/"+a.ID, nil); !strings.Contains(page, "watch &lt;b&gt;this&lt;/b&gt;") || !strings.Contains(page, "assigned it to Ada") {
		t.Error("the log lacks the note or the assignment")
	}
	f.fake.err = millrace.Errorf(millrace.ErrUnavailable, "meta does not answer")
	if res, body := f.do(t, "GET", "/exceptions", "", "Accept", "text/html"); res.StatusCode != 503 || !strings.Contains(body, "meta does not answer") {
		t.Errorf("without meta: %d", res.StatusCode)
	}
}

// TestSteppingThroughSamples follows the links from the newest sample to the last.
func TestSteppingThroughSamples(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1, issues: func(f *fakeIssues) {
		f.add(millrace.Issue{Type: "T", FirstSeen: fixedNow.UnixNano(), LastSeen: fixedNow.UnixNano()}, nil, nil, 104)
	}})
	path, seen := "/issues/"+f.fake.rows[0].ID, map[string]bool{}
	for range 300 {
		_, body := f.do(t, "GET", path, "", "Accept", "text/html")
		_, trace, _ := strings.Cut(body, "0af7651916cd43dd8448eb211c")
		seen[trace[:6]] = true
		_, next, ok := strings.Cut(body, `rel="next" id="older"`)
		if !ok {
			break
		}
		before := body[:len(body)-len(next)]
		link := before[strings.LastIndex(before, `href="`)+6:]
		link, _, _ = strings.Cut(link, `"`)
		path = strings.ReplaceAll(link, "&amp;", "&")
	}
	if len(seen) != 104 {
		t.Errorf("%d samples seen, want 104", len(seen))
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode 库存 👩‍👩‍👧": "plain ünïcode 库存 👩‍👩‍👧", "a\tb\nc": "a\tb\nc", "\x1b[31m": "␛[31m", "a\u202eb": "a⟨U+202E⟩b",
		"\x00\x7f\u0085\ufeff": "␀␡⟨U+0085⟩⟨U+FEFF⟩", "\xff": "\ufffd", "\r": "␍",
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTellingLine(t *testing.T) {
	for in, want := range map[string]string{"a\nb": "a", "{\n  \"x\": 1": "\"x\": 1", "{": "{", "": "", "---\n库存": "库存"} {
		if got := tellingLine(in); got != want {
			t.Errorf("tellingLine(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestIssueThatIsOver leads from a range without it to when it was seen.
func TestIssueThatIsOver(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1, issues: func(f *fakeIssues) {
		row := f.add(millrace.Issue{Type: "T", FirstSeen: 1e18, LastSeen: 1.5e18, FirstRelease: "shop@1"}, nil, nil, 0)
		row.Count, row.Users = 0, 0
	}})
	_, body := f.do(t, "GET", "/issues/"+f.fake.rows[0].ID, "", "Accept", "text/html")
	if !strings.Contains(body, "env=all&amp;from=2017-07-13T03%3A40%3A00Z&amp;to=2017-07-14T03%3A40%3A00Z") || !strings.Contains(body, "no event says whom") {
		t.Error("the page does not lead to when the issue was seen")
	}
	if _, body := f.do(t, "GET", "/exceptions", "", "Accept", "text/html"); !strings.Contains(body, "<bdi>shop@1</bdi></td>") {
		t.Error("the list does not show the only release")
	}
}

func TestShortType(t *testing.T) {
	for in, want := range map[string]string{
		"java.util.List": "List", `App\Errors\Timeout`: "Timeout", "Errno::ECONNREFUSED": "Errno::ECONNREFUSED", "runtime error": "runtime error",
		"EXC_BAD_ACCESS (SIGSEGV)": "EXC_BAD_ACCESS (SIGSEGV)", "": "", "ends.": "ends.", "库存服务异常": "库存服务异常",
	} {
		if got := shortType(in); got != want {
			t.Errorf("shortType(%q) = %q, want %q", in, got, want)
		}
	}
}

var _ Issues = (*issue.Service)(nil)
