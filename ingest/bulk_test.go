package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/internal/problem"
)

// es makes a request of a client of Elasticsearch.
func (f *fixture) es(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("User-Agent", "elasticsearch-py/8.15.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.Elastic(http.NotFoundHandler()).ServeHTTP(w, r)
	return w
}

type bulkResult struct {
	Index   string `json:"_index"`
	ID      string `json:"_id"`
	Version int    `json:"_version"`
	Result  string `json:"result"`
	Status  int    `json:"status"`
	Error   struct{ Type, Reason string }
}

type bulkReply struct {
	Took   *int
	Errors *bool
	Items  []map[string]bulkResult
}

// bulkItems renders the items of an answer.
func bulkItems(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var reply bulkReply
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if w.Header().Get("X-Elastic-Product") != "Elasticsearch" {
		t.Error("the product is not named")
	}
	out := []string{fmt.Sprint(w.Code)}
	failed := false
	for _, item := range reply.Items {
		for op, r := range item {
			if len(r.ID) == 20 {
				r.ID = "made"
			}
			failed = failed || r.Status > 299
			out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %d %s %s", op, r.Index, r.ID, r.Status, r.Result, r.Error.Type)), " "))
		}
	}
	if reply.Errors == nil || *reply.Errors != failed {
		t.Errorf("errors is wrong: %s", w.Body)
	}
	return strings.Join(out, "; ")
}

func (f *fixture) wantBulk(t *testing.T, target, body, want string, header ...string) {
	t.Helper()
	w := f.es("POST", target, body, header...)
	if got := bulkItems(t, w); got != want {
		t.Errorf("%s %s\n got %s\nwant %s\n%s", target, body, got, want, w.Body)
	}
}

// bulkStored renders what was appended since the last call.
func (f *fixture) bulkStored(t *testing.T) string {
	t.Helper()
	var out []string
	for _, r := range f.take() {
		_, items := readPieces(t, &r)
		out = append(out, r.Source+" "+r.Format+" "+strings.Join(items, " "))
	}
	return strings.Join(out, "; ")
}

func (f *fixture) wantStored(t *testing.T, want string) {
	t.Helper()
	if got := f.bulkStored(t); got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
}

func TestBulkResults(t *testing.T) {
	f := setup(t)
	f.wantBulk(t, "/_bulk", `{"create":{"_index":"a-2026.01.02"}}`+"\n"+`{"m":1}`+"\n"+`{"index":{"_index":"b","_id":"x\"y"}}`+"\n"+`{"m":2}`+"\n",
		`200; create a-2026.01.02 made 201 created; index b x"y 201 created`)
	f.wantStored(t, `a bulk {"m":1}; b bulk {"m":2}`)
	// What is wrong is answered at its place, and the rest is stored.
	f.wantBulk(t, "/_bulk", `{"index":{"_index":"a"}}`+"\n"+`{"m":`+"\n"+`{"create":{"_index":"a"}}`+"\n"+`{"m":3}`+"\n"+`{"delete":{"_index":"a","_id":"1"}}`+"\n"+`{"update":{"_index":"a","_id":"1"}}`+"\n{}\nbad\n"+`{"index":{"_index":"a","_id":"7"}}`,
		`200; index a 400 mapper_parsing_exception; create a made 201 created; delete a 1 400 illegal_argument_exception; update a 1 400 illegal_argument_exception; `+
			`index elasticsearch 400 illegal_argument_exception; index a 7 400 illegal_argument_exception`)
	recs := f.take()
	if len(recs) != 1 || len(recs[0].Refused) != 4 {
		t.Errorf("records %+v", recs)
	}
	// Nothing good is no error of the request, unless it is no _bulk body at all.
	f.wantBulk(t, "/_bulk", `{"index":{"_index":"a"}}`+"\n7\n", `200; index a 400 mapper_parsing_exception`)
	want(t, f.es("POST", "/_bulk", "hello\n"), 400, `"type":"illegal_argument_exception"`, `"status":400`)
	want(t, f.es("POST", "/_bulk", ""), 400, `the body is empty`)
	f.wantStored(t, "")
}

func TestBulkPaths(t *testing.T) {
	f := setup(t)
	const body = `{"create":{}}` + "\n" + `{"m":1}` + "\n"
	for _, path := range []string{"/idx/_bulk", "/idx/_bulk/", "/elasticsearch/idx/_bulk", "/%3Cidx-%7Bnow%2Fd%7D%3E/_bulk"} {
		if w := f.es("POST", path, body); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		f.wantStored(t, `idx bulk {"m":1}`)
	}
	f.wantBulk(t, "/_bulk", body, `200; create elasticsearch made 201 created`)
	f.wantStored(t, `elasticsearch bulk {"m":1}`)
	f.wantBulk(t, "/idx/_bulk?source=mine&pipeline=p", body, `200; create idx made 201 created`)
	f.wantStored(t, `mine bulk {"m":1}`)
	if w := f.es("PUT", "/_bulk", string(gzipped(t, []byte(body))), "Content-Encoding", "gzip"); w.Code != 200 {
		t.Errorf("gzip: %d %s", w.Code, w.Body)
	}
	f.wantStored(t, `elasticsearch bulk {"m":1}`)
	// What is not Elasticsearch's is left alone.
	for _, path := range []string{"/", "/traffic", "/api/v1/logs", "/elasticsearchx", "/api/_bulk"} {
		if w := f.es("GET", path, "", "User-Agent", "Mozilla/5.0", "Accept", "text/html,*/*"); w.Code != 404 || w.Header().Get("X-Elastic-Product") != "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestBulkDuplicates(t *testing.T) {
	f := setup(t)
	body := func(op string) string {
		return `{"` + op + `":{"_index":"a","_id":"1"}}` + "\n" + `{"m":1}` + "\n" + `{"` + op + `":{"_index":"a"}}` + "\n" + `{"m":2}` + "\n"
	}
	f.wantBulk(t, "/_bulk", body("create"), `200; create a 1 201 created; create a made 201 created`)
	f.wantStored(t, `a bulk {"m":1} {"m":2}`)
	f.wantBulk(t, "/_bulk", body("create"), `200; create a 1 409 version_conflict_engine_exception; create a made 201 created`)
	f.wantStored(t, `a bulk {"m":2}`)
	f.wantBulk(t, "/_bulk", body("index"), `200; index a 1 200 noop; index a made 201 created`)
	recs := f.take()
	if len(recs) != 1 || len(recs[0].Refused) != 1 || recs[0].Refused[0].Reason != reasonDuplicateID || recs[0].Refused[0].Events != 1 {
		t.Errorf("duplicates are not counted: %+v", recs)
	}
	// Twice in one body.
	f.wantBulk(t, "/_bulk", strings.Repeat(`{"create":{"_index":"a","_id":"2"}}`+"\n{}\n", 2), `200; create a 2 201 created; create a 2 409 version_conflict_engine_exception`)
	f.wantStored(t, `a bulk {}`)
}

func TestBulkFilterPath(t *testing.T) {
	f := setup(t)
	const body = `{"create":{"_index":"a","_id":"1"}}` + "\n{}\n" + `{"index":{"_index":"a"}}` + "\n[]\n"
	for path, want := range map[string]string{
		"errors,items.*.error,items.*.status": `{"errors":true,"items":[{"create":{"status":201}},{"index":{"error":{"type":"mapper_parsing_exception","reason":"line 4: column 1: not a JSON object"},"status":400}}]}`,
		"items.*.error.type":                  `{"items":[{"index":{"error":{"type":"mapper_parsing_exception"}}}]}`,
		"items.create.status,items.*._id":     `{"items":[{"create":{"_id":"1","status":201}}]}`,
		"items.*._sh*.total":                  `{"items":[{"create":{"_shards":{"total":1}}}]}`,
		"errors":                              `{"errors":true}`,
		"**.status":                           `{"items":[{"create":{"status":201}},{"index":{"status":400}}]}`,
		"-took,-items.*._*,-items.*.error":    `{"errors":true,"items":[{"create":{"result":"created","status":201}},{"index":{"status":400}}]}`,
		"nothing":                             `{}`,
		"took":                                `{"took":0}`,
		"": `{"took":0,"errors":true,"items":[{"create":{"_index":"a","_id":"1","_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}},` +
			`{"index":{"_index":"a","error":{"type":"mapper_parsing_exception","reason":"line 4: column 1: not a JSON object"},"status":400}}]}`,
	} {
		f.ids.forget()
		if got := f.es("POST", "/_bulk?filter_path="+path, body).Body.String(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", path, got, want)
		}
	}
}

// forget makes every name new.
func (s *ids) forget() { *s = ids{limit: s.limit} }

// An answer longer than its buffer is whole.
func TestBulkLongAnswer(t *testing.T) {
	f := setup(t)
	const n = 3000
	w := f.es("POST", "/_bulk", strings.Repeat(`{"create":{"_index":"a"}}`+"\n{}\n", n))
	var reply bulkReply
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || len(reply.Items) != n {
		t.Fatal(err, len(reply.Items))
	}
	seen := map[string]bool{}
	for _, item := range reply.Items {
		seen[item["create"].ID] = true
	}
	if len(seen) != n {
		t.Errorf("%d of %d _ids differ", len(seen), n)
	}
}

// What clients do with each answer is in bulk.go.
func TestBulkThrottled(t *testing.T) {
	const body = `{"index":{"_index":"a","_id":"1"}}` + "\n{}\n" + `{"index":{"_index":"a"}}` + "\n7\n"
	f := setup(t)
	f.deps.Limits = throttle{}
	w := f.es("POST", "/_bulk", body)
	if got := bulkItems(t, w); got != "200; index a 1 429 es_rejected_execution_exception; index a 400 mapper_parsing_exception" || w.Header().Get("Retry-After") != "7" {
		t.Errorf("got %s, %v", got, w.Header())
	}
	for _, agent := range []string{"Vector/0.40.0 (x)", "Fluent-Bit", "go-elasticsearch/8.15.0 (linux)"} {
		w := f.es("POST", "/_bulk", body, "User-Agent", agent)
		want(t, w, 429, `"type":"es_rejected_execution_exception"`, `"status":429`)
		if w.Header().Get("Retry-After") != "7" {
			t.Error("no Retry-After")
		}
	}
	aborts := func() (aborted bool) {
		defer func() { aborted = recover() == any(http.ErrAbortHandler) }()
		f.es("POST", "/_bulk", body, "User-Agent", "", "Content-Type", "application/json; charset=utf-8")
		return false
	}
	if !aborts() {
		t.Error("rsyslog got an answer")
	}
	f.deps.Limits = noLimits{}
	f.pressure = millrace.Errorf(millrace.ErrThrottled, "full")
	want(t, f.es("POST", "/_bulk", body), 429, `"reason":"full"`)
	f.wantBulk(t, "/_bulk", body, "200; index a 1 429 es_rejected_execution_exception; index a 400 mapper_parsing_exception", "User-Agent", "elasticsearch-js/9.5.1 (x)")
	want(t, f.es("POST", "/_bulk", "junk", "User-Agent", "elasticsearch-js/9.5.1 (x)"), 429, `"reason":"full"`)
	if w := f.es("GET", "/_cat/health", ""); w.Code != 200 {
		t.Error("a health check is refused")
	}
	f.pressure = nil
	f.err = millrace.Errorf(millrace.ErrUnavailable, "gone")
	want(t, f.es("POST", "/_bulk", body), 503, `"type":"unavailable_shards_exception"`)
	f.err = nil
	// Nothing of it was kept, and the name is still free.
	f.wantBulk(t, "/_bulk", `{"create":{"_index":"a","_id":"1"}}`+"\n{}\n", "200; create a 1 201 created")
	f.wantStored(t, "a bulk {}")
}

// throttle has nothing left for any key.
type throttle struct{ noLimits }

func (throttle) Admit(_ *auth.Principal, events int, _ int64) error {
	if events == 0 {
		return nil
	}
	return &problem.Throttled{After: 7 * time.Second, Err: millrace.Errorf(millrace.ErrThrottled, "the key has had its events")}
}

func TestBulkRefusedWhole(t *testing.T) {
	f := setup(t, func(o *Options) { o.MaxBody, o.MaxLines = 64<<10, 1000 })
	f.denied = millrace.Errorf(millrace.ErrUnauthorized, "a key is needed")
	w := f.es("POST", "/_bulk", "{}")
	want(t, w, 401, `"type":"security_exception"`, `"reason":"a key is needed"`)
	if got := w.Header().Values("WWW-Authenticate"); len(got) != 2 || !strings.HasPrefix(got[0], "Basic ") {
		t.Errorf("WWW-Authenticate %q", got)
	}
	f.denied = millrace.Errorf(millrace.ErrForbidden, "no")
	want(t, f.es("GET", "/", ""), 403, `"security_exception"`)
	f.denied = nil
	want(t, f.es("POST", "/_bulk", strings.Repeat(" ", 65<<10)), 413, `"content_too_large_exception"`)
	want(t, f.es("POST", "/_bulk", strings.Repeat(`{"index":{}}`+"\n{}\n", 1001)), 413, `more than 1000 items`)
	f.wantStored(t, "")
}

func TestSingleDocuments(t *testing.T) {
	f := setup(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		contains           string
	}{
		{"POST", "/idx-2026.01.02/_doc", "{\n \"m\":1}\n", 201, `"_index":"idx-2026.01.02"`},
		{"PUT", "/idx/_doc/7", `{"m":2}`, 201, `"_id":"7","_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1`},
		{"PUT", "/idx/_doc/7", `{"m":2}`, 200, `"result":"noop"`},
		{"PUT", "/idx/_create/7", `{"m":2}`, 409, `"type":"version_conflict_engine_exception"`},
		{"POST", "/idx/_create/8", `{"m":3}`, 201, `"_id":"8"`},
		{"PUT", "/idx/_doc/8?op_type=create", `{"m":3}`, 409, `"status":409`},
		{"POST", "/idx/_doc", `{"m":`, 400, `"type":"mapper_parsing_exception"`},
		{"PUT", "/idx/_doc/" + strings.Repeat("x", 600), `{}`, 400, `the limit is 512`},
	} {
		want(t, f.es(c.method, c.path, c.body), c.status, c.contains)
	}
	f.wantStored(t, "idx bulk {\n \"m\":1}; idx bulk {\"m\":2}; idx bulk {\"m\":3}")
}

// FuzzBulkRequest: every item of any body has one answer, and the answer is JSON.
func FuzzBulkRequest(f *testing.F) {
	f.Add([]byte(`{"create":{"_index":"a"}}`+"\n{}\n"), "")
	f.Add([]byte(`{"index":{"_id":"\u0022"}}`+"\n{}\n{\n"), "items.*.status,errors")
	f.Fuzz(func(t *testing.T, body []byte, filter string) {
		fx := setup(t, func(o *Options) { o.MaxBody, o.MaxCompressed = 64<<10, 64<<10 })
		w := fx.es("POST", "/_bulk", string(body))
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		stored := 0
		for _, r := range fx.take() {
			stored += len(r.Frames)
		}
		good := 0
		if w.Code == 200 {
			var reply bulkReply
			if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
				t.Fatal(err)
			}
			for _, item := range reply.Items {
				for _, r := range item {
					if r.Status == 201 {
						good++
					}
				}
			}
		}
		if good != stored {
			t.Fatalf("%d stored, %d answered so: %s", stored, good, w.Body)
		}
		if matchPath(strings.Split(filter, "."), []string{"took"}); !json.Valid(fx.es("POST", "/_bulk", string(body)).Body.Bytes()) {
			t.Fatal("the second answer is no JSON")
		}
	})
}
