package millrace

import (
	"math"
	"strconv"
)

// Decimal is a number with the spelling it was written in: digits<<5 | scale,
// where scale is how many of the digits stand behind the point. So 0.150000 is
// 150000<<5 | 6 and comes back with its zeros. The digits are below 2^53 and the
// scale at most 22, so that float64(digits)/10^scale is the float64 nearest to
// the number as written: both are exact, and a division rounds once (Clinger,
// How to Read Floating Point Numbers Accurately, 1990).
type Decimal int64

// NoDecimal is no number.
const NoDecimal Decimal = -1

// Bounds of a Decimal.
const (
	decimalScaleBits = 5
	maxDecimalScale  = 22
	maxDecimalDigits = 1 << 53
)

// ParseDecimal returns s as a Decimal, or NoDecimal if s is not one: digits
// without sign, exponent and superfluous leading zeros, and perhaps a point
// with more digits behind it.
func ParseDecimal(s string) Decimal {
	if len(s) > maxDecimalScale+len("0.") {
		return NoDecimal
	}
	var n uint64
	point := -1
	for i := range len(s) {
		d := uint64(s[i]) - '0'
		switch {
		case d <= 9 && n < maxDecimalDigits:
			n = n*10 + d
		case s[i] == '.' && point < 0:
			point = i
		default:
			return NoDecimal
		}
	}
	whole, scale := len(s), 0
	if point >= 0 {
		whole, scale = point, len(s)-point-1
		if scale == 0 {
			return NoDecimal
		}
	}
	if whole == 0 || n >= maxDecimalDigits || scale > maxDecimalScale || (s[0] == '0' && whole > 1) {
		return NoDecimal
	}
	return Decimal(n<<decimalScaleBits | uint64(scale))
}

// Append appends d as it was written.
func (d Decimal) Append(dst []byte) []byte {
	scale := int(d & (1<<decimalScaleBits - 1))
	var buf [maxDecimalScale + 24]byte
	digits := strconv.AppendUint(buf[:0], uint64(d>>decimalScaleBits), 10)
	whole := len(digits) - scale
	if whole <= 0 {
		dst = append(dst, '0')
	} else {
		dst = append(dst, digits[:whole]...)
	}
	if scale == 0 {
		return dst
	}
	dst = append(dst, '.')
	for ; whole < 0; whole++ {
		dst = append(dst, '0')
	}
	return append(dst, digits[whole:]...)
}

// Value returns d as the value a decoder makes of it: an integer if it has no
// point, else a number with its spelling. It allocates.
func (d Decimal) Value() Value {
	scale := int(d & (1<<decimalScaleBits - 1))
	if scale == 0 {
		return IntValue(int64(d >> decimalScaleBits))
	}
	return NumberValue(float64(d>>decimalScaleBits)/powersOfTen[scale], string(d.Append(nil)))
}

// powersOfTen are exact (see Decimal).
var powersOfTen = [maxDecimalScale + 1]float64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// decimal returns a number as a Decimal if AppendJSON would write one.
func (v *Value) decimal() Decimal {
	switch v.kind {
	case ValueInt:
		if v.num < maxDecimalDigits {
			return Decimal(v.num << decimalScaleBits)
		}
	case ValueFloat:
		if f := math.Float64frombits(v.num); math.IsNaN(f) || math.IsInf(f, 0) {
			return NoDecimal
		}
		if v.str != "" {
			return ParseDecimal(v.str)
		}
		var buf [32]byte
		return ParseDecimal(string(v.AppendText(buf[:0])))
	}
	return NoDecimal
}
