package decode

import (
	"bytes"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// samples are typical lines per format; JSON and nginx are those of the targets.
var samples = map[string]string{
	"json": `{"time":"2026-03-05T11:59:58.123Z","kind":"access","service":"checkout","host":"web-07.eu-1.example.com",` +
		`"env":"prod","level":"info","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","client_ip":"203.0.113.195","method":"GET",` +
		`"url":"/api/v1/products/1234/reviews","query":"page=2&sort=new","status":200,"bytes":18234,"rt":0.0423,"rt_backend":0.0391,` +
		`"user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101"}`,
	"nginx": `203.0.113.195 - - [05/Mar/2026:11:59:58 +0000] "GET /api/v1/products/1234/reviews?page=2 HTTP/1.1" 200 18234 ` +
		`"https://shop.example.com/products" "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0" 0.042 0.039`,
	"logfmt": `time=2026-03-05T11:59:58.123Z level=info service=checkout msg="order placed" order=8812 user=alice amount=12.50 took=12ms`,
	"syslog": `<165>1 2026-03-05T11:59:58.123Z web-07 checkout 1234 ID47 [meta seq="12"] order 8812 placed by alice`,
	"text":   `2026-03-05 11:59:58,123 INFO  [http-nio-8080-exec-3] com.example.shop.OrderService - order 8812 placed by alice`,
	"line":   `anything at all that a program may print, taken as it is`,
}

func BenchmarkFrame(b *testing.B) {
	for _, name := range []string{"json", "nginx", "text"} {
		for _, format := range []string{name, "auto"} {
			b.Run(format+"/"+name, func(b *testing.B) {
				body := []byte(strings.Repeat(samples[name]+"\n", 1000))
				var fr Framing
				b.SetBytes(int64(len(samples[name])) + 1)
				b.ReportAllocs()
				for i := 0; i < b.N; i += 1000 {
					if err := Frame(format, body, Limits{}, &fr); err != nil || len(fr.Events) != 1000 {
						b.Fatal(err, len(fr.Events))
					}
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, line := range samples {
		for _, format := range []string{name, "auto"} {
			b.Run(format+"/"+name, func(b *testing.B) {
				body := bytes.Repeat([]byte(line+"\n"), 1000)
				r, _ := recordOf(b, format, body)
				batch := &millrace.Batch{}
				var d Decoder
				b.SetBytes(int64(len(line)) + 1)
				b.ReportAllocs()
				for i := 0; i < b.N; i += 1000 {
					batch.Reset(r)
					d.Decode(batch)
					if len(batch.Events) != 1000 {
						b.Fatal(len(batch.Events), len(batch.Rejects))
					}
				}
			})
		}
	}
}

// TestDecodeAllocations holds the budget: a reused batch decodes without
// allocating, whatever the format.
func TestDecodeAllocations(t *testing.T) {
	extra := map[string]string{
		"json escapes": `{"msg":"a \"quoted\" word\nnext","path":"C:\\dir","level":"WARNING"}`,
		"ingress":      `192.168.64.1 - - [07/Feb/2020:11:48:51 +0000] "POST /products HTTP/1.1" 200 59 "-" "curl/7.54.0" 89 0.001 [default-web-8080] [] 172.17.0.5:8080 59 0.000 200 529a007902362a5f51385a5fa7049884`,
		"future":       `{"time":"2200-01-01T00:00:00Z","msg":"x"}`,
	}
	f := func(name, format, line string) {
		t.Helper()
		r, _ := recordOf(t, format, bytes.Repeat([]byte(line+"\n"), 200))
		batch := &millrace.Batch{}
		var d Decoder
		run := func() {
			batch.Reset(r)
			d.Decode(batch)
			if len(batch.Events) != 200 {
				t.Fatal(name, len(batch.Events))
			}
		}
		run()
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("%s as %s: %.1f allocations per batch", name, format, n)
		}
	}
	for name, line := range samples {
		f(name, name, line)
		f(name, "auto", line)
	}
	for name, line := range extra {
		f(name, "auto", line)
	}
}

// TestFrameAllocations: framing good lines allocates nothing once res has grown.
func TestFrameAllocations(t *testing.T) {
	for name, line := range samples {
		body := bytes.Repeat([]byte(line+"\n"), 200)
		var fr Framing
		if n := testing.AllocsPerRun(20, func() {
			if err := Frame("auto", body, Limits{}, &fr); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %.1f allocations per body", name, n)
		}
	}
}
