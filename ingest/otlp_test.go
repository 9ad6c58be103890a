package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// otlpBody has n records, of which those of the indexes bad are refused.
func otlpBody(t testing.TB, n int, bad ...int) []byte {
	t.Helper()
	sl := &logspb.ScopeLogs{}
	for range n {
		sl.LogRecords = append(sl.LogRecords, &logspb.LogRecord{SeverityNumber: 9, Body: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "hello"}}})
	}
	body, err := proto.Marshal(&logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{ScopeLogs: []*logspb.ScopeLogs{sl}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range bad { // no UTF-8 any more
		at := -1
		for range i + 1 {
			at += 1 + bytes.Index(body[at+1:], []byte("hello"))
		}
		body[at] = 0xFF
	}
	return body
}

// mux serves the handler's routes as the server does.
func (f *fixture) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range f.Routes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	return mux
}

func (f *fixture) otlp(t testing.TB, path, kind string, body []byte, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("POST", path, bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.mux().ServeHTTP(w, r)
	return w
}

// Answers are those of the specification, in the request's format.
func TestOTLPAnswers(t *testing.T) {
	f := setup(t)
	good, some, none := otlpBody(t, 3), otlpBody(t, 3, 1), otlpBody(t, 2, 0, 1)
	later := &problem.Throttled{After: 1500 * time.Millisecond, Err: millrace.Errorf(millrace.ErrThrottled, "later")}
	for name, c := range map[string]struct {
		kind, path    string
		body          []byte
		denied, queue error
		status        int
		answer        string // JSON of the answer, of either format
		retry         string
		stored        int
	}{
		"all":          {body: good, status: 200, stored: 3},
		"some":         {body: some, status: 200, stored: 2, answer: `{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"1 of 3 events refused: event 2: byte 6 of 11: invalid UTF-8 in a value"}}`},
		"none":         {body: none, status: 400, answer: `{"code":3,"message":"2 of 2 events refused: event 1: byte 6 of 11: invalid UTF-8 in a value; event 2: byte 6 of 11: invalid UTF-8 in a value"}`},
		"empty":        {status: 200},
		"damaged":      {body: good[:20], status: 400, answer: `{"code":3,"message":"body: byte 0 of 20 is no field of ExportLogsServiceRequest (OTLP, protobuf); nothing of this request was stored"}`},
		"JSON":         {kind: "application/json; charset=utf-8", body: []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]}]}]}`), status: 200, answer: `{}`, stored: 2},
		"JSON some":    {kind: typeJSON, body: []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},1]}]}]}`), status: 200, answer: `{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"1 of 2 events refused: event 2: a record is an object"}}`, stored: 1},
		"JSON damaged": {kind: typeJSON, body: []byte(`{"resourceLogs":`), status: 400, answer: `{"code":3,"message":"body (OTLP, JSON): column 17: the JSON object ends too early; nothing of this request was stored"}`},
		"text":         {kind: "text/plain", body: good, status: 415, answer: `{"code":3,"message":"Content-Type \"text/plain\": OTLP is application/x-protobuf or application/json"}`},
		"no key":       {body: good, denied: millrace.Errorf(millrace.ErrUnauthorized, "no key"), status: 401, answer: `{"code":16,"message":"no key"}`},
		"other scope":  {body: good, denied: millrace.Errorf(millrace.ErrForbidden, "no"), status: 403, answer: `{"code":7,"message":"no"}`},
		"limited":      {body: good, queue: later, status: 429, answer: `{"code":8,"message":"later"}`, retry: "2"},
		"queue down":   {body: good, queue: millrace.Errorf(millrace.ErrUnavailable, "down"), status: 503, answer: `{"code":14,"message":"down"}`, retry: "5"},
		"timeout":      {body: good, queue: millrace.Errorf(millrace.ErrTimeout, "slow"), status: 504, answer: `{"code":14,"message":"slow"}`, retry: "1"},
		"a bug":        {kind: typeJSON, body: []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}`), queue: errors.New("secret"), status: 503, answer: `{"code":14,"message":"internal error"}`, retry: "1"},
		"traces":       {path: "/v1/traces", body: good, status: 501, answer: `{"code":12,"message":"traces are not taken: millrace is for logs (/v1/logs); take this endpoint out of the exporters of traces"}`},
		"metrics":      {path: "/v1/metrics", kind: typeJSON, body: []byte("{}"), status: 501, answer: `{"code":12,"message":"metrics are not taken: millrace is for logs (/v1/logs); take this endpoint out of the exporters of metrics"}`},
		"metrics, 401": {path: "/v1/metrics", kind: typeJSON, denied: millrace.Errorf(millrace.ErrUnauthorized, "no key"), status: 401, answer: `{"code":16,"message":"no key"}`},
	} {
		f.denied, f.err = c.denied, c.queue
		if c.path == "" {
			c.path = "/v1/logs"
		}
		if c.kind == "" {
			c.kind = typeProtobuf
		}
		w := f.otlp(t, c.path, c.kind, c.body)
		if want := c.answer; w.Code != c.status || w.Header().Get("Retry-After") != c.retry || otlpAnswerJSON(t, w) != want {
			t.Errorf("%s: %d, Retry-After %q\n got %s\nwant %s", name, w.Code, w.Header().Get("Retry-After"), otlpAnswerJSON(t, w), want)
		}
		stored := 0
		for _, r := range f.take() {
			stored += len(r.Frames)
		}
		if stored != c.stored {
			t.Errorf("%s: %d records stored, want %d", name, stored, c.stored)
		}
	}
}

// otlpAnswerJSON returns an answer as JSON, reading protobuf with generated code
// where there is some.
func otlpAnswerJSON(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Header().Get("Content-Type") == typeJSON {
		return w.Body.String()
	}
	if w.Code != 200 {
		var s spb.Status
		if err := proto.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		out, err := protojson.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, out); err != nil {
			t.Fatal(err)
		}
		return compact.String()
	}
	if w.Body.Len() == 0 {
		return ""
	}
	// ExportLogsPartialSuccess has the fields of a Status, by number and kind.
	var outer spb.Status
	body := w.Body.Bytes()
	if body[0] != 1<<3|2 || int(body[1]) != len(body)-2 {
		t.Fatalf("%x", body)
	}
	if err := proto.Unmarshal(body[2:], &outer); err != nil {
		t.Fatal(err)
	}
	return `{"partialSuccess":{"rejectedLogRecords":"` + string(rune('0'+outer.Code)) + `","errorMessage":"` + outer.Message + `"}}`
}

// Headers stand for parameters, gzip is taken, pages may send, and what is
// refused for its kind is in the ledger.
func TestOTLPRequests(t *testing.T) {
	f := setup(t)
	w := f.otlp(t, "/v1/logs?env=prod", typeProtobuf, gzipped(t, otlpBody(t, 1)), "Content-Encoding", "gzip", "X-Millrace-Source", "shop", "X-Millrace-Env", "test", "Origin", "https://shop.example")
	recs := f.take()
	if w.Code != 200 || len(recs) != 1 || recs[0].Source != "shop" || recs[0].Env != "prod" || recs[0].Format != "otlp" {
		t.Errorf("%d %s %+v", w.Code, w.Body, recs)
	}
	if w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Error("a page cannot read the answer")
	}
	f.otlp(t, "/v1/traces", typeProtobuf, nil)
	f.otlp(t, "/v1/traces", typeProtobuf, nil)
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	recs = f.take()
	if len(recs) != 1 || len(recs[0].Refused) != 1 || recs[0].Refused[0].Reason != "otlp_traces" || recs[0].Refused[0].Events != 2 {
		t.Errorf("the ledger has %+v", recs)
	}
}

// rawCodec passes messages on as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }
func (rawCodec) Name() string                    { return "proto" }

// grpcServe serves the routes over HTTP/2 without TLS.
func grpcServe(t testing.TB, f *fixture) *grpc.ClientConn {
	t.Helper()
	f.deps.Now = time.Now // deadlines of connections are by the real clock
	s := httptest.NewUnstartedServer(f.mux())
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	conn, err := grpc.NewClient(s.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

const grpcLogs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

// A real gRPC client gets what the specification promises.
func TestOTLPGRPC(t *testing.T) {
	f := setup(t, func(o *Options) { o.MaxBody = 1 << 20 })
	conn := grpcServe(t, f)
	later := &problem.Throttled{After: 2 * time.Second, Err: millrace.Errorf(millrace.ErrThrottled, "later: 100%%")}
	for name, c := range map[string]struct {
		method        string
		body          []byte
		denied, queue error
		code          codes.Code
		message       string
		retry         time.Duration
		answer        string
		stored        int
		options       []grpc.CallOption
	}{
		"all":        {body: otlpBody(t, 3), stored: 3},
		"gzip":       {body: otlpBody(t, 300), stored: 300, options: []grpc.CallOption{grpc.UseCompressor("gzip")}},
		"large":      {body: otlpBody(t, 30_000), stored: 30_000},
		"empty":      {},
		"some":       {body: otlpBody(t, 3, 0), stored: 2, answer: "1 of 3 events refused"},
		"none":       {body: otlpBody(t, 1, 0), code: codes.InvalidArgument, message: "1 of 1 events refused"},
		"damaged":    {body: []byte("x"), code: codes.InvalidArgument, message: "byte 0 of 1"},
		"too large":  {body: make([]byte, 2<<20), code: codes.InvalidArgument, message: "above the limit of 1MiB"},
		"no key":     {body: otlpBody(t, 1), denied: millrace.Errorf(millrace.ErrUnauthorized, "no key"), code: codes.Unauthenticated, message: "no key"},
		"scope":      {body: otlpBody(t, 1), denied: millrace.Errorf(millrace.ErrForbidden, "no"), code: codes.PermissionDenied, message: "no"},
		"limited":    {body: otlpBody(t, 1), queue: later, code: codes.ResourceExhausted, message: "later: 100%", retry: 2 * time.Second},
		"queue down": {body: otlpBody(t, 1), queue: millrace.Errorf(millrace.ErrUnavailable, "dówn"), code: codes.Unavailable, message: "dówn", retry: 5 * time.Second},
		"metrics":    {method: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", body: []byte("x"), code: codes.Unimplemented, message: "metrics are not taken"},
		"traces":     {method: "/opentelemetry.proto.collector.trace.v1.TraceService/Export", body: []byte("x"), code: codes.Unimplemented, message: "traces are not taken"},
		"other":      {method: "/some.Service/Call", code: codes.Unimplemented},
	} {
		f.mu.Lock()
		f.denied, f.err = c.denied, c.queue
		f.mu.Unlock()
		if c.method == "" {
			c.method = grpcLogs
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-millrace-source", "shop")
		var answer []byte
		err := conn.Invoke(ctx, c.method, &c.body, &answer, c.options...)
		st := status.Convert(err)
		if st.Code() != c.code || !strings.Contains(st.Message(), c.message) || !strings.Contains(string(answer), c.answer) || (len(answer) > 0) != (c.answer != "") {
			t.Errorf("%s: %v, answer %q", name, err, answer)
		}
		var retry time.Duration
		for _, d := range st.Details() {
			if info, ok := d.(*errdetails.RetryInfo); ok {
				retry = info.RetryDelay.AsDuration()
			}
		}
		if retry != c.retry {
			t.Errorf("%s: retry in %s, want %s", name, retry, c.retry)
		}
		stored := 0
		for _, r := range f.take() {
			if stored += len(r.Frames); r.Source != "shop" {
				t.Errorf("%s: source %q", name, r.Source)
			}
		}
		if stored != c.stored {
			t.Errorf("%s: %d records stored, want %d", name, stored, c.stored)
		}
	}
}

// unknownCompressor is one that the server has not heard of.
type unknownCompressor struct{ encoding.Compressor }

func (unknownCompressor) Name() string { return "x-unknown" }

func TestOTLPGRPCEncodings(t *testing.T) {
	f := setup(t)
	conn := grpcServe(t, f)
	encoding.RegisterCompressor(unknownCompressor{encoding.GetCompressor("gzip")})
	body, answer := otlpBody(t, 100), []byte(nil)
	err := conn.Invoke(t.Context(), grpcLogs, &body, &answer, grpc.UseCompressor("x-unknown"))
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "grpc-encoding") {
		t.Error(err)
	}
}

// A call whose message does not come is ended, and its memory is free again.
func TestOTLPGRPCSlow(t *testing.T) {
	f := setup(t)
	f.change(func(o *Options) { o.SlowGrace, o.MinRate = millrace.Duration(200*time.Millisecond), 1<<20 })
	conn := grpcServe(t, f)
	// A client stream that sends a part of a message only: its prefix says more.
	for name, sent := range map[string]string{"prefix": "\x00\x00", "message": "\x00\x00\x00\x01\x00abc"} {
		r, w := net.Pipe()
		tr := &http.Transport{Protocols: new(http.Protocols)}
		tr.Protocols.SetUnencryptedHTTP2(true)
		req, err := http.NewRequest("POST", "http://"+conn.Target()+grpcLogs, r)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		go func() { _, _ = w.Write([]byte(sent)) }()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		resp, err := tr.RoundTrip(req.WithContext(ctx))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var trailer bytes.Buffer
		_, _ = trailer.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		got := resp.Trailer.Get("Grpc-Status") + resp.Header.Get("Grpc-Status")
		if want := "14"; got != want {
			t.Errorf("%s: status %q, want %s: %v", name, got, want, resp.Trailer)
		}
		cancel()
		_ = w.Close()
		tr.CloseIdleConnections()
	}
	until(t, func() bool { return f.mem.used.Load() == 0 })
}

// FuzzOTLPEndpoint: any body is answered, and what is stored is what is said.
func FuzzOTLPEndpoint(f *testing.F) {
	f.Add(otlpBody(f, 3, 1), true)
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}},1]}]}]}`), false)
	f.Add([]byte("\x00\x00\x00\x00\x05hello"), true)
	f.Fuzz(func(t *testing.T, body []byte, protobuf bool) {
		fx := setup(t)
		kind := typeJSON
		if protobuf {
			kind = typeProtobuf
		}
		w := fx.otlp(t, "/v1/logs", kind, body)
		stored := 0
		for _, r := range fx.take() {
			stored += len(r.Frames)
		}
		switch {
		case w.Code == 200 && protobuf == (w.Header().Get("Content-Type") == typeProtobuf):
		case w.Code == 400 && stored == 0 && w.Body.Len() > 0:
		default:
			t.Fatalf("%d, %d stored: %s", w.Code, stored, w.Body)
		}
		// The same as a message of gRPC, prefix and all.
		r := httptest.NewRequest("POST", grpcLogs, bytes.NewReader(body))
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		r.Header.Set("Content-Type", "application/grpc")
		g := httptest.NewRecorder()
		fx.mux().ServeHTTP(g, r)
		fx.take()
		if code := g.Result().Trailer.Get("Grpc-Status"); code == "" {
			t.Fatalf("no status: %d %v", g.Code, g.Header())
		}
	})
}
