package transform

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// compileRegexp compiles a pattern within the bounds and returns the size of
// its program, in instructions.
func compileRegexp(pattern string) (*regexp.Regexp, int, error) {
	if pattern == "" {
		return nil, 0, fmt.Errorf("must be a regular expression, not empty")
	}
	if len(pattern) > MaxPattern {
		return nil, 0, fmt.Errorf("has %d bytes; a pattern must have at most %d", len(pattern), MaxPattern)
	}
	return compileExpanded(pattern)
}

func compileExpanded(pattern string) (*regexp.Regexp, int, error) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, 0, fmt.Errorf("is no regular expression (RE2): %w", err)
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, 0, fmt.Errorf("is no regular expression (RE2): %w", err)
	}
	if len(prog.Inst) > MaxProgram {
		return nil, 0, fmt.Errorf("compiles to %d instructions; must be at most %d: repeat less, or split the pattern", len(prog.Inst), MaxProgram)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, 0, fmt.Errorf("is no regular expression (RE2): %w", err)
	}
	return re, len(prog.Inst), nil
}

// inputLimit is how many bytes a pattern reads: RE2's time grows with the
// product of both.
func inputLimit(size int) int { return min(MaxInput, maxWork/max(size, 1)) }

func tooLong(limit int) string {
	return fmt.Sprintf("the text is longer than the %d bytes that this pattern may read", limit)
}

// regexpReader sets fields from the named groups of a pattern.
type regexpReader struct {
	re     *regexp.Regexp
	size   int
	limit  int
	groups []group
	source string // as written, for reports
	kind   string
}

type group struct {
	index int
	field field
	typ   valueType // 0 is text as it is
}

// read matches and stages the groups that took part. The index slice that
// package regexp returns is its only allocation.
func (r *regexpReader) read(s *Scratch, x *extractor, t string) outcome {
	if len(t) > r.limit {
		return s.failed(tooLong(r.limit))
	}
	m := r.re.FindStringSubmatchIndex(t)
	if m == nil {
		return unmatched
	}
	for i := range r.groups {
		g := &r.groups[i]
		from, to := m[2*g.index], m[2*g.index+1]
		if from < 0 {
			continue
		}
		if out := x.stage(s, g.field, g.typ, textValue(t[from:to])); out != matched {
			return out
		}
	}
	return matched
}
