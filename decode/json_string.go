package decode

import (
	"unicode/utf16"
	"unicode/utf8"
)

// jsonString returns the text of a JSON string, body being what is between the
// quotes. Without escapes it borrows; with them it is written to memory of the
// batch, which body bounds: no escape is shorter than what it stands for.
func (d *Decoder) jsonString(body []byte, escaped bool) string {
	if !escaped {
		return borrow(body)
	}
	return borrow(unescape(d.b.Text(len(body)), body))
}

// unescape appends body, which scanString has checked, without its escapes.
// Lone surrogates become U+FFFD.
func unescape(dst, body []byte) []byte {
	for i := 0; i < len(body); {
		c := body[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		c = body[i+1]
		i += 2
		switch c {
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'u':
			r := hex4(body[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if len(body) >= i+6 && body[i] == '\\' && body[i+1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(body[i+2:]))
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func hex4(b []byte) rune {
	return rune(hexValue(b[0]))<<12 | rune(hexValue(b[1]))<<8 | rune(hexValue(b[2]))<<4 | rune(hexValue(b[3]))
}
