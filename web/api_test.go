package web

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
)

var fixedNow = time.Date(2026, 5, 20, 12, 34, 56, 0, time.UTC)

// do sends a request and returns status and body.
func (f *fixture) do(t *testing.T, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.URL+path, strings.NewReader(body))
	must(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i] == "Host-Override" {
			req.Host = header[i+1]
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	must(t, err)
	b, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	return res, string(b)
}

// get decodes the answer of a path that must succeed.
func get[T any](t *testing.T, f *fixture, path string) T {
	t.Helper()
	res, body := f.do(t, "GET", path, "")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %s %s", path, res.StatusCode, res.Header.Get("Content-Type"), body)
	}
	var v T
	must(t, json.Unmarshal([]byte(body), &v))
	return v
}

type rollupAnswer struct {
	CompleteUntil time.Time `json:"complete_until"`
	Source        string
	Columns       []string
	Rows          [][]any
}

func TestRollupAPI(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 20})
	q := url.Values{"metrics": {"pv,rt_p99_9"}, "by": {"status"}, "where": {"status<500"}, "from": {"-3h"}, "order": {"-pv"}, "limit": {"2"}}
	got := get[rollupAnswer](t, f, "/api/v1/rollups/traffic?"+q.Encode())
	if strings.Join(got.Columns, ",") != "status,pv,rt_p99_9" || len(got.Rows) != 2 || got.Rows[0][0] != "200" || got.Source != "1h+1m" {
		t.Errorf("answer %+v", got)
	}
	if !got.CompleteUntil.Equal(fixedNow.Add(-90 * time.Second)) {
		t.Errorf("complete until %s", got.CompleteUntil)
	}
	// The same question twice gives the same bytes, also compressed.
	_, a := f.do(t, "GET", "/api/v1/rollups/traffic?by=url&step=1m", "")
	res, z := f.do(t, "GET", "/api/v1/rollups/traffic?by=url&step=1m", "", "Accept-Encoding", "gzip")
	if res.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("not compressed: %v", res.Header)
	}
	r, err := gzip.NewReader(strings.NewReader(z))
	must(t, err)
	b, err := io.ReadAll(r)
	must(t, err)
	if string(b) != a || len(a) < 5000 {
		t.Errorf("answers differ: %d and %d bytes", len(a), len(b))
	}
	total := get[rollupAnswer](t, f, "/api/v1/rollups/traffic?metrics=pv&from=-3h").Rows[0][0].(float64)
	sum := 0.0
	for _, row := range get[rollupAnswer](t, f, "/api/v1/rollups/traffic?metrics=pv&from=-3h&step=5m&by=service").Rows {
		sum += row[2].(float64)
	}
	if total == 0 || sum != total {
		t.Errorf("total %v, sum over time and services %v", total, sum)
	}
}

func TestProblems(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1})
	check := func(method, path, body string, status int, want string, header ...string) {
		t.Helper()
		res, got := f.do(t, method, path, body, header...)
		var doc struct {
			Status       int
			Detail, Code string
		}
		if res.StatusCode != status || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s %s", method, path, res.StatusCode, res.Header.Get("Content-Type"), got)
			return
		}
		must(t, json.Unmarshal([]byte(got), &doc))
		if doc.Status != status || !strings.Contains(doc.Detail, want) || doc.Code == "" {
			t.Errorf("%s %s:\n got %s\nwant %q", method, path, got, want)
		}
	}
	jsonBody := []string{"Content-Type", "application/json"}
	check("GET", "/api/v1/rollups/nope", "", 404, "there are traffic, exceptions, timings")
	check("GET", "/api/v1/rollups/traffic?form=-1h", "", 400, `unknown parameter "form"; there are metrics, by`)
	check("GET", "/api/v1/rollups/traffic?from=-1h&from=-2h", "", 400, "given 2 times")
	check("GET", "/api/v1/rollups/traffic?from=yesterday", "", 400, "from: time")
	check("GET", "/api/v1/rollups/traffic?from=now&to=-1h", "", 400, "must be before")
	check("GET", "/api/v1/rollups/traffic?having=pv+pv", "", 400, "having: position 4")
	check("GET", "/api/v1/rollups/traffic?tz=Mars", "", 400, "IANA")
	check("GET", "/api/v1/rollups/traffic?compare=1d", "", 400, "such as -1d")
	check("GET", "/api/v1/rollups/traffic?step=10s", "", 400, "whole minutes")
	check("GET", "/api/v1/rollups/traffic?limit=x", "", 400, "between 1 and 100000")
	check("GET", "/api/v1/rollups/traffic?%zz", "", 400, "malformed")
	check("GET", "/api/v1/logs?q=level:", "", 400, "position 7")
	check("GET", "/api/v1/logs?limit=10001", "", 400, "between 1 and 10000")
	check("GET", "/api/v1/logs?cursor=x", "", 400, "cursor")
	check("GET", "/api/v1/logs/histogram?step=abc", "", 400, "step")
	check("GET", "/api/v1/logs/histogram?step=1ns", "", 400, "at least 1s")
	check("GET", "/api/v1/logs/tail?q=(", "", 400, "position")
	check("GET", "/api/v1/ledger?sink=x", "", 400, "must be events or rollup")
	check("GET", "/api/v1/ledger?from=x", "", 400, "RFC 3339")
	check("GET", "/api/v1/gaps?x=1", "", 400, "unknown parameter")
	check("GET", "/api/v1/set-aside?limit=0", "", 400, "between 1 and 1000")
	check("POST", "/api/v1/sql", `{"sql":"select 1"}`, 400, "application/json")
	check("POST", "/api/v1/sql", `{"sql":"select bad"}`, 400, "no column bad", jsonBody...)
	check("POST", "/api/v1/sql", `{"sql":""}`, 400, "empty", jsonBody...)
	check("POST", "/api/v1/sql", `{"query":"select 1"}`, 400, "not the JSON expected", jsonBody...)
	check("POST", "/api/v1/sql", `{"sql":"select 1"} x`, 400, "something after", jsonBody...)
	check("POST", "/api/v1/sql", `{"sql":"`+strings.Repeat("x", 65<<10)+`"}`, 413, "over 65536", jsonBody...)
	check("POST", "/api/v1/sql", `{"sql":"`+strings.Repeat("x", maxSQLBody)+`"}`, 413, "more than", jsonBody...)
	check("GET", "/api/v1/sql", "", 405, "takes POST")
	check("DELETE", "/api/v1/logs", "", 405, "takes GET, HEAD")
	check("POST", "/traffic", "", 405, "takes GET, HEAD")
	check("GET", "/api/v2/logs", "", 404, "/api/v1/openapi.json")
	check("GET", "/nope", "", 404, "there is no /nope")
	check("GET", "/api/v1/logs", "", 403, "localhost", "Host-Override", "evil.example")
}

