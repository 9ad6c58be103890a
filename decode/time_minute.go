package decode

import "unsafe"

// minute remembers a minute as RFC 3339 writes it in UTC, for nearly every line
// is of the same minute as the one before: 2006-01-02T15:04: and its start. It
// spares them the calendar. The zero minute matches nothing.
type minute struct {
	text  [24]byte // the first 17 bytes count
	start int64    // ns
}

// parse parses a whole text of the minute: two digits of seconds, a fraction
// perhaps, and Z. parseTime gives the same.
func (m *minute) parse(b []byte) (ns int64, ok bool) {
	n := len(b)
	if n < len("2006-01-02T15:04:05Z") || n > len("2006-01-02T15:04:05.999999999Z") || b[n-1] != 'Z' {
		return 0, false
	}
	p, q := unsafe.Pointer(unsafe.SliceData(b)), unsafe.Pointer(&m.text)
	if load(p, 0) != load(q, 0) || load(p, 8) != load(q, 8) || b[16] != m.text[16] {
		return 0, false
	}
	sec := two(b, 17)
	if sec < 0 || sec > 59 {
		return 0, false
	}
	ns = m.start + int64(sec)*1e9
	if n == 20 {
		return ns, true
	}
	if b[19] != '.' {
		return 0, false
	}
	if n > 28 {
		frac, digits := fraction(b[20 : n-1])
		return ns + frac, digits == n-21
	}
	// Up to seven digits: what lies between the point and the Z, and zeros behind.
	digits := n - 21
	x := load(p, n-8) >> (8 * uint(7-digits) & 63)
	low := uint64(1)<<(8*uint(digits)&63) - 1
	frac, k := digits8(x&low | zeros&^low)
	return ns + int64(frac)*10, k == 8 && digits > 0
}

// learn remembers the minute of a text that parseTime has read as a whole.
func (m *minute) learn(b []byte, ns int64) {
	n := len(b)
	if n < 20 || b[n-1] != 'Z' || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return
	}
	// Not a leap second, which counts to the next minute; nor the ends of time.
	if sec := two(b, 17); sec < 0 || sec > 59 || ns < -9e18 || ns > 9e18 {
		return
	}
	const length = 60e9
	m.start = ns - (ns%length+length)%length
	copy(m.text[:], b)
}

// clfMinute is a minute as the Common Log Format writes it, with its zone:
// 02/Jan/2006:15:04:, two digits of seconds, " -0700". The zero minute matches
// nothing.
type clfMinute struct {
	words [3]uint64 // of the text to the seconds: its bytes from 0, 8 and 10
	zone  uint64    // the six bytes behind the seconds
	start int64     // ns
}

// parse parses the text of the minute at i of the text at p; 26 bytes are
// readable there. parseTime gives the same.
func (m *clfMinute) parse(p unsafe.Pointer, i int) (ns int64, ok bool) {
	x := load(p, i+18)
	if load(p, i) != m.words[0] || load(p, i+8) != m.words[1] || load(p, i+10) != m.words[2] || x>>16 != m.zone {
		return 0, false
	}
	hi, lo := x&0xFF-'0', x>>8&0xFF-'0'
	return m.start + int64(hi*10+lo)*1e9, hi < 6 && lo < 10
}

// learn remembers the minute of a text that parseTime has read as ns, all of it.
func (m *clfMinute) learn(b []byte, ns int64) {
	const length = len("02/Jan/2006:15:04:05 -0700")
	if len(b) != length || b[2] != '/' || b[6] != '/' || b[11] != ':' || b[14] != ':' || b[17] != ':' || b[20] != ' ' {
		return
	}
	sec := two(b, 18)
	if sec < 0 || sec > 59 || ns < -9e18 || ns > 9e18 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(b))
	m.words = [3]uint64{load(p, 0), load(p, 8), load(p, 10)}
	m.zone = load(p, 18) >> 16
	m.start = ns - int64(sec)*1e9
}
