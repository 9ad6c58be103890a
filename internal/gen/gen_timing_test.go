package gen

import (
	"testing"
	"time"
)

func BenchmarkJSON(b *testing.B) {
	g := New(1, Options{})
	buf := make([]byte, 0, 1<<20)
	b.SetBytes(415)
	b.ReportAllocs()
	at := noon
	for b.Loop() {
		if len(buf) > 1<<19 {
			buf = buf[:0]
		}
		buf = g.AppendJSON(buf, at)
		at = at.Add(3 * time.Microsecond)
	}
}

func BenchmarkLog(b *testing.B) {
	g := New(1, Options{})
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		if len(buf) > 1<<19 {
			buf = buf[:0]
		}
		buf = g.AppendLog(buf, noon, 7, 0)
	}
	b.SetBytes(int64(len(buf)) / max(1, int64(b.N)))
}

// BenchmarkPool is what a sender of a benchmark costs per line.
func BenchmarkPool(b *testing.B) {
	p := NewPool(1, 0, 20_000, Options{})
	b.ReportAllocs()
	lines := 0
	for b.Loop() {
		_, n := p.Next(1000, noon, noon.Add(time.Second))
		lines += n
	}
	b.SetBytes(int64(lines / b.N * p.LineBytes()))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(lines), "ns/line")
}
