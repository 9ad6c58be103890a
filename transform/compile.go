package transform

import (
	"fmt"
	"slices"
	"strings"
)

// Program is a compiled rule set. It is immutable and safe for concurrent use;
// what changes while it runs is in a Scratch.
type Program struct {
	steps []compiledStep
	masks []compiledStep
	opts  Options
	rules *Rules

	folders int // url_template steps
}

type compiledStep struct {
	name string
	kind string
	path string
	when condFn // nil holds always
	do   action
}

// Names returns the names of the steps, then of the masks: what the counters
// of Scratch.Take count.
func (p *Program) Names() []string {
	out := make([]string, 0, len(p.steps)+len(p.masks))
	for i := range p.steps {
		out = append(out, p.steps[i].name)
	}
	for i := range p.masks {
		out = append(out, p.masks[i].name)
	}
	return out
}

// Rules returns what the program was compiled from.
func (p *Program) Rules() *Rules { return p.rules }

// compiler collects the violations of a rule set's content.
type compiler struct {
	rules      *Rules
	opts       Options
	violations []Violation
	names      map[string]string // grok patterns
	folders    int               // of url_template steps
}

// Load parses and compiles a rule set. Its *Error has the violations of form and
// of content together, in the order of the text.
func Load(text []byte, o Options) (*Program, error) {
	rules, form := parse(text)
	p, content := compile(rules, o)
	for _, v := range content {
		// What Parse could not read, Compile misses.
		if !slices.ContainsFunc(form, func(f Violation) bool { return f.Line == v.Line || strings.HasPrefix(v.Path, f.Path) }) {
			form = append(form, v)
		}
	}
	if len(form) > 0 {
		slices.SortStableFunc(form, func(a, b Violation) int { return cmp(int64(a.Line), int64(b.Line)) })
		return nil, &Error{form}
	}
	return p, nil
}

// Compile checks the rules and compiles them; errors as Parse.
func Compile(r *Rules, o Options) (*Program, error) {
	p, violations := compile(r, o)
	if len(violations) > 0 {
		return nil, &Error{violations}
	}
	return p, nil
}

func compile(r *Rules, o Options) (*Program, []Violation) {
	c := &compiler{rules: r, opts: o}
	p := &Program{opts: o, rules: r}
	if r.Version != 1 {
		c.bad("version", r.Version, "must be 1, the version of the rule language")
	}
	c.define(r.Define)
	seen := map[string]string{}
	for i := range r.Steps {
		path := fmt.Sprintf("steps[%d]", i)
		st := &r.Steps[i]
		cs := compiledStep{name: stepName(st, i), kind: st.Kind, path: path}
		c.name(path+".name", cs.name, seen)
		cs.when = c.when(path+".when", st.When)
		cs.do = c.step(path, st, cs.name)
		p.steps = append(p.steps, cs)
	}
	for i := range r.Masks {
		path := fmt.Sprintf("masks[%d]", i)
		p.masks = append(p.masks, c.mask(path, &r.Masks[i], i, seen))
	}
	p.folders = c.folders
	return p, c.violations
}

// bad reports a violation; value is what is wrong, nil if the message says it.
func (c *compiler) bad(path string, value any, format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	if value != nil {
		msg = fmt.Sprintf("%v: %s", value, msg)
	}
	v := Violation{Path: path, Message: msg}
	for at := path; ; {
		if p, ok := c.rules.pos[at]; ok {
			v.Line, v.Column = p.line, p.column
			break
		}
		i := strings.LastIndexAny(at, ".[#") // of what it is in
		if i < 0 {
			break
		}
		at = at[:i]
	}
	v.Path = strings.TrimSuffix(v.Path, "#")
	c.violations = append(c.violations, v)
}

func (c *compiler) name(path, name string, seen map[string]string) {
	if why := badName(name); why != "" {
		c.bad(path, nil, "%s", why)
	}
	if first, ok := seen[name]; ok {
		c.bad(path, fmt.Sprintf("%q", name), "is the name of %s already; reports tell steps apart by it", first)
		return
	}
	seen[name] = strings.TrimSuffix(path, ".name")
}

func (c *compiler) when(path, src string) condFn {
	if src == "" {
		return nil
	}
	return c.cond(path, src)
}

func (c *compiler) cond(path, src string) condFn {
	f, err := compileCond(src)
	if err != nil {
		c.bad(path, nil, "%v", err)
	}
	return f
}

// settable returns the field if rules may set it.
func (c *compiler) settable(path, name string) field {
	f := c.field(path, name)
	if why := f.settable(); why != "" {
		c.bad(path, nil, "%s", why)
	}
	return f
}

func (c *compiler) field(path, name string) field {
	if why := badName(name); why != "" {
		c.bad(path, nil, "%s", why)
	}
	return fieldOf(name)
}

func (c *compiler) typeOf(path, name string) valueType {
	t, ok := typeNames[name]
	if !ok {
		c.bad(path, fmt.Sprintf("%q", name), "must be one of %s", typeList)
	}
	return t
}

