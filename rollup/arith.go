package rollup

import (
	"math"

	"github.com/millrace/millrace"
)

// fixedPoint returns v scaled and rounded half to even; whole numbers stay exact
// beyond 2^53.
func fixedPoint(v millrace.Value, f, scale float64) int64 {
	if i, ok := v.Int(); ok && v.Kind() == millrace.ValueInt {
		return mulSat(i, int64(scale))
	}
	f = math.RoundToEven(f * scale)
	if f >= math.MaxInt64 {
		return math.MaxInt64
	}
	if f <= math.MinInt64 {
		return math.MinInt64
	}
	return int64(f)
}

// addSat and mulSat saturate: a sum at the limit is visibly wrong, a wrapped one
// is not.
func addSat(a, b int64) int64 {
	s := a + b
	if (a > 0) == (b > 0) && (s > 0) != (a > 0) && a != 0 && b != 0 {
		if a > 0 {
			return math.MaxInt64
		}
		return math.MinInt64
	}
	return s
}

func mulSat(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	if p := a * b; p/b == a {
		return p
	}
	if (a > 0) == (b > 0) {
		return math.MaxInt64
	}
	return math.MinInt64
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// floorMinute returns the start of the minute of a time in ns, in Unix seconds.
func floorMinute(ns int64) int64 { return millrace.Minute.Floor(floorDiv(ns, 1e9)) }

// addMass adds the magnitude of v to a sum of magnitudes and saturates. As long
// as such a sum is no more than math.MaxInt64, no sum of the values themselves
// can overflow.
func addMass(mass uint64, v int64) uint64 {
	m := uint64(v)
	if v < 0 {
		m = -m
	}
	return addUnsigned(mass, m)
}

func addUnsigned(a, b uint64) uint64 {
	if s := a + b; s >= a {
		return s
	}
	return math.MaxUint64
}
