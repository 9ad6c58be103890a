package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/ingest"
	"github.com/millrace/millrace/meta"
)

// guarded is a server that wants keys, with its admin's token.
type guarded struct {
	*instance
	token string
	said  strings.Builder // all answers
}

func bootGuarded(t *testing.T, extra string, args ...string) *guarded {
	t.Helper()
	in := boot(t, "", "auth: {require: always}\n"+extra, args...)
	_, token, ok := strings.Cut(in.logs.String(), "admin token, shown only now: ")
	if !ok {
		t.Fatalf("no token in %s", in.logs)
	}
	token, _, _ = strings.Cut(token, "\n")
	return &guarded{instance: in, token: token}
}

func (g *guarded) admin() http.Header { return http.Header{"Authorization": {"Bearer " + g.token}} }

// key creates a key by the API.
func (g *guarded) key(body string) (doc auth.KeyDocument) {
	g.t.Helper()
	if code, text := g.call(http.MethodPost, auth.KeysPath, strings.NewReader(body), g.admin(), &doc); code != http.StatusCreated {
		g.t.Fatalf("create key: %d %s", code, text)
	}
	return doc
}

func (g *guarded) revoke(id string) {
	g.t.Helper()
	if code, text := g.call(http.MethodDelete, auth.KeysPath+"/"+id, nil, g.admin(), nil); code != http.StatusNoContent {
		g.t.Fatalf("revoke: %d %s", code, text)
	}
}

// rows asks how many events there are, once all that was accepted is stored.
func (g *guarded) rows(accepted int) int {
	g.t.Helper()
	n := -1
	for deadline := time.Now().Add(20 * time.Second); n != accepted && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var answer struct{ Rows [][]any }
		h := g.admin()
		h.Set("Content-Type", "application/json")
		if code, text := g.call(http.MethodPost, "/api/v1/sql", strings.NewReader(`{"sql":"SELECT count(*) FROM events"}`), h, &answer); code != http.StatusOK {
			g.t.Fatalf("sql: %d %s", code, text)
		}
		n, _ = strconv.Atoi(fmt.Sprint(answer.Rows[0][0]))
	}
	return n
}