func (c *compiler) step(path string, st *Step, name string) action {
	switch at := path + "." + st.Kind; st.Kind {
	case "extract":
		return c.extract(at, st.Extract)
	case "set":
		return c.set(at, st.Set)
	case "drop":
		return &dropper{cond: c.cond(at, st.Drop), reason: c.reason(path, st, name)}
	case "convert":
		return c.convert(at, st.Convert)
	case "time":
		return c.time(at, st.Time)
	case "remove":
		r := &remover{}
		for i, f := range st.Remove {
			r.fields = append(r.fields, c.removable(fmt.Sprintf("%s[%d]", at, i), f))
		}
		return r
	case "rename":
		r := &renamer{}
		for _, pair := range st.Rename {
			r.from = append(r.from, c.removable(at+"."+pair.Name+"#", pair.Name))
			r.to = append(r.to, c.settable(at+"."+pair.Name, pair.Value))
		}
		return r
	case "classify":
		return c.classify(at, st.Classify)
	case "url_template", "user_agent", "country", "static":
		return c.enrich(at, st)
	}
	c.bad(path, nil, "the step does nothing; it must have one of %s", strings.Join(StepKinds(), ", "))
	return nil
}

// removable returns the field if it can be taken away.
func (c *compiler) removable(path, name string) field {
	f := c.settable(path, name)
	if f.col == colTime || f.col == colKind || f.col == colWeight {
		c.bad(path, nil, "%s cannot be removed, every event has one; set it", name)
	}
	return f
}

// maxReason bounds a reason: the ledger keeps one row per reason and minute.
const maxReason = 40

// reason returns the ledger's reason of a drop: the one stated, else the name
// made an identifier.
func (c *compiler) reason(path string, st *Step, name string) string {
	if st.Reason == "" {
		if st.Name == "" {
			return "rule"
		}
		b := []byte(strings.ToLower(name))
		for i, ch := range b {
			if (ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') {
				b[i] = '_'
			}
		}
		return string(b[:min(len(b), maxReason)])
	}
	for _, ch := range st.Reason {
		if (ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') && ch != '_' {
			c.bad(path+".reason", fmt.Sprintf("%q", st.Reason), "must consist of a-z, 0-9 and _")
			return ""
		}
	}
	if len(st.Reason) > maxReason {
		c.bad(path+".reason", fmt.Sprintf("%q", st.Reason), "must have at most %d bytes", maxReason)
	}
	return st.Reason
}

func (c *compiler) set(path string, pairs []Pair) action {
	t := &setter{}
	for _, pair := range pairs {
		at := path + "." + pair.Name
		t.fields = append(t.fields, c.settable(at+"#", pair.Name))
		f, err := compileExpr(pair.Value)
		if err != nil {
			c.bad(at, nil, "%v", err)
		}
		t.exprs = append(t.exprs, f)
	}
	return t
}

func (c *compiler) convert(path string, pairs []Pair) action {
	t := &converter{}
	for _, pair := range pairs {
		at := path + "." + pair.Name
		t.fields = append(t.fields, c.settable(at+"#", pair.Name))
		t.types = append(t.types, c.typeOf(at, pair.Value))
	}
	return t
}

func (c *compiler) classify(path string, cases []Case) action {
	t := &classifier{}
	if len(cases) == 0 {
		c.bad(path, nil, "must have at least one case")
	}
	for i := range cases {
		at := fmt.Sprintf("%s[%d]", path, i)
		k := compiledCase{when: c.when(at+".when", cases[i].When)}
		for _, pair := range cases[i].Set {
			k.fields = append(k.fields, c.settable(at+".set."+pair.Name+"#", pair.Name))
			k.values = append(k.values, textValue(pair.Value))
		}
		t.cases = append(t.cases, k)
	}
	return t
}

func (c *compiler) extract(path string, x *Extract) action {
	from := x.From
	if from == "" {
		from = "message"
	}
	t := &extractor{from: c.field(path+".from", from), all: x.All, absent: x.Absent}
	for _, pair := range x.Types {
		t.types = append(t.types, typedField{pair.Name, c.typeOf(path+".types."+pair.Name, pair.Value)})
	}
	for i := range x.Patterns {
		at := fmt.Sprintf("%s.patterns[%d].%s", path, i, x.Patterns[i].Kind)
		if r := c.pattern(at, &x.Patterns[i]); r != nil {
			t.readers = append(t.readers, r)
		}
	}
	return t
}

func (c *compiler) pattern(path string, p *Pattern) textReader {
	switch p.Kind {
	case "regexp":
		return c.regexp(path, p.Regexp)
	case "grok":
		return c.grok(path, p.Grok)
	case "json":
		return c.json(path, p.JSON)
	case "kv":
		return c.kv(path, p.KV)
	case "csv":
		return c.csv(path, p.CSV)
	}
	c.bad(path, nil, "must have one of regexp, grok, json, kv, csv")
	return nil
}

func (c *compiler) regexp(path, pattern string) textReader {
	re, err := compileRegexp(pattern)
	if err != nil {
		c.bad(path, nil, "%v", err)
		return nil
	}
	r := &regexpReader{matcher: re, kind: "regexp"}
	for i, name := range re.SubexpNames() {
		if name != "" {
			r.groups = append(r.groups, group{index: i, field: c.settable(path, name)})
		}
	}
	c.groups(path, r)
	return r
}

func (c *compiler) groups(path string, r *regexpReader) {
	if len(r.groups) == 0 {
		c.bad(path, nil, "names no field: a regexp needs named groups such as (?P<user>\\S+), a grok pattern %%{WORD:user}")
	}
	if len(r.groups) > MaxCaptures {
		c.bad(path, nil, "names %d fields; must be at most %d", len(r.groups), MaxCaptures)
	}
}
