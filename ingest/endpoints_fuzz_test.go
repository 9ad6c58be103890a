package ingest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	runtimemetrics "runtime/metrics"
	"testing"
	"time"

	"github.com/millrace/millrace/decode"
)

// endpointCalls are the requests by which clients bring events, one per endpoint
// and kind of body.
var endpointCalls = []struct {
	method, path string
	header       []string
	seed         string
}{
	{"POST", "/ingest", nil, "a line\n"},
	{"POST", "/ingest?format=json", nil, `[{"a":1},{"b":`},
	{"POST", "/loki/api/v1/push", []string{"Content-Type", "application/json"}, `{"streams":[{"stream":{"a":"b"},"values":[["1700000000000000000","x"]]}]}`},
	{"POST", "/loki/api/v1/push", []string{"Content-Type", "application/x-protobuf"}, "\x05\x10hello"},
	{"POST", "/logplex?source=a", []string{"Content-Type", "application/logplex-1", "Logplex-Frame-Id", "f"}, "41 <40>1 2012-11-30T06:45:29+00:00 host app web.3 - x"},
	{"POST", "/api/v1/exceptions", []string{"Content-Type", "application/json"}, `[{"exType":"E","count":3,"sendTime":1700000000000,"details":[{"content":"x"}]}]`},
	{"POST", "/v1/logs", []string{"Content-Type", "application/json"}, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}`},
	{"POST", "/v1/logs", []string{"Content-Type", "application/x-protobuf"}, "\x0a\x02\x12\x00"},
	{"POST", "/api/1/envelope/", nil, "{}\n{\"type\":\"event\"}\n{\"message\":\"x\"}\n"},
	{"POST", "/api/1/store/", nil, `{"exception":{"values":[{"type":"E"}]}}`},
	{"POST", "/_bulk", nil, "{\"create\":{\"_index\":\"a\"}}\n{}\n"},
	{"PUT", "/a/_doc/1", nil, `{"message":"x"}`},
}

// FuzzEndpoints: no body makes an endpoint panic, fail, or cost more than a body
// of that size may; what is refused whole is not stored.
func FuzzEndpoints(f *testing.F) {
	for i, c := range endpointCalls {
		f.Add(uint8(i), []byte(c.seed), "")
		f.Add(uint8(i), []byte(c.seed), "gzip")
		f.Add(uint8(i), gzipped(f, []byte(c.seed)), "gzip")
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte, encoding string) {
		c := endpointCalls[int(n)%len(endpointCalls)]
		for _, known := range []string{"gzip", "zstd", "deflate", "br", ""} {
			if encoding == known || known == "" {
				encoding = known
				break
			}
		}
		fx := setup(t, func(o *Options) { o.MaxBody, o.MaxCompressed, o.MaxLine = 64<<10, 64<<10, 4<<10 })
		handler := fx.Elastic(fx.mux())
		var w *httptest.ResponseRecorder
		costs(t, len(body), func() {
			fx.take()
			r := httptest.NewRequest(c.method, c.path, bytes.NewReader(body))
			for i := 0; i < len(c.header); i += 2 {
				r.Header.Set(c.header[i], c.header[i+1])
			}
			if encoding != "" {
				r.Header.Set("Content-Encoding", encoding)
			}
			w = httptest.NewRecorder()
			handler.ServeHTTP(w, r)
		})
		stored := 0
		for _, r := range fx.take() {
			if len(r.Frames) > 0 && decode.Known(r.Format) != nil {
				t.Fatalf("a record of format %q", r.Format)
			}
			stored += len(r.Frames)
		}
		if w.Code >= http.StatusInternalServerError && w.Code != http.StatusNotImplemented || w.Code >= 300 && stored > 0 {
			t.Fatalf("%s %s: %d %s, %d stored", c.method, c.path, w.Code, w.Body, stored)
		}
	})
}

// costs runs f and fails if a body of at most 1 KiB makes it allocate more than
// 10 MiB or take more than 100 ms, in each of a few tries.
func costs(t *testing.T, size int, f func()) {
	t.Helper()
	var alloc uint64
	var took time.Duration
	for range 5 {
		before, begun := allocatedBytes(), time.Now()
		f()
		took, alloc = time.Since(begun), allocatedBytes()-before
		if size > 1<<10 || took <= 100*time.Millisecond && alloc <= 10<<20 {
			return
		}
	}
	t.Fatalf("a body of %d bytes took %s and %d bytes of memory", size, took, alloc)
}

func allocatedBytes() uint64 {
	s := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(s)
	return s[0].Value.Uint64()
}
