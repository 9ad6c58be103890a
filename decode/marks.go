package decode

import (
	"math/bits"
	"unsafe"
)

// maxMarked is how much of a line is marked at once; strings that begin beyond
// it are scanned one by one. It keeps marks in the first-level cache.
const maxMarked = 8 << 10

// marks tells where the strings of a JSON line may end: a bit is set for every
// byte that is a quote, a backslash or a control character. A line is marked in
// one go, without a branch that depends on what it says, where a scan of every
// string by itself mispredicts its length (as in simdjson: Langdale and Lemire,
// "Parsing Gigabytes of JSON per Second", 2019). The zero marks have no bit.
type marks struct {
	n    int // bytes marked
	bits [maxMarked/8 + 8]byte
}

// set marks the first n bytes of b. It reads b within its capacity.
func (m *marks) set(b []byte, n int) {
	if m.n = 0; !canMark {
		return
	}
	n = min(n, maxMarked)
	wide := b[:cap(b)]
	blocks := (n + 63) / 64
	if whole := len(wide) / 64; whole < blocks {
		// The last line of a payload: its end is marked apart.
		blocks = whole
		var tail [64]byte
		copy(tail[:], wide[64*whole:])
		markBlocks(unsafe.Pointer(&m.bits[8*whole]), unsafe.Pointer(&tail), 1)
	}
	if blocks > 0 {
		markBlocks(unsafe.Pointer(&m.bits), unsafe.Pointer(unsafe.SliceData(wide)), blocks)
	}
	m.n = n
	clear(m.bits[(n+63)/64*8:][:8])
}

// end returns the index of the first mark from i on, or a negative number if it
// does not know: i is beyond what is marked, or the string is longer than 56 bytes.
func (m *marks) end(i int) int {
	if i >= m.n {
		return -1
	}
	x := load(unsafe.Pointer(&m.bits), i>>3) >> (uint(i) & 7)
	if x == 0 {
		return -1
	}
	return i + bits.TrailingZeros64(x)
}

// scanString is the function of this name for b, whose marks these are, or those of its
// beginning: a stack trace is a long string with an escape every hundred bytes, which
// the marks show at a glance.
func (m *marks) scanString(b []byte, i int) (end int, escaped bool) {
	for n := min(m.n, len(b)); i < n; {
		x := load(unsafe.Pointer(&m.bits), i>>3) >> (uint(i) & 7)
		if x == 0 {
			i = min(i&^7+64, n)
			continue
		}
		if i += bits.TrailingZeros64(x); i >= n {
			i = n
			break
		}
		switch b[i] {
		case '"':
			return i + 1, escaped
		case '\\':
		default:
			return ^i, escaped
		}
		escaped = true
		if i = skipEscape(b, i+1); i < 0 {
			return i, true
		}
	}
	end, more := scanString(b, i) // what is beyond the marks
	return end, escaped || more
}
