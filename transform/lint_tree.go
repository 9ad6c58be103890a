package transform

import (
	"regexp/syntax"
	"slices"
)

// anchored reports whether every match starts at the beginning of the text or,
// with (?m), of a line in it.
func anchored(r *syntax.Regexp) bool {
	switch r.Op {
	case syntax.OpBeginText, syntax.OpBeginLine:
		return true
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range r.Sub {
			if sub.Op != syntax.OpEmptyMatch {
				return anchored(sub)
			}
		}
	case syntax.OpAlternate:
		return !slices.ContainsFunc(r.Sub, func(s *syntax.Regexp) bool { return !anchored(s) })
	}
	return false
}

// bounded reports whether it is said where in a line a match starts: at a word's
// edge, or behind one of several things of which the line's start is one.
func bounded(r *syntax.Regexp) bool {
	switch r.Op {
	case syntax.OpBeginText, syntax.OpBeginLine, syntax.OpWordBoundary:
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return len(r.Sub) > 0 && bounded(r.Sub[0])
	case syntax.OpAlternate:
		return slices.ContainsFunc(r.Sub, bounded)
	}
	return false
}

// leading reports whether a pattern starts with .*
func leading(r *syntax.Regexp) bool {
	for (r.Op == syntax.OpConcat || r.Op == syntax.OpCapture) && len(r.Sub) > 0 {
		r = r.Sub[0]
	}
	return isRepeat(r) && isDot(r.Sub[0])
}

func count(r *syntax.Regexp, is func(*syntax.Regexp) bool) int {
	n := 0
	if is(r) {
		n = 1
	}
	for _, sub := range r.Sub {
		n += count(sub, is)
	}
	return n
}

// isDotStar is .* or .+; the lazy .*? names what ends it.
func isDotStar(r *syntax.Regexp) bool {
	return (r.Op == syntax.OpStar || r.Op == syntax.OpPlus) && r.Flags&syntax.NonGreedy == 0 && isDot(r.Sub[0])
}

func isDot(r *syntax.Regexp) bool {
	return r.Op == syntax.OpAnyChar || r.Op == syntax.OpAnyCharNotNL
}

func isRepeat(r *syntax.Regexp) bool {
	return r.Op == syntax.OpStar || r.Op == syntax.OpPlus
}

// nested reports whether a repetition's body is nothing but a repetition, or
// starts and ends with ones that take the same.
func nested(r *syntax.Regexp, inside bool) bool {
	if inside && isRepeat(r) {
		return true
	}
	if isRepeat(r) {
		inside = true
	} else if r.Op != syntax.OpCapture {
		inside = false
	}
	return slices.ContainsFunc(r.Sub, func(s *syntax.Regexp) bool { return nested(s, inside) })
}

// touching returns what two neighbouring repetitions both take, or "".
func touching(r *syntax.Regexp) string {
	if r.Op == syntax.OpConcat {
		for i := 1; i < len(r.Sub); i++ {
			a, b := repeated(r.Sub[i-1]), repeated(r.Sub[i])
			if a != nil && b != nil && !evident(a, b) && overlap(a.Sub[0], b.Sub[0]) {
				return b.Sub[0].String()
			}
		}
	}
	for _, sub := range r.Sub {
		if name := touching(sub); name != "" {
			return name
		}
	}
	return ""
}

// evident reports whether it is plain where repetition a ends and b starts although
// both take the same: a takes as little as it can, or a takes all it can and b
// what is left, which may be nothing, as in \s*.*
func evident(a, b *syntax.Regexp) bool {
	if a.Flags&syntax.NonGreedy != 0 {
		return true
	}
	return b.Op == syntax.OpStar && subset(a.Sub[0], b.Sub[0])
}

// subset reports whether b takes every character that a takes.
func subset(a, b *syntax.Regexp) bool {
	if isDot(a) || isDot(b) {
		return isDot(b)
	}
	for i := 0; i+1 < len(a.Rune); i += 2 {
		in := false
		for j := 0; j+1 < len(b.Rune); j += 2 {
			in = in || b.Rune[j] <= a.Rune[i] && a.Rune[i+1] <= b.Rune[j+1]
		}
		if !in {
			return false
		}
	}
	return true
}

// repeated returns the repetition of a class that r is, nil if it is none.
func repeated(r *syntax.Regexp) *syntax.Regexp {
	for r.Op == syntax.OpCapture {
		r = r.Sub[0]
	}
	if !isRepeat(r) || r.Sub[0].Op != syntax.OpCharClass && !isDot(r.Sub[0]) {
		return nil
	}
	return r
}

func overlap(a, b *syntax.Regexp) bool {
	if isDot(a) || isDot(b) {
		return true
	}
	for i := 0; i+1 < len(a.Rune); i += 2 {
		for j := 0; j+1 < len(b.Rune); j += 2 {
			if a.Rune[i] <= b.Rune[j+1] && b.Rune[j] <= a.Rune[i+1] {
				return true
			}
		}
	}
	return false
}
