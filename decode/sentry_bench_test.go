package decode

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// javaEvent is a crash of a Java server: n frames with source lines, and what the
// SDK adds; 50 frames make 50 KB.
func javaEvent(n int) string {
	var frames, crumbs []string
	for i := range n {
		frames = append(frames, fmt.Sprintf(`{"filename":"Controller%d.java","function":"handle%d","module":"com.example.shop.web.Controller%d","lineno":%d,"in_app":%v,`+
			`"context_line":"        return orders.find(request.getId()).orElseThrow(() -> new OrderNotFoundException(request.getId()));",`+
			`"pre_context":["    @Override","    public Order handle(Request request) {","        log.debug(\"looking for {}\", request.getId());","        metrics.counter(\"orders\").increment();","%s"],`+
			`"post_context":["    }","","    private void check(Request request) {","        Objects.requireNonNull(request, \"request\");","%s"]}`,
			i, i, i, i+10, i%3 > 0, strings.Repeat(" pre", 20), strings.Repeat(" post", 16)))
	}
	for i := range 2 * n / 3 {
		crumbs = append(crumbs, fmt.Sprintf(`{"timestamp":"2025-07-15T10:29:%02d.000Z","type":"http","category":"okhttp","level":"info","data":{"url":"https://inventory.example.com/items/%d","method":"GET","status_code":200,"http.response_content_length":1234}}`, i%60, i))
	}
	return `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","timestamp":"2025-07-15T10:30:00.000Z","platform":"java","level":"error","logger":"shop","transaction":"GET /orders/{id}",` +
		`"release":"shop@1.4.2","environment":"prod","server_name":"web-1","sdk":{"name":"sentry.java.spring-boot","version":"8.11.1"},` +
		`"exception":{"values":[{"type":"SQLException","module":"java.sql","value":"connection closed","stacktrace":{"frames":[]}},` +
		`{"type":"OrderNotFoundException","module":"com.example.shop","value":"order 4711","thread_id":42,"mechanism":{"type":"chained","handled":false},"stacktrace":{"frames":[` + strings.Join(frames, ",") + `]}}]},` +
		`"contexts":{"trace":{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","op":"http.server"},"runtime":{"name":"OpenJDK","version":"21.0.2"},"os":{"name":"Linux","version":"6.1"}},` +
		`"user":{"id":"4711","ip_address":"203.0.113.9"},"tags":{"region":"eu","tier":"web"},"request":{"url":"https://shop.example.com/orders/4711","method":"GET","headers":{"accept":"*/*"}},` +
		`"breadcrumbs":{"values":[` + strings.Join(crumbs, ",") + `]},"modules":{"org.springframework:spring-core":"6.1.4","com.fasterxml.jackson.core:jackson-databind":"2.17.0"}}`
}

func benchmarkSentry(b *testing.B, head string, items ...string) {
	body := []byte(sentryEnvelope(head, items...))
	var p Pieces
	if err := Split("sentry", nil, body, Limits{}, &p); err != nil || len(p.Events) == 0 {
		b.Fatal(err, p.Refused)
	}
	r := pieceRecord("sentry", &p)
	events, batch := len(p.Events), &millrace.Batch{}
	var d Decoder
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Split("sentry", nil, body, Limits{}, &p); err != nil {
			b.Fatal(err)
		}
		batch.Reset(r)
		d.Decode(batch)
	}
	if len(batch.Events) != events {
		b.Fatal(batch.Rejects)
	}
	b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
}

