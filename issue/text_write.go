package issue

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/exception"
)

// RulesText writes grouping rules as ReadRules reads them, "" if there is none.
func RulesText(rules []exception.Rule) string {
	var b strings.Builder
	for _, r := range rules {
		b.WriteString("- ")
		if r.Name != "" {
			b.WriteString("name: " + quoted(r.Name) + "\n  ")
		}
		writeMatch(&b, r.Match)
		b.WriteString("  fingerprint: " + quoted(r.Fingerprint) + "\n")
	}
	return b.String()
}

// OwnersText writes owner rules as ReadOwners reads them, "" if there is none.
func OwnersText(rules []OwnerRule) string {
	var b strings.Builder
	for _, o := range rules {
		b.WriteString("- ")
		writeMatch(&b, o.Match)
		b.WriteString("  owner: " + quoted(o.Owner) + "\n")
	}
	return b.String()
}

func writeMatch(b *strings.Builder, match []exception.Matcher) {
	b.WriteString("match:\n")
	for _, m := range match {
		b.WriteString("    - {field: " + quoted(m.Field) + ", pattern: " + quoted(m.Pattern))
		if m.Not {
			b.WriteString(", not: true")
		}
		b.WriteString("}\n")
	}
}

// plainText is what YAML takes for text wherever it stands, unless it is a word of
// its own.
var (
	plainText = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_./ -]*[A-Za-z0-9_./])?$`)
	yamlWords = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null)$`)
)

// quoted writes a text as YAML, with what cannot be seen as escapes: marks that
// turn the direction of writing must not hide what a rule says.
func quoted(s string) string {
	if plainText.MatchString(s) && !yamlWords.MatchString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == utf8.RuneError || c == ' ' || unicode.IsGraphic(c) && !unicode.IsSpace(c):
			b.WriteRune(c)
		case c < 0x100:
			b.WriteString(`\x`)
			writeHex(&b, c, 2)
		case c < 0x10000:
			b.WriteString(`\u`)
			writeHex(&b, c, 4)
		default:
			b.WriteString(`\U`)
			writeHex(&b, c, 8)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func writeHex(b *strings.Builder, c rune, digits int) {
	for i := digits - 1; i >= 0; i-- {
		b.WriteByte("0123456789abcdef"[c>>(4*i)&15])
	}
}
