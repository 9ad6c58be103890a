package transform

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"time"
)

// Warning is what a rule set may do but probably should not.
type Warning struct {
	Path    string `json:"path"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Step    string `json:"step"`    // name of the step or mask
	Rule    string `json:"rule"`    // a short stable name, such as unanchored
	Message string `json:"message"` // what is wrong
	Cure    string `json:"cure"`
	// What the pattern costs per text it reads, in ns; 0 if it is none or was
	// not measured. Lines is how many texts it was measured on, 0 for a usual
	// line of an access log.
	CostNanos int64  `json:"cost_nanos"`
	CostClass string `json:"cost_class"` // cheap, moderate, high, very high; "" with cost 0
	Lines     int    `json:"lines"`
}

// String returns the warning in one line, as
// "line 3, column 5: steps[0].extract.patterns[0].regexp (took): …; it costs 120ns per line (cheap); … [unanchored]".
func (w Warning) String() string {
	s := Violation{w.Path + " (" + w.Step + ")", w.Line, w.Column, w.Message}.String()
	if cost := w.Cost(); cost != "" {
		s += "; " + cost
	}
	return s + "; " + w.Cure + " [" + w.Rule + "]"
}

// Cost says what the pattern costs, "" if nothing is known.
func (w Warning) Cost() string {
	if w.CostNanos == 0 {
		return ""
	}
	on := "on an access log's line"
	if w.Lines > 0 {
		on = "per line"
	}
	return fmt.Sprintf("it costs %s %s (%s)", shortDuration(w.CostNanos), on, w.CostClass)
}

func shortDuration(ns int64) string {
	d := time.Duration(ns)
	for _, unit := range []time.Duration{time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 10).String()
		}
	}
	return d.String()
}

// Classes of what a pattern costs per line.
const (
	costCheap    = "cheap"    // below 1 µs
	costModerate = "moderate" // below 10 µs
	costHigh     = "high"     // below 50 µs
	costVeryHigh = "very high"
)

// Lint returns warnings about patterns and masks, in the order of the rules.
// Costs are measured with the clock now on the texts that the steps read while
// Explain made the reports, one list per event; a step that read none is measured on a
// usual line of 160 bytes. It takes 2 ms per pattern, and half a second in all.
func (p *Program) Lint(reports [][]StepReport, now func() time.Time) []Warning {
	l := &linter{p: p, now: now, texts: textsRead(reports)}
	patterns := 0
	for i := range p.steps {
		if x, ok := p.steps[i].do.(*extractor); ok {
			patterns += len(x.readers)
		}
	}
	l.each = min(maxMeasure, maxLint/time.Duration(max(patterns, 1)))
	for i := range p.steps {
		x, ok := p.steps[i].do.(*extractor)
		if !ok {
			continue
		}
		for k, r := range x.readers {
			if re, ok := r.(*regexpReader); ok {
				l.pattern(&p.steps[i], fmt.Sprintf("%s.extract.patterns[%d].%s", p.steps[i].path, k, re.kind), re)
			}
		}
	}
	l.masks()
	return l.out
}

// maxLintTexts is how many texts of a step its patterns are measured on.
const maxLintTexts = 100

// textsRead returns what the steps read, by their paths.
func textsRead(reports [][]StepReport) map[string][]string {
	out := map[string][]string{}
	for _, event := range reports {
		for i := range event {
			if r := &event[i]; r.read != "" && len(out[r.Path]) < maxLintTexts {
				out[r.Path] = append(out[r.Path], r.read)
			}
		}
	}
	return out
}

const usualLine = `192.0.2.17 - alice [05/Mar/2026:11:00:00 +0000] "GET /products/42?color=red HTTP/1.1" 200 5316 "https://example.com/start" "Mozilla/5.0 (X11; Linux x86_64)" 0.025`

type linter struct {
	p     *Program
	now   func() time.Time
	texts map[string][]string // by the path of the step
	each  time.Duration       // for measuring a pattern
	spent time.Duration
	out   []Warning
}

// Time for measuring one pattern, and for all of them.
const (
	maxMeasure = 2 * time.Millisecond
	maxLint    = 500 * time.Millisecond
)

// warn adds a warning about what stands at path; w has the rest.
func (l *linter) warn(st *compiledStep, path string, w Warning) {
	pos := l.p.rules.pos[path]
	w.Path, w.Step, w.Line, w.Column = path, st.name, pos.line, pos.column
	l.out = append(l.out, w)
}

func (l *linter) pattern(st *compiledStep, path string, r *regexpReader) {
	tree, err := syntax.Parse(r.String(), syntax.Perl)
	if err != nil {
		return // it was compiled before
	}
	tree = tree.Simplify()
	texts := l.texts[st.path]
	cost := Warning{Lines: len(texts)}
	if len(texts) == 0 {
		texts = []string{usualLine}
	}
	took, n := l.measure(r, texts)
	cost.CostNanos, cost.Lines = int64(took), min(cost.Lines, n)
	cost.CostClass = costClass(cost.CostNanos)
	warn := func(rule, message, cure string) {
		w := cost
		w.Rule, w.Message, w.Cure = rule, message, cure
		l.warn(st, path, w)
	}
	l.start(tree, r, warn)
	if n := count(tree, isDotStar); n > 1 {
		warn("ambiguous", fmt.Sprintf("the pattern has .* %d times: what each takes depends on the others", n),
			`name what ends a field, such as [^"]* or \S+, or let all but the last take as little as they can, .*?`)
	}
	if nested(tree, false) {
		warn("nested", "a repetition within a repetition, such as (a+)+, can be split in many ways", "repeat once: a+")
	}
	if name := touching(tree); name != "" {
		warn("ambiguous", "two repetitions meet that both take "+name+": where one ends and the other starts is arbitrary",
			"put between them what separates them, or let one not take what the other does")
	}
	if cost.CostClass == costHigh || cost.CostClass == costVeryHigh {
		warn("cost", fmt.Sprintf("the pattern is slow, it has %d instructions", r.size), cheaper(tree))
	}
}

