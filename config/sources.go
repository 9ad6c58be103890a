package config

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/transform"
)

// Sources are settings of sources, by NAME or PROJECT/NAME.
type Sources map[string]*Source

// Source is what can be set for one source.
type Source struct {
	Preset string `yaml:"preset" doc:"Rules that come with millrace, instead of rules: see millrace rules presets." example:"nginx-access"`
	Rules  Text   `yaml:"rules" doc:"How the source's lines become fields, and which are dropped or changed; see docs/rules.md." example:"{steps: [{drop: level == \"debug\"}]}"`
}

// Text is a part of the file that another package reads: its lines as written,
// without their indentation, so that positions in it can be turned into
// positions in the file.
type Text struct {
	Text string
	line int // of the file that the first line stands in, from 1
	// Columns of the file before the text's own: in its first line, and in the others.
	first, others int
}

// SplitSource returns project and source of a name in the file.
func SplitSource(name string) (project, source string) {
	if project, source, ok := strings.Cut(name, "/"); ok {
		return project, source
	}
	return millrace.DefaultProject, name
}

// Seeds returns the rules that the file owns.
func (s Sources) Seeds() []pipeline.Seed {
	var out []pipeline.Seed
	for _, name := range slices.Sorted(maps.Keys(s)) {
		text := s[name].text()
		if text == "" {
			continue
		}
		project, source := SplitSource(name)
		out = append(out, pipeline.Seed{Project: project, Source: source, Text: text})
	}
	return out
}

// text returns the source's rules, "" for none. Of a preset it is the text, not
// the name: a later millrace may have other rules under the name, and what is in
// the queue must be read by those it was stamped with.
func (s *Source) text() string {
	if s == nil {
		return ""
	}
	if preset, err := transform.Preset(s.Preset); err == nil {
		return string(preset)
	}
	return s.Rules.Text
}

func (s Sources) validate(v *millrace.Violations, countries *transform.CountryFile) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		path := "sources." + name
		project, source := SplitSource(name)
		if !auth.ValidName(project) || !auth.ValidName(strings.TrimSuffix(source, "*")) && source != "*" {
			v.Add(path, name, "NAME or PROJECT/NAME, each 1 to 128 of A-Z a-z 0-9 . _ -; a source may end in *")
		}
		src := s[name]
		if src == nil {
			continue
		}
		src.Rules.validate(path+".rules", v, countries)
		if src.Preset == "" {
			continue
		}
		if _, err := transform.Preset(src.Preset); err != nil {
			v.Append(&millrace.Violation{Path: path + ".preset", Message: millrace.ErrorMessage(err)})
		}
		if src.Rules.Text != "" {
			v.Append(&millrace.Violation{Path: path + ".preset", Message: "stands beside rules: a source has one of them"})
		}
	}
}

// validate reports what package transform finds, at its place in the file.
func (t *Text) validate(path string, v *millrace.Violations, countries *transform.CountryFile) {
	if t.Text == "" {
		return
	}
	_, err := pipeline.CompileRules(&millrace.RuleVersion{Text: t.Text}, pipeline.RulesOptions(make([]byte, 32), countries))
	if err == nil {
		return
	}
	var all *transform.Error
	if !errors.As(err, &all) {
		v.Append(&millrace.Violation{Path: path, Message: err.Error(), Line: t.line, Column: t.first + 1})
		return
	}
	for _, one := range all.Violations {
		line, column := t.place(one.Line, one.Column)
		v.Append(&millrace.Violation{Path: join(path, one.Path), Message: one.Message, Line: line, Column: column})
	}
}

// Warnings returns what the rules of the file may do but probably should not,
// each at its place in the file; costs are measured with the clock now. The
// configuration must be valid.
func (c *Config) Warnings(now func() time.Time) []transform.Warning {
	var out []transform.Warning
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		src := c.Sources[name]
		if src == nil || src.Rules.Text == "" {
			continue // a preset is not the file's to change
		}
		p, err := pipeline.CompileRules(&millrace.RuleVersion{Text: src.Rules.Text}, pipeline.RulesOptions(make([]byte, 32), c.countryFile))
		if err != nil {
			continue // it was compiled when it was validated
		}
		for _, w := range p.Lint(nil, now) {
			w.Line, w.Column = src.Rules.place(w.Line, w.Column)
			w.Path = join("sources."+name+".rules", w.Path)
			out = append(out, w)
		}
	}
	return out
}

// place turns a position in the text into one in the file.
func (t *Text) place(line, column int) (int, int) {
	switch {
	case line <= 0:
		return t.line, t.first + 1
	case line == 1:
		return t.line, t.first + column
	default:
		return t.line + line - 1, t.others + column
	}
}

// locate cuts the rules out of the file. A decoder would give them as values,
// which are written anew in the history of rules, without comments, and have no
// positions.
func (s Sources) locate(text []byte, file *tree) {
	if file.root == nil {
		return
	}
	lines := strings.Split(string(text), "\n")
	each := func(n ast.Node, name string, do func(pair)) {
		list, _ := file.pairs(n)
		for _, p := range list {
			if name == "" || p.name == name {
				do(p)
			}
		}
	}
	each(file.root, "sources", func(p pair) {
		each(p.value, "", func(src pair) {
			if s[src.name] == nil {
				return
			}
			each(src.value, "rules", func(rules pair) { s[src.name].Rules = cut(lines, rules) })
		})
	})
}

// cut returns the text of a mapping's value: what follows its key in the same
// line, and all lines that are indented further. That is the value's whole text
// unless it stands within braces; then it is written anew, in one piece.
func cut(lines []string, p pair) Text {
	if _, null := p.value.(*ast.NullNode); null {
		return Text{}
	}
	key := p.key.GetToken().Position
	line, column := position(p.value)
	indent := len(lines[key.Line-1]) - len(strings.TrimLeft(lines[key.Line-1], " "))
	if indent != key.Column-1 {
		return Text{Text: p.value.String() + "\n", line: line, first: column - 1}
	}
	var body []string
	for _, l := range lines[key.Line:] {
		trimmed := strings.TrimLeft(l, " ")
		if blank := strings.TrimSpace(l) == ""; !blank && len(l)-len(trimmed) <= indent {
			break
		}
		body = append(body, l)
	}
	for len(body) > 0 && strings.TrimSpace(body[len(body)-1]) == "" {
		body = body[:len(body)-1]
	}
	if line == key.Line { // {…} or […] behind the key
		head := string([]rune(lines[line-1])[column-1:])
		return Text{Text: strings.Join(append([]string{head}, body...), "\n") + "\n", line: line, first: column - 1}
	}
	return dedent(body, key.Line+1)
}

// dedent takes off what all lines are indented by.
func dedent(body []string, line int) Text {
	common := -1
	for _, l := range body {
		if n := len(l) - len(strings.TrimLeft(l, " ")); strings.TrimSpace(l) != "" && (common < 0 || n < common) {
			common = n
		}
	}
	var b bytes.Buffer
	for _, l := range body {
		b.WriteString(l[min(common, len(l)):] + "\n")
	}
	return Text{Text: b.String(), line: line, first: common, others: common}
}
