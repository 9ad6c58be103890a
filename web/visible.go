package web

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// visible makes text from clients safe to read: control characters and those
// that turn the direction of writing are shown instead of obeyed, so that no
// message can look like something else or change how what stands beside it
// reads (CVE-2021-42574, "Trojan Source"). Tabs and newlines stay. It is not
// what keeps markup out: templates escape all text.
func visible(s string) string {
	i := strings.IndexFunc(s, invisible)
	if i < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		switch {
		case !invisible(c):
			b.WriteRune(c)
		case c < 0x20:
			b.WriteRune(0x2400 + c) // its picture: ␛ for escape
		case c == 0x7f:
			b.WriteRune(0x2421)
		default:
			fmt.Fprintf(&b, "⟨U+%04X⟩", c)
		}
	}
	return b.String()
}

// invisible tells control characters and marks of direction (Unicode 15, Bidi
// control and U+2028, U+2029) from text. Zero-width joiners are text: scripts
// and emoji need them.
func invisible(c rune) bool {
	switch {
	case c == '\n' || c == '\t':
		return false
	case c < 0x20, c >= 0x7f && c < 0xa0:
		return true
	case c == 0x061c, c == 0x200e, c == 0x200f, c >= 0x2028 && c <= 0x202e, c >= 0x2066 && c <= 0x2069, c == 0xfeff:
		return true
	}
	return false
}
