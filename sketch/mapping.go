package sketch

import "math"

// RelativeError is the guarantee of Hist: a quantile differs from the exact
// one by at most this fraction of it.
const RelativeError = 0.02

// MinValue and MaxValue bound the magnitudes that Hist tells apart: smaller
// ones count as zero, larger ones as MaxValue.
const (
	MinValue = 1e-9
	MaxValue = 1e15
)

// Bucket names one bucket of every Hist, ascending with the values it holds.
// It lets a caller that adds one value to many sketches map it only once.
type Bucket uint16

const (
	// perOctave buckets of equal ratio divide each power of two. 18 is the
	// least number that keeps the error, (γ-1)/(γ+1) with γ = 2^(1/18), below
	// 2%: it is 1.925%.
	perOctave = 18
	minExp    = -30 // 2^-30 <= MinValue
	maxExp    = 49  // MaxValue < 2^50
	perSign   = (maxExp - minExp + 1) * perOctave

	zeroBucket Bucket = perSign
	numBuckets        = 2*perSign + 1
)

// NoBucket is where NaN goes. Adding to it does nothing, so it can stand for a
// value that is absent.
const NoBucket Bucket = math.MaxUint16

const (
	mantBits  = 52
	slotBits  = 6
	signBit   = 1 << 63
	mantMask  = 1<<mantBits - 1
	expOffset = 1023 + minExp
)

// octave holds the fractions of 2^(k/18) for k in 0..17, as the 52 mantissa
// bits of the nearest float64, and the end of the octave. They are constants
// rather than computed so that every platform has the same buckets.
var octave = [perOctave + 1]uint64{
	0x0000000000000, 0x0a0ce483df7f8, 0x147ecb8844cd1,
	0x1f59ac3c7d6c0, 0x2aa1a5aad04f5, 0x365b00490d6fa,
	0x428a2f98d728b, 0x4f33d3d8436be, 0x5c5cbbc379085,
	0x6a09e667f3bcd, 0x7840850a207a0, 0x8705fd1e0a350,
	0x965fea53d6e3d, 0xa65420b8dbc64, 0xb6e8aeee17ed5,
	0xc823e074ec129, 0xda0c4012ef44d, 0xeca89a4dc8b32,
	1 << mantBits,
}

// slots holds, per value of the leading mantissa bits, the bucket of the
// octave in which that slot starts. A slot is narrower than the narrowest
// bucket, so its values are in that bucket or the next.
var slots = func() (t [1 << slotBits]uint8) {
	k := uint8(0)
	for s := range t {
		for octave[k+1] <= uint64(s)<<(mantBits-slotBits) {
			k++
		}
		t[s] = k
	}
	return t
}()

var (
	minBits = math.Float64bits(MinValue)
	maxBits = math.Float64bits(MaxValue)
)

// BucketOf returns the bucket of v, for AddBucket. Magnitudes below MinValue
// are zero, those above MaxValue and the infinities are MaxValue, and NaN maps
// to NoBucket.
//
// The mapping is the logarithmic one of DDSketch with γ = 2^(1/18). Instead of
// taking a logarithm it finds the octave in the exponent bits and the bucket
// in a table indexed by the leading mantissa bits, as lookup-table mappings of
// OpenTelemetry exponential histograms do. It is exact and uses integers only.
func BucketOf(v float64) Bucket {
	u := math.Float64bits(v)
	abs := u &^ signBit
	if abs < minBits {
		return zeroBucket
	}
	if abs > maxBits {
		if v != v {
			return NoBucket
		}
		abs = maxBits
	}
	mant := abs & mantMask
	k := int(slots[mant>>(mantBits-slotBits)])
	if mant >= octave[k+1] {
		k++
	}
	i := (int(abs>>mantBits)-expOffset)*perOctave + k
	if u&signBit != 0 {
		return zeroBucket - 1 - Bucket(i)
	}
	return zeroBucket + 1 + Bucket(i)
}

// value returns the answer for a bucket: the point whose relative distance to
// both ends is the same, kept within the range of representable magnitudes.
func (b Bucket) value() float64 {
	switch {
	case b == zeroBucket:
		return 0
	case b < zeroBucket:
		return -magnitude(int(zeroBucket - 1 - b))
	}
	return magnitude(int(b - zeroBucket - 1))
}

func magnitude(i int) float64 {
	lo, hi := lowerBound(i), lowerBound(i+1)
	return min(max(2*lo*hi/(lo+hi), MinValue), MaxValue)
}

// lowerBound returns the least magnitude of the i-th bucket above zero.
func lowerBound(i int) float64 {
	exp := uint64(i/perOctave + expOffset)
	return math.Float64frombits(exp<<mantBits + octave[i%perOctave])
}
