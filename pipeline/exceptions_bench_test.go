package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// javaTrace is a Java exception with a stack of 50 frames in three causes and a
// message that fills it up to size bytes; n makes it differ from others.
func javaTrace(size, frames, n int) string {
	var b strings.Builder
	stack := func(k int) {
		for i := range k {
			fmt.Fprintf(&b, "\tat com.example.shop.order.service.OrderProcessingService%d.handleIncoming(OrderProcessingService%d.java:%d)\n", i%9, i%9, 100+i)
			fmt.Fprintf(&b, "\tat org.springframework.aop.framework.ReflectiveMethodInvocation.proceed(ReflectiveMethodInvocation.java:%d)\n", 100+i)
		}
	}
	stack(frames * 3 / 10)
	if frames >= 10 {
		b.WriteString("Caused by: java.sql.SQLException: timeout\n")
		stack(frames / 8)
		b.WriteString("\t... 12 more\nCaused by: java.net.SocketTimeoutException: read timed out\n")
		stack(frames/2 - frames*3/10 - frames/8)
		b.WriteString("\t... 18 more\n")
	}
	tail := b.String()
	head := fmt.Sprintf("java.lang.IllegalStateException: cannot process %d ", n)
	if fill := size - len(head) - len(tail); fill > 0 {
		head += strings.Repeat(`{"order":17,"items":[{"sku":"A-1","n":2}],"note":"x"} `, fill/54+1)[:fill]
	}
	return head + "\n" + tail
}

// otherStack makes the stack of n a trace's.
func otherStack(trace string, n int) string {
	return strings.ReplaceAll(trace, "handleIncoming", fmt.Sprint("handle", string(rune('A'+n%26)), n))
}

// BenchmarkExceptions is everything that the worker's decoder does to exceptions:
// decode, read, fingerprint, describe. Equal ones are a storm; ids differ in a number
// in the message, as those of real streams do; distinct ones have each their own stack.
func BenchmarkExceptions(b *testing.B) {
	quoted := func(s string) string { return string(millrace.AppendJSONString(nil, s)) }
	ndjson := func(i int, trace string) string {
		return fmt.Sprintf(`{"time":"2027-01-15T08:00:00.%03dZ","level":"error","service":"shop","trace_id":"4bf92f3577b34da6","message":"order failed","stack_trace":%s}`, i%1000, quoted(trace))
	}
	counted := func(_ int, trace string) string {
		return `{"ip":"10.0.0.7","host":"web-3","appCode":"checkout","envName":"prod","exType":"java.lang.IllegalStateException","count":100,` +
			`"details":[{"level":"ERROR","content":"cart is empty","stackTrace":` + quoted(trace) + `}]}`
	}
	sentry := func(i int, _ string) string {
		return `{"platform":"java","release":"shop@1.0","exception":{"values":[{"type":"IllegalStateException","module":"java.lang","value":"no ` + fmt.Sprint(i) + `","stacktrace":{"frames":[` +
			strings.Repeat(`{"module":"shop.Main","function":"main","filename":"Main.java","lineno":7,"in_app":true},`, 19) +
			`{"module":"shop.Orders","function":"find","filename":"Orders.java","lineno":42,"in_app":true}]}}]},"tags":{"a":"b"},"user":{"id":"7"}}`
	}
	text := func(_ int, trace string) string {
		return "2026-11-22 12:00:00,000 ERROR [main] shop.Main - order failed\n" + trace
	}
	for _, c := range []struct {
		name, format string
		records      int
		size, frames int
		body         func(i int, trace string) string
		join         string
	}{
		{"50KB-50frames", "text", 16, 50 << 10, 50, text, ""},
		{"1KB-text", "text", 500, 900, 6, text, ""},
		{"1KB-ndjson", "json", 500, 900, 6, ndjson, "\n"},
		{"counted", "exceptions", 400, 900, 6, counted, ""},
		{"sentry-20frames", "sentry-event", 1, 0, 0, sentry, ""},
	} {
		for _, differ := range []string{"equal", "ids", "distinct"} {
			b.Run(c.name+"/"+differ, func(b *testing.B) {
				var records []*millrace.Record
				for r := range 8 {
					var bodies []string
					for i := range c.records {
						n, stack := r*c.records+i, 0
						switch differ {
						case "equal":
							n = 0
						case "distinct":
							stack = n
						}
						bodies = append(bodies, c.body(n, otherStack(javaTrace(c.size, c.frames, n), stack)))
					}
					records = append(records, recordOf(b, c.format, strings.Join(bodies, c.join)))
				}
				benchRecords(b, records)
			})
		}
	}
}

func benchRecords(b *testing.B, records []*millrace.Record) {
	d := &decoding{exceptions: exceptions{version: 2}}
	u := &unit{}
	events, size := 0, 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		u.rec = records[i%len(records)]
		if err := decodeUnit(d, u); err != nil {
			b.Fatal(err)
		}
		if events == 0 {
			for j := range u.batch.Events {
				if u.batch.Events[j].Kind != millrace.KindException {
					b.Fatalf("%+v", u.batch.Events[j])
				}
			}
		}
		events += len(u.batch.Events)
		size += len(u.rec.Payload)
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "exceptions/s")
	b.ReportMetric(float64(size)/float64(events), "B/exception")
}

// Budgets: what describing one exception may allocate. Equal ones, and those that differ
// in their messages only, nothing; of a distinct one its exceptions and their frames,
// and its fingerprint.
const (
	stormAllocs    = 0.05
	distinctAllocs = 12
)

func TestExceptionAllocs(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for name, c := range map[string]struct {
		body func(i int) string
		max  float64
	}{
		"storm":    {func(int) string { return javaTrace(900, 6, 1) }, stormAllocs},
		"ids":      {func(i int) string { return javaTrace(900, 6, i) }, stormAllocs},
		"distinct": {func(i int) string { return otherStack(javaTrace(900, 6, i), i) }, distinctAllocs},
	} {
		var b strings.Builder
		for i := range 200 {
			b.WriteString("2026-11-22 12:00:00,000 ERROR [main] shop.Main - order failed\n" + c.body(i))
		}
		u := &unit{rec: recordOf(t, "text", b.String())}
		d := &decoding{exceptions: exceptions{version: 2}}
		n := testing.AllocsPerRun(10, func() {
			if name == "distinct" {
				clear(d.exceptions.memo.once)
				clear(d.exceptions.memo.templates.once)
			}
			if err := decodeUnit(d, u); err != nil {
				t.Fatal(err)
			}
		}) / 200
		if n > c.max {
			t.Errorf("%s: %.2f allocations each, at most %v", name, n, c.max)
		}
	}
}
