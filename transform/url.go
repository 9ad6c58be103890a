package transform

import (
	"fmt"
	"slices"
	"strings"
)

// URL templates fold the paths of an access log so that a dimension stays small:
// /orders/1017/items/3 becomes /orders/{id}/items/{id}. docs/url-templates.md
// says what becomes what.
//
// A template is a function of the rules and the path alone, never of the paths
// seen before, so that a replay gives the same templates. What is learned enters
// as a new version of the rules: Learner proposes URLOptions.Learned and Known.

// Bounds of URL templating: they bound the work for a path and the length of a
// template, whatever a client sends.
const (
	// DefaultURLCap is how many templates a source has at most.
	DefaultURLCap = 1000
	// MaxURLCap bounds the cap: counters take up to 1 KiB per template.
	MaxURLCap = 20_000
	// MaxURLPatterns bounds explicit and learned patterns each.
	MaxURLPatterns = 5_000
	// MaxURLPattern bounds a pattern, in bytes.
	MaxURLPattern = 1024
	// maxURLPath is how many bytes of a path are looked at.
	maxURLPath = 4096
	// maxURLSegments is how many segments a template keeps; the rest is {rest}.
	maxURLSegments = 16
	// maxURLSegment is how long a segment of a template is before it is {text}.
	maxURLSegment = 80
)

// URLOther stands for all paths whose template the cap has no room for.
const URLOther = "{other}"

// What stands for segments or parts of them. They are a closed set: any other
// brace in a path is written as %7B or %7D.
const (
	urlID      = "{id}"      // numbers and short mixes of digits and letters
	urlUUID    = "{uuid}"    // 8-4-4-4-12 hexadecimal digits
	urlHash    = "{hash}"    // hexadecimal digests and the like
	urlDate    = "{date}"    // dates and times
	urlVersion = "{version}" // 1.2.3
	urlEmail   = "{email}"
	urlIP      = "{ip}"
	urlToken   = "{token}" // random text: base64, JWT, ULID
	urlText    = "{text}"  // a segment longer than maxURLSegment
	urlBytes   = "{bytes}" // not UTF-8
	urlStar    = "{*}"     // a segment learned to have many values
	urlRest    = "{rest}"  // all behind the first maxURLSegments
)

var urlPlaceholders = [...]string{
	urlID, urlUUID, urlHash, urlDate, urlVersion, urlEmail, urlIP, urlToken, urlText, urlBytes, urlStar, urlRest,
}

// URLOptions are the rules of URL templating for one source.
type URLOptions struct {
	// Patterns are tried first, most specific first: literal segments before
	// those with a wildcard, from left to right. See docs/url-templates.md.
	Patterns []string

	// Learned are rules of the form of templates in which {*} stands for a
	// segment: children of a node become {*} unless they are listed too.
	Learned []string

	// Known, if not empty, closes the set: templates that neither it nor
	// Patterns contain become URLOther.
	Known []string

	// IgnoreCase folds ASCII letters to lower case, for servers that do.
	IgnoreCase bool

	// Cap is the number of templates, URLOther included; DefaultURLCap if zero.
	Cap int
}

// Templates are compiled URL rules. They do not change and are safe for
// concurrent use; NewFolder makes what a goroutine applies them with.
type Templates struct {
	explicit *urlNode
	learned  *urlLearned // nil: nothing was learned
	known    map[string]struct{}
	options  URLOptions
}

