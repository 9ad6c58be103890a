package transform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Rules is one source's rule set as written. Parse makes one; its text is the
// canonical form to store.
type Rules struct {
	Version int          // of the language; 1
	Define  []Definition // grok patterns of its own
	Steps   []Step       // run in this order
	Masks   []Mask       // run after all steps

	text []byte
	pos  map[string]position // where the values stand, by path
}

// Text returns the text the rules were parsed from. The caller must not change it.
func (r *Rules) Text() []byte { return r.text }

// Definition names a grok pattern.
type Definition struct{ Name, Pattern string }

// Step is one step: a name, a condition and exactly one thing to do.
type Step struct {
	Name   string // for counters and reports; "extract 1" and so on if empty
	When   string // an expression; the step runs only if it holds
	Reason string // of a drop, for the ledger

	Kind     string // the key that says what the step does, such as "extract"
	Extract  *Extract
	Set      []Pair // field to expression
	Drop     string // an expression
	Convert  []Pair // field to type
	Time     *Time
	Remove   []string
	Rename   []Pair // old name to new name
	Classify []Case

	URLTemplate *URLTemplate
	UserAgent   *UserAgent
	Country     *Country
	Static      *StaticStep
}

// Pair is one line of a mapping, in the order of the text.
type Pair struct{ Name, Value string }

// Extract sets fields from a text.
type Extract struct {
	From     string // the field that is read; "message" if empty
	All      bool   // all patterns that match, not only the first
	Patterns []Pattern
	Types    []Pair   // field to type
	Absent   []string // captured texts that stand for nothing, such as "-"
}

// Pattern is one way to read a text: exactly one of its fields is set.
type Pattern struct {
	Kind   string // regexp, grok, json, kv, csv
	Regexp string
	Grok   string
	JSON   *JSON
	KV     *KV
	CSV    *CSV
}

// JSON takes fields from a JSON object within the text.
type JSON struct {
	All    bool   // every field, nested ones by dotted names
	Prefix string // before the names, with All
	Fields []Pair // field to path
}

// KV takes fields from pairs such as user=bob.
type KV struct {
	Separator string   // between key and value; "="
	Between   string   // between pairs; spaces if empty
	Prefix    string   // before the names
	Only      []string // these keys, if any are named
}

// Time sets the event's time from a field.
type Time struct {
	From    string
	Layouts []string // of Go's package time, or their names; any known layout if empty
	Zone    string   // of texts that state none; UTC if empty
	Keep    bool     // keep the field
}

// Case is one rule of classify: values set where a condition holds.
type Case struct {
	When string
	Set  []Pair // field to text
}

// Mask hides fields before anything is stored.
type Mask struct {
	Name     string
	When     string
	Fields   []string // "*" is every text of the event
	Action   string   // drop, hash, truncate, replace
	Salt     string   // of hash
	Length   int      // of hash in hexadecimal digits, of truncate in characters
	Pattern  string   // of replace
	With     string   // of replace
	OnlyHere bool     // leave the value where else it stands in the event
}

// Parse reads one source's rules; an *Error lists every violation of their
// form with its position. Compile finds those of their content.
func Parse(text []byte) (*Rules, error) {
	rules, violations := parse(text)
	if len(violations) > 0 {
		return nil, &Error{violations}
	}
	return rules, nil
}

func parse(text []byte) (*Rules, []Violation) {
	rules := &Rules{Version: 1, text: slices.Clone(text), pos: map[string]position{}}
	r := &reader{pos: rules.pos}
	if len(text) > MaxRules {
		r.bad("", nil, "the rules have %d bytes; must be at most %d", len(text), MaxRules)
		return rules, r.violations
	}
	root := r.parseYAML(rules.text)
	if root != nil {
		r.mapping("", root, keys{
			"version": func(at string, n ast.Node) { rules.Version = r.integer(at, n) },
			"define":  func(at string, n ast.Node) { rules.Define = r.definitions(at, n) },
			"steps": func(at string, n ast.Node) {
				r.list(at, n, MaxSteps, func(at string, n ast.Node) { rules.Steps = append(rules.Steps, r.step(at, n)) })
			},
			"masks": func(at string, n ast.Node) {
				r.list(at, n, MaxSteps, func(at string, n ast.Node) { rules.Masks = append(rules.Masks, r.mask(at, n)) })
			},
		})
	}
	return rules, r.violations
}

func (r *reader) definitions(path string, n ast.Node) []Definition {
	var out []Definition
	r.pairs(path, n, func(key, at string, _, v ast.Node) {
		out = append(out, Definition{key, r.text(at, v)})
	})
	return out
}

func (r *reader) ordered(path string, n ast.Node) []Pair {
	var out []Pair
	r.pairs(path, n, func(key, at string, k, v ast.Node) {
		r.pos[at+"#"] = positionOf(k) // where the name stands
		out = append(out, Pair{key, r.text(at, v)})
	})
	if len(out) == 0 {
		r.bad(path, n, "must name at least one field")
	}
	return out
}

