package sketch

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// sketcher is what Hist and HLL share, for tests that treat them alike.
type sketcher[S any] interface {
	*S
	Merge(*S)
	MergeEncoded([]byte) error
	Decode([]byte) error
	AppendTo([]byte) []byte
	Reset()
	Empty() bool
}

// build adds items in random order, in random parts, merged in a random tree
// in which each step goes through memory, bytes or a decoded copy.
func build[T, S any, P sketcher[S]](t *testing.T, r *rand.Rand, items []T, add func(P, T)) P {
	t.Helper()
	s := P(new(S))
	if len(items) < 2 || r.IntN(4) == 0 {
		if r.IntN(3) == 0 && len(items) > 0 {
			for range r.IntN(300) {
				add(s, items[r.IntN(len(items))])
			}
			s.Reset()
			if !s.Empty() {
				t.Fatal("not empty after Reset")
			}
		}
		for _, i := range r.Perm(len(items)) {
			add(s, items[i])
		}
		return s
	}
	for rest := items; len(rest) > 0; {
		n := 1 + r.IntN(len(rest))
		part := build[T, S, P](t, r, rest[:n], add)
		rest = rest[n:]
		switch r.IntN(4) {
		case 0:
			s.Merge((*S)(part))
		case 1:
			mustMerge(t, s.MergeEncoded(part.AppendTo(nil)))
		case 2:
			part.Merge((*S)(s))
			s = part
		default:
			b := s.AppendTo(nil)
			mustMerge(t, s.Decode(part.AppendTo(nil)))
			mustMerge(t, s.MergeEncoded(b))
		}
	}
	return s
}

func TestHistBytesAreCanonical(t *testing.T) {
	for name, draw := range distributions {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(12) {
				r := newRand(seed)
				values := make([]weighted, r.IntN(1+[]int{5, 60, 1500}[seed%3]))
				for i := range values {
					w := uint64(r.IntN(3))
					if r.IntN(20) == 0 {
						w = r.Uint64() >> (20 + r.IntN(44))
					}
					values[i] = weighted{draw(r), w}
				}
				// Weights may be split without trace.
				var parts []weighted
				for _, x := range values {
					cut := uint64(0)
					if x.w > 0 {
						cut = r.Uint64N(x.w + 1)
					}
					parts = append(parts, weighted{x.v, cut}, weighted{x.v, x.w - cut})
				}
				add := func(h *Hist, x weighted) { h.Add(x.v, x.w) }
				want := histOracle(values)
				for range 3 {
					r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
					h := build[weighted, Hist](t, r, parts, add)
					if got := h.AppendTo(nil); !bytes.Equal(got, want) || h.Empty() != (len(want) == 2) {
						t.Fatalf("seed %d, %d values: encoded\n%x, want\n%x", seed, len(values), got, want)
					}
				}
			}
		})
	}
}

func TestHLLBytesAreCanonical(t *testing.T) {
	sizes := []int{0, 1, 2, 4, 5, 16, 17, 100, 769, 1000, 1023, 1024, 1025, 1026, 1500, 8000}
	for _, n := range sizes {
		for seed := range uint64(3) {
			r := newRand(seed)
			hashes := make([]uint64, n, n+n/2)
			for i := range hashes {
				hashes[i] = hashOf(seed, uint64(i))
				if r.IntN(10) == 0 {
					// Rare cases: long runs of zeros behind either index.
					hashes[i] = hashes[i] &^ (1<<52 - 1) >> r.IntN(3) << r.IntN(3) &^ (1<<50 - 1)
					hashes[i] |= 1 << r.IntN(52) &^ 1
				}
			}
			want := hllOracle(hashes)
			for range n / 2 {
				hashes = append(hashes, hashes[r.IntN(n)])
			}
			for range 3 {
				r.Shuffle(len(hashes), func(i, j int) { hashes[i], hashes[j] = hashes[j], hashes[i] })
				h := build[uint64, HLL](t, r, hashes, (*HLL).AddHash)
				if got := h.AppendTo(nil); !bytes.Equal(got, want) || h.Empty() != (n == 0) {
					t.Fatalf("%d hashes: encoded\n%x, want\n%x", n, got, want)
				}
			}
		}
	}
}

// TestBlobsMatchSketches checks the functions on blobs against the methods.
func TestBlobsMatchSketches(t *testing.T) {
	r := newRand(11)
	for n := range 40 {
		var h Hist
		var u HLL
		hists, hlls := [][]byte{nil, {}}, [][]byte{{}, nil}
		for i := range n {
			var part Hist
			var upart HLL
			for range 1 + r.IntN(100) {
				v := distributions["signed wide"](r)
				part.Add(v, 1)
				upart.AddHash(hashOf(uint64(n), math.Float64bits(v)))
			}
			h.Merge(&part)
			u.Merge(&upart)
			hists, hlls = append(hists, part.AppendTo(nil)), append(hlls, upart.AppendTo([]byte{byte(i)})[1:])
		}
		hb, err := MergeHist(hists)
		mustMerge(t, err)
		ub, err := MergeHLL(hlls)
		mustMerge(t, err)
		if !bytes.Equal(hb, h.AppendTo(nil)) || !bytes.Equal(ub, u.AppendTo(nil)) {
			t.Fatalf("%d blobs merge to other bytes than their sketches", n)
		}
		for _, q := range quantiles {
			got, err := QuantileOf(hb, q)
			if want := h.Quantile(q); err != nil || got != want && n > 0 {
				t.Errorf("QuantileOf(%v) = %v, %v, want %v", q, got, err, want)
			}
		}
		if got, err := EstimateOf(ub); err != nil || got != u.Estimate() {
			t.Errorf("EstimateOf = %v, %v, want %v", got, err, u.Estimate())
		}
	}
}
