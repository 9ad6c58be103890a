package ingest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/problem"
)

// protocolDo sends a request to the endpoint of a protocol.
func (f *fixture) protocolDo(method, target string, body []byte, header ...string) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	for _, r := range f.Routes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	r := httptest.NewRequest(method, target, strings.NewReader(string(body)))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

// events decodes what was appended since the last call.
func (f *fixture) events(t *testing.T) []millrace.Event {
	t.Helper()
	var out []millrace.Event
	for _, r := range f.take() {
		var b millrace.Batch
		r.Arrived = f.now.UnixNano()
		b.Reset(&r)
		new(decode.Decoder).Decode(&b)
		if len(b.Rejects) > 0 {
			t.Errorf("%+v", b.Rejects)
		}
		out = append(out, b.Events...)
	}
	return out
}

// lokiPush is a PushRequest of one entry: {app="x"}, second 1, line "hello".
const lokiPush = "\x0a\x19\x0a\x09{app=\"x\"}\x12\x0c\x0a\x02\x08\x01\x12\x06hello\n"

func TestLokiPush(t *testing.T) {
	const json = `{"streams":[{"stream":{"app":"x"},"values":[["1000000000","hello"]]}]}`
	proto := snappy.Encode(nil, []byte(lokiPush))
	for name, c := range map[string]struct {
		path, kind, encoding string
		body                 []byte
	}{
		"protobuf":          {"/loki/api/v1/push", "application/x-protobuf", "", proto},
		"no content type":   {"/loki/api/v1/push", "", "", proto},
		"said to be snappy": {"/loki/api/v1/push", "application/x-protobuf", "snappy", proto},
		"gzip of protobuf":  {"/loki/api/v1/push", "application/x-protobuf", "gzip", gzipped(t, []byte(lokiPush))},
		"JSON":              {"/loki/api/v1/push", "application/json; charset=utf-8", "", []byte(json)},
		"JSON with gzip":    {"/api/prom/push", "application/json", "gzip", gzipped(t, []byte(json))},
	} {
		f := setup(t)
		w := f.protocolDo("POST", c.path, c.body, "Content-Type", c.kind, "Content-Encoding", c.encoding, "X-Scope-OrgID", "team-a")
		want(t, w, 204)
		events := f.events(t)
		if len(events) != 1 || events[0].Service != "x" || events[0].Time != 1e9 || events[0].Message != "hello" || events[0].Source != "loki" {
			t.Errorf("%s: %+v", name, events)
			continue
		}
		if v, _ := events[0].Attr("__tenant_id__"); v.String() != "team-a" {
			t.Errorf("%s: tenant %q", name, v.String())
		}
	}
}

func TestLokiAnswers(t *testing.T) {
	f := setup(t)
	post := func(body string, header ...string) *httptest.ResponseRecorder {
		return f.protocolDo("POST", "/loki/api/v1/push?source=k8s", []byte(body), append([]string{"Content-Type", "application/json"}, header...)...)
	}
	values := func(v string) string { return `{"streams":[{"stream":{},"values":[` + v + `]}]}` }
	w := post(values(`["1","a"],["x","b"],["2","c"]`))
	want(t, w, 204)
	if n := len(f.events(t)); n != 2 || w.Header().Get("X-Millrace-Rejected") != "1" {
		t.Errorf("%d events, %v", n, w.Header())
	}
	want(t, post(values(`["x","b"],["y","c"]`)), 400, "2 of 2 events refused: event 1: time")
	want(t, post(`{"streams":[`), 400, "the JSON object ends too early")
	want(t, post(values("")), 204)
	want(t, post("", "X-Scope-OrgID", "a|b"), 400, "X-Scope-OrgID")
	want(t, post(values(`["1","a"]`), "X-Scope-OrgID", millrace.DefaultProject), 204)
	for _, e := range f.events(t) {
		if _, ok := e.Attr("__tenant_id__"); ok {
			t.Error("the project is no tenant")
		}
	}
	f.denied = millrace.Errorf(millrace.ErrUnauthorized, "no key")
	if w := post(values(`["1","a"]`)); w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	f.denied = nil
	f.pressure = &problem.Throttled{After: 2500e6, Err: millrace.Errorf(millrace.ErrThrottled, "the queue is full")}
	if w := post(values(`["1","a"]`)); w.Code != 429 || w.Header().Get("Retry-After") != "3" || !strings.Contains(w.Body.String(), "the queue is full") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	f.pressure = nil
	want(t, f.protocolDo("POST", "/loki/api/v1/push", []byte("no snappy"), "Content-Type", "application/x-protobuf"), 400, "snappy")
	want(t, f.protocolDo("POST", "/loki/api/v1/push", snappy.Encode(nil, []byte("no protobuf"))), 400, "PushRequest")
	want(t, f.do("POST", "/ingest", []byte("x"), "Content-Encoding", "snappy"), 400, "Content-Encoding")
}

