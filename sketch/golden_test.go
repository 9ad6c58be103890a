package sketch

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"testing"
)

// These bytes are in users' databases: version 1 must produce and accept them
// for ever. A change here needs a new version beside it, not new bytes.

func goldenHist(n int) *Hist {
	var h Hist
	for i := range n {
		h.Add(math.Ldexp(float64(hashOf(1, uint64(i))>>40), int(hashOf(2, uint64(i))%40)-50), uint64(i%7))
		h.Add(-float64(i%5), 1)
	}
	return &h
}

func goldenHLL(n int) *HLL {
	var h HLL
	for i := range n {
		h.AddHash(hashOf(3, uint64(i)))
	}
	return &h
}

func histOfOne(v float64, w uint64) *Hist {
	var h Hist
	h.Add(v, w)
	return &h
}

func TestGoldenHist(t *testing.T) {
	f := func(h *Hist, want string) {
		t.Helper()
		b := h.AppendTo(nil)
		got := hex.EncodeToString(b)
		if len(b) > 200 {
			sum := sha256.Sum256(b)
			got = hex.EncodeToString(sum[:])
		}
		if got != want {
			t.Errorf("%d bytes %s, want %s", len(b), got, want)
		}
		var back Hist
		mustMerge(t, back.Decode(b))
		if back.Count() != h.Count() {
			t.Errorf("count %d decoded as %d", h.Count(), back.Count())
		}
	}
	f(&Hist{}, "1100")
	f(histOfOne(0, 1), "1101019f0b")
	f(histOfOne(1, 1), "110101bc0f")
	f(histOfOne(-MaxValue, math.MaxUint64), "1101fdffffffffffffffff0102")
	f(histOfOne(MinValue, 300), "1101d704a10b")
	f(goldenHist(10), "110d03de06030603080310039b040bb801053b09110136039202072201170313")
	f(goldenHist(20000), "aab4e6d8a9ea0b1d1a3c00e1f9e7d113dff02979a9c8164320db57379edc6c5e")
}

func TestGoldenHLL(t *testing.T) {
	f := func(h *HLL, want string) {
		t.Helper()
		b := h.AppendTo(nil)
		got := hex.EncodeToString(b)
		if len(b) > 200 {
			sum := sha256.Sum256(b)
			got = hex.EncodeToString(sum[:])
		}
		if got != want {
			t.Errorf("%d bytes %s, want %s", len(b), got, want)
		}
		var back HLL
		mustMerge(t, back.Decode(b))
		if back.Estimate() != h.Estimate() {
			t.Errorf("estimate %d decoded as %d", h.Estimate(), back.Estimate())
		}
	}
	f(&HLL{}, "2100")
	f(hllOf([]uint64{0}), "21010028")
	f(hllOf([]uint64{0, math.MaxUint64, 1 << 52, 1 << 39}), "2104002800fe3f28febfff0f")
	f(goldenHLL(10), "210a8bd59401d89d19ce81c102f9dbe401a3e819cdd1d202e1e8a50192efb703a0da8102fb9315")
	f(goldenHLL(1024), "30b16d84d0666da0d74ed061223c30370476aa9ac8b9bdd1de44bf143c29cbab")
	f(goldenHLL(1100), "2928cb12d22f3eacf253edcf1f2913cc7d26439851a99bd56bedece83ea06c61")
	f(goldenHLL(200000), "12c3d46fbdf543891f7315b1b73b38ad90fd72c0e63502f73f3a385be7407171")
}
