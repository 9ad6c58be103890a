// Package formula reads arithmetic over metrics ("errors / pv") and conditions
// on them ("pv >= 100 and error_rate > 0.05"), evaluates them and writes them
// as SQL. Values are float64; NaN is no value. What is computed from no value is
// none, as is a division by zero, and no comparison with it holds.
package formula

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Limits of an expression: far above what people write, far below what makes
// recursion deep or SQL long.
const (
	MaxBytes = 1024
	MaxDepth = 32
)

// Error says where an expression is wrong.
type Error struct {
	Pos int // 1-based, in bytes
	Msg string
}

// Error returns the position and what is wrong there.
func (e *Error) Error() string { return fmt.Sprintf("position %d: %s", e.Pos, e.Msg) }

// Expr is a parsed expression. It is immutable.
type Expr struct {
	root  *node
	names []string
}

// node is an operation: a number, a name, or an operator with its operands.
type node struct {
	op    string // "number", "name", "rate", "neg", "not", or the operator
	num   float64
	name  string
	x, y  *node
	logic bool // it holds or does not, rather than has a value
}

// Number parses an arithmetic expression: numbers, names, + - * /, parentheses
// and rate(x), which is x per second of the step. The error is an *Error.
func Number(src string) (*Expr, error) { return parse(src, false) }

// Condition parses comparisons of arithmetic expressions, joined by and, or, not
// and parentheses. The error is an *Error.
func Condition(src string) (*Expr, error) { return parse(src, true) }

// IsArithmetic reports whether a text looks as if arithmetic was meant: it has an
// operator, or is rate(x).
func IsArithmetic(src string) bool {
	return strings.ContainsAny(src, "+-*/") && !strings.Contains(src, " where ") || strings.HasPrefix(strings.TrimSpace(src), "rate(")
}

// Names returns the names the expression reads, in the order of the text.
func (e *Expr) Names() []string { return e.names }

// Value evaluates an arithmetic expression. get returns the value of a name,
// seconds is the width of the step.
func (e *Expr) Value(get func(name string) float64, seconds float64) float64 {
	v := e.root.value(get, seconds)
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}

// Holds evaluates a condition.
func (e *Expr) Holds(get func(name string) float64, seconds float64) bool {
	return e.root.holds(get, seconds)
}

func (n *node) value(get func(string) float64, seconds float64) float64 {
	switch n.op {
	case "number":
		return n.num
	case "name":
		return get(n.name)
	case "neg":
		return -n.x.value(get, seconds)
	case "rate":
		return n.x.value(get, seconds) / seconds
	}
	x, y := n.x.value(get, seconds), n.y.value(get, seconds)
	switch n.op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	}
	if y == 0 {
		return math.NaN()
	}
	return x / y
}

func (n *node) holds(get func(string) float64, seconds float64) bool {
	switch n.op {
	case "and":
		return n.x.holds(get, seconds) && n.y.holds(get, seconds)
	case "or":
		return n.x.holds(get, seconds) || n.y.holds(get, seconds)
	case "not":
		return !n.x.holds(get, seconds)
	}
	x, y := n.x.value(get, seconds), n.y.value(get, seconds)
	if math.IsNaN(x) || math.IsNaN(y) {
		return false
	}
	switch n.op {
	case "==":
		return x == y
	case "!=":
		return x != y
	case "<":
		return x < y
	case "<=":
		return x <= y
	case ">":
		return x > y
	}
	return x >= y
}

// SQL writes an arithmetic expression for DuckDB. name returns the SQL of a
// name's value, seconds is the width of the step.
func (e *Expr) SQL(name func(string) string, seconds int64) string {
	return e.root.sql(name, seconds)
}

func (n *node) sql(name func(string) string, seconds int64) string {
	switch n.op {
	case "number":
		return fmt.Sprintf("%v::DOUBLE", n.num)
	case "name":
		return "(" + name(n.name) + ")::DOUBLE"
	case "neg":
		return "(-" + n.x.sql(name, seconds) + ")"
	case "rate":
		return fmt.Sprintf("(%s / %d.0::DOUBLE)", n.x.sql(name, seconds), seconds)
	case "/":
		return "(" + n.x.sql(name, seconds) + " / nullif(" + n.y.sql(name, seconds) + ", 0))"
	}
	return "(" + n.x.sql(name, seconds) + " " + n.op + " " + n.y.sql(name, seconds) + ")"
}

func (n *node) collect(into *[]string) {
	if n == nil {
		return
	}
	if n.op == "name" && !slices.Contains(*into, n.name) {
		*into = append(*into, n.name)
	}
	n.x.collect(into)
	n.y.collect(into)
}

// Split cuts a list at its commas that stand outside of parentheses and quotes.
// Parts are trimmed, empty ones dropped.
func Split(list string) []string {
	var out []string
	depth, start, quoted := 0, 0, byte(0)
	add := func(end int) {
		if part := strings.TrimSpace(list[start:end]); part != "" {
			out = append(out, part)
		}
		start = end + 1
	}
	for i := range len(list) {
		c := list[i]
		switch {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '"' || c == '\'':
			quoted = c
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == ',' && depth <= 0:
			add(i)
		}
	}
	add(len(list))
	return out
}