// do sends a request and keeps the whole answer.
func (g *guarded) do(method, path string, body payload, key func(*http.Request)) int {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, strings.NewReader(body.text))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", body.contentType)
	if key != nil {
		key(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	fmt.Fprintln(&g.said, resp.Header, string(text))
	return resp.StatusCode
}

// payload is a body of one event for some of the protocols.
type payload struct{ name, contentType, text string }

var payloads = []payload{
	{"lines", "text/plain", `{"message":"m"}` + "\n"},
	{"bulk", "application/x-ndjson", `{"index":{"_index":"logs"}}` + "\n" + `{"message":"m"}` + "\n"},
	{"loki", "application/json", `{"streams":[{"stream":{"job":"j"},"values":[["1760000000000000000","m"]]}]}`},
	{"otlp", "application/json", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"m"}}]}]}]}`},
	{"envelope", "application/x-sentry-envelope", "{}\n" + `{"type":"event"}` + "\n" + `{"message":"m"}` + "\n"},
	{"store", "application/json", `{"message":"m"}`},
	{"logplex", "application/logplex-1", "59 <40>1 2026-11-30T06:45:29+00:00 host app web.3 - a message\n"},
	{"exceptions", "application/json", `{"ip":"192.0.2.1","sendTime":1760000000000,"host":"h","appCode":"a","envName":"e","exType":"E","count":1,"details":[]}`},
}

// keyWays are the ways in which the protocols carry a key.
var keyWays = map[string]func(key string) func(*http.Request){
	"parameter": func(key string) func(*http.Request) { return inQuery("key", key) },
	"bearer":    func(key string) func(*http.Request) { return inHeader("Authorization", "Bearer "+key) },
	"header":    func(key string) func(*http.Request) { return inHeader("X-Millrace-Key", key) },
	"password": func(key string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("anyone", key) }
	},
	"user": func(key string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(key, "") }
	},
	"api key": func(key string) func(*http.Request) {
		return inHeader("Authorization", "ApiKey "+base64.StdEncoding.EncodeToString([]byte("id:"+key)))
	},
	"sentry": func(key string) func(*http.Request) {
		return inHeader("X-Sentry-Auth", "Sentry sentry_version=7, sentry_client=test/1, sentry_key="+key)
	},
	"sentry parameter": func(key string) func(*http.Request) { return inQuery("sentry_key", key) },
}

func inHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func inQuery(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		q := r.URL.Query()
		q.Set(name, value)
		r.URL.RawQuery = q.Encode()
	}
}

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

// ingestPaths returns the paths of all routes that bring events, with a method.
func ingestPaths(t *testing.T) (out []string) {
	t.Helper()
	h := ingest.New(ingest.DefaultOptions(), ingest.Deps{Now: time.Now})
	for _, r := range h.Routes() {
		method, path, ok := strings.Cut(r.Pattern, " ")
		if !ok {
			method, path = http.MethodPost, r.Pattern
		}
		if method == http.MethodOptions {
			continue
		}
		path = strings.ReplaceAll(path, "{project}", fmt.Sprint(auth.ProjectNumber(millrace.DefaultProject)))
		out = append(out, method+" "+wildcard.ReplaceAllStringFunc(path, func(w string) string {
			if w == "{$}" {
				return ""
			}
			return "logs"
		}))
	}
	// Elasticsearch's are told apart before the routes.
	return append(out, "GET "+ingest.Path, "POST /_bulk", "PUT /logs/_bulk", "POST /elasticsearch/_bulk", "POST /logs/_doc", "PUT /logs/_create/1")
}

// TestNoWayIn: a wrong, an expired, a revoked, a read-only and another project's
// key get nothing in, by any endpoint and any way to carry it; a good one does.
// No secret appears in a log, an answer, a metric, the ledger or a stored event.
func TestNoWayIn(t *testing.T) {
	g := bootGuarded(t, "", "--log", "debug")
	good, revoked := g.key(`{"name":"good"}`), g.key(`{"name":"revoked"}`)
	expired := g.key(`{"name":"expired","expires":"1ms"}`)
	read, other := g.key(`{"scope":"read"}`), g.key(`{"project":"other"}`)
	g.revoke(revoked.ID)
	wrong := good.Key[:len(good.Key)-8] + "aaaaaaaa"
	bad := map[string]string{
		"wrong": wrong, "revoked": revoked.Key, "expired": expired.Key, "read": read.Key, "other": other.Key, "no": "hunter2hunter2hunter2",
	}
	paths := ingestPaths(t)
	for _, route := range paths {
		method, path, _ := strings.Cut(route, " ")
		writes := method == http.MethodPost || method == http.MethodPut
		path += "?source=s&project=default&message=m"
		for name, secret := range bad {
			for way, with := range keyWays {
				if code := g.do(method, path, payloads[0], with(secret)); code/100 == 2 && writes {
					t.Errorf("%s with the %s key as %s: %d", route, name, way, code)
				}
			}
			for _, p := range payloads {
				if code := g.do(method, path, p, keyWays["bearer"](secret)); code/100 == 2 && writes {
					t.Errorf("%s with the %s key and %s: %d", route, name, p.name, code)
				}
			}
		}
		for _, p := range payloads {
			if code := g.do(method, path, p, nil); code/100 == 2 && writes {
				t.Errorf("%s without a key: %d", route, code)
			}
		}
	}
	if n := g.rows(0); n != 0 {
		t.Errorf("%d events got in", n)
	}
	g.letIn(paths, good.Key)
	g.noSecrets(append(slices.Collect(mapValues(bad)), good.Key))
}

func mapValues(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// takesEvents are the endpoints that must take one of the payloads.
var takesEvents = []string{"POST /ingest", "GET /ingest", "POST /loki/api/v1/push", "POST /logplex", "POST /api/v1/exceptions", "/envelope", "/store", "POST /v1/logs", "POST /_bulk", "POST /logs/_doc"}

// letIn sends each payload to each endpoint with a good key, by every way.
func (g *guarded) letIn(paths []string, key string) {
	g.t.Helper()
	taken := map[string]bool{}
	for _, route := range paths {
		method, path, _ := strings.Cut(route, " ")
		for i, p := range payloads {
			for _, with := range keyWays {
				// A name of its own for what is told apart by names.
				p.text = strings.Replace(p.text, `"m"`, fmt.Sprintf(`"m%d"`, i), 1)
				if code := g.do(method, path+"?source=s&message=m", p, with(key)); code/100 == 2 {
					taken[route] = true
				}
			}
		}
	}
	for _, want := range takesEvents {
		if !slices.ContainsFunc(paths, func(route string) bool { return strings.HasSuffix(route, want) && taken[route] }) {
			g.t.Errorf("%s takes none of the payloads with a good key", want)
		}
	}
}

// noSecrets looks for secrets in all that the server has said and stored.
func (g *guarded) noSecrets(secrets []string) {
	g.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, text := g.call(http.MethodGet, "/api/v1/ledger", nil, g.admin(), nil)
		if strings.Contains(text, "request_unauthorized") && strings.Contains(text, `"stored":{"events":`) {
			break
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("what was refused is not in the ledger: %s", text)
		}
	}
	for _, path := range []string{
		"/metrics", "/api/v1/ledger", "/api/v1/status", "/api/v1/keys", "/api/v1/keys/unknown/usage", "/api/v1/projects", "/api/v1/set-aside",
		"/api/v1/logs?limit=10000", "/pipeline", "/logs", "/",
	} {
		if code := g.do(http.MethodGet, path, payload{}, inHeader("Authorization", "Bearer "+g.token)); code != http.StatusOK {
			g.t.Errorf("%s: %d", path, code)
		}
	}
	said, logs := g.said.String(), g.logs.String()
	if !strings.Contains(said, `millrace_key_requests_total{key="`) || !strings.Contains(said, "unknown_key") {
		g.t.Error("refused requests are not counted by key")
	}
	for _, secret := range secrets {
		tail := secret[len(secret)-20:]
		for name, text := range map[string]string{"an answer": said, "the log": logs} {
			for _, form := range []string{tail, url.QueryEscape(tail), base64.StdEncoding.EncodeToString([]byte("id:" + secret))[8:28]} {
				if i := strings.Index(text, form); i >= 0 {
					g.t.Errorf("a secret is in %s: %.300q", name, text[max(0, i-150):])
				}
			}
		}
	}
	if strings.Contains(said, g.token) || strings.Count(logs, g.token) != 1 {
		g.t.Error("the admin's token appears elsewhere than in the line that tells it")
	}
}

