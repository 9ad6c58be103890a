package decode

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/millrace/millrace"
)

// jsonString is the function of this name with the memory of the batch under way.
func (d *Decoder) jsonString(body []byte, escaped bool) string {
	return jsonString(d.b, body, escaped)
}

// jsonString returns the text of a JSON string: it borrows body, what is between
// the quotes, unless that has escapes. Then it is written to the memory of b.
func jsonString(b *millrace.Batch, body []byte, escaped bool) string {
	if !escaped {
		return borrow(body)
	}
	return borrow(unescape(b.Text(len(body)), body))
}

// unescape appends body, which scanString has checked, without its escapes, in at
// most len(body) bytes: no escape is shorter than what it stands for. Lone
// surrogates become U+FFFD.
//
// It runs for every byte of every stack trace in JSON, of which each line ends in
// an escape or two: what is between them is copied 16 bytes at once. The words are
// stored before it is known how much of them counts; that is room which the bytes
// still to come would take.
func unescape(dst, body []byte) []byte {
	dst = slices.Grow(dst, len(body))
	from, to := unsafe.Pointer(unsafe.SliceData(body)), unsafe.Pointer(unsafe.SliceData(dst))
	n, i := len(dst), 0
	for {
		run := copyToSlash(to, from, n, i, len(body))
		n, i = n+run, i+run
		if i >= len(body) {
			return dst[:n]
		}
		c := body[i+1]
		if i += 2; c != 'u' {
			*(*byte)(unsafe.Add(to, n)) = escapes[c]
			n++
			continue
		}
		r, used := escapedRune(body, i)
		i += used
		n = len(utf8.AppendRune(dst[:n], r))
	}
}

// copyToSlash copies what is at from+i to to+n until a backslash or the end of the
// text at from, and returns how many bytes that are. As many as the text has left
// are writable at to+n.
func copyToSlash(to, from unsafe.Pointer, n, i, end int) int {
	start := i
	for ; i <= end-16; i, n = i+16, n+16 {
		lo, hi := load(from, i), load(from, i+8)
		store(to, n, lo)
		store(to, n+8, hi)
		if a, b := slashes(lo), slashes(hi); a|b != 0 {
			if a == 0 {
				return i + 8 + bits.TrailingZeros64(b)>>3 - start
			}
			return i + bits.TrailingZeros64(a)>>3 - start
		}
	}
	for ; i < end && byteAt(from, i) != '\\'; i, n = i+1, n+1 {
		*(*byte)(unsafe.Add(to, n)) = byteAt(from, i)
	}
	return i - start
}

// slashes marks the backslashes of x; the lowest mark is exact.
func slashes(x uint64) uint64 {
	x ^= backslash
	return (x - ones) & ^x & highs
}

// store writes eight bytes, as load reads them.
func store(p unsafe.Pointer, i int, x uint64) {
	binary.LittleEndian.PutUint64((*[8]byte)(unsafe.Add(p, i))[:], x)
}

// escapes is what a backslash and a byte stand for, \u apart.
var escapes = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
	}
	t['n'], t['t'], t['r'], t['b'], t['f'] = '\n', '\t', '\r', '\b', '\f'
	return t
}()

// escapedRune returns what the \u before i stands for, and how many bytes of body
// from i on belong to it.
func escapedRune(body []byte, i int) (r rune, used int) {
	r = hex4(body[i:])
	if !utf16.IsSurrogate(r) {
		return r, 4
	}
	if len(body) >= i+10 && body[i+4] == '\\' && body[i+5] == 'u' {
		if r = utf16.DecodeRune(r, hex4(body[i+6:])); r != utf8.RuneError {
			return r, 10
		}
	}
	return utf8.RuneError, 4
}

func hex4(b []byte) rune {
	return rune(hexValue(b[0]))<<12 | rune(hexValue(b[1]))<<8 | rune(hexValue(b[2]))<<4 | rune(hexValue(b[3]))
}
