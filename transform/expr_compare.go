package transform

import (
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Comparisons. Most conditions compare a field with a constant; those have
// closures of their own, which cost a third of the general ones.

func compileComparison(n *ast.BinaryNode) (condFn, error) {
	switch n.Operator {
	case "in":
		return compileIn(n)
	case "matches":
		return compileMatches(n)
	case "contains", "startsWith", "endsWith":
		return compileTextTest(n)
	}
	left, err := compileValue(n.Left)
	if err != nil {
		return nil, err
	}
	if want, ok := constant(n.Right); ok {
		if f := compareConstant(left, n.Operator, want); f != nil {
			return f, nil
		}
	}
	right, err := compileValue(n.Right)
	if err != nil {
		return nil, err
	}
	test, equality := orderTest(n.Operator)
	return func(s *Scratch) truth {
		a, b := left(s), right(s)
		if a.k == failure || b.k == failure {
			return s.badPair(a, b)
		}
		if equality {
			return truthOf(a.equal(b) == test(0))
		}
		o, ok := a.compare(b)
		return truthOf(ok && test(o))
	}, nil
}

func (s *Scratch) badPair(a, b value) truth {
	s.why = a.s
	if a.k != failure {
		s.why = b.s
	}
	return bad
}

// orderTest returns what an operator asks of an order; for equality, test(0)
// tells == from !=.
func orderTest(op string) (test func(int) bool, equality bool) {
	switch op {
	case "==":
		return func(o int) bool { return o == 0 }, true
	case "!=":
		return func(o int) bool { return o != 0 }, true
	case "<":
		return func(o int) bool { return o < 0 }, false
	case "<=":
		return func(o int) bool { return o <= 0 }, false
	case ">":
		return func(o int) bool { return o > 0 }, false
	}
	return func(o int) bool { return o >= 0 }, false
}

// compareConstant returns the closure for a constant on the right, or nil.
func compareConstant(left evalFn, op string, want value) condFn {
	if op == "==" || op == "!=" {
		equal := yes
		if op == "!=" {
			equal = no
		}
		differ := yes + no - equal
		if want.k == text && want.s != "" {
			return func(s *Scratch) truth {
				v := left(s)
				if v.k == text {
					if v.s == want.s {
						return equal
					}
					return differ
				}
				return s.equalSlow(v, want, equal)
			}
		}
		return func(s *Scratch) truth { return s.equalSlow(left(s), want, equal) }
	}
	if want.k != integer && want.k != float {
		return nil
	}
	test, _ := orderTest(op)
	bound, _ := want.number()
	return func(s *Scratch) truth {
		v := left(s)
		if v.k == failure {
			return s.badPair(v, v)
		}
		f, ok := v.number()
		return truthOf(ok && test(cmp(f, bound)))
	}
}

func (s *Scratch) equalSlow(v, want value, equal truth) truth {
	if v.k == failure {
		return s.badPair(v, v)
	}
	if v.equal(want) {
		return equal
	}
	return yes + no - equal
}

// compileIn compiles x in [a, b] and x in 1..5.
func compileIn(n *ast.BinaryNode) (condFn, error) {
	left, err := compileValue(n.Left)
	if err != nil {
		return nil, err
	}
	if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
		return compileRange(left, r)
	}
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return nil, at(n.Right, "in takes a list such as [\"a\", \"b\"] or a range such as 400..499")
	}
	texts := map[string]bool{}
	var others []value
	for _, e := range list.Nodes {
		v, ok := constant(e)
		if !ok {
			return nil, at(e, "a list must consist of constants")
		}
		if v.k == text {
			texts[v.s] = true
		}
		others = append(others, v)
	}
	onlyText := len(texts) == len(others)
	return func(s *Scratch) truth {
		v := left(s)
		if v.k == failure {
			return s.badPair(v, v)
		}
		if v.k == text && onlyText {
			return truthOf(texts[v.s])
		}
		for i := range others {
			if v.equal(others[i]) {
				return yes
			}
		}
		return no
	}, nil
}

func compileRange(left evalFn, r *ast.BinaryNode) (condFn, error) {
	lo, ok := constant(r.Left)
	hi, ok2 := constant(r.Right)
	from, isNumber := lo.number()
	to, isNumber2 := hi.number()
	if !ok || !ok2 || !isNumber || !isNumber2 {
		return nil, at(r, "a range must have constant bounds, such as 400..499")
	}
	return func(s *Scratch) truth {
		v := left(s)
		if v.k == failure {
			return s.badPair(v, v)
		}
		f, ok := v.number()
		return truthOf(ok && f >= from && f <= to)
	}, nil
}

func compileMatches(n *ast.BinaryNode) (condFn, error) {
	left, err := compileValue(n.Left)
	if err != nil {
		return nil, err
	}
	re, err := constRegexp(n.Right)
	if err != nil {
		return nil, err
	}
	return func(s *Scratch) truth {
		v := left(s)
		if v.k == failure {
			return s.badPair(v, v)
		}
		t, ok := s.render(v)
		if !ok {
			s.why = s.full()
			return bad
		}
		if len(t) > re.limit {
			s.why = tooLong(re.limit)
			return bad
		}
		return truthOf(re.possible(t) && re.MatchString(t))
	}, nil
}

func compileTextTest(n *ast.BinaryNode) (condFn, error) {
	left, err := compileValue(n.Left)
	if err != nil {
		return nil, err
	}
	right, err := compileValue(n.Right)
	if err != nil {
		return nil, err
	}
	test := strings.Contains
	switch n.Operator {
	case "startsWith":
		test = strings.HasPrefix
	case "endsWith":
		test = strings.HasSuffix
	}
	return func(s *Scratch) truth {
		a, b := left(s), right(s)
		if a.k == failure || b.k == failure {
			return s.badPair(a, b)
		}
		x, ok := s.render(a)
		y, ok2 := s.render(b)
		if !ok || !ok2 {
			s.why = s.full()
			return bad
		}
		return truthOf(test(x, y))
	}, nil
}
