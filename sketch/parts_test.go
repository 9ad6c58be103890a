package sketch

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// TestHistParts takes histograms apart and puts them together, also after adding
// two of them bucket by bucket.
func TestHistParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() *Hist {
		h := &Hist{}
		for range rng.IntN(400) {
			v := math.Exp(rng.NormFloat64() * 4)
			switch rng.IntN(12) {
			case 0:
				v = 0
			case 1:
				v = -v
			case 2:
				v = math.Inf(1 - 2*rng.IntN(2))
			}
			h.Add(v, 1+rng.Uint64N(1<<rng.IntN(63)))
		}
		return h
	}
	for range 300 {
		a, b := random(), random()
		sum := map[uint16]uint64{}
		for _, h := range []*Hist{a, b} {
			buckets, counts, err := AppendHistParts(nil, nil, h.AppendTo(nil))
			if err != nil {
				t.Fatal(err)
			}
			back, err := AppendHist(nil, buckets, counts)
			if err != nil || !bytes.Equal(back, h.AppendTo(nil)) {
				t.Fatalf("put together: %x, %v; want %x", back, err, h.AppendTo(nil))
			}
			for i := range buckets {
				sum[buckets[i]] += counts[i]
			}
		}
		var buckets []uint16
		var counts []uint64
		for i := range uint16(numBuckets) {
			if sum[i] > 0 {
				buckets, counts = append(buckets, i), append(counts, sum[i])
			}
		}
		a.Merge(b)
		merged, err := AppendHist(nil, buckets, counts)
		if err != nil || !bytes.Equal(merged, a.AppendTo(nil)) {
			t.Fatalf("added: %x, %v; want %x", merged, err, a.AppendTo(nil))
		}
	}
}

func TestHistPartsErrors(t *testing.T) {
	for name, err := range map[string]error{
		"lengths":    second(AppendHist(nil, []uint16{1}, nil)),
		"order":      second(AppendHist(nil, []uint16{2, 1}, []uint64{1, 1})),
		"repetition": second(AppendHist(nil, []uint16{2, 2}, []uint64{1, 1})),
		"range":      second(AppendHist(nil, []uint16{numBuckets}, []uint64{1})),
		"zero":       second(AppendHist(nil, []uint16{2}, []uint64{0})),
	} {
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := AppendHistParts(nil, nil, []byte{0x11, 9}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("truncated bytes: %v", err)
	}
}

func second(_ []byte, err error) error { return err }

// TestHLLParts merges HLLs part by part, as a database does, and compares with
// Merge: sparse, dense, where sparse becomes dense, and with long runs of zeros.
func TestHLLParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	random := func() *HLL {
		h := &HLL{}
		for range rng.IntN([]int{3, 40, 700, 1100, 6000}[rng.IntN(5)] + 1) {
			hash := rng.Uint64()
			switch rng.IntN(8) {
			case 0: // a multiple of 2^LowBits
				hash &^= lowMask << (64 - sparsePrecision)
				hash &^= math.MaxUint64 >> sparsePrecision << rng.IntN(40)
			case 1: // one of few
				hash = hash % 50 * 0x9e3779b97f4a7c15
			}
			h.AddHash(hash)
		}
		return h
	}
	for range 400 {
		all, union := &HLL{}, HLLParts{}
		for range 1 + rng.IntN(4) {
			h, p := random(), HLLParts{}
			code := h.AppendTo(nil)
			if err := p.Decode(code); err != nil {
				t.Fatal(err)
			}
			if back, err := p.AppendTo(nil); err != nil || !bytes.Equal(back, code) {
				t.Fatalf("put together: %x, %v; want %x", back, err, code)
			}
			all.Merge(h)
			union.Indexes, union.Long = append(union.Indexes, p.Indexes...), append(union.Long, p.Long...)
			if len(p.Registers) > 0 && len(union.Registers) == 0 {
				union.Registers = make([]byte, Registers)
			}
			for i, rank := range p.Registers {
				union.Registers[i] = max(union.Registers[i], rank)
			}
		}
		rng.Shuffle(len(union.Indexes), func(i, j int) { union.Indexes[i], union.Indexes[j] = union.Indexes[j], union.Indexes[i] })
		got, err := union.AppendTo(nil)
		if want := all.AppendTo(nil); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("union: %x, %v; want %x", got, err, want)
		}
	}
}

func TestHLLPartsErrors(t *testing.T) {
	for name, p := range map[string]HLLParts{
		"index":     {Indexes: []uint32{1 << 25}},
		"multiple":  {Indexes: []uint32{8192}},
		"rank":      {Long: []uint32{5<<RankBits | LowBits}},
		"rank 54":   {Long: []uint32{5<<RankBits | 54}},
		"register":  {Long: []uint32{Registers<<RankBits | 20}},
		"length":    {Registers: make([]byte, 5)},
		"all zero":  {Registers: make([]byte, Registers)},
		"too large": {Registers: bytes.Repeat([]byte{54}, Registers)},
	} {
		if _, err := p.AppendTo(nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := new(HLLParts).Decode([]byte{0x21, 7}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("truncated bytes: %v", err)
	}
}

func TestBucketValues(t *testing.T) {
	values := BucketValues()
	for i, v := range values {
		var h Hist
		h.AddBucket(Bucket(i), 1)
		if got := h.Quantile(0.5); got != v {
			t.Errorf("bucket %d: %v, want %v", i, v, got)
		}
		if i > 0 && v < values[i-1] {
			t.Errorf("bucket %d answers %v, less than the one before", i, v)
		}
	}
}
