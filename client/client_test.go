package client

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is a server that answers one status after the other, the last for ever.
type script struct {
	*httptest.Server
	mu       sync.Mutex
	answers  []string // "STATUS BODY", with "STATUS/RETRY-AFTER BODY" for the header
	requests []string // what was asked: method, URI, headers of ours, body
}

func newScript(t *testing.T, answers ...string) *script {
	s := &script{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *script) serve(w http.ResponseWriter, r *http.Request) {
	var rd io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		gz, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(599)
			return
		}
		rd = gz
	}
	body, _ := io.ReadAll(rd)
	h := r.Header
	s.mu.Lock()
	s.requests = append(s.requests, fmt.Sprintf("%s %s [%s %s %s %s] %s", r.Method, r.RequestURI,
		h.Get("X-Millrace-Client"), h.Get("X-Millrace-Seq"), h.Get("Content-Encoding"), h.Get("Authorization"), body))
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	s.mu.Unlock()
	head, doc, _ := strings.Cut(answer, " ")
	var status int
	var after string
	_, _ = fmt.Sscanf(head, "%d/%s", &status, &after)
	if after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, doc)
}

// open returns a client whose waits are written down instead of waited for.
func open(t *testing.T, server string, o Options) (*Client, *[]time.Duration) {
	t.Helper()
	waits := &[]time.Duration{}
	o.ClientID = "client-0001"
	o.Jitter = func() float64 { return 0.5 }
	o.After = func(d time.Duration) <-chan time.Time {
		*waits = append(*waits, d)
		c := make(chan time.Time, 1)
		c <- time.Time{}
		return c
	}
	c, err := New(server, o)
	if err != nil {
		t.Fatal(err)
	}
	return c, waits
}

func TestSend(t *testing.T) {
	const ok = `200 {"accepted":2,"rejected":[{"line":3,"error":"bad","reason":"bad_json"}],"rejected_total":1}`
	f := func(answers []string, want Answer, wantErr string, requests int, wantWaits ...time.Duration) {
		t.Helper()
		s := newScript(t, answers...)
		c, waits := open(t, s.URL, Options{Attempts: 4})
		got, err := c.Send(t.Context(), 7, []byte("a\nb\n"))
		if fmt.Sprint(got) != fmt.Sprint(want) || (err == nil) != (wantErr == "") || (err != nil && !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%v: %v, %v; want %v, %q", answers, got, err, want, wantErr)
		}
		if len(s.requests) != requests || fmt.Sprint(*waits) != fmt.Sprint(append([]time.Duration{}, wantWaits...)) {
			t.Errorf("%v: %d requests, waits %v; want %d, %v", answers, len(s.requests), *waits, requests, wantWaits)
		}
	}
	ms := time.Millisecond
	answer := Answer{2, []Rejected{{3, "bad", "bad_json"}}, 1}
	f([]string{ok}, answer, "", 1)
	f([]string{"503", "502 <html>", ok}, answer, "", 3, 200*ms, 400*ms)
	f([]string{"429/3", "429/3600", ok}, answer, "", 3, 3*time.Second, 5*time.Minute)
	f([]string{"500"}, Answer{}, "500 Internal Server Error", 4, 200*ms, 400*ms, 800*ms)
	f([]string{`401 {"detail":"the key is not valid","code":"unauthorized"}`}, Answer{}, "401: the key is not valid", 1)
	f([]string{`409 {"code":"conflict"}`}, Answer{}, "409", 1)
	f([]string{`413 {"code":"too_large","detail":"limit"}`}, Answer{}, "limit", 1)
	// Every line refused is an answer.
	f([]string{`400 {"code":"invalid","rejected":[{"line":1,"error":"bad"}],"rejected_total":5}`}, Answer{0, []Rejected{{1, "bad", ""}}, 5}, "", 1)
	f([]string{"200 hello"}, Answer{}, "not from a millrace server", 4, 200*ms, 400*ms, 800*ms)
}

func TestSendRequest(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		s := newScript(t, "200 {}")
		c, _ := open(t, s.URL, o)
		if _, err := c.Send(t.Context(), 7, []byte("a\n")); err != nil {
			t.Fatal(err)
		}
		if s.requests[0] != want {
			t.Errorf("got  %q\nwant %q", s.requests[0], want)
		}
	}
	f(Options{}, "POST /ingest? [client-0001 7  ] a\n")
	f(Options{Key: "mr_ingest_x", Compression: CompressGzip}, "POST /ingest? [client-0001 7 gzip Bearer mr_ingest_x] a\n")
	f(Options{Source: "shop", Format: "json", Project: "p", Service: "a b", Host: "h", Env: "e", Release: "1"},
		"POST /ingest?env=e&format=json&host=h&project=p&release=1&service=a+b&source=shop [client-0001 7  ] a\n")
}

