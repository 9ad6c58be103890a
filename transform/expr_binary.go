package transform

import (
	"math"
	"strconv"

	"github.com/expr-lang/expr/ast"
)

// Why arithmetic fails.
const (
	notNumber  = "arithmetic with what is no number"
	divideZero = "a division by zero"
	notFinite  = "a number that is too large"
	longText   = "a computed text of more than 64 KiB"
)

// asNumber returns a value for arithmetic: text counts if it is a number.
func asNumber(v value) (value, bool) {
	switch v.k {
	case integer:
		return v, true
	case float:
		return floatValue(math.Float64frombits(v.n)), true // without the spelling
	case text:
		if len(v.s) < 19 && looksInteger(v.s) {
			if i, err := strconv.ParseInt(v.s, 10, 64); err == nil {
				return intValue(i), true
			}
		}
		if f, ok := parseFloat(v.s); ok {
			return floatValue(f), true
		}
	}
	return value{}, false
}

func looksInteger(s string) bool {
	if s != "" && s[0] == '-' {
		s = s[1:]
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func compileBinary(n *ast.BinaryNode) (evalFn, error) {
	switch n.Operator {
	case "+", "-", "*", "/", "%", "**", "^", "??":
	case "..", "|":
		return nil, at(n, "%s is not supported here", n.Operator)
	default:
		return truthAsValue(n)
	}
	a, err := compileValue(n.Left)
	if err != nil {
		return nil, err
	}
	b, err := compileValue(n.Right)
	if err != nil {
		return nil, err
	}
	if n.Operator == "??" {
		return func(s *Scratch) value {
			if v := a(s); v.k != null {
				return v
			}
			return b(s)
		}, nil
	}
	op := n.Operator[0]
	if n.Operator == "**" {
		op = '^'
	}
	return func(s *Scratch) value { return s.arithmetic(op, a(s), b(s)) }, nil
}

// arithmetic: nothing stays nothing, a failure a failure. Text + text joins.
func (s *Scratch) arithmetic(op byte, a, b value) value {
	switch {
	case a.k == failure:
		return a
	case b.k == failure:
		return b
	case a.k == null || b.k == null:
		return value{}
	case op == '+' && a.k == text && b.k == text:
		return s.join(a.s, b.s)
	}
	x, ok := asNumber(a)
	y, ok2 := asNumber(b)
	if !ok || !ok2 {
		return fail(notNumber)
	}
	if x.k == integer && y.k == integer && op != '/' && op != '^' {
		if v, ok := integerOp(op, int64(x.n), int64(y.n)); ok {
			return v
		}
	}
	f, _ := x.number()
	g, _ := y.number()
	return floatOp(op, f, g)
}

// integerOp is false where the result needs a float.
func integerOp(op byte, a, b int64) (value, bool) {
	switch op {
	case '+':
		c := a + b
		return intValue(c), (c > a) == (b > 0)
	case '-':
		c := a - b
		return intValue(c), (c < a) == (b > 0)
	case '*':
		if a == 0 || b == 0 {
			return intValue(0), true
		}
		c := a * b
		return intValue(c), c/b == a && (a != -1 || b != math.MinInt64) && (b != -1 || a != math.MinInt64)
	case '%':
		if b == 0 {
			return fail(divideZero), true
		}
		return intValue(a % b), true
	}
	return value{}, false
}

func floatOp(op byte, a, b float64) value {
	var f float64
	switch op {
	case '+':
		f = a + b
	case '-':
		f = a - b
	case '*':
		f = a * b
	case '/', '%':
		if b == 0 {
			return fail(divideZero)
		}
		if f = a / b; op == '%' {
			f = math.Mod(a, b)
		}
	case '^':
		f = math.Pow(a, b)
	}
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return fail(notFinite)
	}
	return floatValue(f)
}

func (s *Scratch) join(a, b string) value {
	if a == "" || b == "" {
		return textValue(a + b) // no copy
	}
	if len(a)+len(b) > MaxText {
		return fail(longText)
	}
	dst, ok := s.alloc(len(a) + len(b))
	if !ok {
		return fail(s.full())
	}
	return textValue(asString(append(append(dst, a...), b...)))
}

// compileSlice compiles text[from:to]. Bounds count bytes; a character that a
// bound would cut stays out. Negative bounds count from the end.
func compileSlice(n *ast.SliceNode) (evalFn, error) {
	f, err := compileValue(n.Node)
	if err != nil {
		return nil, err
	}
	bound := func(b ast.Node, none evalFn) (evalFn, error) {
		if b == nil {
			return none, nil
		}
		return compileValue(b)
	}
	from, err := bound(n.From, func(*Scratch) value { return intValue(0) })
	if err != nil {
		return nil, err
	}
	to, err := bound(n.To, func(*Scratch) value { return intValue(math.MaxInt64) })
	if err != nil {
		return nil, err
	}
	return func(s *Scratch) value {
		v, i, j := f(s), from(s), to(s)
		if v.k == null || v.k == failure {
			return v
		}
		t, ok := s.render(v)
		if !ok {
			return fail(s.full())
		}
		if i.k != integer || j.k != integer {
			return fail("a bound that is no whole number")
		}
		return textValue(cut(t, int64(i.n), int64(j.n)))
	}, nil
}

func cut(t string, from, to int64) string {
	n := int64(len(t))
	if from < 0 {
		from += n
	}
	if to < 0 {
		to += n
	}
	from, to = min(max(from, 0), n), min(max(to, 0), n)
	for from < n && isContinuation(t[from]) {
		from++
	}
	for to > from && to < n && isContinuation(t[to]) {
		to--
	}
	if from >= to {
		return ""
	}
	return t[from:to]
}

func isContinuation(c byte) bool { return c&0xC0 == 0x80 }