func TestAnswers(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 20})
	logs := get[struct {
		Events []millrace.StoredEvent
		Next   string
	}](t, f, "/api/v1/logs?q=kind:exception&from=-3h&limit=5")
	if len(logs.Events) != 5 || logs.Next == "" || logs.Events[0].Kind != "exception" {
		t.Errorf("logs %+v", logs)
	}
	histogram := get[struct {
		Step   float64
		Points []struct{ Events int }
	}](t, f, "/api/v1/logs/histogram?from=-1h&step=10m")
	if histogram.Step != 600 || len(histogram.Points) < 6 || histogram.Points[1].Events == 0 {
		t.Errorf("histogram %+v", histogram)
	}
	ledger := get[struct {
		Balanced bool
		Accounts []struct {
			Sink     string
			Received struct{ Events int }
			Reasons  []struct{ Reason, Example string }
		}
		Folded []struct {
			Where, Hint string
			Weight      int
		}
	}](t, f, "/api/v1/ledger")
	if !ledger.Balanced || len(ledger.Accounts) != 2 || ledger.Accounts[0].Received.Events == 0 || ledger.Accounts[0].Reasons[0].Reason != "bad_json" {
		t.Errorf("ledger %+v", ledger)
	}
	if len(ledger.Folded) != 2 || ledger.Folded[0].Where != "traffic.url" || ledger.Folded[0].Weight != 1203 ||
		!strings.Contains(ledger.Folded[0].Hint, "pipeline.dimension_values") || !strings.Contains(ledger.Folded[1].Hint, "pipeline.set_cells") {
		t.Errorf("folded %+v", ledger.Folded)
	}
	if _, page := f.do(t, "GET", "/pipeline", "", "Accept", "text/html"); !strings.Contains(page, "traffic [service,url]") || !strings.Contains(page, "pipeline.set_cells") || !strings.Contains(page, "52,113") {
		t.Error("the page shows neither what is folded nor the open cells")
	}
	if g := get[struct{ Gaps []struct{ From, To int } }](t, f, "/api/v1/gaps"); len(g.Gaps) != 1 || g.Gaps[0].To != 52 {
		t.Errorf("gaps %+v", g)
	}
	aside := get[struct {
		SetAside []struct{ Stage, Example string } `json:"set_aside"`
	}](t, f, "/api/v1/set-aside?limit=5")
	if len(aside.SetAside) != 1 || aside.SetAside[0].Stage != "decode" {
		t.Errorf("set aside %+v", aside)
	}
	st := get[struct {
		Sinks []struct {
			Lag int `json:"lag_records"`
		}
		Store struct{ Events int }
	}](t, f, "/api/v1/status")
	if len(st.Sinks) != 4 || st.Sinks[0].Lag != 2 || st.Store.Events == 0 {
		t.Errorf("status %+v", st)
	}
	rollups := get[struct {
		Rollups []struct {
			Name string
			Sets []struct{ Dimensions []string }
		}
	}](t, f, "/api/v1/rollups")
	if len(rollups.Rollups) != 3 || rollups.Rollups[0].Name != "traffic" || len(rollups.Rollups[0].Sets) != 6 {
		t.Errorf("rollups %+v", rollups)
	}
	res, body := f.do(t, "POST", "/api/v1/sql", `{"sql":"select host, n from t"}`, "Content-Type", "application/json; charset=utf-8")
	if res.StatusCode != 200 || body != `{"columns":["host","n"],"rows":[["web-1",4211],["web-2",3977],["web-3",12]]}`+"\n" {
		t.Errorf("sql: %d %s", res.StatusCode, body)
	}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n", "/metrics": "go_goroutines", "/ingest": "ingest"} {
		if res, body := f.do(t, "GET", path, ""); res.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.60s", path, res.StatusCode, body)
		}
	}
}

