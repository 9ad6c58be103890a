package decode

import "github.com/millrace/millrace"

// powers of ten that a float64 holds exactly.
var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// decimal parses digits with an optional fraction, at most 15 digits in all.
// The result is the float64 nearest to the text: both the digits and the power
// of ten are exact, and the division rounds once (Clinger 1990, fast path).
func decimal(b []byte) (float64, bool) {
	if len(b) == 0 || len(b) > 16 || !isDigit(b[0]) {
		return 0, false
	}
	var mantissa int64
	point, digits := -1, 0
	for i, c := range b {
		switch {
		case isDigit(c):
			mantissa = mantissa*10 + int64(c-'0')
			digits++
		case c == '.' && point < 0:
			point = i
		default:
			return 0, false
		}
	}
	if digits > 15 || point == len(b)-1 {
		return 0, false
	}
	if point < 0 {
		return float64(mantissa), true
	}
	return float64(mantissa) / pow10[len(b)-1-point], true
}

// literalValue returns a number that keeps its literal, unless that is no JSON
// number (00.10).
func literalValue(f float64, lit []byte) millrace.Value {
	if len(lit) > 1 && lit[0] == '0' && lit[1] != '.' {
		return millrace.FloatValue(f)
	}
	return millrace.NumberValue(f, borrow(lit))
}

// smallInt parses up to 18 digits, which the caller has checked.
func smallInt(b []byte) int64 {
	var v int64
	for _, c := range b {
		v = v*10 + int64(c-'0')
	}
	return v
}

// keyLike reports whether b can be the name of a field.
func keyLike(b []byte) bool {
	for i, c := range b {
		if !isAlnum(c) && c != '_' && (i == 0 || (c != '.' && c != '-')) {
			return false
		}
	}
	return len(b) > 0 && !isDigit(b[0])
}

// hostLike reports whether b is a host name with a dot, or localhost, perhaps
// with a port.
func hostLike(b []byte) bool {
	b = trimPort(b)
	dots := 0
	for i, c := range b {
		switch {
		case isAlnum(c) || c == '_':
		case c == '-' && i > 0:
		case c == '.' && i > 0 && i < len(b)-1 && b[i-1] != '.':
			dots++
		default:
			return false
		}
	}
	return dots > 0 || string(b) == "localhost"
}
