package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// Walking through JSON in one pass, for formats whose objects are deep: each
// value is read or skipped once, where it stands.

// eachMember calls f for every member of the object at b[i:], with the text
// between the quotes of its key, escapes and all, and where its value begins; f
// returns where the value ends. The result is the object's end. Both are negative
// if something is malformed: the complement of where it goes wrong. What is no
// object is skipped without a call.
func eachMember(b []byte, i int, f func(key []byte, at int) int) int {
	if i >= len(b) || b[i] != '{' {
		return skipValue(b, i, 1)
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return ^i
		}
		end, _ := scanString(b, i+1)
		if end < 0 {
			return end
		}
		key := b[i+1 : end-1]
		if i = skipSpace(b, end); i >= len(b) || b[i] != ':' {
			return ^i
		}
		if i = skipSpace(b, i+1); i >= len(b) {
			return ^i
		}
		if i = f(key, i); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i < len(b) && b[i] == '}' {
			return i + 1
		}
		if i >= len(b) || b[i] != ',' {
			return ^i
		}
		i = skipSpace(b, i+1)
	}
}

// eachElement is eachMember for the elements of an array.
func eachElement(b []byte, i int, f func(at int) int) int {
	if i >= len(b) || b[i] != '[' {
		return skipValue(b, i, 1)
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i >= len(b) {
			return ^i
		}
		if i = f(i); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i < len(b) && b[i] == ']' {
			return i + 1
		}
		if i >= len(b) || b[i] != ',' {
			return ^i
		}
		i = skipSpace(b, i+1)
	}
}

// keyText returns a key that eachMember found without its escapes.
func (d *Decoder) keyText(key []byte) string {
	return d.jsonString(key, bytes.IndexByte(key, '\\') >= 0)
}

// textAt is the function of this name with the memory of the batch under way.
func (d *Decoder) textAt(b []byte, i int) (s string, end int) { return textAt(d.b, b, i) }

// textAt reads the string at b[i:], or the number as it is written; anything
// else is skipped and gives "". What has escapes is written to the memory of to.
func textAt(to *millrace.Batch, b []byte, i int) (s string, end int) {
	if i >= len(b) || b[i] != '"' {
		if end = skipValue(b, i, 1); end > 0 && (b[i] == '-' || isDigit(b[i])) {
			s = borrow(b[i:end])
		}
		return s, end
	}
	end, escaped := scanString(b, i+1)
	if end < 0 {
		return "", end
	}
	return jsonString(to, b[i+1:end-1], escaped), end
}

// plainText returns the string at b[i:] if it has no escapes, else "".
func plainText(b []byte, i int) (s string, end int) {
	if i >= len(b) || b[i] != '"' {
		return "", skipValue(b, i, 1)
	}
	end, escaped := scanString(b, i+1)
	if end < 0 || escaped {
		return "", end
	}
	return borrow(b[i+1 : end-1]), end
}
