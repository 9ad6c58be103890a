package query

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// SyntaxError says where a query in the search language is wrong.
type SyntaxError struct {
	Pos int // 1-based, in characters
	Msg string
}

// Error returns the position and what is wrong there.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("query: position %d: %s", e.Pos, e.Msg)
}

type tokenKind uint8

const (
	tokEnd    tokenKind = iota
	tokText             // a word, a phrase, or a value
	tokField            // name of a field, followed by an operator
	tokRegexp           // between slashes
	tokAnd              // AND or &&
	tokOr               // OR or ||
	tokNot              // NOT, ! or a leading -
	tokLeft             // (
	tokRight            // )
	tokLBrack           // [
	tokLBrace           // {
	tokRBrack           // ]
	tokRBrace           // }
)

type token struct {
	kind   tokenKind
	pos    int    // byte offset
	text   string // unescaped
	quoted bool   // in double quotes: no wildcards, no operators
	stars  []int  // byte offsets in text of * that are wildcards
	op     millrace.FilterOp
}

// lexer splits a query. What a character means depends on where it stands (a
// colon ends a field's name but is part of a value), so the parser asks for
// the next term or the next value.
type lexer struct {
	src string
	pos int
}

func (l *lexer) errorf(pos int, format string, args ...any) *SyntaxError {
	return &SyntaxError{Pos: utf8.RuneCountInString(l.src[:pos]) + 1, Msg: fmt.Sprintf(format, args...)}
}

func (l *lexer) space() {
	for l.pos < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.src[l.pos:])
		if !unicode.IsSpace(r) {
			return
		}
		l.pos += n
	}
}

// term returns the next token where a term may start.
func (l *lexer) term() (token, *SyntaxError) {
	l.space()
	start, rest := l.pos, l.src[l.pos:]
	if rest == "" {
		return token{kind: tokEnd, pos: start}, nil
	}
	for _, o := range termOperators {
		if strings.HasPrefix(rest, o.text) && (!o.word || wordEnds(rest[len(o.text):])) {
			l.pos += len(o.text)
			return token{kind: o.kind, pos: start, text: o.text}, nil
		}
	}
	if rest[0] == '-' && len(rest) > 1 && !wordEnds(rest[1:]) && rest[1] != '-' && rest[1] != '>' {
		l.pos++
		return token{kind: tokNot, pos: start, text: "-"}, nil
	}
	if t, ok := l.field(); ok {
		return t, nil
	}
	if t, ok := l.regexp(); ok {
		return t, nil
	}
	return l.text(termStops)
}

// regexp returns a regular expression if one stands here: it begins with a slash,
// and the next one that has no backslash before it ends the term. Anything else,
// such as /var/log/x, is a word.
func (l *lexer) regexp() (token, bool) {
	rest := l.src[l.pos:]
	if rest == "" || rest[0] != '/' {
		return token{}, false
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '\\' && i+1 < len(rest) && rest[i+1] == '/':
			i++
		case rest[i] == '\\' && i+1 < len(rest):
			b.WriteByte(rest[i])
			i++
		case rest[i] == '/':
			if i == 1 || !wordEnds(rest[i+1:]) {
				return token{}, false
			}
			t := token{kind: tokRegexp, pos: l.pos, text: b.String()}
			l.pos += i + 1
			return t, true
		}
		b.WriteByte(rest[i])
	}
	return token{}, false
}

// termOperators are matched in order; a word must end where it ends.
var termOperators = []struct {
	text string
	kind tokenKind
	word bool
}{
	{"(", tokLeft, false},
	{")", tokRight, false},
	{"AND", tokAnd, true},
	{"OR", tokOr, true},
	{"NOT", tokNot, true},
	{"&&", tokAnd, true},
	{"||", tokOr, true},
	{"!", tokNot, false},
}

// Characters at which an unquoted word ends, besides white space.
const (
	termStops  = `()"`
	rangeStops = `()"[]{}`
)

func wordEnds(rest string) bool {
	if rest == "" {
		return true
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return unicode.IsSpace(r) || r == '(' || r == ')'
}

// field returns name and operator if a field stands here: a name that begins
// with a letter or _ and an operator right after it. Anything else, such as
// 12:30:01 or a->b, is a word.
func (l *lexer) field() (token, bool) {
	rest := l.src[l.pos:]
	n := 0
	for n < len(rest) && nameByte(rest[n], n == 0) {
		n++
	}
	if n == 0 || n == len(rest) || rest[n-1] == '-' {
		return token{}, false
	}
	t := token{kind: tokField, pos: l.pos, text: rest[:n]}
	if rest[n] == ':' {
		n++
	} else if rest[n] == '~' && n+1 < len(rest) && rest[n+1] == '/' {
		t.op = millrace.FilterRegexp
		l.pos += n + 1
		return t, true
	} else if rest[n] != '<' && rest[n] != '>' {
		return token{}, false
	}
	op, length := comparison(rest[n:])
	t.op = op
	l.pos += n + length
	return t, true
}

// comparison reads >=, >, <=, < and returns FilterEq and 0 for anything else.
func comparison(s string) (millrace.FilterOp, int) {
	switch {
	case strings.HasPrefix(s, ">="):
		return millrace.FilterGe, 2
	case strings.HasPrefix(s, "<="):
		return millrace.FilterLe, 2
	case strings.HasPrefix(s, ">"):
		return millrace.FilterGt, 1
	case strings.HasPrefix(s, "<"):
		return millrace.FilterLt, 1
	}
	return millrace.FilterEq, 0
}

func nameByte(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '@':
		return true
	case first:
		return false
	}
	return c >= '0' && c <= '9' || c == '.' || c == '-'
}

// value returns the next token where the value of a field stands.
func (l *lexer) value() (token, *SyntaxError) {
	start := l.pos
	if start < len(l.src) {
		if k, ok := map[byte]tokenKind{'(': tokLeft, '[': tokLBrack, '{': tokLBrace}[l.src[start]]; ok {
			l.pos++
			return token{kind: k, pos: start, text: l.src[start : start+1]}, nil
		}
	}
	return l.text(termStops)
}

// text reads a phrase in double quotes, or a word that ends at white space or
// one of stops. A backslash takes the next character as it is.
func (l *lexer) text(stops string) (token, *SyntaxError) {
	t := token{kind: tokText, pos: l.pos}
	if l.pos < len(l.src) && l.src[l.pos] == '"' {
		return l.phrase()
	}
	var b strings.Builder
	for l.pos < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.src[l.pos:])
		if unicode.IsSpace(r) || strings.ContainsRune(stops, r) {
			break
		}
		if r == '\\' {
			l.pos += n
			if l.pos == len(l.src) {
				return t, l.errorf(l.pos-n, `a backslash must be followed by the character to take as it is`)
			}
			_, n = utf8.DecodeRuneInString(l.src[l.pos:])
		} else if r == '*' {
			t.stars = append(t.stars, b.Len())
		}
		b.WriteString(l.src[l.pos : l.pos+n])
		l.pos += n
	}
	t.text = b.String()
	return t, nil
}

func (l *lexer) phrase() (token, *SyntaxError) {
	t := token{kind: tokText, pos: l.pos, quoted: true}
	var b strings.Builder
	for i := l.pos + 1; i < len(l.src); i++ {
		switch c := l.src[i]; {
		case c == '"':
			t.text, l.pos = b.String(), i+1
			return t, nil
		case c == '\\' && i+1 < len(l.src):
			i++
			b.WriteByte(l.src[i])
		default:
			b.WriteByte(c)
		}
	}
	return t, l.errorf(t.pos, `this quote is never closed`)
}