func TestUnreachable(t *testing.T) {
	s := newScript(t, "200 {}")
	s.Close()
	told := 0
	c, waits := open(t, s.URL, Options{Attempts: 3, Retrying: func(error, time.Duration) { told++ }})
	if _, err := c.Send(t.Context(), 0, nil); err == nil || len(*waits) != 2 || told != 2 {
		t.Errorf("%v after waits of %v, told %d times", err, *waits, told)
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	s := newScript(t, "503")
	ctx, cancel := context.WithCancel(t.Context())
	c, err := New(s.URL, Options{After: func(time.Duration) <-chan time.Time { cancel(); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(ctx, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestBackoffIsBounded(t *testing.T) {
	s := newScript(t, "503")
	c, waits := open(t, s.URL, Options{Attempts: 20})
	if _, err := c.Send(t.Context(), 0, nil); err == nil {
		t.Error("no error")
	}
	for i, w := range *waits {
		if w < 100*time.Millisecond || w > 45*time.Second || (i > 10 && w != 30*time.Second) {
			t.Errorf("wait %d is %v", i, w)
		}
	}
}

func TestNew(t *testing.T) {
	f := func(server string, ok bool) {
		t.Helper()
		if _, err := New(server, Options{}); (err == nil) != ok {
			t.Errorf("New(%q): %v", server, err)
		}
	}
	f("http://127.0.0.1:8080", true)
	f("https://logs.example.com/base/", true)
	f("localhost:8080", true)
	f("ftp://x", false)
	f("http://", false)
	f("http://a b", false)
	a, b := NewClientID(), NewClientID()
	if a == b || len(a) != 32 {
		t.Errorf("ids %q and %q", a, b)
	}
}

func TestQueries(t *testing.T) {
	s := newScript(t,
		`200 {"columns":["n"],"rows":[[12345678901234567890],[null],["x"]]}`,
		`200 {"complete_until":"2026-01-02T03:04:05Z","source":"minutes","columns":["bucket","pv"],"rows":[["2026-01-02T03:04:00Z",7]]}`,
		`200 {"events":[{"message":"a"}],"next":"c"}`,
		`504 {"code":"timeout","detail":"over the limit of 10s"}`, "204")
	c, _ := open(t, s.URL, Options{Key: "k"})
	table, err := c.SQL(t.Context(), "select 1")
	if err != nil || fmt.Sprint(table.Rows) != "[[12345678901234567890] [<nil>] [x]]" || table.Rows[0][0] != json.Number("12345678901234567890") {
		t.Errorf("SQL: %v, %v", table, err)
	}
	table, err = c.Rollup(t.Context(), "traffic", url.Values{"metrics": {"pv"}})
	if err != nil || table.CompleteUntil == nil || table.Source != "minutes" || len(table.Columns) != 2 {
		t.Errorf("Rollup: %v, %v", table, err)
	}
	logs, err := c.Logs(t.Context(), url.Values{"q": {"level:error"}})
	if err != nil || len(logs.Events) != 1 || logs.Next != "c" {
		t.Errorf("Logs: %v, %v", logs, err)
	}
	_, err = c.SQL(t.Context(), "select 2")
	if e, ok := errors.AsType[*Error](err); !ok || e.Status != 504 || e.Code != "timeout" {
		t.Errorf("a time limit: %v", err)
	}
	if err := c.Do(t.Context(), "DELETE", "/api/v1/keys/x", nil, nil, nil); err != nil {
		t.Errorf("Do: %v", err)
	}
	want := []string{
		`POST /api/v1/sql [   Bearer k] {"sql":"select 1"}`, `GET /api/v1/rollups/traffic?metrics=pv [   Bearer k] `,
		`GET /api/v1/logs?q=level%3Aerror [   Bearer k] `, `POST /api/v1/sql [   Bearer k] {"sql":"select 2"}`,
		`DELETE /api/v1/keys/x [   Bearer k] `,
	}
	if strings.Join(s.requests, "\n") != strings.Join(want, "\n") {
		t.Errorf("requests:\n%s\nwant:\n%s", strings.Join(s.requests, "\n"), strings.Join(want, "\n"))
	}
}
