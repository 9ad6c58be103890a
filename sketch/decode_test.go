package sketch

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	mustMerge(t, err)
	return b
}

func TestDecodeHistRejects(t *testing.T) {
	f := func(in string, want error, message string) {
		t.Helper()
		var h Hist
		h.Add(1, 1)
		before := h.AppendTo(nil)
		b := unhex(t, in)
		for _, err := range []error{h.Decode(b), h.MergeEncoded(b)} {
			if !errors.Is(err, want) || !strings.Contains(err.Error(), message) {
				t.Errorf("%s: error %v, want %v with %q", in, err, want, message)
			}
		}
		if !bytes.Equal(h.AppendTo(nil), before) {
			t.Errorf("%s: a failed call changed the sketch", in)
		}
		if len(b) == 0 {
			return
		}
		if _, err := QuantileOf(b, 0.5); !errors.Is(err, want) {
			t.Errorf("%s: QuantileOf error %v", in, err)
		}
		if _, err := MergeHist([][]byte{before, b}); !errors.Is(err, want) || !strings.Contains(err.Error(), "blob 1 of 2") {
			t.Errorf("%s: MergeHist error %v", in, err)
		}
	}
	f("", ErrCorrupt, "no bytes")
	f("12 00", ErrFormat, "0x12")
	f("21 00", ErrFormat, "histogram")
	f("11", ErrCorrupt, "number of buckets")
	f("11 80", ErrCorrupt, "number of buckets")
	f("11 8000", ErrCorrupt, "number of buckets")                       // not minimal
	f("11 c216", ErrCorrupt, "number of buckets")                       // 2,882
	f("11 ffffffffffffffffff01", ErrCorrupt, "number of buckets")       // huge
	f("11 01", ErrCorrupt, "bad count")                                 // truncated
	f("11 01 01", ErrCorrupt, "bad gap")                                // truncated
	f("11 01 8000", ErrCorrupt, "bad count")                            // not minimal
	f("11 01 feffffffffffffffff01", ErrCorrupt, "bad count")            // 2^63
	f("11 01 ffffffffffffffffff02", ErrCorrupt, "bad count")            // 66 bits
	f("11 01 01 ffffffffffffffffff01", ErrCorrupt, "bad gap")           // huge
	f("11 01 01 c016", ErrCorrupt, "bucket 2881")                       // past the last
	f("11 02 01 bf16 00", ErrCorrupt, "bucket 2881")                    // runs past the last
	f("11 00 00", ErrCorrupt, "1 bytes after")                          // trailing
	f("11 01 00 00", ErrCorrupt, "1 bytes after")                       // trailing
	f("11 01 80808080808080808080808080", ErrCorrupt, "bad count at b") // endless
}

func TestDecodeHLLRejects(t *testing.T) {
	zeros := strings.Repeat("00", packedLen-1)
	f := func(in string, want error, message string) {
		t.Helper()
		var h HLL
		h.AddHash(1 << 63)
		before := h.AppendTo(nil)
		b := unhex(t, in)
		for _, err := range []error{h.Decode(b), h.MergeEncoded(b)} {
			if !errors.Is(err, want) || !strings.Contains(err.Error(), message) {
				t.Errorf("%.20s: error %v, want %v with %q", in, err, want, message)
			}
		}
		if !bytes.Equal(h.AppendTo(nil), before) {
			t.Errorf("%.20s: a failed call changed the sketch", in)
		}
		if len(b) == 0 {
			return
		}
		if _, err := EstimateOf(b); !errors.Is(err, want) {
			t.Errorf("%.20s: EstimateOf error %v", in, err)
		}
		if _, err := MergeHLL([][]byte{b}); !errors.Is(err, want) {
			t.Errorf("%.20s: MergeHLL error %v", in, err)
		}
	}
	f("", ErrCorrupt, "no bytes")
	f("11 00", ErrFormat, "HyperLogLog")
	f("22 00", ErrFormat, "0x22")
	f("21", ErrCorrupt, "number of entries")
	f("21 8108", ErrCorrupt, "number of entries")     // 1,025
	f("21 01", ErrCorrupt, "bad index")               // truncated
	f("21 01 00", ErrCorrupt, "run of zeros")         // truncated
	f("21 01 00 00", ErrCorrupt, "run of zeros")      // no run
	f("21 01 00 29", ErrCorrupt, "run of zeros")      // 41
	f("21 01 8000", ErrCorrupt, "bad index")          // not minimal
	f("21 01 80808010", ErrCorrupt, "bad index")      // 2^25
	f("21 02 ffffff0f 00", ErrCorrupt, "bad index")   // runs past the last
	f("21 01 01 01", ErrCorrupt, "1 bytes after")     // trailing
	f("21 00 00", ErrCorrupt, "1 bytes after")        // trailing
	f("31", ErrCorrupt, "too few registers")          //
	f("31 00"+zeros, ErrCorrupt, "too few registers") //
	f("31 00 00"+zeros, ErrCorrupt, "or all are 0")
	f("31 36 01"+zeros, ErrCorrupt, "bad base")
	f("31 00"+strings.Repeat("11", packedLen), ErrCorrupt, "least register")
	f("31 00 0f"+zeros, ErrCorrupt, "0 large registers, not 1")
	f("31 00 01"+zeros+"00", ErrCorrupt, "1 large registers, not 0")
	f("31 35 01"+zeros, ErrCorrupt, "register 54")
	f("31 00 0f"+zeros+"27", ErrCorrupt, "register 54")
	f("31 00 0f"+zeros+"ff", ErrCorrupt, "register 270")
}