// TestRevokedUnderLoad: a key that is revoked while connections of several
// protocols send with it gets nothing in any more, at once by the API of the
// same process and within a second from another one. What was answered 2xx is
// stored, and nothing else.
func TestRevokedUnderLoad(t *testing.T) {
	g := bootGuarded(t, "")
	m, err := meta.Open(t.Context(), filepath.Join(g.data, "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	ways := map[string]func(id string){
		"API": g.revoke,
		"another process": func(id string) {
			if err := m.RevokeKey(t.Context(), id, time.Now()); err != nil {
				t.Error(err)
			}
		},
		"expiry": func(string) {}, // by itself
	}
	var accepted atomic.Int64
	for name, revoke := range ways {
		body := `{}`
		if name == "expiry" {
			body = `{"expires":"1s"}`
		}
		key := g.key(body)
		load := g.load(key.Key, &accepted)
		time.Sleep(time.Second)
		revoke(key.ID)
		ended := time.Now()
		time.Sleep(1500 * time.Millisecond)
		last, refused := load()
		t.Logf("%s: the last request that was accepted began %v after the revocation; %d were refused", name, last.Sub(ended).Round(time.Millisecond), refused)
		if last.Sub(ended) > time.Second || refused == 0 {
			t.Errorf("%s: accepted %v after the revocation, %d refused", name, last.Sub(ended), refused)
		}
	}
	if n := g.rows(int(accepted.Load())); n != int(accepted.Load()) {
		t.Errorf("%d rows, %d were accepted", n, accepted.Load())
	}
}

// eventNumber names events of Sentry, of which each counts once.
var eventNumber atomic.Int64

// load sends with a key over several connections and protocols until the
// function that it returns is called, which tells when the last request began
// that was accepted and how many were refused.
func (g *guarded) load(key string, accepted *atomic.Int64) func() (time.Time, int64) {
	var wg sync.WaitGroup
	over := make(chan struct{})
	var mu sync.Mutex
	var last time.Time
	var refused atomic.Int64
	for _, to := range []struct {
		path string
		body payload
	}{
		{"/ingest?source=s", payloads[0]},
		{"/ingest?source=s", payloads[0]},
		{"/loki/api/v1/push", payloads[2]},
		{"/api/1/store/", payloads[5]},
		{"/logplex", payloads[6]},
		{"/logplex", payloads[6]},
	} {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-over:
					return
				default:
				}
				path := strings.Replace(to.path, "/1/", fmt.Sprintf("/%d/", auth.ProjectNumber(millrace.DefaultProject)), 1)
				text := strings.Replace(to.body.text, `{"message"`, fmt.Sprintf(`{"event_id":"%032x","message"`, eventNumber.Add(1)), 1)
				r, err := http.NewRequest(http.MethodPost, g.url+path, strings.NewReader(text))
				if err != nil {
					g.t.Error(err)
					return
				}
				r.Header.Set("Content-Type", to.body.contentType)
				r.SetBasicAuth("x", key)
				began := time.Now()
				resp, err := client.Do(r)
				if err != nil {
					g.t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				switch {
				case resp.StatusCode/100 == 2:
					accepted.Add(1)
					mu.Lock()
					if began.After(last) {
						last = began
					}
					mu.Unlock()
				case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden: // as Sentry says it
					refused.Add(1)
				default:
					g.t.Errorf("%s: %s", path, resp.Status)
					return
				}
			}
		})
	}
	return func() (time.Time, int64) {
		close(over)
		wg.Wait()
		return last, refused.Load()
	}
}
