package gen

import "math"

// alias picks from a discrete distribution in constant time (Walker's alias
// method in Vose's form), so that a choice among thousands costs two reads.
type alias struct {
	keep []uint32 // probability of staying at i, scaled to 2^32-1
	alt  []uint32
}

func newAlias(weights []float64) alias {
	n := len(weights)
	var sum float64
	for _, w := range weights {
		sum += w
	}
	a := alias{keep: make([]uint32, n), alt: make([]uint32, n)}
	scaled := make([]float64, n)
	var small, large []int
	for i, w := range weights {
		scaled[i] = w * float64(n) / sum
		if scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.keep[s], a.alt[s] = uint32(scaled[s]*math.MaxUint32), uint32(l)
		scaled[l] -= 1 - scaled[s]
		if scaled[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, rest := range [][]int{small, large} { // 1 but for rounding
		for _, i := range rest {
			a.keep[i], a.alt[i] = math.MaxUint32, uint32(i)
		}
	}
	return a
}

// pick maps 64 random bits to an index.
func (a *alias) pick(r uint64) int {
	i := uint32((r >> 32) * uint64(len(a.keep)) >> 32)
	if uint32(r) <= a.keep[i] {
		return int(i)
	}
	return int(a.alt[i])
}

// zipf returns n weights proportional to 1/rank^s.
func zipf(n int, s float64) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = math.Pow(float64(i+1), -s)
	}
	return w
}

// lognormal holds quantiles of the log-normal distribution with median 1, in
// 1/65536: latencies without a logarithm per line.
type lognormal [1025]uint32

func newLognormal(sigma float64) *lognormal {
	var t lognormal
	for i := range t {
		p := (float64(i) + 0.5) / float64(len(t))
		t[i] = uint32(math.Exp(sigma*math.Sqrt2*math.Erfinv(2*p-1)) * 65536)
	}
	return &t
}

// scale returns median times a random factor drawn from r.
func (t *lognormal) scale(median uint32, r uint64) uint64 {
	i := r & 1023
	part := (r >> 10) & 0xFFFF
	lo, hi := uint64(t[i]), uint64(t[i+1])
	return uint64(median) * (lo + (hi-lo)*part>>16) >> 16
}

// mix is splitmix64's finalizer: a hash for what must follow from the seed and
// a number without drawing from the generator.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// chance reports true in share of the cases, share being a fraction of 2^16.
func chance(r uint64, share uint32) bool { return uint32(r&0xFFFF) < share }

// share converts a probability for chance.
func share(p float64) uint32 { return uint32(p * 65536) }