func TestBlobsOfNothing(t *testing.T) {
	for _, blobs := range [][][]byte{nil, {}, {nil}, {{}, nil}} {
		if got, err := MergeHist(blobs); err != nil || !bytes.Equal(got, []byte{histV1, 0}) {
			t.Errorf("MergeHist = %x, %v", got, err)
		}
		if got, err := MergeHLL(blobs); err != nil || !bytes.Equal(got, []byte{sparseV1, 0}) {
			t.Errorf("MergeHLL = %x, %v", got, err)
		}
	}
	for _, b := range [][]byte{nil, {}, {histV1, 0}} {
		if got, err := QuantileOf(b, 0.5); err != nil || !math.IsNaN(got) {
			t.Errorf("QuantileOf(%x) = %v, %v", b, got, err)
		}
	}
	for _, q := range []float64{-1, 2, math.NaN()} {
		if _, err := QuantileOf(nil, q); !errors.Is(err, ErrQuantile) {
			t.Errorf("QuantileOf(%v) error %v", q, err)
		}
	}
	for _, b := range [][]byte{nil, {}, {sparseV1, 0}} {
		if got, err := EstimateOf(b); err != nil || got != 0 {
			t.Errorf("EstimateOf(%x) = %v, %v", b, got, err)
		}
	}
}

func FuzzDecodeHist(f *testing.F) {
	r := newRand(5)
	for _, draw := range distributions {
		var h Hist
		for n := range 60 {
			if n%20 == 0 {
				f.Add(h.AppendTo(nil))
			}
			h.Add(draw(r), r.Uint64()>>r.IntN(64))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, m Hist
		err := h.Decode(b)
		if mergeErr := m.MergeEncoded(b); (err == nil) != (mergeErr == nil) {
			t.Fatalf("Decode says %v, MergeEncoded %v", err, mergeErr)
		}
		if err != nil {
			return
		}
		if got := h.AppendTo(nil); !bytes.Equal(got, b) {
			t.Fatalf("%x is encoded again as %x", b, got)
		}
		got, err := QuantileOf(b, 0.9)
		want := h.Quantile(0.9)
		if err != nil || got != want && h.Count() > 0 {
			t.Fatalf("QuantileOf = %v, %v, Quantile = %v", got, err, want)
		}
		m.Merge(&h)
		h.Merge(&h)
		if !bytes.Equal(m.AppendTo(nil), h.AppendTo(nil)) {
			t.Fatal("doubling by merging bytes and by merging itself differ")
		}
	})
}

func FuzzDecodeHLL(f *testing.F) {
	for _, n := range []uint64{0, 1, 5, 40, 1024, 1025, 30000} {
		var h HLL
		for i := range n {
			h.AddHash(hashOf(n, i))
		}
		f.Add(h.AppendTo(nil))
	}
	f.Add(hllOf([]uint64{0, 1, 1 << 38, 1 << 52}).AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, m HLL
		err := h.Decode(b)
		if mergeErr := m.MergeEncoded(b); (err == nil) != (mergeErr == nil) {
			t.Fatalf("Decode says %v, MergeEncoded %v", err, mergeErr)
		}
		if err != nil {
			return
		}
		if got := h.AppendTo(nil); !bytes.Equal(got, b) {
			t.Fatalf("%x is encoded again as %x", b, got)
		}
		if got, err := EstimateOf(b); err != nil || got != h.Estimate() {
			t.Fatalf("EstimateOf = %v, %v, Estimate = %v", got, err, h.Estimate())
		}
		m.Merge(&h)
		if !bytes.Equal(m.AppendTo(nil), b) {
			t.Fatal("merging with itself changes the bytes")
		}
	})
}
