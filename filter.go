package millrace

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// FilterOp is what a Filter node does.
type FilterOp uint8

// The operations. Comparison is numeric if the given value is a number (rows
// whose field is none do not match), else by bytes. A missing field equals "".
const (
	FilterAnd  FilterOp = iota // all of Sub; true when empty
	FilterOr                   // any of Sub
	FilterNot                  // not Sub[0]
	FilterText                 // message contains Value, ignoring case
	FilterEq
	FilterNe
	FilterLt
	FilterLe
	FilterGt
	FilterGe
	FilterGlob   // field matches Value, in which * stands for any characters
	FilterRegexp // some part of the field matches Value, a regular expression of RE2
)

// Filter is a node of a condition over events or cells.
type Filter struct {
	Op    FilterOp
	Field string
	Value string
	Sub   []*Filter

	re *regexp.Regexp // of NewRegexp
}

// MaxRegexpBytes bounds a regular expression. RE2 takes time linear in the text,
// and memory with the expression.
const MaxRegexpBytes = 1024

// NewRegexp returns a FilterRegexp that is compiled once. The error is that of the
// expression.
func NewRegexp(field, expr string) (*Filter, error) {
	if len(expr) > MaxRegexpBytes {
		return nil, fmt.Errorf("the regular expression has %d bytes, over %d", len(expr), MaxRegexpBytes)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	return &Filter{Op: FilterRegexp, Field: field, Value: expr, re: re}, nil
}

// matchRegexp compiles a Filter that NewRegexp has not made; what cannot be
// compiled matches nothing.
func (f *Filter) matchRegexp(have string) bool {
	if f.re != nil {
		return f.re.MatchString(have)
	}
	ok, err := regexp.MatchString(f.Value, have)
	return ok && err == nil
}

// Match is the reference semantics, which every Store reproduces. get returns a
// field as text, "" if it is missing.
func (f *Filter) Match(get func(field string) string) bool {
	if f == nil {
		return true
	}
	switch f.Op {
	case FilterAnd:
		for _, s := range f.Sub {
			if !s.Match(get) {
				return false
			}
		}
		return true
	case FilterOr:
		for _, s := range f.Sub {
			if s.Match(get) {
				return true
			}
		}
		return false
	case FilterNot:
		return !f.Sub[0].Match(get)
	case FilterText:
		return strings.Contains(strings.ToLower(get("message")), strings.ToLower(f.Value))
	case FilterEq:
		return get(f.Field) == f.Value
	case FilterNe:
		return get(f.Field) != f.Value
	case FilterGlob:
		return globMatch(f.Value, get(f.Field))
	case FilterRegexp:
		return f.matchRegexp(get(f.Field))
	}
	return f.compare(get(f.Field))
}

func (f *Filter) compare(have string) bool {
	c := strings.Compare(have, f.Value)
	if want, err := strconv.ParseFloat(f.Value, 64); err == nil {
		got, err := strconv.ParseFloat(have, 64)
		if err != nil {
			return false
		}
		c = 0
		if got < want {
			c = -1
		} else if got > want {
			c = 1
		}
	}
	switch f.Op {
	case FilterLt:
		return c < 0
	case FilterLe:
		return c <= 0
	case FilterGt:
		return c > 0
	case FilterGe:
		return c >= 0
	}
	return false
}

// Fields adds the names of all fields the filter reads to into.
func (f *Filter) Fields(into map[string]bool) {
	if f == nil {
		return
	}
	if f.Field != "" {
		into[f.Field] = true
	}
	for _, s := range f.Sub {
		s.Fields(into)
	}
}

// globMatch matches greedily part by part; * is the only special character.
func globMatch(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, last)
}
