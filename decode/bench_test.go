package decode

import (
	"bytes"
	"fmt"
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

// shapes are further lines, by format and name: what is common in each of the
// formats that have a fast path, and what leaves that path.
var shapes = []struct{ format, name, line string }{
	{"json", "many fields", manyFields},
	{"json", "spaced", strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(samples["json"])},
	{"json", "escapes", `{"msg":"a \"quoted\" word\nnext","path":"C:\\dir","level":"WARNING"}`},
	{"json", "future", `{"time":"2200-01-01T00:00:00Z","msg":"x"}`},
	{"json", "nginx", `{"time_iso8601":"2026-03-05T11:59:58+00:00","remote_addr":"203.0.113.195","request_method":"GET",` +
		`"request_uri":"/api/v1?x=1","status":"200","body_bytes_sent":"1234","request_time":"0.042","http_referer":"-","http_user_agent":"Mozilla/5.0"}`},
	{"json", "caddy", `{"level":"info","ts":1700000000.123,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"203.0.113.195",` +
		`"remote_port":"51522","client_ip":"203.0.113.195","proto":"HTTP/2.0","method":"GET","host":"shop.example.com","uri":"/api/v1/products/1234?x=1",` +
		`"headers":{"User-Agent":["curl/8.1.2"],"Accept":["*/*"]}},"bytes_read":0,"user_id":"","duration":0.0123,"size":1234,"status":200,"resp_headers":{"Server":["Caddy"]}}`},
	{"json", "ecs", `{"@timestamp":"2026-03-05T11:59:58.123Z","log.level":"INFO","message":"order placed","ecs":{"version":"8.11"},` +
		`"service":{"name":"checkout","version":"1.2.3","environment":"prod"},"host":{"name":"web-07"},"trace":{"id":"4bf92f3577b34da6a3ce929d0e0e4736"},` +
		`"http":{"request":{"method":"GET"},"response":{"status_code":200}},"url":{"path":"/x"},"process":{"thread":{"name":"main"}}}`},
	{"logfmt", "access", `time=2026-03-05T11:59:58.123456Z level=info service=checkout host=web-07 env=prod trace_id=4bf92f3577b34da6a3ce929d0e0e4736 ` +
		`method=GET url=/api/v1/products/1234 status=200 bytes=18234 rt=0.0423 client_ip=203.0.113.195 user_agent="Mozilla/5.0 (X11; Linux x86_64)" city=lisbon`},
	{"nginx", "combined", combined},
	{"apache", "combined", combined},
	{"apache", "common", `203.0.113.195 - frank [05/Mar/2026:11:59:58 +0000] "GET /products HTTP/1.1" 200 18234`},
	{"nginx", "ingress", `192.168.64.1 - - [07/Feb/2020:11:48:51 +0000] "POST /products HTTP/1.1" 200 59 "-" "curl/7.54.0" 89 0.001 ` +
		`[default-web-8080] [] 172.17.0.5:8080 59 0.000 200 529a007902362a5f51385a5fa7049884`},
}

const combined = `203.0.113.195 - - [05/Mar/2026:11:59:58 +0000] "GET /api/v1/products/1234/reviews?page=2 HTTP/1.1" 200 18234 ` +
	`"https://shop.example.com/products" "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"`

// manyFields has more attributes than an event starts with.
var manyFields = func() string {
	var b strings.Builder
	b.WriteString(`{"msg":"m"`)
	for i := range 90 {
		fmt.Fprintf(&b, `,"field%d":%d`, i, i)
	}
	return b.String() + "}"
}()

// eachShape calls f for every sample and shape, as its own format and as auto.
func eachShape(f func(format, name, line string)) {
	for name, line := range samples {
		f(name, name, line)
		f("auto", name, line)
	}
	for _, s := range shapes {
		f(s.format, s.name, s.line)
		f("auto", s.format+" "+s.name, s.line)
	}
}

func BenchmarkDecode(b *testing.B) {
	eachShape(func(format, name, line string) {
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
	})
}

// TestDecodeAllocations holds the budget: a reused batch decodes without
// allocating, whatever the format.
func TestDecodeAllocations(t *testing.T) {
	eachShape(func(format, name, line string) {
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
		run() // grows what it keeps
		run()
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("%s as %s: %.1f allocations per batch", name, format, n)
		}
	})
}

// TestFrameAllocations: framing good lines allocates nothing once res has grown.
func TestFrameAllocations(t *testing.T) {
	eachShape(func(_, name, line string) {
		body := bytes.Repeat([]byte(line+"\n"), 200)
		var fr Framing
		if n := testing.AllocsPerRun(20, func() {
			if err := Frame("auto", body, Limits{}, &fr); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %.1f allocations per body", name, n)
		}
	})
}