func TestLogplex(t *testing.T) {
	f := setup(t)
	const frame = "40 <190>1 2026-01-02T03:04:05Z host app w -41 <190>1 2026-01-02T03:04:06Z host app w - "
	post := func(frame, id, count string) *httptest.ResponseRecorder {
		return f.protocolDo("POST", "/logplex?source=shop", []byte(frame), "Content-Type", "application/logplex-1",
			"Logplex-Frame-Id", id, "Logplex-Drain-Token", "d.1", "Logplex-Msg-Count", count)
	}
	want(t, post(frame, "1", "2"), 204)
	want(t, post(frame, "1", "2"), 204)
	want(t, post(frame, "2", "3"), 204)
	recs := f.take()
	if len(recs) != 2 || len(recs[0].Frames) != 2 || len(recs[0].Refused) != 0 || len(recs[1].Frames) != 2 ||
		len(recs[1].Refused) != 1 || recs[1].Refused[0].Reason != decode.ReasonMsgCountMismatch || recs[1].Source != "shop" {
		t.Errorf("%+v", recs)
	}
	// A frame that could not be stored is not known.
	f.err = millrace.Errorf(millrace.ErrUnavailable, "the queue is away")
	want(t, post(frame, "3", "2"), 503)
	f.err = nil
	want(t, post(frame, "3", "2"), 204)
	if recs := f.take(); len(recs) != 1 || len(recs[0].Frames) != 2 {
		t.Errorf("%+v", recs)
	}
	want(t, post("x", "4", "1"), 400, "1 of 1 events refused")
	want(t, post("", "5", ""), 204)
	want(t, post(frame, strings.Repeat("x", 200), ""), 400, "Logplex-Frame-Id")
	want(t, f.protocolDo("POST", "/logplex", []byte(frame), "Content-Type", "text/plain"), 400, "application/logplex-1")
	want(t, f.protocolDo("GET", "/logplex", nil), 405)
}

func TestExceptions(t *testing.T) {
	f := setup(t)
	w := f.protocolDo("POST", "/api/v1/exceptions?service=agent", []byte(
		`[{"exType":"A","count":10,"details":[{"traceId":"t1"},{"traceId":"t2"}]},{"count":0},{"exType":"B","appCode":"web"}]`))
	want(t, w, 200, `"accepted":2`, `"line":2`, `"reason":"bad_count"`, `"rejected_total":1`)
	sum, services := int64(0), ""
	for _, e := range f.events(t) {
		sum += e.Weight
		services += e.Service + " "
	}
	if sum != 11 || services != "agent agent agent web " {
		t.Errorf("weights add up to %d; %s", sum, services)
	}
	want(t, f.protocolDo("POST", "/api/v1/exceptions", []byte(`{"count":-1}`)), 400, `"accepted":0`, "object 1: count -1")
	want(t, f.protocolDo("POST", "/api/v1/exceptions", []byte(`hello`)), 400, "expected an object")
	want(t, f.protocolDo("POST", "/api/v1/exceptions", nil), 200, `"accepted":0`)
	if w := f.protocolDo("OPTIONS", "/api/v1/exceptions", nil, "Origin", "https://a.example"); w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "https://a.example" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