// start warns of patterns that may start anywhere in a line.
func (l *linter) start(tree *syntax.Regexp, r *regexpReader, warn func(rule, message, cure string)) {
	prefix, _ := r.LiteralPrefix()
	switch {
	case anchored(tree) || bounded(tree) && r.literal != "":
	case prefix != "" && !isWord(prefix[0]): // , client: stands where it stands
	case leading(tree):
		warn("unanchored", "the pattern starts with .* instead of ^: it is tried at every byte of a line that does not fit",
			"start it with ^, or with what the line starts with")
	case prefix == "" && r.literal == "":
		warn("unanchored", "the pattern starts neither with ^ nor has fixed text: it is tried at every byte of a line that does not fit",
			"start it with ^, or with fixed text that stands before the field, such as user=")
	default:
		warn("unanchored", "the pattern does not start with ^: it may match in the middle of a line, or of a word",
			`start it with ^ if it stands at the start of the line, else with \b or (?:^|\s)`)
	}
}

func isWord(c byte) bool { return syntax.IsWordChar(rune(c)) || c >= 0x80 }

func cheaper(tree *syntax.Regexp) string {
	if !anchored(tree) {
		return "start it with ^"
	}
	return `prefer \S+ and [^"]* to what checks what it takes, such as %{IPORHOST}, alternatives and counted repetitions, or let a condition (when) keep other lines away`
}

// measure returns the time that the pattern takes per text, the shortest of some
// runs since others are interrupted, and of how many texts; 0 if there is no time
// left.
func (l *linter) measure(r *regexpReader, texts []string) (time.Duration, int) {
	began := l.now()
	left := maxLint - l.spent
	if left <= 0 {
		return 0, 0
	}
	defer func() { l.spent += l.now().Sub(began) }()
	match := func(texts []string) {
		for _, t := range texts {
			if len(t) <= r.limit && r.possible(t) {
				r.FindStringSubmatchIndex(t)
			}
		}
	}
	for i := range texts { // warms its caches up, and finds out how many it can read in time
		if match(texts[i : i+1]); l.now().Sub(began) > left/2 {
			texts = texts[:i+1]
			break
		}
	}
	const runs, maxRepeat = 64, 256
	best := maxLint
	repeat := 1 // so that looking at the clock does not count
	for range runs {
		started := l.now()
		for range repeat {
			match(texts)
		}
		took := l.now().Sub(started)
		best = min(best, took/time.Duration(repeat*len(texts)))
		if took < l.each/20 && repeat < maxRepeat {
			repeat *= 2
		}
		if l.now().Sub(began) >= l.each {
			break
		}
	}
	return max(best, 1), len(texts)
}

func costClass(ns int64) string {
	switch d := time.Duration(ns); {
	case d == 0:
		return ""
	case d < time.Microsecond:
		return costCheap
	case d < 10*time.Microsecond:
		return costModerate
	case d < 50*time.Microsecond:
		return costHigh
	}
	return costVeryHigh
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
			l.warn(st, fmt.Sprintf("%s.fields[%d]", st.path, k), Warning{
				Rule:    "readable",
				Message: f.name + " is masked only here: the message, and fields made of it, may still show it",
				Cure:    "leave out only_here, or mask message too",
			})
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
