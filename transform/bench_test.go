package transform

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace"
)

// Lines and rules for costs per line.
var benchRules = []struct{ name, format, rules, line string }{
	{"regexp", "line", `steps: [{extract: {regexp: '^(?P<client_ip>\S+) \S+ (?P<user>\S+) \[(?P<at>[^\]]+)\] "(?P<method>\S+) (?P<url>\S+) HTTP/(?P<http_version>[0-9.]+)" (?P<status>\d+) (?P<bytes>\d+)', types: {status: int, bytes: int}}}]`, usualLine},
	{"regexp_no_match", "line", `steps: [{extract: {regexp: '^\[(?P<at>[^\]]+)\] (?P<level>\w+) (?P<text>.*)$'}}]`, usualLine},
	{"grok_combined", "line", `steps: [{extract: {grok: '^%{COMBINEDAPACHELOG}'}}]`, usualLine},
	{"grok_app", "line", `steps: [{extract: {grok: '^%{TIMESTAMP_ISO8601:at} %{LOGLEVEL:lvl} \[%{THREADNAME:thread}\] %{JAVACLASS:logger} - %{GREEDYDATA:text}$'}}]`, `2026-03-05T11:00:00.123Z INFO [main-17] com.example.shop.CheckoutService - order 4711 accepted after 3 attempts in 25 ms`},
	{"json", "line", `steps: [{extract: {json: {user: user.id, status: http.status, city: geo.city}}}]`, `{"time":"2026-03-05T11:00:00Z","msg":"request","user":{"id":42,"name":"bob"},"http":{"method":"GET","status":200,"url":"/products/42"},"geo":{"country":"CN","city":"beijing"},"rt":0.025}`},
	{"json_all", "line", `steps: [{extract: {json: all}}]`, `{"time":"2026-03-05T11:00:00Z","msg":"request","user":{"id":42,"name":"bob"},"http":{"method":"GET","status":200,"url":"/products/42"},"geo":{"country":"CN","city":"beijing"},"rt":0.025}`},
	{"kv", "line", `steps: [{extract: {kv: {}}}]`, `time=2026-03-05T11:00:00Z level=info msg="request done" user=42 method=GET url=/products/42 status=200 rt=0.025`},
	{"csv", "line", `steps: [{extract: {csv: {columns: [a, b, c, d, e, f, g, h]}}}]`, `2026-03-05 11:00:00,"bob",shop,42,"GET /products/42",200,0.025,"ok"`},
	{"time_auto", "json", `steps: [{time: {from: at, keep: true}}]`, `{"at":"2026-03-05T11:00:00.123Z"}`},
	{"time_layout", "json", `steps: [{time: {from: at, layouts: ["02/Jan/2006:15:04:05 -0700"], keep: true}}]`, `{"at":"05/Mar/2026:11:00:00 +0000"}`},
	{"set_class", "auto", `steps: [{set: {class: 'status >= 500 ? "error" : "ok"'}}]`, usualLine},
	{"set_text", "auto", `steps: [{set: {section: 'lower(part(url, "/", 1))', key: 'method + " " + url'}}]`, usualLine},
	{"drop_condition", "auto", `steps: [{drop: 'status == 200 && url startsWith "/health"'}]`, usualLine},
	{"classify", "auto", `steps: [{classify: [{when: status >= 500, set: {class: system}}, {when: status in 400..499, set: {class: business}}, {when: rt > 1, set: {class: slow}}]}]`, usualLine},
	{"mask_hash", "auto", `masks: [{fields: [client_ip], hash: {salt: 0123456789}}]`, usualLine},
	{"mask_everywhere", "auto", `masks: [{fields: "*", replace: {pattern: '\b[\w.]+@[\w.]+\b', with: '[email]'}}]`, usualLine},
	{"url_template", "auto", `steps: [url_template: true]`, usualLine},
	{"user_agent", "auto", `steps: [user_agent: true]`, usualLine},
	{"static", "auto", `steps: [static: drop]`, usualLine},
}

