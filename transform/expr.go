package transform

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// Expressions have expr-lang's syntax. Its parser makes the tree, and this file
// closures of it: a filter runs for every event, and the language's virtual
// machine costs fifteen times as much (see rollup/where.go). What could loop or
// allocate without bound (map, filter, reduce, ranges as values, lists, let) is
// not compiled, so that every expression is evaluated in one pass over a tree
// of at most MaxNodes nodes.

// evalFn computes a value from the current event.
type evalFn func(*Scratch) value

// condFn decides; bad means that the expression gave neither true nor false,
// s.why says what.
type condFn func(*Scratch) truth

type truth uint8

const (
	no truth = iota
	yes
	bad
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// exprError is a violation within an expression.
type exprError struct {
	column int // from 1, in characters; 0 if unknown
	msg    string
}

func (e *exprError) Error() string {
	if e.column > 0 {
		return fmt.Sprintf("at character %d: %s", e.column, e.msg)
	}
	return e.msg
}

func at(n ast.Node, format string, args ...any) error {
	return &exprError{n.Location().From + 1, fmt.Sprintf(format, args...)}
}

// parseExpr returns the tree of src.
func parseExpr(src string) (ast.Node, error) {
	if strings.TrimSpace(src) == "" {
		return nil, &exprError{0, "must be an expression such as status >= 500"}
	}
	if len(src) > MaxExpression {
		return nil, &exprError{0, fmt.Sprintf("has %d bytes; an expression must have at most %d", len(src), MaxExpression)}
	}
	if !utf8.ValidString(src) {
		return nil, &exprError{0, "must be UTF-8"}
	}
	config := conf.CreateNew()
	config.MaxNodes = MaxNodes
	tree, err := new(parser.Parser).Parse(src, config)
	if err != nil {
		var e *file.Error
		if errors.As(err, &e) {
			if strings.Contains(e.Message, "maximum allowed nodes") {
				return nil, &exprError{0, fmt.Sprintf("is too large; an expression must have at most %d operators, names and constants", MaxNodes)}
			}
			return nil, &exprError{e.From + 1, e.Message}
		}
		return nil, &exprError{0, err.Error()}
	}
	return tree.Node, nil
}

// compileExpr returns what computes src.
func compileExpr(src string) (evalFn, error) {
	n, err := parseExpr(src)
	if err != nil {
		return nil, err
	}
	return compileValue(n)
}

// compileCond returns what decides src.
func compileCond(src string) (condFn, error) {
	n, err := parseExpr(src)
	if err != nil {
		return nil, err
	}
	return compileTruth(n)
}

// compileTruth compiles what is used as a condition.
func compileTruth(n ast.Node) (condFn, error) {
	switch n := n.(type) {
	case *ast.BoolNode:
		t := truthOf(n.Value)
		return func(*Scratch) truth { return t }, nil
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			f, err := compileTruth(n.Node)
			return func(s *Scratch) truth {
				switch f(s) {
				case yes:
					return no
				case no:
					return yes
				}
				return bad
			}, err
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||":
			return compileJunction(n)
		case "==", "!=", "<", "<=", ">", ">=", "in", "contains", "startsWith", "endsWith", "matches":
			return compileComparison(n)
		}
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.ArrayNode:
		return nil, at(n, "must be a condition, true or false")
	}
	f, err := compileValue(n)
	if err != nil {
		return nil, err
	}
	return func(s *Scratch) truth {
		v := f(s)
		switch v.k {
		case boolean:
			return truthOf(v.n == 1)
		case null:
			return no
		case failure:
			s.why = v.s
		case text:
			if v.s == "true" || v.s == "false" { // an extracted text
				return truthOf(v.s == "true")
			}
			s.why = "the condition is a text, neither true nor false"
		default:
			s.why = "the condition is neither true nor false"
		}
		return bad
	}, nil
}

func compileJunction(n *ast.BinaryNode) (condFn, error) {
	a, err := compileTruth(n.Left)
	if err != nil {
		return nil, err
	}
	b, err := compileTruth(n.Right)
	if err != nil {
		return nil, err
	}
	decides := yes
	if n.Operator == "and" || n.Operator == "&&" {
		decides = no
	}
	return func(s *Scratch) truth {
		if t := a(s); t == decides || t == bad {
			return t
		}
		return b(s)
	}, nil
}

// compileValue compiles what is used for its value.
func compileValue(n ast.Node) (evalFn, error) {
	switch n := n.(type) {
	case *ast.NilNode, *ast.StringNode, *ast.IntegerNode, *ast.FloatNode:
		v, _ := constant(n)
		return func(*Scratch) value { return v }, nil
	case *ast.IdentifierNode:
		return compileField(n.Value), nil
	case *ast.MemberNode, *ast.ChainNode:
		return compileMember(n)
	case *ast.ConditionalNode:
		return compileTernary(n)
	case *ast.BinaryNode:
		return compileBinary(n)
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			return compileSign(n)
		}
		return truthAsValue(n)
	case *ast.BoolNode:
		return truthAsValue(n)
	case *ast.SliceNode:
		return compileSlice(n)
	case *ast.BuiltinNode:
		return compileCall(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			return compileCall(n, id.Value, n.Arguments)
		}
	case *ast.ArrayNode:
		return nil, at(n, "a list may only stand right of in")
	}
	return nil, at(n, "%s is not supported here; see the reference for what is", describe(n))
}