// text1 returns a function that reads a text into dst.
func (r *reader) into(dst *string) func(string, ast.Node) {
	return func(at string, n ast.Node) { *dst = r.text(at, n) }
}

func (r *reader) step(path string, n ast.Node) Step {
	var s Step
	does := func(kind string, read func(at string, n ast.Node)) func(string, ast.Node) {
		return func(at string, n ast.Node) {
			if s.Kind != "" {
				r.bad(at, n, "the step already does %s; a step must do one thing", s.Kind)
				return
			}
			s.Kind = kind
			read(at, n)
		}
	}
	before := len(r.violations)
	r.mapping(path, n, keys{
		"name":         r.into(&s.Name),
		"when":         r.into(&s.When),
		"reason":       r.into(&s.Reason),
		"extract":      does("extract", func(at string, n ast.Node) { s.Extract = r.extract(at, n) }),
		"set":          does("set", func(at string, n ast.Node) { s.Set = r.ordered(at, n) }),
		"drop":         does("drop", r.into(&s.Drop)),
		"convert":      does("convert", func(at string, n ast.Node) { s.Convert = r.ordered(at, n) }),
		"time":         does("time", func(at string, n ast.Node) { s.Time = r.time(at, n) }),
		"remove":       does("remove", func(at string, n ast.Node) { s.Remove = r.texts(at, n, MaxCaptures) }),
		"rename":       does("rename", func(at string, n ast.Node) { s.Rename = r.ordered(at, n) }),
		"url_template": does("url_template", func(at string, n ast.Node) { s.URLTemplate = r.urlTemplate(at, n) }),
		"user_agent":   does("user_agent", func(at string, n ast.Node) { s.UserAgent = r.userAgent(at, n) }),
		"country":      does("country", func(at string, n ast.Node) { s.Country = r.country(at, n) }),
		"static":       does("static", func(at string, n ast.Node) { s.Static = r.static(at, n) }),
		"classify": does("classify", func(at string, n ast.Node) {
			r.list(at, n, MaxPatterns, func(at string, n ast.Node) { s.Classify = append(s.Classify, r.oneCase(at, n)) })
		}),
	})
	if s.Kind == "" && len(r.violations) == before {
		r.bad(path, n, "the step does nothing; it must have one of %s", strings.Join(StepKinds(), ", "))
	}
	if s.Reason != "" && s.Kind != "drop" {
		r.bad(path+".reason", n, "only a drop has a reason")
	}
	return s
}

// StepKinds returns the keys that say what a step does.
func StepKinds() []string {
	return []string{"extract", "set", "drop", "convert", "time", "remove", "rename", "classify", "url_template", "user_agent", "country", "static"}
}

func (r *reader) extract(path string, n ast.Node) *Extract {
	x := &Extract{}
	var single Pattern
	known := r.patternKeys(&single)
	known["from"] = r.into(&x.From)
	known["match"] = func(at string, n ast.Node) {
		switch r.text(at, n) {
		case "first":
		case "all":
			x.All = true
		default:
			r.bad(at, n, "must be first or all")
		}
	}
	known["patterns"] = func(at string, n ast.Node) {
		r.list(at, n, MaxPatterns, func(at string, n ast.Node) { x.Patterns = append(x.Patterns, r.pattern(at, n)) })
	}
	known["types"] = func(at string, n ast.Node) { x.Types = r.ordered(at, n) }
	known["absent"] = func(at string, n ast.Node) { x.Absent = r.texts(at, n, 10) }
	r.mapping(path, n, known)
	switch {
	case single.Kind == "" && len(x.Patterns) == 0:
		r.bad(path, n, "must have a regexp, grok, json, kv, csv or patterns, a list of these")
	case single.Kind != "" && len(x.Patterns) > 0:
		r.bad(path, n, "must have either %s or patterns, not both", single.Kind)
	case single.Kind != "":
		x.Patterns = []Pattern{single}
		if p, ok := r.pos[path+"."+single.Kind]; ok { // both spellings have one path
			r.pos[path+".patterns[0]."+single.Kind] = p
		}
	}
	return x
}

func (r *reader) pattern(path string, n ast.Node) Pattern {
	var p Pattern
	r.mapping(path, n, r.patternKeys(&p))
	if p.Kind == "" {
		r.bad(path, n, "must have one of regexp, grok, json, kv, csv")
	}
	return p
}

