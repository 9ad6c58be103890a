package sketch

import (
	"math"
	"slices"
	"testing"
)

var quantiles = []float64{0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1}

// exactAt returns the value at the rank that Quantile is documented to answer;
// values must be sorted.
func exactAt(values []weighted, q float64) float64 {
	total := uint64(0)
	for _, x := range values {
		total += x.w
	}
	rank := uint64(math.Floor(q * float64(total-1)))
	for _, x := range values {
		if rank < x.w {
			return x.v
		}
		rank -= x.w
	}
	panic("BUG: rank beyond the last value")
}

// worstError returns the largest relative error over all quantiles.
func worstError(t *testing.T, h *Hist, values []weighted) float64 {
	t.Helper()
	slices.SortFunc(values, func(a, b weighted) int {
		switch {
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	worst := 0.0
	for _, q := range quantiles {
		exact, got := exactAt(values, q), h.Quantile(q)
		if math.Abs(exact) < MinValue {
			if got != 0 {
				t.Errorf("Quantile(%v) = %v, want 0 for %v", q, got, exact)
			}
			continue
		}
		exact = max(-MaxValue, min(MaxValue, exact))
		worst = max(worst, math.Abs(got-exact)/math.Abs(exact))
	}
	return worst
}

func TestQuantileAccuracy(t *testing.T) {
	for name, draw := range distributions {
		t.Run(name, func(t *testing.T) {
			worst := 0.0
			for seed := range uint64(6) {
				r := newRand(seed)
				n := []int{100, 1000, 20000}[seed%3]
				values := make([]weighted, n)
				for i := range values {
					values[i] = weighted{draw(r), 1}
					if seed >= 3 {
						values[i].w = 1 + uint64(r.IntN(1000))
					}
				}
				worst = max(worst, worstError(t, histOf(values), values))
			}
			t.Logf("worst relative error %.4f%%", worst*100)
			if worst > RelativeError {
				t.Errorf("worst relative error %v", worst)
			}
		})
	}
}

func TestQuantileOfTinyGroups(t *testing.T) {
	r := newRand(7)
	worst := 0.0
	for n := 1; n <= 50; n++ {
		for _, draw := range distributions {
			values := make([]weighted, n)
			for i := range values {
				values[i] = weighted{draw(r), 1}
			}
			worst = max(worst, worstError(t, histOf(values), values))
		}
	}
	t.Logf("worst relative error %.4f%%", worst*100)
	if worst > RelativeError {
		t.Errorf("worst relative error %v", worst)
	}
}

func TestQuantileEdges(t *testing.T) {
	var h Hist
	if got := h.Quantile(0.5); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v", got)
	}
	h.Add(math.NaN(), 5)
	h.Add(3, 0)
	h.Add(0, 0)
	h.AddBucket(NoBucket, 1)
	h.AddBucket(numBuckets, 1)
	if got := h.Count(); got != 0 {
		t.Errorf("Count = %d after adding nothing", got)
	}
	h.Add(math.Inf(1), 1)
	h.Add(math.Inf(-1), 1)
	h.Add(0, 1)
	for _, q := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1)} {
		if got := h.Quantile(q); !math.IsNaN(got) {
			t.Errorf("Quantile(%v) = %v", q, got)
		}
	}
	if lo, mid, hi := h.Quantile(0), h.Quantile(0.5), h.Quantile(1); lo != -hi || mid != 0 || hi > MaxValue || hi < 0.98*MaxValue {
		t.Errorf("quantiles of ±Inf and 0 are %v, %v, %v", lo, mid, hi)
	}
}

func TestCountsSaturate(t *testing.T) {
	for _, v := range []float64{0, 1, -1} {
		var h Hist
		h.Add(v, 1)
		h.Add(v, math.MaxUint64)
		h.Add(v, math.MaxUint64)
		h.Add(2, maxCount)
		if got := h.Count(); got != maxCount {
			t.Errorf("Count = %d, want %d", got, uint64(maxCount))
		}
		if got := h.Quantile(1); !(got >= -1.02 && got <= 2.04) {
			t.Errorf("Quantile(1) = %v", got)
		}
		var back Hist
		mustMerge(t, back.Decode(h.AppendTo(nil)))
		if back.Count() != maxCount {
			t.Errorf("Count = %d after decoding", back.Count())
		}
	}
}

func TestCountsWiden(t *testing.T) {
	for _, w := range []uint64{1, maxEntryCount - 1, maxEntryCount, math.MaxUint16, math.MaxUint32 - 1, math.MaxUint32, 1 << 40} {
		for _, spread := range []int{1, 3, 60} {
			var h Hist
			var values []weighted
			for i := range spread {
				for range 3 {
					values = append(values, weighted{math.Pow(1.07, float64(i)) * 1.01, w})
					h.Add(values[len(values)-1].v, w)
				}
			}
			if got, want := h.Count(), 3*w*uint64(spread); got != want {
				t.Errorf("Count = %d, want %d", got, want)
			}
			if got, want := h.AppendTo(nil), histOracle(values); !slices.Equal(got, want) {
				t.Errorf("weight %d, %d buckets: encoded %x, want %x", w, spread, got, want)
			}
		}
	}
}

func TestMergeWithSelfDoubles(t *testing.T) {
	for _, n := range []int{0, 1, 3, 500} {
		var h, twice Hist
		r := newRand(uint64(n))
		for range n {
			v := distributions["signed"](r)
			h.Add(v, 1)
			twice.Add(v, 2)
		}
		h.Merge(&h)
		if !slices.Equal(h.AppendTo(nil), twice.AppendTo(nil)) {
			t.Errorf("%d values merged with themselves are not doubled", n)
		}
	}
}
