package decode

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Eight bytes at once, for the scanners that run on every byte decoded. Lines
// lie in a payload, so that a few bytes beyond a line's end may be read and
// thrown away: that spares the scanners a second loop for what is left of it.

// Masks to look at eight bytes at once.
const (
	ones      = 0x0101010101010101
	highs     = 0x8080808080808080
	quotes    = '"' * ones
	backslash = '\\' * ones
	spaces    = 0x20 * ones
	zeros     = '0' * ones
)

// overread is how many bytes behind where a field begins its fast path reads
// without another check: a key of maxCachedKey, a space, a quote, and two words
// or a number of two parts.
const overread = 64

// load returns the eight bytes at i, the first in the lowest bits. It is one
// load without a check: the caller knows that they exist.
func load(p unsafe.Pointer, i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(p, i))[:])
}

// byteAt returns the byte at i, as load does.
func byteAt(p unsafe.Pointer, i int) byte { return *(*byte)(unsafe.Add(p, i)) }

// span returns the bytes from i to end as a string, without copying or check.
func span(p unsafe.Pointer, i, end int) string {
	return unsafe.String((*byte)(unsafe.Add(p, i)), end-i)
}

// special marks the bytes of x that end the plain part of a JSON string: quote,
// backslash, control characters ("Determine if a word has a byte less than n",
// Bit Twiddling Hacks). The lowest mark is exact, higher ones may be false.
func special(x uint64) uint64 {
	return ((x - spaces) | ((x ^ quotes) - ones) | ((x ^ backslash) - ones)) & ^x & highs
}

// blanks marks the spaces and tabs of x; the lowest mark is exact.
func blanks(x uint64) uint64 {
	s, t := x^spaces, x^'\t'*ones
	return ((s-ones)&^s | (t-ones)&^t) & highs
}

// plainEnd returns the index of the first quote, backslash or control character
// of b from i, or len(b). It looks at 16 bytes a turn, so that strings which
// differ by a few bytes in length take the same branches; what is longer than
// shortText, such as a message of many kilobytes, a kernel reads.
func plainEnd(b []byte, i int) int {
	p := unsafe.Pointer(unsafe.SliceData(b))
	last := len(b) - 16
	for far := min(last, i+shortText-16); i <= far; i += 16 {
		if lo, hi := special(load(p, i)), special(load(p, i+8)); lo|hi != 0 {
			return i + firstMark(lo, hi)
		}
	}
	if blocks := (len(b) - i) / 64; blocks > 0 && canMark {
		i += firstStop(unsafe.Add(p, i), blocks)
	}
	for ; i <= last; i += 16 {
		if lo, hi := special(load(p, i)), special(load(p, i+8)); lo|hi != 0 {
			return i + firstMark(lo, hi)
		}
	}
	for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// shortText is what most texts are shorter than.
const shortText = 64

// firstMark returns in which byte the first mark is of two words, not both without.
func firstMark(lo, hi uint64) int {
	if lo == 0 {
		return 8 + bits.TrailingZeros64(hi)>>3
	}
	return bits.TrailingZeros64(lo) >> 3
}

// digits8 returns the number that the digits at the start of x are, and how many
// of the eight bytes they take. Source: Daniel Lemire, "Quickly parsing eight
// digits" (2018); shifting the digits up puts zeros before them.
func digits8(x uint64) (v uint64, n int) {
	if n = digitCount(x); n == 0 {
		return 0, 0
	}
	t := (x ^ zeros) << (uint(64-8*n) & 63)
	t = t*10 + t>>8 // pairs in the even bytes
	const mask = 0x000000FF000000FF
	return (t&mask*(100+1000000<<32) + t>>16&mask*(1+10000<<32)) >> 32, n
}

// plainNumberEnd returns the index behind the JSON number at i, of which up to
// 17 bytes must be readable, or -1 unless it is short and has no exponent.
func plainNumberEnd(p unsafe.Pointer, i int) int {
	n := digitCount(load(p, i))
	end := i + n
	if n == 8 || n > 1 && *(*byte)(unsafe.Add(p, i)) == '0' {
		return -1
	}
	c := *(*byte)(unsafe.Add(p, end))
	if c == '.' {
		n = digitCount(load(p, end+1))
		end += 1 + n
		if n == 0 || n == 8 {
			return -1
		}
		c = *(*byte)(unsafe.Add(p, end))
	}
	if c|0x20 == 'e' {
		return -1
	}
	return end
}

// digitCount returns how many digits x starts with.
func digitCount(x uint64) int {
	t := x ^ zeros
	return bits.TrailingZeros64((t+(0x80-10)*ones|t)&highs) >> 3
}

// wordEnd returns the index of the first space or tab of b from i, or n, which
// is at most len(b).
func wordEnd(b []byte, i, n int) int {
	p := unsafe.Pointer(unsafe.SliceData(b))
	for last := len(b) - 8; i <= last; i += 8 {
		if m := blanks(load(p, i)); m != 0 {
			return min(i+bits.TrailingZeros64(m)>>3, n)
		}
		if i+8 >= n {
			return n
		}
	}
	for i < n && b[i] != ' ' && b[i] != '\t' {
		i++
	}
	return min(i, n)
}
