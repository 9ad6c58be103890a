package sketch

import (
	"math"
	"math/big"
	"testing"
)

// TestOctaveIsExact checks each boundary against 2^(k/18) in exact arithmetic:
// the midpoints to its neighbours, to the 18th power, enclose 2^k.
func TestOctaveIsExact(t *testing.T) {
	pow18 := func(x *big.Int) *big.Int { return new(big.Int).Exp(x, big.NewInt(perOctave), nil) }
	for k := 1; k < perOctave; k++ {
		// Twice the significand, so that midpoints are integers; the scale is
		// 2^53 to the 18th.
		twice := int64(1<<mantBits+octave[k]) * 2
		want := new(big.Int).Lsh(big.NewInt(1), uint(k+(mantBits+1)*perOctave))
		if pow18(big.NewInt(twice-1)).Cmp(want) > 0 || pow18(big.NewInt(twice+1)).Cmp(want) < 0 {
			t.Errorf("octave[%d] is not the float64 nearest to 2^(%d/18)", k, k)
		}
	}
}

func TestBucketBoundaries(t *testing.T) {
	worst := 0.0
	for i := range perSign {
		lo, hi := lowerBound(i), lowerBound(i+1)
		last := math.Nextafter(hi, 0)
		worst = max(worst, (hi-lo)/(hi+lo))
		for _, v := range []float64{lo, (lo + hi) / 2, last} {
			if v < MinValue || v > MaxValue {
				continue
			}
			want := zeroBucket + 1 + Bucket(i)
			if got := BucketOf(v); got != want {
				t.Fatalf("BucketOf(%v) = %d, want %d", v, got, want)
			}
			if got := BucketOf(-v); got != 2*zeroBucket-want {
				t.Fatalf("BucketOf(%v) = %d, want %d", -v, got, 2*zeroBucket-want)
			}
			if err := math.Abs(want.value()-v) / v; err > RelativeError {
				t.Fatalf("answer %v for %v is off by %v", want.value(), v, err)
			}
		}
	}
	if worst > 0.01926 {
		t.Errorf("half width of a bucket is %v", worst)
	}
}

func TestBucketClamping(t *testing.T) {
	f := func(v float64, want Bucket) {
		t.Helper()
		if got := BucketOf(v); got != want {
			t.Errorf("BucketOf(%v) = %d, want %d", v, got, want)
		}
	}
	f(0, zeroBucket)
	f(math.Copysign(0, -1), zeroBucket)
	f(math.SmallestNonzeroFloat64, zeroBucket)
	f(math.Nextafter(MinValue, 0), zeroBucket)
	f(-math.Nextafter(MinValue, 0), zeroBucket)
	f(math.MaxFloat64, BucketOf(MaxValue))
	f(math.Inf(1), BucketOf(MaxValue))
	f(math.Inf(-1), BucketOf(-MaxValue))
	f(math.NaN(), NoBucket)
	f(math.Copysign(math.NaN(), -1), NoBucket)
	if BucketOf(MinValue) <= zeroBucket || BucketOf(-MinValue) >= zeroBucket {
		t.Error("MinValue counts as zero")
	}
	if b := BucketOf(MaxValue); b >= numBuckets || b.value() > MaxValue {
		t.Errorf("MaxValue is in bucket %d, answered by %v", b, b.value())
	}
}

func TestBucketsAscend(t *testing.T) {
	r := newRand(1)
	for range 20000 {
		a, b := distributions["signed wide"](r), distributions["signed wide"](r)
		if a > b {
			a, b = b, a
		}
		if BucketOf(a) > BucketOf(b) {
			t.Fatalf("BucketOf(%v) = %d > BucketOf(%v) = %d", a, BucketOf(a), b, BucketOf(b))
		}
	}
}
