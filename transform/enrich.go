package transform

import (
	"errors"

	"github.com/goccy/go-yaml/ast"
)

// Steps that know something: URL templates, user agents, countries, static
// resources.

// URLTemplate folds paths into templates.
type URLTemplate struct {
	From, To string // fields; "url" both
	Original string // keeps the path where it differs; "url_path"
	Options  URLOptions
}

// UserAgent says what a User-Agent header tells.
type UserAgent struct {
	From     string // "user_agent"
	Versions bool   // browser_version and os_version as well
}

// Country sets the country of an address.
type Country struct{ From, To string } // "client_ip" and "country"

// StaticStep drops or marks what a page is made of.
type StaticStep struct {
	From        string // a path; "url"
	ContentType string // a field; "content_type"
	Mark        string // the field that is set to true; "" drops
	Options     StaticOptions
}

// flag reads "true" in the place of settings and reports whether it stood there.
func (r *reader) flag(path string, n ast.Node) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		return false
	}
	r.note(path, n)
	if !b.Value {
		r.bad(path, n, "must be true, or its settings")
	}
	return true
}

func (r *reader) urlTemplate(path string, n ast.Node) *URLTemplate {
	u := &URLTemplate{From: "url", To: "url", Original: "url_path"}
	if r.flag(path, n) {
		return u
	}
	list := func(dst *[]string) func(string, ast.Node) {
		return func(at string, n ast.Node) { *dst = r.texts(at, n, MaxURLPatterns) }
	}
	r.mapping(path, n, keys{
		"from":        r.into(&u.From),
		"to":          r.into(&u.To),
		"original":    r.into(&u.Original),
		"patterns":    list(&u.Options.Patterns),
		"learned":     list(&u.Options.Learned),
		"known":       list(&u.Options.Known),
		"ignore_case": func(at string, n ast.Node) { u.Options.IgnoreCase = r.boolean(at, n) },
		"cap":         func(at string, n ast.Node) { u.Options.Cap = r.integer(at, n) },
	})
	return u
}

func (r *reader) userAgent(path string, n ast.Node) *UserAgent {
	u := &UserAgent{From: "user_agent"}
	if !r.flag(path, n) {
		r.mapping(path, n, keys{
			"from":     r.into(&u.From),
			"versions": func(at string, n ast.Node) { u.Versions = r.boolean(at, n) },
		})
	}
	return u
}

func (r *reader) country(path string, n ast.Node) *Country {
	c := &Country{From: "client_ip", To: "country"}
	if !r.flag(path, n) {
		r.mapping(path, n, keys{"from": r.into(&c.From), "to": r.into(&c.To)})
	}
	return c
}

func (r *reader) static(path string, n ast.Node) *StaticStep {
	s := &StaticStep{From: "url", ContentType: "content_type"}
	if action, ok := scalar(n); ok {
		r.note(path, n)
		switch action {
		case "drop":
		case "mark":
			s.Mark = "static"
		default:
			r.bad(path, n, "must be drop or mark, or its settings")
		}
		return s
	}
	r.mapping(path, n, keys{
		"from":          r.into(&s.From),
		"content_type":  r.into(&s.ContentType),
		"mark":          r.into(&s.Mark),
		"extensions":    func(at string, n ast.Node) { s.Options.Extensions = r.texts(at, n, maxStaticEntries) },
		"content_types": func(at string, n ast.Node) { s.Options.ContentTypes = r.texts(at, n, maxStaticEntries) },
	})
	return s
}

// nested reports the violations of a part at its place in the rules.
func (c *compiler) nested(path string, err error) {
	var e *Error
	if !errors.As(err, &e) {
		c.bad(path, nil, "%v", err)
		return
	}
	for _, v := range e.Violations {
		at := path
		if v.Path != "" {
			at += "." + v.Path
		}
		c.bad(at, nil, "%s", v.Message)
	}
}

func (c *compiler) enrich(path string, st *Step) action {
	switch st.Kind {
	case "url_template":
		u := st.URLTemplate
		t, err := NewTemplates(u.Options)
		if err == nil {
			t, err = c.learned(u, t)
		}
		if err != nil {
			c.nested(path, err)
			return nil
		}
		step := &urlStep{from: c.field(path+".from", u.From), to: c.settable(path+".to", u.To), templates: t, index: c.folders}
		if u.Original != "" {
			step.original = c.settable(path+".original", u.Original)
		}
		c.folders++
		return step
	case "user_agent":
		return &agentStep{from: c.field(path+".from", st.UserAgent.From), versions: st.UserAgent.Versions}
	case "country":
		if c.opts.Countries == nil {
			c.bad(path, nil, "needs a database of countries (MMDB); name its file in the configuration")
		}
		return &countryStep{from: c.field(path+".from", st.Country.From), to: c.settable(path+".to", st.Country.To)}
	}
	t, err := NewStatic(st.Static.Options)
	if err != nil {
		c.nested(path, err)
		return nil
	}
	step := &staticStep{from: c.field(path+".from", st.Static.From), contentType: c.field(path+".content_type", st.Static.ContentType), static: t}
	if st.Static.Mark != "" {
		step.mark = c.settable(path+".mark", st.Static.Mark)
	}
	return step
}

// agentStep sets browser, os, device and bot.
type agentStep struct {
	from     field
	versions bool
}

func (a *agentStep) run(s *Scratch) outcome {
	v := a.from.get(s.e)
	if v.k != text || v.s == "" {
		return unmatched
	}
	agent := s.agents.Parse(v.s)
	if agent.Family == "" {
		return unmatched
	}
	s.pending = append(s.pending,
		assignment{field{name: "browser"}, textValue(agent.Family)},
		assignment{field{name: "device"}, textValue(agent.Device.String())},
		assignment{field{name: "bot"}, boolValue(agent.Bot)})
	if agent.OS != "" {
		s.pending = append(s.pending, assignment{field{name: "os"}, textValue(agent.OS)})
	}
	if a.versions && agent.Major != "" {
		s.pending = append(s.pending, assignment{field{name: "browser_version"}, textValue(agent.Major)})
	}
	if a.versions && agent.OSVersion != "" {
		s.pending = append(s.pending, assignment{field{name: "os_version"}, textValue(agent.OSVersion)})
	}
	return s.finish()
}

// countryStep sets the country of an address.
type countryStep struct{ from, to field }

func (c *countryStep) run(s *Scratch) outcome {
	v := c.from.get(s.e)
	if v.k != text || v.s == "" {
		return unmatched
	}
	code := s.countries.Lookup(s.p.opts.Countries.Get(), v.s)
	if code == "" {
		return unmatched
	}
	if why := s.stage(c.to, textValue(code)); why != "" {
		return s.failed(c.to.name + " is " + why)
	}
	return s.finish()
}

// staticStep drops or marks static resources.
type staticStep struct {
	from, contentType, mark field
	static                  *Static
}

func (t *staticStep) run(s *Scratch) outcome {
	path, contentType := t.from.get(s.e), t.contentType.get(s.e)
	if path.k != text {
		path.s = ""
	}
	if contentType.k != text {
		contentType.s = ""
	}
	if !t.static.Matches(path.s, contentType.s) {
		return unmatched
	}
	if t.mark.name == "" {
		s.reason = "static"
		return dropped
	}
	if why := s.stage(t.mark, boolValue(true)); why != "" {
		return s.failed(t.mark.name + " is " + why)
	}
	return s.finish()
}
