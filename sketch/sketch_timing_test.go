package sketch

import (
	"fmt"
	"testing"
)

// sampleHist is a cell of n latencies.
func sampleHist(n int) *Hist {
	r := newRand(uint64(n))
	var h Hist
	for range n {
		h.Add(distributions["lognormal"](r), 1)
	}
	return &h
}

func sampleHLL(n int) *HLL {
	var h HLL
	for i := range n {
		h.AddHash(hashOf(9, uint64(i)))
	}
	return &h
}

// TestAllocationBudget pins what the hot paths may allocate.
func TestAllocationBudget(t *testing.T) {
	f := func(name string, budget float64, fn func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, fn); got > budget {
			t.Errorf("%s allocates %v times, may %v", name, got, budget)
		}
	}
	for _, n := range []int{1, 20, 100_000} {
		h, u := sampleHist(n), sampleHLL(n)
		hb, ub := h.AppendTo(nil), u.AppendTo(nil)
		buf := make([]byte, 0, len(hb)+len(ub))
		v := h.Quantile(0.5)
		f("Hist.Add", 0, func() { h.Add(v, 1) })
		f("HLL.AddHash", 0, func() { u.AddHash(hashOf(9, 0)) })
		f("Hist.AppendTo", 0, func() { h.AppendTo(buf) })
		f("HLL.AppendTo", 0, func() { u.AppendTo(buf) })
		f("Hist.Quantile", 0, func() { h.Quantile(0.99) })
		f("HLL.Estimate", 0, func() { u.Estimate() })
		f("QuantileOf", 0, func() { _, _ = QuantileOf(hb, 0.99) })
		f("EstimateOf", 0, func() { _, _ = EstimateOf(ub) })
		f("Hist.MergeEncoded", 0, func() { mustMerge(t, h.MergeEncoded(hb)) })
		f("HLL.MergeEncoded", 0, func() { mustMerge(t, u.MergeEncoded(ub)) })
		f("Hist.Decode into empty", 1, func() { mustMerge(t, new(Hist).Decode(hb)) })
		f("HLL.Decode into empty", 1, func() { mustMerge(t, new(HLL).Decode(ub)) })
	}
}

var sizes = []int{10, 100, 1000, 100_000}

func BenchmarkHistAdd(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			r := newRand(uint64(n)) // the values of sampleHist
			var values [1024]float64
			for i := range values {
				if i < n {
					values[i] = distributions["lognormal"](r)
				} else {
					values[i] = values[r.IntN(n)]
				}
			}
			h := sampleHist(n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.Add(values[i%1024], 1)
			}
		})
	}
}

func BenchmarkHLLAddHash(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			h, r := sampleHLL(n), newRand(1)
			var hashes [1024]uint64
			for i := range hashes {
				hashes[i] = hashOf(9, r.Uint64N(uint64(n)))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.AddHash(hashes[i%1024])
			}
		})
	}
}

func BenchmarkBucketOf(b *testing.B) {
	r := newRand(1)
	var values [1024]float64
	for i := range values {
		values[i] = distributions["lognormal"](r)
	}
	sum := Bucket(0)
	for i := 0; b.Loop(); i++ {
		sum += BucketOf(values[i%1024])
	}
	_ = sum
}

func BenchmarkHistFill(b *testing.B) {
	for _, n := range sizes[:3] {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			r := newRand(1)
			values := make([]float64, n)
			for i := range values {
				values[i] = distributions["lognormal"](r)
			}
			b.ReportAllocs()
			for b.Loop() {
				var h Hist
				for _, v := range values {
					h.Add(v, 1)
				}
			}
		})
	}
}

func BenchmarkHLLFill(b *testing.B) {
	for _, n := range sizes[:3] {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var h HLL
				for i := range n {
					h.AddHash(hashOf(9, uint64(i)))
				}
			}
		})
	}
}

func BenchmarkHist(b *testing.B) {
	for _, n := range sizes {
		h := sampleHist(n)
		enc := h.AppendTo(nil)
		benchmarkSketch(b, n, h, enc, func() { h.Quantile(0.99) }, func() { _, _ = QuantileOf(enc, 0.99) })
	}
}

func BenchmarkHLL(b *testing.B) {
	for _, n := range sizes {
		h := sampleHLL(n)
		enc := h.AppendTo(nil)
		benchmarkSketch(b, n, h, enc, func() { h.Estimate() }, func() { _, _ = EstimateOf(enc) })
	}
}

// benchmarkSketch times what both kinds share, and reports the encoded size as
// the bytes of a call.
func benchmarkSketch[S any, P sketcher[S]](b *testing.B, n int, s P, enc []byte, answer, answerOf func()) {
	dst, buf := P(new(S)), make([]byte, 0, len(enc))
	mustMerge(b, dst.Decode(enc))
	f := func(name string, fn func()) {
		b.Run(fmt.Sprintf("%s/n=%d", name, n), func(b *testing.B) {
			b.ReportAllocs()
			b.ReportMetric(float64(len(enc)), "encoded-bytes")
			for b.Loop() {
				fn()
			}
		})
	}
	f("Merge", func() { dst.Merge((*S)(s)) })
	f("MergeEncoded", func() { mustMerge(b, dst.MergeEncoded(enc)) })
	f("MergeIntoEmpty", func() { mustMerge(b, P(new(S)).MergeEncoded(enc)) })
	f("Encode", func() { s.AppendTo(buf) })
	f("Answer", answer)
	f("AnswerOf", answerOf)
}
