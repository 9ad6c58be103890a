package sketch

import (
	"bytes"
	"math"
	"slices"
	"testing"
)

func estimateError(h *HLL, n int) float64 {
	return (float64(h.Estimate()) - float64(n)) / float64(n)
}

func TestEstimateNearlyExactWhenSparse(t *testing.T) {
	worst := 0.0
	for seed := range uint64(20) {
		var h HLL
		for n := 1; n <= MaxSparse; n++ {
			hash := hashOf(seed, uint64(n))
			h.AddHash(hash)
			h.AddHash(hash)
			if n <= 300 && h.Estimate() != uint64(n) && math.Abs(estimateError(&h, n)) > 0.01 {
				t.Fatalf("estimate %d of %d", h.Estimate(), n)
			}
			worst = max(worst, math.Abs(estimateError(&h, n)))
		}
	}
	t.Logf("worst error up to %d: %.3f%%", MaxSparse, worst*100)
	if worst > 0.01 {
		t.Errorf("worst error %v", worst)
	}
}

func TestEstimateWithinThreeStandardErrors(t *testing.T) {
	seeds, largest := uint64(40), 1_000_000
	if testing.Short() {
		seeds, largest = 8, 100_000
	}
	marks := []int{1100, 1500, 2000, 3000, 5000, 10_000, 20_000, 50_000, 100_000, 300_000, 1_000_000}
	sum, worst := make([]float64, len(marks)), make([]float64, len(marks))
	for seed := range seeds {
		var h HLL
		n := 0
		for i, mark := range marks {
			if mark > 100_000 && (mark > largest || seed >= 8) {
				break
			}
			for ; n < mark; n++ {
				h.AddHash(hashOf(seed+100, uint64(n)))
			}
			e := estimateError(&h, mark)
			sum[i] += e * e
			worst[i] = max(worst[i], math.Abs(e))
		}
	}
	for i, mark := range marks {
		n := float64(seeds)
		if mark > 100_000 {
			n = 8
		}
		rms := math.Sqrt(sum[i] / n)
		t.Logf("n = %7d: rms %.2f%%, worst %.2f%%", mark, rms*100, worst[i]*100)
		if worst[i] > 3*0.01625 {
			t.Errorf("n = %d: worst error %v", mark, worst[i])
		}
	}
}

func TestEstimateExtremes(t *testing.T) {
	var h HLL
	if got := h.Estimate(); got != 0 {
		t.Errorf("estimate of nothing = %d", got)
	}
	h.AddHash(0)
	h.AddHash(math.MaxUint64)
	if got := h.Estimate(); got != 2 {
		t.Errorf("estimate of two hashes = %d", got)
	}
	h.toDense()
	if got := h.Estimate(); got != 2 {
		t.Errorf("dense estimate of two hashes = %d", got)
	}
	for i := range uint64(registers) {
		h.AddHash(i << (64 - precision))
	}
	if got := h.Estimate(); got != math.MaxInt64 {
		t.Errorf("estimate at full registers = %d", got)
	}
}

// TestRegistersSurviveSparseness checks that a register got through a sparse
// entry is the one the hash gives directly, for every run of zeros.
func TestRegistersSurviveSparseness(t *testing.T) {
	for zeros := 0; zeros <= 52; zeros++ {
		for _, reg := range []uint64{0, 1, 2047, 4095} {
			hash := reg << 52
			if zeros < 52 {
				hash |= 1 << (51 - zeros)
			}
			var sparse, dense HLL
			sparse.AddHash(hash)
			sparse.toDense()
			dense.toDense()
			dense.AddHash(hash)
			if !bytes.Equal(sparse.buf, dense.buf) {
				t.Errorf("register %d with %d zeros differs", reg, zeros)
			}
		}
	}
}

func TestSparseClusters(t *testing.T) {
	// Indexes that crowd one end of the table wrap around it.
	for _, first := range []uint64{0, 1<<25 - 1000} {
		var hashes []uint64
		for i := range uint64(1000) {
			hashes = append(hashes, (first+i)<<39|1)
		}
		for range 2 {
			if got, want := hllOf(hashes).AppendTo(nil), hllOracle(hashes); !slices.Equal(got, want) {
				t.Errorf("cluster at %d is encoded in %d bytes, want %d", first, len(got), len(want))
			}
			slices.Reverse(hashes)
		}
	}
}

func TestBytesInParallel(t *testing.T) {
	r := newRand(3)
	for range 10000 {
		a, b := r.Uint64()&0x7f7f7f7f7f7f7f7f, r.Uint64()&0x7f7f7f7f7f7f7f7f
		high, low := maxBytes(a, b), minBytes(a, b)
		for s := 0; s < 64; s += 8 {
			x, y := uint8(a>>s), uint8(b>>s)
			if uint8(high>>s) != max(x, y) || uint8(low>>s) != min(x, y) {
				t.Fatalf("larger and smaller bytes of %x and %x are %x and %x", a, b, high, low)
			}
		}
	}
}