// NewTemplates compiles rules. Its error is an *Error with every violation;
// paths are such as patterns[3].
func NewTemplates(o URLOptions) (*Templates, error) {
	if o.Cap == 0 {
		o.Cap = DefaultURLCap
	}
	o.Patterns, o.Learned, o.Known = slices.Clone(o.Patterns), slices.Clone(o.Learned), slices.Clone(o.Known)
	t := &Templates{options: o}
	var bad []Violation
	report := func(path, format string, args ...any) {
		bad = append(bad, Violation{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if o.Cap < 2 || o.Cap > MaxURLCap {
		report("cap", "%d is not possible; must be 2 to %d", o.Cap, MaxURLCap)
	}
	for name, n := range map[string]int{"patterns": len(o.Patterns), "learned": len(o.Learned)} {
		if n > MaxURLPatterns {
			report(name, "has %d patterns; must be at most %d", n, MaxURLPatterns)
		}
	}
	if n := len(o.Known) + len(o.Patterns) + 1; o.Cap >= 2 && n > o.Cap && (len(o.Known) > 0 || len(o.Patterns) >= o.Cap) {
		report("known", "%d known templates, %d patterns and %s exceed the cap of %d", len(o.Known), len(o.Patterns), URLOther, o.Cap)
	}
	if len(bad) == 0 {
		t.compileExplicit(report)
		t.compileLearned(report)
		t.compileKnown(report)
	}
	if len(bad) > 0 {
		slices.SortStableFunc(bad, func(a, b Violation) int { return strings.Compare(a.Path, b.Path) })
		return nil, &Error{bad}
	}
	return t, nil
}

// Options returns the rules that t was compiled from. Nobody may change them.
func (t *Templates) Options() URLOptions { return t.options }

// Template returns the template of a path, which may be any text: a query
// string, fragment or host is left out. It allocates; in a loop use a Folder.
func (t *Templates) Template(path string) string {
	var s urlScratch
	return strings.Clone(t.apply(path, &s))
}

// apply returns the template, which lies in s or in t.
func (t *Templates) apply(path string, s *urlScratch) string {
	if path == URLOther || path == "*" { // "*" is the target of OPTIONS *
		return path
	}
	s.normalize(path, t.options.IgnoreCase)
	if text := t.explicit.find(s, 0); text != "" {
		return text
	}
	out := t.classify(s)
	if t.known != nil {
		if _, ok := t.known[string(out)]; !ok {
			return URLOther
		}
	}
	return asString(out)
}

// classify replaces what is variable, segment by segment.
func (t *Templates) classify(s *urlScratch) []byte {
	out := s.out[:0]
	node := t.learned
	for i := 0; i < s.n; i++ {
		out = append(out, '/')
		start := len(out)
		if n := s.dateSegments(i); n > 0 {
			out = append(out, urlDate...)
			i += n - 1
		} else {
			out = appendURLSegment(out, s.segment(i))
		}
		if len(out)-start > maxURLSegment {
			out = append(out[:start], urlText...)
		}
		if node == nil {
			continue
		}
		next := node.children[string(out[start:])]
		if next == nil && node.star != nil && !isURLPlaceholder(out[start:]) {
			out = append(out[:start], urlStar...)
			next = node.star
		}
		node = next
	}
	if s.rest {
		out = append(out, '/')
		out = append(out, urlRest...)
	}
	if len(out) == 0 {
		out = append(out, '/')
	}
	s.out = out
	return out
}

// urlLearned is a node of the learned rules, a trie of templates' segments.
type urlLearned struct {
	children map[string]*urlLearned // also star, as {*}
	star     *urlLearned
}

func (t *Templates) compileLearned(report func(path, format string, args ...any)) {
	for i, p := range t.options.Learned {
		if !strings.Contains(p, urlStar) && len(t.options.Learned) == 1 {
			report(fmt.Sprintf("learned[%d]", i), "%q has no %s; an exception needs a rule it is an exception of", p, urlStar)
		}
		if why := t.notATemplate(p); why != "" {
			report(fmt.Sprintf("learned[%d]", i), "%s", why)
			continue
		}
		if t.learned == nil {
			t.learned = &urlLearned{}
		}
		node := t.learned
		for segment := range strings.SplitSeq(p[1:], "/") {
			node = node.child(segment)
		}
	}
}

func (n *urlLearned) child(segment string) *urlLearned {
	c := n.children[segment]
	if c == nil {
		c = &urlLearned{}
		if n.children == nil {
			n.children = map[string]*urlLearned{}
		}
		n.children[segment] = c
		if segment == urlStar {
			n.star = c
		}
	}
	return c
}

func (t *Templates) compileKnown(report func(path, format string, args ...any)) {
	if len(t.options.Known) == 0 {
		return
	}
	t.known = make(map[string]struct{}, len(t.options.Known))
	for i, k := range t.options.Known {
		if why := t.notATemplate(k); why != "" && k != "*" {
			report(fmt.Sprintf("known[%d]", i), "%s", why)
		}
		t.known[k] = struct{}{}
	}
}

// notATemplate says what keeps a text from being a template.
func (t *Templates) notATemplate(text string) string {
	switch {
	case len(text) > maxURLPath:
		return fmt.Sprintf("a template of %d bytes; must be at most %d", len(text), maxURLPath)
	case !strings.HasPrefix(text, "/"):
		return fmt.Sprintf("%q must start with /", text)
	}
	plain := Templates{explicit: &urlNode{}, options: URLOptions{IgnoreCase: t.options.IgnoreCase}}
	if is := plain.Template(text); is != text {
		return fmt.Sprintf("%q is not a template; it would be %q", text, is)
	}
	return ""
}
