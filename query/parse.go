package query

import (
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Limits of a query. The length keeps an URL usable, the depth keeps recursion
// over a filter off the end of the stack, the terms keep generated SQL short.
const (
	MaxQueryBytes = 8 << 10
	MaxQueryDepth = 64
	MaxQueryTerms = 512
)

// Parse reads the search language and returns a filter, nil for an empty query.
//
//	timeout "timed out" tim*out      words, phrases, wildcards in the message
//	service:checkout  url:/api/*     a field equals, or matches a wildcard
//	user:*                           a field is present and not empty
//	status>=500  status:>=500        comparison, numeric for a number
//	status:[400 TO 499]  rt:{1 TO *] ranges; [ ] include the end, { } do not
//	status:(500 OR 503)              several values of one field
//	/time.*out/  url~/^\/v[12]\//     regular expressions of RE2, in the message or a field
//	a b, a AND b, a OR b, NOT a, -a  and is implied and binds closer than or
//	(a OR b) c                       grouping
//
// Words and phrases ignore case; fields, wildcards and regular expressions do not.
// A regular expression matches any part. A backslash takes the next character as
// it is, save that in regular expressions only \/ is special. The error is ErrInvalid with the position in its message, and wraps a
// *SyntaxError.
func Parse(src string) (*millrace.Filter, error) {
	p := parser{lex: lexer{src: src}}
	f, err := p.parse()
	if err != nil {
		return nil, &millrace.Error{Code: millrace.ErrInvalid, Message: err.Error(), Err: err}
	}
	return f, nil
}

type parser struct {
	lex   lexer
	tok   token // the current one
	depth int
	terms int
}

func (p *parser) parse() (*millrace.Filter, *SyntaxError) {
	src := p.lex.src
	if len(src) > MaxQueryBytes {
		return nil, &SyntaxError{Pos: 1, Msg: "the query is longer than 8192 bytes"}
	}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRuneInString(src[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, p.lex.errorf(i, "the query is not valid UTF-8")
		}
		if r == 0 {
			return nil, p.lex.errorf(i, "the query contains a NUL byte")
		}
		i += n
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokEnd {
		return nil, nil
	}
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.tok.kind == tokRight {
		return nil, p.lex.errorf(p.tok.pos, "this ) closes nothing")
	}
	return f, nil
}

func (p *parser) next() *SyntaxError {
	var err *SyntaxError
	p.tok, err = p.lex.term()
	return err
}

// enter guards recursion; its callers leave by lowering depth.
func (p *parser) enter(pos int) *SyntaxError {
	if p.depth++; p.depth > MaxQueryDepth {
		return p.lex.errorf(pos, "more than %d levels of grouping", MaxQueryDepth)
	}
	return nil
}

func (p *parser) or() (*millrace.Filter, *SyntaxError) {
	if err := p.enter(p.tok.pos); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	var subs []*millrace.Filter
	for {
		f, err := p.and()
		if err != nil {
			return nil, err
		}
		subs = append(subs, f)
		if p.tok.kind != tokOr {
			return join(millrace.FilterOr, subs), nil
		}
		if err := p.operand(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) and() (*millrace.Filter, *SyntaxError) {
	var subs []*millrace.Filter
	for {
		f, err := p.not()
		if err != nil {
			return nil, err
		}
		subs = append(subs, f)
		switch p.tok.kind {
		case tokAnd:
			if err := p.operand(); err != nil {
				return nil, err
			}
		case tokEnd, tokOr, tokRight:
			return join(millrace.FilterAnd, subs), nil
		}
	}
}

// operand steps over an operator and insists that something follows.
func (p *parser) operand() *SyntaxError {
	op := p.tok
	if err := p.next(); err != nil {
		return err
	}
	switch p.tok.kind {
	case tokEnd, tokAnd, tokOr, tokRight:
		return p.lex.errorf(op.pos, "%s must be followed by a term", op.text)
	}
	return nil
}

func (p *parser) not() (*millrace.Filter, *SyntaxError) {
	if p.tok.kind != tokNot {
		return p.primary()
	}
	if err := p.enter(p.tok.pos); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if err := p.operand(); err != nil {
		return nil, err
	}
	f, err := p.not()
	if err != nil {
		return nil, err
	}
	return &millrace.Filter{Op: millrace.FilterNot, Sub: []*millrace.Filter{f}}, nil
}

func (p *parser) primary() (*millrace.Filter, *SyntaxError) {
	t := p.tok
	if p.terms++; p.terms > MaxQueryTerms {
		return nil, p.lex.errorf(t.pos, "more than %d terms", MaxQueryTerms)
	}
	switch t.kind {
	case tokLeft:
		return p.group()
	case tokField:
		f, err := p.fieldValue(t)
		if err != nil {
			return nil, err
		}
		return f, p.next()
	case tokRegexp:
		f, err := p.regexp("message", t)
		if err != nil {
			return nil, err
		}
		return f, p.next()
	case tokText:
		f, err := p.word(t)
		if err != nil {
			return nil, err
		}
		return f, p.next()
	case tokEnd:
		return nil, p.lex.errorf(t.pos, "the query ends where a term must stand")
	}
	return nil, p.lex.errorf(t.pos, "%q stands where a term must stand", t.text)
}

func (p *parser) group() (*millrace.Filter, *SyntaxError) {
	open := p.tok
	if err := p.next(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokRight {
		return nil, p.lex.errorf(open.pos, "these parentheses are empty")
	}
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokRight {
		return nil, p.lex.errorf(open.pos, "this ( is never closed")
	}
	return f, p.next()
}

// word matches the message: each part between wildcards must occur in order.
func (p *parser) word(t token) (*millrace.Filter, *SyntaxError) {
	if t.text == "" && !t.quoted {
		return nil, p.lex.errorf(t.pos, "%q stands where a term must stand", p.lex.src[t.pos:t.pos+1])
	}
	return messageFilter(p, t)
}

func (p *parser) regexp(field string, t token) (*millrace.Filter, *SyntaxError) {
	f, err := millrace.NewRegexp(field, t.text)
	if err != nil {
		return nil, p.lex.errorf(t.pos, "%s", err)
	}
	return f, nil
}

func messageFilter(p *parser, t token) (*millrace.Filter, *SyntaxError) {
	t = trimStars(t)
	if len(t.stars) == 0 {
		return &millrace.Filter{Op: millrace.FilterText, Value: t.text}, nil
	}
	if err := p.checkStars(t); err != nil {
		return nil, err
	}
	return &millrace.Filter{Op: millrace.FilterGlob, Field: "message", Value: "*" + t.text + "*"}, nil
}

// trimStars drops wildcards at the ends, which mean nothing where any part of
// the message may match.
func trimStars(t token) token {
	for len(t.stars) > 0 && t.stars[0] == 0 {
		t.text, t.stars = t.text[1:], shift(t.stars[1:])
	}
	for n := len(t.stars); n > 0 && t.stars[n-1] == len(t.text)-1; n-- {
		t.text, t.stars = t.text[:len(t.text)-1], t.stars[:n-1]
	}
	return t
}

func shift(stars []int) []int {
	out := make([]int, len(stars))
	for i, s := range stars {
		out[i] = s - 1
	}
	return out
}

// checkStars refuses a pattern in which some * are wildcards and some are not:
// a filter has no way to say so.
func (p *parser) checkStars(t token) *SyntaxError {
	if strings.Count(t.text, "*") != len(t.stars) {
		return p.lex.errorf(t.pos, `a wildcard and an escaped \* cannot stand in one value`)
	}
	return nil
}

func (p *parser) fieldValue(field token) (*millrace.Filter, *SyntaxError) {
	if field.op == millrace.FilterRegexp {
		t, ok := p.lex.regexp()
		if !ok {
			return nil, p.lex.errorf(p.lex.pos, `%s~ must be followed by a regular expression between slashes; a slash in it is written \/`, field.text)
		}
		return p.regexp(field.text, t)
	}
	v, err := p.lex.value()
	if err != nil {
		return nil, err
	}
	if field.op != millrace.FilterEq {
		return p.compare(field, v)
	}
	switch v.kind {
	case tokLeft:
		return p.values(field, v)
	case tokLBrack, tokLBrace:
		return p.rangeOf(field, v)
	}
	if v.text == "" && !v.quoted {
		return nil, p.lex.errorf(v.pos, `%s: must be followed by a value; %s:"" finds rows without it`, field.text, field.text)
	}
	return p.equal(field.text, v)
}

func (p *parser) equal(name string, v token) (*millrace.Filter, *SyntaxError) {
	switch {
	case len(v.stars) > 0 && strings.Trim(v.text, "*") == "" && len(v.stars) == len(v.text):
		return &millrace.Filter{Op: millrace.FilterNe, Field: name}, nil
	case name == "message":
		return messageFilter(p, v)
	case len(v.stars) > 0:
		if err := p.checkStars(v); err != nil {
			return nil, err
		}
		return &millrace.Filter{Op: millrace.FilterGlob, Field: name, Value: v.text}, nil
	}
	return &millrace.Filter{Op: millrace.FilterEq, Field: name, Value: v.text}, nil
}

func (p *parser) compare(field, v token) (*millrace.Filter, *SyntaxError) {
	if v.kind != tokText || v.text == "" && !v.quoted {
		return nil, p.lex.errorf(v.pos, "a comparison of %s needs one value", field.text)
	}
	if len(v.stars) > 0 {
		return nil, p.lex.errorf(v.pos, "a comparison takes no wildcards")
	}
	return &millrace.Filter{Op: field.op, Field: field.text, Value: v.text}, nil
}

// values reads (a OR b "c d"): any of several values of one field. Values side
// by side are alternatives too, since one field has one value.
func (p *parser) values(field, open token) (*millrace.Filter, *SyntaxError) {
	var subs []*millrace.Filter
	for {
		p.lex.space()
		if strings.HasPrefix(p.lex.src[p.lex.pos:], ")") {
			p.lex.pos++
			break
		}
		v, err := p.lex.text(rangeStops)
		if err != nil {
			return nil, err
		}
		if v.text == "" && !v.quoted {
			if v.pos == len(p.lex.src) {
				return nil, p.lex.errorf(open.pos, "this ( is never closed")
			}
			return nil, p.lex.errorf(v.pos, "only values and OR may stand in %s:( )", field.text)
		}
		if !v.quoted && (v.text == "OR" || v.text == "||") {
			continue
		}
		if !v.quoted && (v.text == "AND" || v.text == "NOT" || v.text == "&&") {
			return nil, p.lex.errorf(v.pos, "only values and OR may stand in %s:( )", field.text)
		}
		if p.terms++; p.terms > MaxQueryTerms {
			return nil, p.lex.errorf(v.pos, "more than %d terms", MaxQueryTerms)
		}
		f, err := p.equal(field.text, v)
		if err != nil {
			return nil, err
		}
		subs = append(subs, f)
	}
	if len(subs) == 0 {
		return nil, p.lex.errorf(open.pos, "these parentheses are empty")
	}
	return join(millrace.FilterOr, subs), nil
}

// rangeOf reads "low TO high]" after the opening bracket; * leaves an end open.
func (p *parser) rangeOf(field, open token) (*millrace.Filter, *SyntaxError) {
	low, err := p.rangeEnd(open)
	if err != nil {
		return nil, err
	}
	p.lex.space()
	to, err := p.lex.text(rangeStops)
	if err != nil {
		return nil, err
	}
	if to.quoted || to.text != "TO" {
		return nil, p.lex.errorf(to.pos, "a range is written [low TO high]")
	}
	high, err := p.rangeEnd(open)
	if err != nil {
		return nil, err
	}
	p.lex.space()
	var closing byte
	if p.lex.pos < len(p.lex.src) {
		closing = p.lex.src[p.lex.pos]
	}
	if closing != ']' && closing != '}' {
		return nil, p.lex.errorf(p.lex.pos, "the range that starts at position %d must end with ] or }",
			utf8.RuneCountInString(p.lex.src[:open.pos])+1)
	}
	p.lex.pos++
	ops := [2]millrace.FilterOp{millrace.FilterGe, millrace.FilterLe}
	if open.kind == tokLBrace {
		ops[0] = millrace.FilterGt
	}
	if closing == '}' {
		ops[1] = millrace.FilterLt
	}
	var subs []*millrace.Filter
	for i, end := range []token{low, high} {
		if len(end.stars) == 0 {
			subs = append(subs, &millrace.Filter{Op: ops[i], Field: field.text, Value: end.text})
		}
	}
	if len(subs) == 0 { // [* TO *]: present
		return &millrace.Filter{Op: millrace.FilterNe, Field: field.text}, nil
	}
	return join(millrace.FilterAnd, subs), nil
}

func (p *parser) rangeEnd(open token) (token, *SyntaxError) {
	p.lex.space()
	t, err := p.lex.text(rangeStops)
	switch {
	case err != nil:
		return t, err
	case t.text == "" && !t.quoted:
		return t, p.lex.errorf(open.pos, "a range is written [low TO high], with * for an open end")
	case len(t.stars) > 0 && t.text != "*":
		return t, p.lex.errorf(t.pos, "an end of a range is a value or *")
	}
	return t, nil
}

func join(op millrace.FilterOp, subs []*millrace.Filter) *millrace.Filter {
	if len(subs) == 1 {
		return subs[0]
	}
	return &millrace.Filter{Op: op, Sub: subs}
}

// Term returns name:value in the search language, quoted where needed, so that
// Parse gives back an equality of exactly that value.
func Term(name, value string) string {
	plain := value != ""
	for _, r := range value {
		if r <= ' ' || r == 0x7f || strings.ContainsRune(`()[]{}"*\<>`, r) || r > 0x7e {
			plain = false
		}
	}
	if plain {
		return name + ":" + value
	}
	return name + `:"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}
