package transform

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// matcher is a compiled pattern with its bounds.
type matcher struct {
	*regexp.Regexp
	size    int    // of its program, in instructions
	limit   int    // of the text it reads, in bytes
	literal string // stands in every text that matches; "" if none is known
}

// compileRegexp compiles a pattern within the bounds.
func compileRegexp(pattern string) (*matcher, error) {
	if pattern == "" {
		return nil, fmt.Errorf("must be a regular expression, not empty")
	}
	if len(pattern) > MaxPattern {
		return nil, fmt.Errorf("has %d bytes; a pattern must have at most %d", len(pattern), MaxPattern)
	}
	return compileExpanded(pattern)
}

func compileExpanded(pattern string) (*matcher, error) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("is no regular expression (RE2): %w", err)
	}
	tree = tree.Simplify()
	prog, err := syntax.Compile(tree)
	if err != nil {
		return nil, fmt.Errorf("is no regular expression (RE2): %w", err)
	}
	if len(prog.Inst) > MaxProgram {
		return nil, fmt.Errorf("compiles to %d instructions; must be at most %d: repeat less, or split the pattern", len(prog.Inst), MaxProgram)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("is no regular expression (RE2): %w", err)
	}
	return &matcher{re, len(prog.Inst), inputLimit(len(prog.Inst)), required(tree)}, nil
}

// possible is false if t cannot match. Most lines lack what a pattern without
// anchor looks for, such as the @ of an address, and searching for a text costs
// a hundredth of trying a pattern at every byte.
func (m *matcher) possible(t string) bool {
	return m.literal == "" || strings.Contains(t, m.literal)
}

// required returns the longest text that must stand in every match.
func required(r *syntax.Regexp) string {
	switch r.Op {
	case syntax.OpLiteral:
		if r.Flags&syntax.FoldCase == 0 {
			return string(r.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(r.Sub[0])
	case syntax.OpRepeat:
		if r.Min > 0 {
			return required(r.Sub[0])
		}
	case syntax.OpConcat:
		longest := ""
		for _, sub := range r.Sub {
			if s := required(sub); len(s) > len(longest) {
				longest = s
			}
		}
		return longest
	}
	return ""
}

// inputLimit is how many bytes a pattern reads: RE2's time grows with the
// product of both.
func inputLimit(size int) int { return min(MaxInput, maxWork/max(size, 1)) }

func tooLong(limit int) string {
	return fmt.Sprintf("the text is longer than the %d bytes that this pattern may read", limit)
}

// regexpReader sets fields from the named groups of a pattern.
type regexpReader struct {
	*matcher
	groups []group
	kind   string // regexp or grok
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
	if !r.possible(t) {
		return unmatched
	}
	m := r.FindStringSubmatchIndex(t)
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
