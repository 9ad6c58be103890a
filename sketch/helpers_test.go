package sketch

import (
	"encoding/binary"
	"maps"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

func newRand(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x6d696c6c72616365))
}

// hashOf mixes i as well as a good hash of distinct values would.
func hashOf(seed, i uint64) uint64 {
	z := seed*0xd1342543de82ef95 + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

type weighted struct {
	v float64
	w uint64
}

// distributions are the shapes that accuracy and encoding are tested on.
var distributions = map[string]func(r *rand.Rand) float64{
	"uniform":   func(r *rand.Rand) float64 { return r.Float64() * 100 },
	"lognormal": func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64()*1.5 - 3) },
	"zipf":      func(r *rand.Rand) float64 { return math.Floor(math.Pow(1-r.Float64(), -1/1.1)) },
	"bimodal": func(r *rand.Rand) float64 {
		if r.IntN(10) == 0 {
			return 5 + r.NormFloat64()
		}
		return 0.002 + 0.0003*r.NormFloat64()
	},
	"signed":   func(r *rand.Rand) float64 { return math.Round(r.NormFloat64()*20) / 4 },
	"constant": func(*rand.Rand) float64 { return 0.25 },
	"wide":     func(r *rand.Rand) float64 { return math.Pow(10, r.Float64()*24-9) },
	"signed wide": func(r *rand.Rand) float64 {
		return math.Copysign(math.Pow(10, r.Float64()*27-11), r.Float64()-0.5)
	},
}

// histOracle encodes a multiset from the format's description alone.
func histOracle(values []weighted) []byte {
	counts := map[int]uint64{}
	for _, x := range values {
		if x.w > 0 && x.v == x.v {
			counts[bucketByLog(x.v)] += x.w
		}
	}
	b := binary.AppendUvarint([]byte{0x11}, uint64(len(counts)))
	next := 0
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if k == next {
			b = binary.AppendUvarint(b, (counts[k]-1)*2)
		} else {
			b = binary.AppendUvarint(b, (counts[k]-1)*2+1)
			b = binary.AppendUvarint(b, uint64(k-next-1))
		}
		next = k + 1
	}
	return b
}

// bucketByLog maps by logarithm, which rounds right anywhere but at the very
// boundary of a bucket.
func bucketByLog(v float64) int {
	a := math.Min(math.Abs(v), 1e15)
	if a < 1e-9 {
		return 1440
	}
	i := int(math.Floor(math.Log2(a)*18)) + 540
	if v < 0 {
		return 1439 - i
	}
	return 1441 + i
}

// hllOracle encodes a set of hashes from the format's description alone.
func hllOracle(hashes []uint64) []byte {
	rho := map[uint64]uint8{}
	var regs [4096]uint8
	for _, h := range hashes {
		i := h >> 39
		zeros := uint8(min(bits.LeadingZeros64(h<<25), 39) + 1)
		rho[i] = max(rho[i], zeros)
		regs[h>>52] = max(regs[h>>52], uint8(min(bits.LeadingZeros64(h<<12), 52)+1))
	}
	if len(rho) > 1024 {
		return denseOracle(regs[:])
	}
	b := binary.AppendUvarint([]byte{0x21}, uint64(len(rho)))
	next := uint64(0)
	for _, i := range slices.Sorted(maps.Keys(rho)) {
		b = binary.AppendUvarint(b, i-next)
		if i%8192 == 0 {
			b = append(b, rho[i])
		}
		next = i + 1
	}
	return b
}

func denseOracle(regs []uint8) []byte {
	base := slices.Min(regs)
	b, excess := []byte{0x31, base}, []byte(nil)
	nibble := func(r uint8) uint8 {
		if r-base < 15 {
			return r - base
		}
		excess = append(excess, r-base-15)
		return 15
	}
	for i := 0; i < len(regs); i += 2 {
		low := nibble(regs[i])
		b = append(b, low+16*nibble(regs[i+1]))
	}
	return append(b, excess...)
}

func histOf(values []weighted) *Hist {
	h := new(Hist)
	for _, x := range values {
		h.Add(x.v, x.w)
	}
	return h
}

func hllOf(hashes []uint64) *HLL {
	h := new(HLL)
	for _, x := range hashes {
		h.AddHash(x)
	}
	return h
}

func mustMerge(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
