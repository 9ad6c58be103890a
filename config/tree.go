package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/millrace/millrace"
)

// tree is a file's syntax tree. It is walked here instead of by a decoder into
// structs, which would stop at the first violation and forget where settings
// stand.
type tree struct {
	root    ast.Node // nil if the file is empty or no YAML
	anchors map[string]ast.Node
}

// parseTree reads the text; what is no YAML is reported with its place.
func parseTree(text []byte, v *millrace.Violations) *tree {
	t := &tree{anchors: map[string]ast.Node{}}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		v.Append(syntaxViolation("", err))
		return t
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if t.root != nil {
			v.Append(at(doc.Body, "", "the file must be one document"))
			return t
		}
		t.root = doc.Body
	}
	if t.root != nil {
		ast.Walk(t, t.root)
	}
	return t
}

// Visit implements ast.Visitor: it collects the anchors.
func (t *tree) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		t.anchors[a.Name.String()] = a.Value
	}
	return t
}

// resolve follows anchors and aliases.
func (t *tree) resolve(n ast.Node) ast.Node {
	for range 10 { // an alias of an alias of …
		switch m := n.(type) {
		case *ast.AnchorNode:
			n = m.Value
		case *ast.AliasNode:
			to, ok := t.anchors[m.Value.String()]
			if !ok {
				return n
			}
			n = to
		default:
			return n
		}
	}
	return n
}

// pair is one entry of a mapping.
type pair struct {
	name       string
	key, value ast.Node
}

// pairs returns the entries of a mapping, those that are merged in first; ok is
// false if n is something else.
func (t *tree) pairs(n ast.Node) (list []pair, ok bool) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		return nil, false
	}
	for _, mv := range values {
		if _, merge := mv.Key.(*ast.MergeKeyNode); merge {
			merged, _ := t.pairs(t.resolve(mv.Value))
			list = append(merged, list...)
			continue
		}
		name := mv.Key.String()
		if s, text := mv.Key.(*ast.StringNode); text {
			name = s.Value
		}
		list = append(list, pair{name, mv.Key, t.resolve(mv.Value)})
	}
	return list, true
}

// decode reads the tree over c and reports every unknown setting and every
// value of another type.
func (t *tree) decode(c *Config, v *millrace.Violations) {
	if t.root != nil {
		t.value(t.root, reflect.ValueOf(c).Elem(), "", v)
	}
}

func (t *tree) value(n ast.Node, into reflect.Value, path string, v *millrace.Violations) {
	_, null := n.(*ast.NullNode)
	switch {
	case into.Type() == reflect.TypeFor[Text]():
		return // see Sources.locate
	case into.Kind() == reflect.Struct:
		if !null { // an empty section changes nothing
			t.structure(n, into, path, v)
		}
	case into.Kind() == reflect.Map && into.Type().Elem().Kind() == reflect.Pointer:
		if !null {
			t.named(n, into, path, v)
		}
	case listOfStructs(into.Type()):
		if !null {
			t.list(n, into, path, v)
		}
	case null:
		// A setting without a value keeps its default.
	default:
		if err := yaml.NodeToValue(n, into.Addr().Interface(), yaml.Strict()); err != nil {
			one := syntaxViolation(path, err)
			if one.Line == 0 {
				one.Line, one.Column = position(n)
			}
			v.Append(one)
		}
	}
}

func (t *tree) structure(n ast.Node, into reflect.Value, path string, v *millrace.Violations) {
	list, ok := t.pairs(n)
	if !ok {
		v.Append(at(n, path, "must be settings, each as name: value"))
		return
	}
	fields := map[string]reflect.Value{}
	var names []string
	for i := range into.NumField() {
		if f := into.Type().Field(i); tagged(f) {
			fields[f.Tag.Get("yaml")] = into.Field(i)
			names = append(names, f.Tag.Get("yaml"))
		}
	}
	for _, p := range list {
		if f, known := fields[p.name]; known {
			t.value(p.value, f, join(path, p.name), v)
		} else {
			v.Append(at(p.key, join(path, p.name), "unknown setting; there are "+strings.Join(names, ", ")))
		}
	}
}

// list reads a list of structs over their defaults.
func (t *tree) list(n ast.Node, into reflect.Value, path string, v *millrace.Violations) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		v.Append(at(n, path, "must be a list, each item settings as name: value"))
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		setDefaults(into.Index(i).Addr().Interface())
		t.value(t.resolve(item), into.Index(i), fmt.Sprintf("%s[%d]", path, i), v)
	}
}

// named reads a map of structs by name; null gives nil.
func (t *tree) named(n ast.Node, into reflect.Value, path string, v *millrace.Violations) {
	list, ok := t.pairs(n)
	if !ok {
		v.Append(at(n, path, "must be definitions, each as name: definition"))
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for _, p := range list {
		item := reflect.Zero(into.Type().Elem())
		if _, null := p.value.(*ast.NullNode); !null {
			item = reflect.New(into.Type().Elem().Elem())
			t.value(p.value, item.Elem(), join(path, p.name), v)
		}
		into.SetMapIndex(reflect.ValueOf(p.name), item)
	}
}

// place gives violations that have none the place of the setting, or of the
// closest one around it that the file has, and puts all in the file's order.
func (t *tree) place(v *millrace.Violations) {
	for _, one := range v.List() {
		if one.Line == 0 && t.root != nil {
			one.Line, one.Column = t.find(t.root, one.Path)
		}
	}
	slices.SortStableFunc(v.List(), func(a, b *millrace.Violation) int { return a.Line - b.Line })
}

// find returns the place of a path below n; 0 if not even its beginning exists.
// Names may contain dots.
func (t *tree) find(n ast.Node, path string) (line, column int) {
	if seq, ok := n.(*ast.SequenceNode); ok {
		var i int
		if _, err := fmt.Sscanf(path, "[%d]", &i); err != nil || i < 0 || i >= len(seq.Values) {
			return 0, 0
		}
		_, rest, _ := strings.Cut(path, "]")
		item := t.resolve(seq.Values[i])
		if line, column = t.find(item, strings.TrimPrefix(rest, ".")); line == 0 {
			line, column = position(item)
		}
		return line, column
	}
	list, _ := t.pairs(n)
	for _, p := range list {
		if rest, ok := strings.CutPrefix(path, p.name); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			if line, column = t.find(p.value, strings.TrimPrefix(rest, ".")); line > 0 {
				return line, column
			}
			if _, mapping := t.pairs(p.value); !mapping && rest == "" {
				return position(p.value)
			}
			return position(p.key)
		}
	}
	return 0, 0
}

func join(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}

func at(n ast.Node, path, message string) *millrace.Violation {
	line, column := position(n)
	return &millrace.Violation{Path: path, Message: message, Line: line, Column: column}
}

func position(n ast.Node) (line, column int) {
	if tok := n.GetToken(); tok != nil && tok.Position != nil {
		return tok.Position.Line, tok.Position.Column
	}
	return 0, 0
}

// syntaxViolation is what the YAML library found.
func syntaxViolation(path string, err error) *millrace.Violation {
	one := &millrace.Violation{Path: path, Message: err.Error()}
	var known yaml.Error
	if errors.As(err, &known) {
		one.Message = known.GetMessage()
		if tok := known.GetToken(); tok != nil && tok.Position != nil {
			one.Line, one.Column = tok.Position.Line, tok.Position.Column
		}
	}
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok && wrong.Token != nil {
		one.Message = fmt.Sprintf("%q: must be %s", wrong.Token.Value, kindName(wrong.DstType))
	}
	return one
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list"
	default:
		return t.String()
	}
}