// describe names what is written, shortly.
func describe(n ast.Node) string {
	s := n.String()
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "…"
	}
	return "`" + s + "`"
}

func truthAsValue(n ast.Node) (evalFn, error) {
	f, err := compileTruth(n)
	return func(s *Scratch) value {
		switch f(s) {
		case yes:
			return boolValue(true)
		case no:
			return boolValue(false)
		}
		return fail(s.why)
	}, err
}

func constant(n ast.Node) (value, bool) {
	switch n := n.(type) {
	case *ast.NilNode:
		return value{}, true
	case *ast.StringNode:
		return textValue(n.Value), true
	case *ast.IntegerNode:
		return intValue(int64(n.Value)), true
	case *ast.FloatNode:
		return floatValue(n.Value), true
	case *ast.BoolNode:
		return boolValue(n.Value), true
	case *ast.UnaryNode:
		if v, ok := constant(n.Node); ok && n.Operator == "-" && (v.k == integer || v.k == float) {
			return negate(v), true
		}
	}
	return value{}, false
}

func negate(v value) value {
	if v.k == integer && v.n != 1<<63 {
		return intValue(-int64(v.n))
	}
	f, _ := v.number()
	return floatValue(-f)
}

func compileField(name string) evalFn {
	f := fieldOf(name)
	if f.col == colAttr {
		return func(s *Scratch) value { return attr(s, name) }
	}
	return func(s *Scratch) value { return f.get(s.e) }
}

func attr(s *Scratch, name string) value {
	attrs := s.e.Attrs
	for i := range attrs {
		if attrs[i].Key == name {
			return fromValue(&attrs[i].Value)
		}
	}
	return value{}
}

// fieldName returns the name a node stands for: a, a.b (the attribute "a.b", as
// nested JSON is stored) or attrs["any name"].
func fieldName(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.ChainNode:
		return fieldName(n.Node)
	case *ast.IdentifierNode:
		return n.Value, true
	case *ast.MemberNode:
		property, ok := n.Property.(*ast.StringNode)
		if !ok || n.Method {
			return "", false
		}
		if id, ok := n.Node.(*ast.IdentifierNode); ok && id.Value == "attrs" {
			return property.Value, true
		}
		left, ok := fieldName(n.Node)
		return left + "." + property.Value, ok
	}
	return "", false
}

func compileMember(n ast.Node) (evalFn, error) {
	if name, ok := fieldName(n); ok {
		return compileField(name), nil
	}
	if m, ok := n.(*ast.MemberNode); ok {
		if f, err := compileSplit(m); f != nil || err != nil {
			return f, err
		}
	}
	return nil, at(n, "must be a field such as status, user.id or attrs[\"a name\"]")
}

// compileSplit compiles split(text, separator)[i] without making the list.
func compileSplit(m *ast.MemberNode) (evalFn, error) {
	call, ok := m.Node.(*ast.BuiltinNode)
	if !ok || call.Name != "split" {
		return nil, nil
	}
	if len(call.Arguments) != 2 {
		return nil, at(call, "split takes a text and a separator")
	}
	return compileCall(call, "part", append(call.Arguments[:2:2], m.Property))
}

func compileTernary(n *ast.ConditionalNode) (evalFn, error) {
	cond, err := compileTruth(n.Cond)
	if err != nil {
		return nil, err
	}
	a, err := compileValue(n.Exp1)
	if err != nil {
		return nil, err
	}
	b, err := compileValue(n.Exp2)
	if err != nil {
		return nil, err
	}
	return func(s *Scratch) value {
		switch cond(s) {
		case yes:
			return a(s)
		case no:
			return b(s)
		}
		return fail(s.why)
	}, nil
}

func compileSign(n *ast.UnaryNode) (evalFn, error) {
	f, err := compileValue(n.Node)
	minus := n.Operator == "-"
	return func(s *Scratch) value {
		v := f(s)
		if v.k == null || v.k == failure {
			return v
		}
		v, ok := asNumber(v)
		if !ok {
			return fail(notNumber)
		}
		if minus {
			return negate(v)
		}
		return v
	}, err
}

// constRegexp compiles the pattern right of matches.
func constRegexp(n ast.Node) (*matcher, error) {
	pattern, ok := n.(*ast.StringNode)
	if !ok {
		return nil, at(n, "the pattern of matches must be a constant text")
	}
	re, err := compileRegexp(pattern.Value)
	if err != nil {
		return nil, at(n, "%v", err)
	}
	return re, nil
}
