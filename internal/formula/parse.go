package formula

import (
	"fmt"
	"strconv"
	"strings"
)

type parser struct {
	src   string
	pos   int
	tok   string // the current token, "" at the end
	start int    // where it begins
	depth int
	err   *Error
}

func parse(src string, logic bool) (*Expr, error) {
	if len(src) > MaxBytes {
		return nil, &Error{1, fmt.Sprintf("the expression has %d bytes, over %d", len(src), MaxBytes)}
	}
	p := &parser{src: src}
	p.next()
	root := p.binary(0)
	switch {
	case p.err != nil:
	case p.tok != "":
		p.fail("%q stands where the expression should end", p.tok)
	case logic && !root.logic:
		p.pos = 0
		p.start = 0
		p.fail("a condition is a comparison such as pv > 100")
	case !logic && root.logic:
		p.start = 0
		p.fail("a metric is a value such as errors / pv, not a comparison")
	}
	if p.err != nil {
		return nil, p.err
	}
	e := &Expr{root: root}
	root.collect(&e.names)
	return e, nil
}

// fail notes the first error and moves to the end, so that parsing stops.
func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = &Error{p.start + 1, fmt.Sprintf(format, args...)}
	}
	p.tok, p.pos = "", len(p.src)
}

// operators by precedence, the loosest first.
var operators = [][]string{{"or"}, {"and"}, {"==", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/"}}

// levels of operators whose operands are conditions, and the one that makes them.
const (
	logicLevels = 2
	comparison  = 2
)

// binary parses operators of a level and tighter ones.
func (p *parser) binary(level int) *node {
	if level == len(operators) {
		return p.unary()
	}
	x := p.binary(level + 1)
	for p.err == nil {
		op, at := p.operator(level), p.start
		if op == "" {
			return x
		}
		p.next()
		y := p.binary(level + 1)
		if p.err != nil {
			return x
		}
		wants := level < logicLevels
		if x.logic != wants || y.logic != wants {
			p.start = at
			if wants {
				p.fail("%s joins comparisons", op)
			} else {
				p.fail("%s takes values, not comparisons", op)
			}
			return x
		}
		x = &node{op: op, x: x, y: y, logic: level <= comparison}
		if level == comparison && p.operator(level) != "" {
			p.fail("comparisons are joined by and, such as a > 1 and a < 2")
		}
	}
	return x
}

// operator returns the current token's operator if it is one of a level.
func (p *parser) operator(level int) string {
	op := p.tok
	switch op {
	case "&&", "AND":
		op = "and"
	case "||", "OR":
		op = "or"
	case "=":
		op = "=="
	}
	for _, o := range operators[level] {
		if o == op {
			return o
		}
	}
	return ""
}

func (p *parser) unary() *node {
	if p.depth++; p.depth > MaxDepth {
		p.fail("more than %d levels", MaxDepth)
	}
	defer func() { p.depth-- }()
	at := p.start
	switch p.tok {
	case "-":
		p.next()
		return p.wrap("neg", at, p.unary(), false)
	case "not", "NOT", "!":
		p.next()
		if p.tok != "(" && p.tok != "not" && p.tok != "NOT" && p.tok != "!" { // not a > 1
			return p.wrap("not", at, p.binary(comparison), true)
		}
		return p.wrap("not", at, p.unary(), true)
	}
	return p.primary()
}

// wrap makes an operation of one operand.
func (p *parser) wrap(op string, at int, x *node, logic bool) *node {
	if p.err == nil && x.logic != logic {
		p.start = at
		p.fail("%s does not fit what follows it", p.src[at:min(len(p.src), at+3)])
	}
	return &node{op: op, x: x, logic: logic}
}

func (p *parser) primary() *node {
	tok := p.tok
	switch {
	case tok == "":
		p.fail("the expression ends where a metric or number must stand")
	case tok == "(":
		p.next()
		x := p.binary(0)
		p.expect(")")
		return x
	case isDigit(tok[0]) || tok[0] == '.':
		f, err := strconv.ParseFloat(tok, 64)
		if err != nil {
			p.fail("%q is no number", tok)
		}
		p.next()
		return &node{op: "number", num: f}
	case isLetter(tok[0]):
		at := p.start
		p.next()
		if p.tok != "(" {
			return &node{op: "name", name: tok}
		}
		if tok != "rate" {
			p.start = at
			p.fail("%s( ) is no function of metrics; there is rate(metric)", tok)
			break
		}
		p.next()
		x := p.wrap("rate", at, p.binary(0), false)
		p.expect(")")
		return x
	default:
		p.fail("%q stands where a metric or number must stand", tok)
	}
	return &node{}
}

func (p *parser) expect(tok string) {
	if p.err == nil && p.tok != tok {
		p.fail("%q is missing here", tok)
		return
	}
	p.next()
}

// next reads a token: a name, a number, or an operator of one or two characters.
func (p *parser) next() {
	for p.pos < len(p.src) && strings.IndexByte(" \t\r\n", p.src[p.pos]) >= 0 {
		p.pos++
	}
	p.start = p.pos
	rest := p.src[p.pos:]
	n := 0
	switch {
	case rest == "":
	case isLetter(rest[0]):
		n = nameLen(rest)
	case isDigit(rest[0]) || rest[0] == '.':
		n = numberLen(rest)
	case len(rest) > 1 && isPair(rest[:2]):
		n = 2
	default:
		n = 1
	}
	p.tok = rest[:n]
	p.pos += n
}

func isPair(s string) bool {
	switch s {
	case "==", "!=", "<=", ">=", "&&", "||":
		return true
	}
	return false
}

// nameLen measures a name, which may end in a fraction: rt_p99.9.
func nameLen(s string) int {
	n := 0
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
		n++
	}
	if n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) && isDigit(s[n-1]) {
		for n++; n < len(s) && isDigit(s[n]); n++ {
			continue
		}
	}
	return n
}

func numberLen(s string) int {
	n := 0
	for n < len(s) && (isDigit(s[n]) || s[n] == '.') {
		n++
	}
	if n < len(s) && s[n]|0x20 == 'e' {
		m := n + 1
		if m < len(s) && (s[m] == '+' || s[m] == '-') {
			m++
		}
		if m < len(s) && isDigit(s[m]) {
			for n = m; n < len(s) && isDigit(s[n]); n++ {
				continue
			}
		}
	}
	return n
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
