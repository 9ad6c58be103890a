package decode

import (
	"fmt"
	"math/bits"
	"unsafe"
)

// A scanner for JSON text (RFC 8259) that works on bytes and allocates nothing.
// It serves the check at the door and the decoder.
//
// Positions that mean an error are returned as their complement (^pos), so that
// one negative int says both "no" and "where". Nesting is bounded by maxDepth:
// more is refused, since later readers recurse too. Strict but for one thing:
// lone surrogates in \u escapes are accepted and become U+FFFD when decoded.

// maxDepth bounds the nesting of objects and arrays. Real logs stay below 20.
const maxDepth = 128

// checkJSON reports whether b is one well-formed object with nothing after it,
// else where it goes wrong.
func checkJSON(b []byte) (pos int, ok bool) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return i, false
	}
	i = skipValue(b, i, 0)
	if i < 0 {
		return ^i, false
	}
	i = skipSpace(b, i)
	return i, i == len(b)
}

// describeJSON says what is wrong at pos.
func describeJSON(b []byte, pos int) string {
	switch {
	case pos >= len(b):
		return fmt.Sprintf("column %d: the JSON object ends too early", pos+1)
	case b[pos] < 0x20:
		return fmt.Sprintf("column %d: control character 0x%02x must be escaped", pos+1, b[pos])
	case pos > 0 && b[pos-1] == '\\' && b[pos] == 'x':
		return fmt.Sprintf(`column %d: \x is no JSON escape (nginx: use "escape=json" in log_format)`, pos+1)
	case blank(b[:pos]):
		return fmt.Sprintf("column %d: not a JSON object", pos+1)
	case b[pos] == '{' || b[pos] == '[':
		return fmt.Sprintf("column %d: unexpected %q, or nested deeper than %d", pos+1, b[pos], maxDepth)
	case b[pos] >= 0x80:
		return fmt.Sprintf("column %d: unexpected character", pos+1)
	}
	return fmt.Sprintf("column %d: unexpected %q", pos+1, b[pos])
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the end of the value that starts at i.
func skipValue(b []byte, i, depth int) int { return noMarks.skipValue(b, i, depth) }

// noMarks know the end of no string. Nobody writes to them.
var noMarks marks

// skipValue is the function of this name for b, whose marks these are: the ends of
// strings are looked up. Marks of a part of b, or none, do as well.
func (m *marks) skipValue(b []byte, i, depth int) int {
	if i >= len(b) {
		return ^i
	}
	switch c := b[i]; c {
	case '"':
		return m.skipString(b, i+1)
	case '{':
		if depth >= maxDepth {
			return ^i
		}
		return m.skipObject(b, i+1, depth+1)
	case '[':
		if depth >= maxDepth {
			return ^i
		}
		return m.skipArray(b, i+1, depth+1)
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case 'n':
		return skipWord(b, i, "null")
	default:
		end, _ := scanNumber(b, i)
		return end
	}
}

// skipString returns the end of the string whose opening quote is before i.
func (m *marks) skipString(b []byte, i int) int {
	if end := m.end(i); end >= 0 && end < len(b) && b[end] == '"' {
		return end + 1
	}
	end, _ := m.scanString(b, i)
	return end
}

// skipObject returns the end of the object whose brace is before i.
func (m *marks) skipObject(b []byte, i, depth int) int {
	if i = skipSpace(b, i); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return ^i
		}
		if i = m.skipString(b, i+1); i < 0 {
			return i
		}
		if i >= len(b) || b[i] != ':' {
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return ^i
			}
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i < len(b) && b[i] == '"' { // most values are strings
			i = m.skipString(b, i+1)
		} else {
			i = m.skipValue(b, i, depth)
		}
		if i < 0 {
			return i
		}
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i >= len(b) {
			return ^i
		}
		switch b[i] {
		case ',':
			i++
			if i < len(b) && b[i] <= ' ' {
				i = skipSpace(b, i)
			}
		case '}':
			return i + 1
		default:
			return ^i
		}
	}
}

// skipArray returns the end of the array whose bracket is before i.
func (m *marks) skipArray(b []byte, i, depth int) int {
	if i = skipSpace(b, i); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = m.skipValue(b, skipSpace(b, i), depth); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return ^i
		}
		switch b[i] {
		case ',':
			i++
		case ']':
			return i + 1
		default:
			return ^i
		}
	}
}

func skipWord(b []byte, i int, word string) int {
	for k := range len(word) {
		if i+k >= len(b) || b[i+k] != word[k] {
			return ^(i + k)
		}
	}
	return i + len(word)
}

// scanString returns the end (after the quote) of the string whose opening
// quote is before i, and whether it has escapes. It reads, but does not take,
// what is behind b within its capacity.
func scanString(b []byte, i int) (end int, escaped bool) {
	wide := b[:cap(b)]
	p := unsafe.Pointer(unsafe.SliceData(wide))
	for {
		// Here most strings are short: names, and what nested objects hold.
		if i+8 > len(wide) {
			i = plainEnd(wide, i)
		} else if m := special(load(p, i)); m != 0 {
			i += bits.TrailingZeros64(m) >> 3
		} else {
			i = plainEnd(wide, i+8)
		}
		if i >= len(b) {
			return ^len(b), escaped
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
}

// skipEscape returns the end of the escape whose backslash is before i.
func skipEscape(b []byte, i int) int {
	if i >= len(b) {
		return ^i
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for k := 1; k <= 4; k++ {
			if i+k >= len(b) || hexValue(b[i+k]) > 15 {
				return ^(i + k)
			}
		}
		return i + 5
	}
	return ^i
}

func hexValue(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}

// scanNumber returns the end of the number at i and whether it is an integer.
func scanNumber(b []byte, i int) (end int, integer bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b) || !isDigit(b[i]):
		return ^i, false
	case b[i] == '0':
		i++
	default:
		i = skipDigits(b, i)
	}
	integer = true
	if i < len(b) && b[i] == '.' {
		integer = false
		if i+1 >= len(b) || !isDigit(b[i+1]) {
			return ^(i + 1), false
		}
		i = skipDigits(b, i+1)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		integer = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i >= len(b) || !isDigit(b[i]) {
			return ^i, false
		}
		i = skipDigits(b, i)
	}
	return i, integer
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}
