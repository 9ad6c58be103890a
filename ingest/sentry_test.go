package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/problem"
)

// sentryFixture has keys: mr_ingest_a of project a, mr_ingest_b of b; and needs
// one unless it is open.
func sentryFixture(t testing.TB, open bool, change ...func(*Options)) (*fixture, http.Handler) {
	t.Helper()
	f := setup(t, change...)
	f.deps.AuthorizeKey = func(_ context.Context, secret string, _ millrace.Scope) (*auth.Principal, error) {
		project, ok := strings.CutPrefix(secret, "mr_ingest_")
		if !ok || len(project) != 1 {
			return nil, millrace.Errorf(millrace.ErrUnauthorized, "the key is not valid")
		}
		return &auth.Principal{Key: &millrace.Key{ID: project, Project: project, Scopes: []millrace.Scope{millrace.ScopeIngest}}}, nil
	}
	f.deps.Authorize = func(*http.Request, millrace.Scope) (*auth.Principal, error) {
		if open {
			return &auth.Principal{}, f.denied
		}
		return nil, millrace.Errorf(millrace.ErrUnauthorized, "a key is needed")
	}
	mux := http.NewServeMux()
	for _, r := range f.sentryRoutes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	return f, mux
}

// ask makes a request; header are pairs.
func ask(h http.Handler, method, target string, body []byte, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const (
	sentryIDA    = "9ec79c33ec9942ab8353589fcb2e04dc"
	sentryIDB    = "1ec79c33ec9942ab8353589fcb2e04dc"
	sentryEventA = `{"event_id":"` + sentryIDA + `","message":"m"}`
)

func sentryBody(head string, items ...string) []byte {
	out := head + "\n"
	for _, item := range items {
		out += "{\"type\":\"event\"}\n" + item + "\n"
	}
	return []byte(out)
}

func TestSentryPaths(t *testing.T) {
	f, h := sentryFixture(t, false)
	const header = "Sentry sentry_version=7, sentry_client=x/1, sentry_key=mr_ingest_a"
	n := 0
	for _, path := range []string{"/api/a/envelope/", "/api/a/envelope", "/api/1/envelope/", fmt.Sprintf("/api/%d/envelope/", auth.ProjectNumber("a"))} {
		n++
		id := fmt.Sprintf("%032x", n)
		want(t, ask(h, "POST", path, sentryBody(`{"event_id":"`+id+`"}`, `{"message":"m"}`), "X-Sentry-Auth", header), 200, `{"id":"`+id+`"}`)
	}
	for _, path := range []string{"/api/a/store/", "/api/a/store", "/api/store/", "/api/store"} {
		n++
		id := fmt.Sprintf("%032x", n)
		want(t, ask(h, "POST", path+"?sentry_key=mr_ingest_a", []byte(`{"event_id":"`+id+`","message":"m"}`), "Content-Type", "text/plain"), 200, `{"id":"`+id+`"}`)
	}
	recs := f.take()
	if len(recs) != n {
		t.Fatalf("%d records of %d requests", len(recs), n)
	}
	for i, r := range recs {
		if format := map[bool]string{true: "sentry", false: "sentry-event"}[i < 4]; r.Project != "a" || r.Source != "sentry" || r.Format != format {
			t.Errorf("record %d: project %s, source %s, format %s", i, r.Project, r.Source, r.Format)
		}
	}
	for _, path := range []string{"/api/1/minidump/", "/api/1/unreal/", "/api/1/security/"} {
		want(t, ask(h, "POST", path, nil), 404, `"detail":"`)
	}
	want(t, ask(h, "GET", "/api/1/store/", nil), 405, `{"detail":"only POST"}`)
}

// All keys that are given must agree, none is 403, and the project must be the
// key's. Whatever is refused leaves nothing behind.
func TestSentryKeys(t *testing.T) {
	f, h := sentryFixture(t, false)
	check := func(status int, path, head string, header ...string) {
		t.Helper()
		w := ask(h, "POST", path, sentryBody(head, `{"message":"m"}`), header...)
		want(t, w, status)
		if recs := f.take(); (len(recs) > 0) != (status == 200) || status == 200 && recs[0].Project != "a" {
			t.Errorf("%s %s %q: %d records", path, head, header, len(recs))
		}
		if strings.Contains(fmt.Sprint(w.Body, w.Header()), "mr_ingest") {
			t.Errorf("the key is in the answer: %s %v", w.Body, w.Header())
		}
	}
	const a, b, dsnA, dsnB = "Sentry sentry_key=mr_ingest_a", "Sentry sentry_key=mr_ingest_b", `{"dsn":"https://mr_ingest_a@h/1"}`, `{"dsn":"https://mr_ingest_b@h/1"}`
	check(200, "/api/a/envelope/", `{}`, "X-Sentry-Auth", a)
	check(200, "/api/a/envelope/", `{}`, "Authorization", a)
	check(200, "/api/a/envelope/?sentry_key=mr_ingest_a", dsnA, "X-Sentry-Auth", a)
	check(200, "/api/a/envelope/", dsnA) // only in the body
	check(403, "/api/a/envelope/", `{}`)
	check(403, "/api/a/envelope/", `{}`, "X-Sentry-Auth", "Sentry sentry_key=public")
	check(403, "/api/a/envelope/", `{"dsn":"https://public@h/1"}`)
	check(403, "/api/a/envelope/", `{}`, "X-Sentry-Auth", "Sentry sentry_key=mr_ingest_wrong")
	check(403, "/api/a/envelope/", `{"dsn":"https://mr_ingest_wrong@h/1"}`)
	check(403, "/api/a/envelope/", `{}`, "X-Sentry-Auth", b) // project
	check(403, "/api/a/envelope/", dsnB)
	check(403, fmt.Sprintf("/api/%d/envelope/", auth.ProjectNumber("a")), `{}`, "X-Sentry-Auth", b)
	check(403, "/api/77/envelope/", `{}`, "X-Sentry-Auth", a)
	check(403, "/api/a/envelope/", dsnB, "X-Sentry-Auth", a) // they differ
	check(403, "/api/a/envelope/?sentry_key=mr_ingest_b", `{}`, "X-Sentry-Auth", a)
	check(403, "/api/a/envelope/?sentry_key=mr_ingest_a", `{}`, "X-Sentry-Auth", a, "Authorization", b)
	// A long body behind the header, and one whose header is long or zipped.
	long := sentryBody(`{"a":"`+strings.Repeat("x", 4000)+`","dsn":"https:\/\/mr_ingest_a@h\/1"}`, `{"message":"`+strings.Repeat("y", 100_000)+`"}`)
	want(t, ask(h, "POST", "/api/a/envelope/", long), 200)
	want(t, ask(h, "POST", "/api/a/envelope/", gzipped(t, long), "Content-Encoding", "gzip"), 200)
	if recs := f.take(); len(recs) != 2 || !bytes.Equal(recs[0].Payload, recs[1].Payload) || len(recs[0].Payload) < 100_000 {
		t.Errorf("%d records", len(recs))
	}
}

// Without keys SDKs still have a DSN.
func TestSentryOpen(t *testing.T) {
	f, h := sentryFixture(t, true)
	for path, project := range map[string]string{"/api/1/envelope/": "default", "/api/4507/envelope/": "default", "/api/shop/envelope/": "shop"} {
		want(t, ask(h, "POST", path, sentryBody(`{}`, `{"message":"m"}`), "X-Sentry-Auth", "Sentry sentry_key=0123456789abcdef"), 200)
		if recs := f.take(); len(recs) != 1 || recs[0].Project != project {
			t.Errorf("%s: %+v, want project %s", path, recs, project)
		}
	}
	want(t, ask(h, "POST", "/api/1/envelope/", sentryBody(`{}`, `{"message":"m"}`), "X-Sentry-Auth", "Sentry sentry_key=mr_ingest_wrong"), 403)
}

func TestSentryAnswers(t *testing.T) {
	f, h := sentryFixture(t, true)
	post := func(body []byte, header ...string) *httptest.ResponseRecorder {
		return ask(h, "POST", "/api/1/envelope/", body, header...)
	}
	// Twice the same event is stored once, and fine.
	for range 2 {
		want(t, post(sentryBody(`{"event_id":"`+sentryIDA+`"}`, sentryEventA)), 200, `{"id":"`+sentryIDA+`"}`)
	}
	want(t, post(sentryBody(`{}`, strings.Replace(sentryEventA, sentryIDA, "9EC79C33-EC99-42AB-8353-589FCB2E04DC", 1))), 200, sentryIDA)
	if recs := f.take(); len(recs) != 1 || len(recs[0].Frames) != 1 {
		t.Errorf("%d records of one event", len(recs))
	}
	// Items that are no events are fine; nothing is stored.
	want(t, post([]byte("{\"event_id\":\""+sentryIDB+"\"}\n{\"type\":\"session\"}\n{}\n")), 200, `{"id":"`+sentryIDB+`"}`)
	want(t, post([]byte("{}\n{\"type\":\"client_report\"}\n{}\n")), 200, `{}`)
	// The good half is kept.
	w := post(sentryBody(`{}`, `{"message":}`, `{"message":"b"}`))
	want(t, w, 200)
	if got := w.Header().Get("X-Sentry-Error"); got != "1 items refused; the first: column 12: unexpected '}'" {
		t.Errorf("X-Sentry-Error %q", got)
	}
	if recs := f.take(); len(recs) != 1 || len(recs[0].Refused) != 1 || recs[0].Refused[0].Reason != decode.ReasonBadJSON {
		t.Errorf("%+v", recs)
	}
	want(t, post(sentryBody(`{}`, `{"message":}`)), 400, `{"causes":["column 12: unexpected '}'"],"detail":"nothing of this can be taken"}`)
	want(t, post([]byte("what")), 400, `"detail":"line 1, the envelope's headers: column 1: not a JSON object"`)
	want(t, post(sentryBody(`{}`, `{"message":"`+strings.Repeat("x", 1<<20)+`"}`)), 413, `"detail":"the event is too large"`, "the limit is 1044480")
	// Pages read no answer.
	w = post(sentryBody(`{}`, `{"message":"page"}`), "Sec-Fetch-Mode", "cors", "Origin", "https://shop.example")
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	w = ask(h, "OPTIONS", "/api/1/envelope/", nil, "Access-Control-Request-Headers", "x-sentry-auth,baggage")
	if allowed := strings.ToLower(w.Header().Get("Access-Control-Allow-Headers")); w.Code != 204 || !strings.Contains(allowed, "x-sentry-auth") || !strings.Contains(allowed, "baggage") || !strings.Contains(allowed, "sentry-trace") {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
}

// SDKs are told how long to be silent, and for what.
func TestSentryThrottled(t *testing.T) {
	f, h := sentryFixture(t, true)
	check := func(status int, retry, limits string) {
		t.Helper()
		w := ask(h, "POST", "/api/1/envelope/", sentryBody(`{}`, `{"message":"m"}`))
		want(t, w, status, `"detail":"`)
		if w.Header().Get("Retry-After") != retry || w.Header().Get("X-Sentry-Rate-Limits") != limits {
			t.Errorf("Retry-After %q, limits %q", w.Header().Get("Retry-After"), w.Header().Get("X-Sentry-Rate-Limits"))
		}
	}
	f.pressure = &problem.Throttled{After: 7500 * time.Millisecond, Err: millrace.Errorf(millrace.ErrThrottled, "full")}
	check(429, "8", "8:default;error;log_item;log_byte:key:throttled")
	f.pressure = nil
	f.err = millrace.Errorf(millrace.ErrUnavailable, "no queue")
	check(503, "5", "5:default;error;log_item;log_byte:key:unavailable")
}

func TestSentryEncodings(t *testing.T) {
	f, h := sentryFixture(t, true)
	body := sentryBody(`{}`, `{"message":"`+strings.Repeat("long ", 10_000)+`"}`)
	pack := func(open func(io.Writer) (io.WriteCloser, error)) []byte {
		var buf bytes.Buffer
		w, err := open(&buf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	zlibbed := pack(func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil })
	bare := pack(func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 6) })
	br := pack(func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriter(w), nil })
	for range 2 { // pooled readers, too
		for _, c := range []struct {
			encoding string
			body     []byte
		}{{"", body}, {"gzip", gzipped(t, body)}, {"zstd", zstded(t, body)}, {"deflate", zlibbed}, {"deflate", bare}, {"br", br}} {
			want(t, ask(h, "POST", "/api/1/envelope/", c.body, "Content-Encoding", c.encoding), 200)
			if recs := f.take(); len(recs) != 1 || len(recs[0].Payload) < len(body)-100 {
				t.Errorf("%s: %d records", c.encoding, len(recs))
			}
		}
		for _, c := range []struct {
			encoding string
			body     []byte
		}{{"deflate", zlibbed[:100]}, {"deflate", bare[:100]}, {"br", br[:len(br)/2]}, {"br", []byte("\xff\xff\xff\xff\xff")}, {"deflate", []byte("\x07\xff")}} {
			want(t, ask(h, "POST", "/api/1/envelope/", c.body, "Content-Encoding", c.encoding), 400)
		}
	}
	// What grows beyond the limit is not read to its end.
	bomb := bytes.Repeat([]byte("x"), 80<<20)
	body = bomb
	want(t, ask(h, "POST", "/api/1/envelope/", pack(func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriterLevel(w, 1), nil }), "Content-Encoding", "br"), 413, "max_body")
	want(t, ask(h, "POST", "/api/1/envelope/", pack(func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriterLevel(w, 1) }), "Content-Encoding", "deflate"), 413, "max_body")
}

