package transform

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// position is a place in the text of a rule set, from 1.
type position struct{ line, column int }

// reader walks the syntax tree of a rule set. A decoder into structs would stop
// at the first violation and forget where values stood; this collects all of
// them, and the positions for what Compile finds later.
type reader struct {
	violations []Violation
	pos        map[string]position
}

func (r *reader) bad(path string, n ast.Node, format string, args ...any) {
	v := Violation{Path: path, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		p := positionOf(n)
		v.Line, v.Column = p.line, p.column
	}
	r.violations = append(r.violations, v)
}

func positionOf(n ast.Node) position {
	t := n.GetToken()
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		t = m.Values[0].Key.GetToken() // its own token is a colon
	}
	if t == nil || t.Position == nil {
		return position{}
	}
	return position{t.Position.Line, t.Position.Column}
}

// parseYAML returns the root of the text, nil if it is empty.
func (r *reader) parseYAML(text []byte) ast.Node {
	if !utf8.Valid(text) {
		r.bad("", nil, "the rules must be valid UTF-8")
		return nil
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		r.syntax(err)
		return nil
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			r.bad("", doc.Body, "the rules must be one document")
			return nil
		}
		root = doc.Body
	}
	return root
}

// syntax reports what the YAML parser found.
func (r *reader) syntax(err error) {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
		p := at.GetToken().Position
		r.violations = append(r.violations, Violation{Line: p.Line, Column: p.Column, Message: "not valid YAML: " + at.GetMessage()})
		return
	}
	r.bad("", nil, "not valid YAML: %v", err)
}

// keys maps the keys of a mapping to what reads their values.
type keys map[string]func(path string, n ast.Node)

// mapping reads a mapping with known keys.
func (r *reader) mapping(path string, n ast.Node, known keys) {
	r.pairs(path, n, func(key, at string, k, v ast.Node) {
		read, ok := known[key]
		if !ok {
			names := make([]string, 0, len(known))
			for name := range known {
				names = append(names, name)
			}
			slices.Sort(names)
			r.bad(at, k, "unknown key; known are %s", strings.Join(names, ", "))
			return
		}
		read(at, v)
	})
}

// pairs reads a mapping with any keys, in order.
func (r *reader) pairs(path string, n ast.Node, f func(key, at string, k, v ast.Node)) {
	r.note(path, n)
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		r.bad(path, n, "must be a mapping (key: value), not %s", kindOf(n))
		return
	}
	for _, pair := range values {
		key, ok := scalar(pair.Key)
		if !ok {
			r.bad(path, pair.Key, "a key must be plain text, not %s", kindOf(pair.Key))
			continue
		}
		at := key
		if path != "" {
			at = path + "." + key
		}
		f(key, at, pair.Key, pair.Value)
	}
}

// list reads a sequence.
func (r *reader) list(path string, n ast.Node, limit int, f func(at string, n ast.Node)) {
	r.note(path, n)
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.bad(path, n, "must be a list, not %s", kindOf(n))
		return
	}
	if len(s.Values) > limit {
		r.bad(path, n, "has %d entries; must be at most %d", len(s.Values), limit)
		return
	}
	for i, v := range s.Values {
		f(fmt.Sprintf("%s[%d]", path, i), v)
	}
}

// text reads a scalar as it is written.
func (r *reader) text(path string, n ast.Node) string {
	r.note(path, n)
	s, ok := scalar(n)
	if !ok {
		r.bad(path, n, "must be text, not %s", kindOf(n))
	}
	return s
}

// texts reads a list of scalars, or one as a list of one.
func (r *reader) texts(path string, n ast.Node, limit int) []string {
	if s, ok := scalar(n); ok {
		r.note(path, n)
		r.pos[path+"[0]"] = positionOf(n)
		return []string{s}
	}
	var out []string
	r.list(path, n, limit, func(at string, n ast.Node) { out = append(out, r.text(at, n)) })
	return out
}

func (r *reader) integer(path string, n ast.Node) int {
	r.note(path, n)
	if i, ok := n.(*ast.IntegerNode); ok {
		switch v := i.Value.(type) {
		case int64:
			return int(v)
		case uint64:
			if v < 1<<62 {
				return int(v)
			}
		}
	}
	r.bad(path, n, "must be a whole number, not %s", kindOf(n))
	return 0
}

func (r *reader) boolean(path string, n ast.Node) bool {
	r.note(path, n)
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.bad(path, n, "must be true or false, not %s", kindOf(n))
		return false
	}
	return b.Value
}

// note keeps the position of a value for what Compile finds.
func (r *reader) note(path string, n ast.Node) {
	if n != nil {
		r.pos[path] = positionOf(n)
	}
}

// scalar returns the text of a scalar: numbers and booleans as written.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias, which rules do not have"
	case *ast.TagNode:
		return "a tag, which rules do not have"
	}
	return strings.ToLower(n.Type().String())
}