// Split and decoding together; copying into records is not in it.
func BenchmarkSentry(b *testing.B) {
	const head = `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","sent_at":"2025-07-15T10:30:00.100Z","sdk":{"name":"sentry.java","version":"8"},"trace":{"trace_id":"0af7651916cd43dd8448eb211c80319c","environment":"prod"}}`
	b.Run("java50KB", func(b *testing.B) { benchmarkSentry(b, head, `{"type":"event"}`, javaEvent(50)) })
	b.Run("java1KB", func(b *testing.B) { benchmarkSentry(b, head, `{"type":"event"}`, javaEvent(0)) })
	entry := `{"timestamp":1752575400.25,"trace_id":"0af7651916cd43dd8448eb211c80319c","level":"info","severity_number":9,"body":"order 4711 is paid","attributes":{"order":{"value":4711,"type":"integer"},"sentry.environment":{"value":"prod","type":"string"},"sentry.release":{"value":"1.4.2","type":"string"}}}`
	b.Run("logs", func(b *testing.B) {
		benchmarkSentry(b, head, `{"type":"log"}`, `{"items":[`+strings.Repeat(entry+",", 99)+entry+`]}`)
	})
}

// An exception costs its report: one slice of exceptions, one of frames and the
// report itself. Everything else borrows, or lives in the batch.
func TestSentryAllocations(t *testing.T) {
	f := func(name string, body string, most float64) {
		t.Helper()
		var p Pieces
		if err := Split("sentry", nil, []byte(body), Limits{}, &p); err != nil {
			t.Fatal(err)
		}
		r, batch := pieceRecord("sentry", &p), &millrace.Batch{}
		var d Decoder
		run := func() {
			batch.Reset(r)
			d.Decode(batch)
		}
		for range 3 {
			run()
		}
		if n := testing.AllocsPerRun(100, run); n > most {
			t.Errorf("%s: %v allocations, at most %v", name, n, most)
		}
	}
	f("exception", sentryEnvelope(`{}`, `{"type":"event"}`, javaEvent(50)), 3)
	f("message", sentryEnvelope(`{}`, `{"type":"event"}`, `{"message":"m","tags":{"a":"b"},"extra":{"x":[1]}}`), 0)
	f("logs", sentryEnvelope(`{"sdk":{"name":"a"}}`, `{"type":"log"}`, `{"items":[{"body":"m","attributes":{"a":{"value":1}}},{"body":"m"}]}`), 0)
	body := []byte(sentryEnvelope(`{"dsn":"https://k@h/1","sdk":{}}`, `{"type":"event"}`, javaEvent(10)))
	var p Pieces
	if n := testing.AllocsPerRun(100, func() { _ = Split("sentry", nil, body, Limits{}, &p) }); n > 0 {
		t.Errorf("split: %v allocations, want none", n)
	}
}

// What grows faster than the event would stop the worker: all of these are
// refused or read in well under a second.
func TestSentryHostile(t *testing.T) {
	const n = 200_000
	for name, event := range map[string]string{
		"placeholders": `{"logentry":{"message":"` + strings.Repeat("%s{}%(a", n/8) + `","params":[` + strings.Repeat("1,", n/8) + `1]}}`,
		"exceptions":   `{"exception":[` + strings.Repeat(`{"mechanism":{"exception_id":1,"parent_id":1}},`, n/10) + `{}]}`,
		"frames":       `{"exception":{"stacktrace":{"frames":[` + strings.Repeat(`{"instruction_addr":"0x9"},`, n/10) + `{}]}},"debug_meta":{"images":[` + strings.Repeat(`{"image_addr":"0x1"},`, n/10) + `{}]}}`,
		"threads":      `{"threads":[` + strings.Repeat(`{"current":true,"stacktrace":{}},`, n/10) + `{}],"exception":{"type":"x"}}`,
		"tags":         `{"tags":[` + strings.Repeat(`["a","b"],`, n/4) + `1]}`,
		"extra":        `{"extra":{` + strings.Repeat(`"a":1,`, n/4) + `"a":1}}`,
	} {
		begun := time.Now()
		decodeOne(t, "sentry-event", event)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("%s: %d bytes took %s", name, len(event), took)
		} else {
			t.Logf("%s: %d bytes in %s", name, len(event), took)
		}
	}
}