// BenchmarkSteps measures what a rule costs per line, without decoding.
func BenchmarkSteps(b *testing.B) {
	for _, c := range benchRules {
		b.Run(c.name, func(b *testing.B) {
			p := mustCompile(b, c.rules)
			run := repeat(c.format, c.line)
			s := &Scratch{}
			run(p, s)
			b.SetBytes(int64(len(c.line)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				run(p, s)
			}
		})
	}
	for _, name := range []string{"nginx-ingress", "postgresql", "kafka"} {
		line := map[string]string{
			"nginx-ingress": `192.168.64.1 - - [07/Feb/2020:11:48:51 +0000] "POST /products HTTP/1.1" 200 59 "-" "curl/7.54.0" 89 0.001 [default-web-8080] [] 172.17.0.5:8080 59 0.000 200 529a007902362a5f51385a5fa7049884`,
			"postgresql":    `2020-04-15 12:04:45.416 CEST [24981] postgres@shop FATAL:  password authentication failed for user "root"`,
			"kafka":         `[2018-10-17 12:04:41,718] INFO [GroupMetadataManager brokerId=10] Removed 0 expired offsets in 0 milliseconds. (kafka.coordinator.group.GroupMetadataManager)`,
		}[name]
		b.Run("preset_"+name, func(b *testing.B) {
			p := presetProgram(b, name)
			run := repeat("line", line)
			s := &Scratch{}
			run(p, s)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				run(p, s)
			}
		})
	}
}

// repeat returns what applies a program to the decoded line again and again, in
// a batch that is reset as the pipeline's is.
func repeat(format, line string) func(*Program, *Scratch) {
	first := newBatch(format, line)
	decoded := snapshot(&first.Events[0])
	b := &millrace.Batch{}
	n := 0
	return func(p *Program, s *Scratch) {
		if n%256 == 0 {
			b.Reset(first.Record)
		}
		n++
		e := b.Add(0)
		attrs := append(e.Attrs, decoded.Attrs...)
		*e = decoded
		e.Attrs = attrs
		p.Apply(b, e, s)
	}
}

// TestAllocations is the budget per line: a match of a regular expression costs
// the one allocation of its indexes, and masking by pattern what package regexp
// needs to replace; nothing else allocates.
func TestAllocations(t *testing.T) {
	budget := map[string]float64{"regexp": 1, "grok_combined": 1, "grok_app": 1}
	for _, c := range benchRules {
		p := mustCompile(t, c.rules)
		run := repeat(c.format, c.line)
		s := &Scratch{}
		for range 600 {
			run(p, s) // the batch, caches and the matchers of package regexp have their size
		}
		got := testing.AllocsPerRun(1000, func() { run(p, s) })
		if got > budget[c.name] {
			t.Errorf("%s: %v allocations per line, at most %v", c.name, got, budget[c.name])
		}
	}
}

// TestLimits: what goes beyond a limit fails with a message, and leaves the event.
func TestLimits(t *testing.T) {
	long := make([]byte, 200<<10)
	for i := range long {
		long[i] = 'a' + byte(i%7)
	}
	f := func(rules, line, why string) {
		t.Helper()
		p := mustCompile(t, rules)
		b := oneEvent(line)
		x := p.Explain(b, &b.Events[0], &Scratch{})
		if got := x.Steps[0]; got.Outcome != "failed" || got.Detail != why || len(got.Changes) > 0 {
			t.Errorf("%s: %+v, expected %q", rules, got, why)
		}
	}
	f(`steps: [{set: {a: 'replace(message, "a", "0123456789012345678901234567890123456789")'}}]`, string(long), "a: "+longText)
	f(`steps: [{set: {a: 'message + message'}}]`, string(long), "a: "+longText)
	f(`steps: [{extract: {kv: {}}}]`, pairs(200), "more than 100 fields")
	f(`steps: [{extract: {json: all}}]`, `{`+jsonPairs(200)+`}`, "more than 100 fields")
	f(`steps: [{extract: {regexp: '(?P<a>(x+x+)+y)'}}]`, string(make([]byte, 300<<10)), tooLong(MaxInput))

	// The sum of what an event may need.
	text := "steps:\n"
	for i := range 30 {
		text += fmt.Sprintf("  - set: {a%d: 'replace(message, \"a\", \"b\")'}\n", i)
	}
	p := mustCompile(t, text)
	b := oneEvent(string(long[:60<<10]))
	x := p.Explain(b, &b.Events[0], &Scratch{})
	if got := x.Steps[29]; x.Steps[0].Outcome != "matched" || got.Outcome != "failed" || got.Detail != "a29: the steps need more than 1 MiB for this event" {
		t.Errorf("%+v", got)
	}
}

func pairs(n int) string {
	s := ""
	for i := range n {
		s += fmt.Sprintf("k%d=v ", i)
	}
	return s
}

func jsonPairs(n int) string {
	s := ""
	for i := range n {
		s += fmt.Sprintf(`"k%d":1,`, i)
	}
	return s[:len(s)-1]
}
