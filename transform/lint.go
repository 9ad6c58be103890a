package transform

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
)

// Warning is what a rule set may do but probably should not.
type Warning struct {
	Path    string `json:"path"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Rule    string `json:"rule"` // a short stable name, such as unanchored
	Message string `json:"message"`
}

// String returns the warning as "line 3, column 5: steps[0].extract: …".
func (w Warning) String() string {
	return Violation{w.Path, w.Line, w.Column, w.Message}.String() + " [" + w.Rule + "]"
}

// Classes of what a pattern costs per line.
const (
	costCheap    = "cheap"    // below 1 µs
	costModerate = "moderate" // below 5 µs
	costHigh     = "high"     // below 25 µs
	costVeryHigh = "very high"
)

// Lint returns warnings about patterns and masks, in the order of the rules.
// Costs are measured on the lines, or on a usual line of 160 bytes if there are
// none; it takes a few milliseconds per pattern.
func (p *Program) Lint(lines []string) []Warning {
	l := &linter{p: p, lines: lines}
	if len(lines) == 0 {
		l.lines = []string{usualLine}
	}
	for i := range p.steps {
		x, ok := p.steps[i].do.(*extractor)
		if !ok {
			continue
		}
		for k, r := range x.readers {
			if re, ok := r.(*regexpReader); ok {
				l.pattern(fmt.Sprintf("%s.extract.patterns[%d].%s", p.steps[i].path, k, re.kind), re)
			}
		}
	}
	l.masks()
	return l.out
}

const usualLine = `192.0.2.17 - alice [05/Mar/2026:11:00:00 +0000] "GET /products/42?color=red HTTP/1.1" 200 5316 "https://example.com/start" "Mozilla/5.0 (X11; Linux x86_64)" 0.025`

type linter struct {
	p     *Program
	lines []string
	out   []Warning
}

func (l *linter) warn(path, rule, format string, args ...any) {
	w := Warning{Path: path, Rule: rule, Message: fmt.Sprintf(format, args...)}
	pos := l.p.rules.pos[path]
	w.Line, w.Column = pos.line, pos.column
	l.out = append(l.out, w)
}

func (l *linter) pattern(path string, r *regexpReader) {
	cost, class := measure(r, l.lines)
	tree, err := syntax.Parse(r.String(), syntax.Perl)
	if err != nil {
		return // it was compiled before
	}
	tree = tree.Simplify()
	about := fmt.Sprintf("; it costs %s per line (%s)", cost.Round(10*time.Nanosecond), class)
	if !anchored(tree) {
		if prefix, _ := r.LiteralPrefix(); prefix == "" {
			l.warn(path, "unanchored", "the pattern starts neither with ^ nor with fixed text: it is tried at every byte of a line that does not fit%s", about)
		} else {
			l.warn(path, "unanchored", "the pattern does not start with ^: it may match in the middle of a line%s", about)
		}
	}
	if n := count(tree, isDotStar); n > 1 {
		l.warn(path, "ambiguous", "the pattern has .* %d times: what each takes depends on the others; name what ends a field, such as [^\"]* or \\S+%s", n, about)
	}
	if nested(tree, false) {
		l.warn(path, "nested", "a repetition within a repetition, such as (a+)+, can be split in many ways%s", about)
	}
	if name := touching(tree); name != "" {
		l.warn(path, "ambiguous", "two repetitions meet that both take %s: where one ends and the other starts is arbitrary%s", name, about)
	}
	if class == costHigh || class == costVeryHigh {
		l.warn(path, "cost", "the pattern costs %s per line (%s), %d instructions%s", cost.Round(10*time.Nanosecond), class, r.size, advice(tree))
	}
}

func advice(tree *syntax.Regexp) string {
	if !anchored(tree) {
		return ": anchor it with ^"
	}
	return ": prefer \\S+ and [^\"]* to names that check what they take, such as IPORHOST"
}

// measure returns the time per line of the pattern.
func measure(r *regexpReader, lines []string) (time.Duration, string) {
	const atLeast = 2 * time.Millisecond
	lines = lines[:min(len(lines), 1000)]
	match := func() {
		for _, line := range lines {
			if len(line) <= r.limit && r.possible(line) {
				r.FindStringSubmatchIndex(line)
			}
		}
	}
	match() // warms its caches up
	started := time.Now()
	runs := 0
	for time.Since(started) < atLeast {
		match()
		runs++
	}
	per := time.Since(started) / time.Duration(runs*len(lines))
	switch {
	case per < time.Microsecond:
		return per, costCheap
	case per < 5*time.Microsecond:
		return per, costModerate
	case per < 25*time.Microsecond:
		return per, costHigh
	}
	return per, costVeryHigh
}

// anchored reports whether every match starts at the beginning of the text.
func anchored(r *syntax.Regexp) bool {
	switch r.Op {
	case syntax.OpBeginText:
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
			if a != nil && b != nil && overlap(a, b) {
				return strings.TrimSuffix(b.String(), "?")
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

// repeated returns the class that a repetition repeats, nil if it is none.
func repeated(r *syntax.Regexp) *syntax.Regexp {
	for r.Op == syntax.OpCapture {
		r = r.Sub[0]
	}
	if !isRepeat(r) || r.Sub[0].Op != syntax.OpCharClass && !isDot(r.Sub[0]) {
		return nil
	}
	return r.Sub[0]
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

// masks warns where a masked value stays readable.
func (l *linter) masks() {
	for i := range l.p.masks {
		st := &l.p.masks[i]
		m, ok := st.do.(*masker)
		if !ok || m.elsewhere || m.every {
			continue
		}
		for k, f := range m.fields {
			if f.col == colMessage || l.masksMessage() {
				continue
			}
			l.warn(fmt.Sprintf("%s.fields[%d]", st.path, k), "readable",
				"%s is masked only here; the message, and fields made of it, may still show it", f.name)
		}
	}
}

func (l *linter) masksMessage() bool {
	for i := range l.p.masks {
		if m, ok := l.p.masks[i].do.(*masker); ok && (m.every || slices.Contains(m.fields, field{"message", colMessage})) {
			return true
		}
	}
	return false
}