func (r *reader) patternKeys(p *Pattern) keys {
	is := func(kind string, read func(at string, n ast.Node)) func(string, ast.Node) {
		return func(at string, n ast.Node) {
			if p.Kind != "" {
				r.bad(at, n, "the pattern is a %s already; list several under patterns", p.Kind)
				return
			}
			p.Kind = kind
			read(at, n)
		}
	}
	return keys{
		"regexp": is("regexp", r.into(&p.Regexp)),
		"grok":   is("grok", r.into(&p.Grok)),
		"json":   is("json", func(at string, n ast.Node) { p.JSON = r.json(at, n) }),
		"kv":     is("kv", func(at string, n ast.Node) { p.KV = r.kv(at, n) }),
		"csv":    is("csv", func(at string, n ast.Node) { p.CSV = r.csv(at, n) }),
	}
}

func (r *reader) json(path string, n ast.Node) *JSON {
	j := &JSON{}
	if s, ok := scalar(n); ok {
		r.note(path, n)
		if j.All = s == "all"; !j.All {
			r.bad(path, n, "must be all, or a mapping of fields to paths")
		}
		return j
	}
	j.Fields = r.ordered(path, n)
	return j
}

func (r *reader) kv(path string, n ast.Node) *KV {
	kv := &KV{Separator: "="}
	if _, null := n.(*ast.NullNode); null {
		return kv
	}
	r.mapping(path, n, keys{
		"separator": r.into(&kv.Separator),
		"between":   r.into(&kv.Between),
		"prefix":    r.into(&kv.Prefix),
		"only":      func(at string, n ast.Node) { kv.Only = r.texts(at, n, MaxCaptures) },
	})
	return kv
}

func (r *reader) csv(path string, n ast.Node) *CSV {
	out := &CSV{}
	r.mapping(path, n, keys{
		"columns":   func(at string, n ast.Node) { out.Columns = r.texts(at, n, MaxCaptures) },
		"separator": r.into(&out.Separator),
		"least":     func(at string, n ast.Node) { out.Least = r.integer(at, n) },
	})
	return out
}

func (r *reader) time(path string, n ast.Node) *Time {
	t := &Time{}
	if s, ok := scalar(n); ok {
		r.note(path, n)
		r.pos[path+".from"] = positionOf(n)
		t.From = s
		return t
	}
	r.mapping(path, n, keys{
		"from":    r.into(&t.From),
		"layouts": func(at string, n ast.Node) { t.Layouts = r.texts(at, n, 20) },
		"zone":    r.into(&t.Zone),
		"keep":    func(at string, n ast.Node) { t.Keep = r.boolean(at, n) },
	})
	return t
}

func (r *reader) oneCase(path string, n ast.Node) Case {
	var c Case
	r.mapping(path, n, keys{
		"when": r.into(&c.When),
		"set":  func(at string, n ast.Node) { c.Set = r.ordered(at, n) },
	})
	if len(c.Set) == 0 {
		r.bad(path, n, "must have set, the fields and their values")
	}
	return c
}

func (r *reader) mask(path string, n ast.Node) Mask {
	m := Mask{}
	action := func(name string, read func(at string, n ast.Node)) func(string, ast.Node) {
		return func(at string, n ast.Node) {
			if m.Action != "" {
				r.bad(at, n, "the mask does %s already; a mask must do one thing", m.Action)
				return
			}
			m.Action = name
			read(at, n)
		}
	}
	r.mapping(path, n, keys{
		"name":   r.into(&m.Name),
		"when":   r.into(&m.When),
		"fields": func(at string, n ast.Node) { m.Fields = r.texts(at, n, MaxCaptures) },
		"only_here": func(at string, n ast.Node) {
			m.OnlyHere = r.boolean(at, n)
		},
		"drop": action("drop", func(at string, n ast.Node) {
			if !r.boolean(at, n) {
				r.bad(at, n, "must be true")
			}
		}),
		"hash":     action("hash", func(at string, n ast.Node) { r.maskHash(at, n, &m) }),
		"truncate": action("truncate", func(at string, n ast.Node) { m.Length = r.integer(at, n) }),
		"replace": action("replace", func(at string, n ast.Node) {
			r.mapping(at, n, keys{"pattern": r.into(&m.Pattern), "with": r.into(&m.With)})
		}),
	})
	if m.Action == "" {
		r.bad(path, n, "must have one of drop, hash, truncate, replace")
	}
	if len(m.Fields) == 0 {
		r.bad(path, n, "must have fields, the names of what it hides")
	}
	return m
}

// maskHash reads "hash: true" or its settings.
func (r *reader) maskHash(path string, n ast.Node, m *Mask) {
	m.Length = defaultHashLength
	if b, ok := n.(*ast.BoolNode); ok {
		r.note(path, n)
		if !b.Value {
			r.bad(path, n, "must be true, or a mapping with salt and length")
		}
		return
	}
	r.mapping(path, n, keys{
		"salt":   r.into(&m.Salt),
		"length": func(at string, n ast.Node) { m.Length = r.integer(at, n) },
	})
}

// stepName returns the name that reports use.
func stepName(s *Step, i int) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("%s %d", s.Kind, i+1)
}