// FuzzSentryEndpoint: whatever comes, the answer is JSON of a known status, and
// what was stored decodes.
func FuzzSentryEndpoint(f *testing.F) {
	f.Add(sentryBody(`{}`, sentryEventA), "Sentry sentry_key=mr_ingest_a", "sentry_key=mr_ingest_a", "1", "")
	f.Add(gzipped(f, sentryBody(`{"dsn":"https://mr_ingest_a@h/1"}`, sentryEventA)), "", "", "a", "gzip")
	f.Add([]byte("x"), "Sentry ,,=", "sentry_key=%", "..", "br")
	f.Fuzz(func(t *testing.T, body []byte, key, query, project, encoding string) {
		fx, h := sentryFixture(t, false, func(o *Options) { o.MaxBody, o.MaxCompressed = 64<<10, 64<<10 })
		r := httptest.NewRequest("POST", "/api/1/envelope/", bytes.NewReader(body))
		r.URL.RawQuery = query
		r.URL.Path = "/api/" + strings.ReplaceAll(project, "/", "") + "/envelope/"
		r.Header = http.Header{"X-Sentry-Auth": {key}, "Content-Encoding": {encoding}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 403, 413:
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%d %q", w.Code, w.Body)
			}
		case 404, 301, 307: // a path that is none of ours
		default:
			t.Fatalf("%d %q", w.Code, w.Body)
		}
		recs := fx.take()
		if w.Code != 200 && len(recs) > 0 {
			t.Fatalf("%d, and stored", w.Code)
		}
		for i := range recs {
			b := &millrace.Batch{}
			b.Reset(&recs[i])
			new(decode.Decoder).Decode(b)
			if len(b.Events) != len(recs[i].Frames) {
				t.Fatalf("%d of %d decoded: %+v", len(b.Events), len(recs[i].Frames), b.Rejects)
			}
		}
	})
}
