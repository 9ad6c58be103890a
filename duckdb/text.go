package duckdb

import (
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// validText returns s with invalid UTF-8 replaced. DuckDB's functions rely on
// VARCHAR being valid, and nothing behind the column writer checks it.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// validStrings returns s, or a repaired copy if any of its strings is not valid
// UTF-8. Decoders pass valid text, so the fast path is one look at the arena:
// if the whole is valid and no string starts inside a rune, each is valid.
func validStrings(s *millrace.Strings) *millrace.Strings {
	if utf8.Valid(s.Data) && runeStarts(s) {
		return s
	}
	out := &millrace.Strings{}
	for i := range s.Len() {
		out.Append(validText(string(s.At(i))))
	}
	return out
}

func runeStarts(s *millrace.Strings) bool {
	for _, e := range s.End {
		if int(e) < len(s.Data) && !utf8.RuneStart(s.Data[e]) {
			return false
		}
	}
	return true
}
