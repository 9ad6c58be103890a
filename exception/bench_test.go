package exception_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/exception"
)

// crash50KB is a Java exception as big services log them: 50 frames with two
// causes, and a message that holds a request, 50 KB in all.
func crash50KB() string {
	var b strings.Builder
	b.WriteString("java.lang.IllegalStateException: cannot process ")
	b.WriteString(strings.Repeat(`{"order":17,"items":[{"sku":"A-1","n":2}],"note":"…"} `, 780))
	b.WriteByte('\n')
	frames := func(n int) {
		for i := range n {
			fmt.Fprintf(&b, "\tat com.example.shop.order.service.OrderProcessingService%d.handleIncoming(OrderProcessingService%d.java:%d)\n", i%9, i%9, 100+i)
			fmt.Fprintf(&b, "\tat org.springframework.aop.framework.ReflectiveMethodInvocation.proceed(ReflectiveMethodInvocation.java:%d)\n", 100+i)
		}
	}
	frames(15)
	b.WriteString("Caused by: java.sql.SQLException: timeout\n")
	frames(6)
	b.WriteString("\t... 12 more\nCaused by: java.net.SocketTimeoutException: read timed out\n")
	frames(4)
	b.WriteString("\t... 18 more\n")
	return b.String()
}

// Budgets: what one exception of 50 KB with 50 frames may allocate. Three
// exceptions and their frames are seven; growing the frames of the first is one.
const (
	readAllocs   = 12
	fpAllocs     = 6
	reportAllocs = 0
)

func TestAllocs(t *testing.T) {
	text := crash50KB()
	r, ok := exception.Read(text)
	if !ok || countFrames(r.Exception) != 50 || r.Exception.Cause.Cause.Common != 18 {
		t.Fatal("not read")
	}
	if n := testing.AllocsPerRun(20, func() { exception.Read(text) }); n > readAllocs {
		t.Errorf("Read allocates %v times, at most %d", n, readAllocs)
	}
	if n := testing.AllocsPerRun(20, func() { exception.FingerprintOf(2, &r) }); n > fpAllocs {
		t.Errorf("FingerprintOf allocates %v times, at most %d", n, fpAllocs)
	}
	buf := exception.AppendReport(nil, &r)
	if n := testing.AllocsPerRun(20, func() { buf = exception.AppendReport(buf[:0], &r) }); n > reportAllocs {
		t.Errorf("AppendReport allocates %v times, at most %d", n, reportAllocs)
	}
	t.Logf("a text of %d bytes is stored in %d", len(text), len(buf))
}

// Benchmark50KB is everything that happens to one crash: found, read,
// fingerprinted, stored.
func Benchmark50KB(b *testing.B) {
	text := crash50KB()
	var buf []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if !exception.HasTrace(text) {
			b.Fatal("no trace")
		}
		r, _ := exception.Read(text)
		exception.FingerprintOf(2, &r)
		buf = exception.AppendReport(buf[:0], &r)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exceptions/s")
}

func BenchmarkFingerprint2(b *testing.B) {
	r, _ := exception.Read(crash50KB())
	b.ReportAllocs()
	for b.Loop() {
		exception.FingerprintOf(2, &r)
	}
}
