package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/formula"
)

// params reads the query of a request strictly: an unknown or repeated name is
// an error, so that a typing mistake does not silently widen a question.
type params struct {
	values url.Values
	err    error
}

func parseParams(raw string, allowed ...string) *params {
	p := &params{}
	var err error
	if p.values, err = url.ParseQuery(raw); err != nil {
		p.err = millrace.Errorf(millrace.ErrInvalid, "the query string is malformed")
		return p
	}
	names := make([]string, 0, len(p.values))
	for n := range p.values {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if !slices.Contains(allowed, n) {
			p.fail("unknown parameter %q; there are %s", millrace.Example([]byte(n)), strings.Join(allowed, ", "))
		}
		if len(p.values[n]) > 1 {
			p.fail("parameter %q is given %d times", n, len(p.values[n]))
		}
	}
	return p
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = millrace.Errorf(millrace.ErrInvalid, format, args...)
	}
}

func (p *params) get(name string) string { return p.values.Get(name) }

// list splits a value at commas; empty parts are dropped.
func (p *params) list(name string) []string {
	var out []string
	for part := range strings.SplitSeq(p.get(name), ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// expressions splits a value at commas outside of parentheses and quotes.
func (p *params) expressions(name string) []string { return formula.Split(p.get(name)) }

// count reads a whole number between 1 and limit; 0 if it is not given.
func (p *params) count(name string, limit int) int {
	s := p.get(name)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > limit {
		p.fail("%s %q: must be a whole number between 1 and %d", name, millrace.Example([]byte(s)), limit)
		return 0
	}
	return n
}
