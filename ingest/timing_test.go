package ingest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// jsonLines returns n distinct lines of 415 bytes, the line of the project's
// benchmarks.
func jsonLines(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		line := fmt.Sprintf(`{"time":"2026-01-02T03:04:%02d.%03dZ","level":"info","service":"checkout","host":"web-%d","method":"GET","url":"/api/v1/products/%d","status":200,"bytes":%d,"rt":0.%03d,"client_ip":"10.%d.%d.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","trace_id":"%032x","message":"`,
			i%60, i%1000, i%40, i%5000, i*37%90000, i%1000, i%200, i%250, i*7919)
		b.WriteString(line + strings.Repeat("m", 415-1-2-len(line)) + "\"}\n")
	}
	return b.Bytes()
}

// discard is a ResponseWriter that costs nothing.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// poster sends one body over and over to a handler with a queue that does nothing.
func poster(t testing.TB, body []byte, encoding string) func() {
	f := setup(t)
	f.deps.Append = func(context.Context, []*millrace.Record) error { return nil }
	u, err := url.Parse("/ingest?source=bench&format=json")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/", nil)
	r.URL = u
	r.Header.Set("Content-Encoding", encoding)
	r.ContentLength = int64(len(body))
	rd := bytes.NewReader(nil)
	r.Body = noClose{rd}
	w := &discard{header: http.Header{}}
	return func() {
		rd.Reset(body)
		w.status = 200
		f.ServeHTTP(w, r)
		if w.status != 200 {
			t.Fatal("status", w.status)
		}
	}
}

type noClose struct{ *bytes.Reader }

func (noClose) Close() error { return nil }

// A request costs a fixed number of allocations, however many lines it has: some
// 35, and up to 50 under the race detector, which empties pools at random.
func TestAllocations(t *testing.T) {
	f := func(encoding string, body []byte) {
		t.Helper()
		if n := testing.AllocsPerRun(20, poster(t, body, encoding)); n > 80 {
			t.Errorf("%q: %.0f allocations for a request of 2500 lines", encoding, n)
		}
	}
	lines := jsonLines(2500)
	f("", lines)
	f("gzip", gzipped(t, lines))
	f("zstd", zstded(t, lines))
}

func BenchmarkPost(b *testing.B) {
	const lines = 2500
	body := jsonLines(lines)
	for _, c := range []struct {
		encoding string
		sent     []byte
	}{{"identity", body}, {"gzip", gzipped(b, body)}, {"zstd", zstded(b, body)}} {
		b.Run(c.encoding, func(b *testing.B) {
			post := poster(b, c.sent, c.encoding)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				post()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
		})
	}
}
