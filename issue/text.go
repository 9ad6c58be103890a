package issue

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// Rules as people write them: a list in YAML 1.2 (JSON is one too), each entry
// with the keys of the JSON. What is wrong is said of every rule, not of the first
// alone, with the line where it stands.

// ReadRules reads grouping rules, those that RulesText wrote too. An empty text is
// no rule. If anything is wrong it says what and where, and the rules are of no use.
func ReadRules(text string) ([]exception.Rule, []*millrace.Violation) {
	var out []exception.Rule
	t := &ruleText{}
	t.list(text, func(n ast.Node) {
		r := exception.Rule{}
		at := t.rule(n, &r.Match, map[string]*string{"name": &r.Name, "fingerprint": &r.Fingerprint})
		t.check(&r, at)
		out = append(out, r)
	})
	return out, t.bad
}

// ReadOwners reads owner rules as ReadRules reads those of the grouping.
func ReadOwners(text string) ([]OwnerRule, []*millrace.Violation) {
	var out []OwnerRule
	t := &ruleText{}
	t.list(text, func(n ast.Node) {
		o := OwnerRule{}
		at := t.rule(n, &o.Match, map[string]*string{"owner": &o.Owner})
		r := o.rule()
		t.check(&r, at)
		if err := checkOwner(o.Owner); err != nil {
			t.say(at.of("owner"), "%s", millrace.ErrorMessage(err))
		} else if strings.TrimSpace(o.Owner) == "" {
			t.say(at.of("owner"), "the rule names no owner")
		}
		out = append(out, o)
	})
	return out, t.bad
}

// ruleText is one reading of rules.
type ruleText struct {
	bad []*millrace.Violation
}

// places are where the values of a rule stand; "" is the rule.
type places struct {
	byKey   map[string]ast.Node
	matches []ast.Node
	wrong   bool // something is wrong with its form
}

func (p *places) of(key string) ast.Node {
	if n := p.byKey[key]; n != nil {
		return n
	}
	return p.byKey[""]
}

func (t *ruleText) say(n ast.Node, format string, args ...any) {
	v := &millrace.Violation{Message: fmt.Sprintf(format, args...)}
	if n != nil {
		token := n.GetToken()
		if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
			token = m.Values[0].Key.GetToken() // its own is a colon
		}
		if token != nil && token.Position != nil {
			v.Line, v.Column = token.Position.Line, token.Position.Column
		}
	}
	t.bad = append(t.bad, v)
}

// list calls each with the entries of the text.
func (t *ruleText) list(text string, each func(ast.Node)) {
	file, err := parser.ParseBytes([]byte(strings.ToValidUTF8(text, "\ufffd")), 0)
	if err != nil {
		t.syntax(err)
		return
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue
		}
		if root != nil {
			t.say(doc.Body, "the rules must be one document")
			return
		}
		root = doc.Body
	}
	if root == nil {
		return
	}
	s, ok := root.(*ast.SequenceNode)
	switch {
	case !ok:
		t.say(root, "must be a list of rules, each beginning with a dash")
	case len(s.Values) > MaxRules:
		t.say(root, "%d rules: at most %d", len(s.Values), MaxRules)
	default:
		for _, n := range s.Values {
			each(n)
		}
	}
}

// syntax says what the parser found.
func (t *ruleText) syntax(err error) {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil || at.GetToken().Position == nil {
		t.bad = append(t.bad, &millrace.Violation{Message: "not valid YAML: " + err.Error()})
		return
	}
	p := at.GetToken().Position
	t.bad = append(t.bad, &millrace.Violation{Line: p.Line, Column: p.Column, Message: "not valid YAML: " + at.GetMessage() + unquoted(at.GetMessage())})
}

// unquoted is a hint at the usual slip: a pattern that begins with *, a fingerprint
// that begins with {{.
func unquoted(message string) string {
	if strings.Contains(message, "alias") || strings.Contains(message, "anchor") || strings.Contains(message, "flow map") {
		return `; text that begins with * or { needs quotes: "*Timeout"`
	}
	return ""
}

// rule reads one entry: match, and texts by key.
func (t *ruleText) rule(n ast.Node, match *[]exception.Matcher, texts map[string]*string) *places {
	at := &places{byKey: map[string]ast.Node{"": n}}
	before := len(t.bad)
	known := []string{"match"}
	for key := range texts {
		known = append(known, key)
	}
	t.pairs(n, "a rule", known, func(key string, v ast.Node) {
		at.byKey[key] = v
		if key != "match" {
			*texts[key] = t.text(v, key)
			return
		}
		s, ok := v.(*ast.SequenceNode)
		if !ok {
			t.say(v, "match must be a list: [{field: type, pattern: \"*Timeout\"}]")
			return
		}
		for _, n := range s.Values {
			*match = append(*match, t.matcher(n))
			at.matches = append(at.matches, n)
		}
	})
	at.wrong = len(t.bad) > before
	return at
}

func (t *ruleText) matcher(n ast.Node) (m exception.Matcher) {
	t.pairs(n, "an entry of match", []string{"field", "pattern", "not"}, func(key string, v ast.Node) {
		switch key {
		case "field":
			m.Field = t.text(v, key)
		case "pattern":
			m.Pattern = t.text(v, key)
		case "not":
			b, ok := v.(*ast.BoolNode)
			if !ok {
				t.say(v, "not must be true or false")
				return
			}
			m.Not = b.Value
		}
	})
	return m
}

// pairs calls each with the keys of a mapping, which must be among known.
func (t *ruleText) pairs(n ast.Node, what string, known []string, each func(key string, v ast.Node)) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		t.say(n, "%s must have keys: %s", what, inOrder(known))
		return
	}
	for _, pair := range values {
		key := pair.Key.String()
		if s, ok := pair.Key.(*ast.StringNode); ok {
			key = s.Value
		}
		if !slices.Contains(known, key) {
			t.say(pair.Key, "unknown key %.60q; there are %s", key, inOrder(known))
			continue
		}
		each(key, pair.Value)
	}
}

func inOrder(names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// text reads a scalar; what YAML takes for a number or a truth value is the text
// that stands there.
func (t *ruleText) text(n ast.Node, key string) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value
	case *ast.NullNode:
		return ""
	case *ast.AliasNode, *ast.MappingNode, *ast.MappingValueNode:
		t.say(n, `%s must be text; one that begins with * or { needs quotes: "*Timeout"`, key)
	default:
		t.say(n, "%s must be text", key)
	}
	return ""
}

// groupingFields are what rules of a project may match.
var groupingFields = []string{"type", "message", "module", "function", "file", "service"}

// check says what is wrong with a rule whose form is right, at the part that is.
func (t *ruleText) check(r *exception.Rule, at *places) {
	if at.wrong {
		return
	}
	before := len(t.bad)
	for i, m := range r.Match {
		if !slices.Contains(groupingFields, m.Field) && m.Field != "env" && m.Field != "release" {
			t.say(at.matches[i], "unknown field %.60q; there are %s", m.Field, strings.Join(groupingFields, ", "))
			continue
		}
		one := exception.Rule{Name: r.Name, Match: []exception.Matcher{m}, Fingerprint: "x"}
		if err := ruleError(&one); err != nil {
			t.say(at.matches[i], "%v", cause(err))
		}
	}
	part := "fingerprint"
	if len(r.Match) == 0 {
		part = "match"
	}
	if err := ruleError(r); err != nil && len(t.bad) == before {
		t.say(at.of(part), "%v", cause(err))
	}
}

// cause is an error without the rule that it names: the line says which it is.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
