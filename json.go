package millrace

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string. Control characters, quotes and
// backslashes are escaped, invalid UTF-8 becomes U+FFFD.
//
// It runs for every key and text of every event stored, and nearly all of them
// are ASCII without anything to escape: those are checked and copied in one
// pass, eight bytes at once.
func AppendJSONString(dst []byte, s string) []byte {
	at, n := len(dst), len(s)
	if cap(dst)-at < n+2 {
		dst = slices.Grow(dst, n+2)
	}
	out := dst[at : at+n+2]
	if !copyPlain(out[1:n+1], s) {
		return appendEscaped(dst, s)
	}
	out[0], out[n+1] = '"', '"'
	return dst[:at+n+2]
}

// Masks to look at eight bytes at once.
const (
	ones        = 0x0101010101010101
	highs       = 0x80 * ones
	spaces      = 0x20 * ones
	quotes      = '"' * ones
	backslashes = '\\' * ones
)

// special has a high bit set if and only if one of the eight bytes of x is not
// ASCII, a control character, a quote or a backslash ("Determine if a word has
// a byte less than n", Bit Twiddling Hacks).
func special(x uint64) uint64 {
	return x | (x - spaces) | ((x ^ quotes) - ones) | ((x ^ backslashes) - ones)
}

// copyPlain copies s to dst, which has its length, and reports whether s is
// ASCII without anything to escape. If not, dst holds anything.
func copyPlain(dst []byte, s string) bool {
	n := len(s)
	dst = dst[:n]
	var found uint64
	switch {
	case n >= 8:
		for i := 0; i <= n-8; i += 8 {
			x := load64(s[i:])
			binary.LittleEndian.PutUint64(dst[i:], x)
			found |= special(x)
		}
		x := load64(s[n-8:]) // overlaps the word before
		binary.LittleEndian.PutUint64(dst[n-8:], x)
		found |= special(x)
	case n >= 4:
		lo, hi := load32(s), load32(s[n-4:])
		binary.LittleEndian.PutUint32(dst, lo)
		binary.LittleEndian.PutUint32(dst[n-4:], hi)
		found = special(uint64(hi)<<32 | uint64(lo))
	default:
		for i := range n {
			dst[i] = s[i]
			found |= special(uint64(s[i]) | spaces&^0xFF)
		}
	}
	return found&highs == 0
}

// load64 and load32 become one load each.
func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load32(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// appendEscaped is AppendJSONString for any s.
func appendEscaped(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		if i <= len(s)-8 { // the first byte that special marks is one
			m := special(load64(s[i:])) & highs
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) / 8
		}
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// AppendAttrs appends attrs as one JSON object, in the order given.
func AppendAttrs(dst []byte, attrs []Attr) []byte {
	dst = append(dst, '{')
	for i := range attrs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendAttr(dst, &attrs[i])
	}
	return append(dst, '}')
}

func appendAttr(dst []byte, a *Attr) []byte {
	dst = append(AppendJSONString(dst, a.Key), ':')
	switch v := &a.Value; {
	case v.kind == ValueString:
		return AppendJSONString(dst, v.str)
	case v.kind == ValueInt && v.num < 1e8:
		return appendDigits(dst, uint32(v.num))
	default:
		return v.AppendJSON(dst)
	}
}

// appendDigits is strconv.AppendUint for the sizes of statuses and bodies.
func appendDigits(dst []byte, n uint32) []byte {
	var digits [8]byte
	i := len(digits)
	for {
		i--
		digits[i] = byte('0' + n%10)
		if n /= 10; n == 0 || i == 0 {
			return append(dst, digits[i:]...)
		}
	}
}