// TestOpenAPI checks that the document and the routes agree, both ways.
func TestOpenAPI(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1})
	doc := get[struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}](t, f, "/api/v1/openapi.json")
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("version %q", doc.OpenAPI)
	}
	srv := &Server{Deps: Deps{Guard: auth.NewGuard(auth.Options{}, true, nil, time.Now), Issues: f.fake}}
	known := map[string]string{"/ingest": "POST", "/metrics": "GET"}
	for _, r := range srv.table() {
		known[r.path] = r.methods
	}
	for _, r := range srv.table() {
		if !strings.HasPrefix(r.path, "/api/") && r.path != "/healthz" && r.path != "/readyz" {
			continue
		}
		for _, m := range strings.Split(r.methods, ",") {
			if _, ok := doc.Paths[r.path][strings.ToLower(m)]; !ok {
				t.Errorf("%s %s is not documented", m, r.path)
			}
		}
	}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			if !slices.Contains(strings.Split(known[path], ","), strings.ToUpper(method)) {
				t.Errorf("%s %s is documented but does not exist", method, path)
			}
			if method != "get" || !strings.HasPrefix(path, "/api/") || path == "/api/v1/openapi.json" || path == "/api/v1/logs/tail" {
				continue
			}
			// Handlers refuse unknown names and list those they know: the
			// documented ones must be among them.
			at := strings.NewReplacer("{name}", "traffic", "{id}", "0123456789ab").Replace(path)
			_, body := f.do(t, "GET", at+"?surely_unknown=1", "")
			for _, p := range op.Parameters {
				if p.In == "query" && !strings.Contains(body, p.Name) {
					t.Errorf("%s does not take %s: %s", path, p.Name, body)
				}
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1})
	for _, path := range []string{"/", "/logs", "/api/v1/logs", "/api/v1/nope", "/healthz", "/static/nope"} {
		res, _ := f.do(t, "GET", path, "", "Accept", "text/html")
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: headers %v", path, res.Header)
		}
	}
	res, _ := f.do(t, "HEAD", "/", "")
	if res.StatusCode != 200 {
		t.Errorf("HEAD /: %d", res.StatusCode)
	}
}

func TestEscaping(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1})
	evil := `"><script>alert(1)</script>`
	for _, path := range []string{"/", "/traffic", "/logs", "/pipeline"} {
		q := url.Values{"service": {evil}, "url": {evil}, "q": {`"` + evil}, "source": {evil}, "from": {evil}, "cursor": {evil}, "refresh": {evil}}
		res, body := f.do(t, "GET", path+"?"+q.Encode(), "", "Accept", "text/html")
		if res.StatusCode != 200 || strings.Contains(body, "<script>alert") {
			t.Errorf("%s: %d; what the URL says gets into the page as markup", path, res.StatusCode)
		}
	}
}

func TestTail(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", f.URL+"/api/v1/logs/tail?q=needle", nil)
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { must(t, res.Body.Close()) }()
	if ct := res.Header.Get("Content-Type"); res.StatusCode != 200 || ct != "text/event-stream" {
		t.Fatalf("%d %s", res.StatusCode, ct)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Scan() // the comment that says that following has begun
	write := func(offset int64, message string) {
		rows := &millrace.EventRows{}
		e := millrace.Event{Time: fixedNow.UnixNano(), Weight: 1, Source: "s", Message: message}
		rows.Append(&millrace.Record{Offset: offset, Arrived: fixedNow.UnixNano()}, &e)
		must(t, f.store.WriteEvents(ctx, rows, &millrace.Commit{Sink: millrace.SinkEvents}))
	}
	write(1000, "hay")
	write(1001, "needle 1")
	write(1002, "needle 2")
	var got []string
	for len(got) < 2 && lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var e millrace.StoredEvent
			must(t, json.Unmarshal([]byte(data), &e))
			got = append(got, e.Message)
		}
	}
	if fmt.Sprint(got) != "[needle 1 needle 2]" {
		t.Errorf("followed %q (%v)", got, lines.Err())
	}
}

func TestNotReady(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, ready: func(context.Context) error {
		return millrace.Errorf(millrace.ErrUnavailable, "the store is opening")
	}})
	if res, body := f.do(t, "GET", "/readyz", ""); res.StatusCode != 503 || body != "not ready: the store is opening\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
