package clickhouse

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// text adds that the message contains a text, in whatever case: what Filter.Match
// says with strings.ToLower.
func (c *condition) text(value string) {
	lower := strings.ToLower(value)
	switch {
	case value == "":
		c.add("1")
	case isASCII(lower) && (!c.closer || !strings.ContainsAny(lower, "ki")):
		// lower is that of ASCII. The index is one of the grams of this expression.
		c.add("(lower(message) LIKE ", quote("%"+escapeLike(lower)+"%"), ")")
	default:
		c.add("(")
		if hint := longestASCII(lower); len(hint) >= gram && !c.closer {
			c.add("lower(message) LIKE ", quote("%"+escapeLike(hint)+"%"), " AND ")
		}
		c.add("match(message, ", quote(foldPattern(lower)), "))")
	}
}

// gram is the length of the index's grams: shorter texts it does not know.
const gram = 4

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// longestASCII returns the longest part of ASCII characters.
func longestASCII(s string) string {
	best := ""
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		if len(part) > len(best) {
			best = part
		}
	}
	return best
}

// foldPattern returns an expression that matches what is lower in lower case.
// ClickHouse's own functions fold by other rules (a sigma at the end of a word,
// for instance).
func foldPattern(lower string) string {
	var b strings.Builder
	for _, r := range lower {
		upper := uppers()[r]
		if len(upper) == 0 {
			b.WriteString(regexp.QuoteMeta(string(r)))
			continue
		}
		b.WriteByte('[')
		if unicode.ToLower(r) == r {
			b.WriteRune(r)
		}
		for _, u := range upper {
			b.WriteRune(u)
		}
		b.WriteByte(']')
	}
	return b.String()
}

// uppers returns, for each character, those others that strings.ToLower makes it of.
var uppers = sync.OnceValue(func() map[rune][]rune {
	m := map[rune][]rune{}
	for _, cr := range unicode.CaseRanges {
		for r := rune(cr.Lo); r <= rune(cr.Hi); r++ {
			if l := unicode.ToLower(r); l != r {
				m[l] = append(m[l], r)
			}
		}
	}
	return m
})
