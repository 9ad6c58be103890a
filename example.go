package millrace

import (
	"strings"
	"unicode/utf8"
)

// Example returns the beginning of a line for a ledger or an error message: at
// most MaxExample bytes, valid UTF-8, cut at a rune.
func Example(b []byte) string {
	cut := len(b) > MaxExample
	if cut {
		b = b[:MaxExample-len("…")]
		for len(b) > 0 && !utf8.RuneStart(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
		if len(b) > 0 && b[len(b)-1] >= utf8.RuneSelf {
			b = b[:len(b)-1]
		}
	}
	s := strings.ToValidUTF8(string(b), "?")
	if cut {
		s += "…"
	}
	return s
}
