package clickhouse

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/millrace/millrace"
)

// functionList is every function that statements may call, one a line in lower
// case. It was made from system.functions by leaving out what reaches outside the
// query: dictionaries, files, settings, other servers, machine learning models,
// introspection, sleeping.
//
//go:embed sql_functions.txt
var functionList string

var allowedFunctions = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for f := range strings.FieldsSeq(functionList) {
		m[f] = true
	}
	return m
})

// tableFunctions make rows of nothing.
var tableFunctions = map[string]bool{"numbers": true, "generateseries": true, "generate_series": true, "values": true, "view": true}

// combinators are what aggregate functions may have behind their names.
var combinators = []string{"if", "array", "map", "distinct", "ornull", "ordefault", "foreach", "argmin", "argmax", "state", "merge"}

// allowedNodes are the kinds of node that a query without side effects has.
var allowedNodes = map[string]bool{
	"SelectWithUnionQuery": true, "SelectIntersectExceptQuery": true, "SelectQuery": true, "ExpressionList": true,
	"WithElement": true, "Subquery": true, "Literal": true, "Identifier": true, "Function": true, "Asterisk": true,
	"QualifiedAsterisk": true, "ColumnsRegexpMatcher": true, "ColumnsListMatcher": true, "QualifiedColumnsRegexpMatcher": true,
	"QualifiedColumnsListMatcher": true, "ColumnsTransformerList": true, "ColumnsApplyTransformer": true,
	"ColumnsExceptTransformer": true, "ColumnsReplaceTransformer": true, "ColumnsReplaceTransformer::Replacement": true,
	"TablesInSelectQuery": true, "TablesInSelectQueryElement": true, "TableExpression": true, "TableIdentifier": true,
	"TableJoin": true, "ArrayJoin": true, "OrderByElement": true, "WindowDefinition": true, "WindowListElement": true,
	"InterpolateElement": true,
}

// node is a node of the tree that EXPLAIN AST prints, a line each, its children one
// space further to the right.
type node struct {
	kind, name string
	children   []*node
}

// parseTree reads the answer of EXPLAIN AST; nil if it is none.
func parseTree(lines []string) *node {
	var path []*node // path[i] is the last node at depth i
	for _, line := range lines {
		text := strings.TrimLeft(line, " ")
		depth := len(line) - len(text)
		if depth > len(path) || depth == 0 && len(path) > 0 {
			return nil
		}
		n := parseNode(text)
		if depth > 0 {
			path[depth-1].children = append(path[depth-1].children, n)
		}
		path = append(path[:depth], n)
	}
	if len(path) == 0 {
		return nil
	}
	return path[0]
}

func parseNode(text string) *node {
	if value, ok := strings.CutPrefix(text, "Literal "); ok {
		return &node{kind: "Literal", name: value}
	}
	if i := strings.LastIndex(text, " (children "); i >= 0 {
		text = text[:i]
	}
	if i := strings.LastIndex(text, " (alias "); i >= 0 {
		text = text[:i]
	}
	kind, name, _ := strings.Cut(text, " ")
	return &node{kind: kind, name: strings.TrimSpace(name)}
}

// checkStatement goes through the tree of a statement and returns the documented
// tables that it reads. defined are the names that it may define itself.
func (db *DB) checkStatement(ctx context.Context, tree []string, defined map[string]bool) (map[string]bool, error) {
	root := parseTree(tree)
	// The clauses FORMAT, SETTINGS and INTO OUTFILE of a whole query stand beside
	// its list.
	if root == nil || root.kind != "SelectWithUnionQuery" || len(root.children) != 1 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "sql: only SELECT is allowed, without FORMAT, SETTINGS and INTO OUTFILE")
	}
	public, err := db.publicNames(ctx)
	if err != nil {
		return nil, err
	}
	c := statementCheck{public: public, defined: defined, used: map[string]bool{}, own: map[string]bool{}}
	if err := c.visit(root, nil); err != nil {
		return nil, err
	}
	return c.used, db.checkOwn(ctx, c.own)
}

// checkOwn makes sure that names that a statement defines, which it may also do
// for a window, are no tables of the database.
func (db *DB) checkOwn(ctx context.Context, own map[string]bool) error {
	if len(own) == 0 {
		return nil
	}
	var quoted []string
	for _, name := range slices.Sorted(maps.Keys(own)) {
		quoted = append(quoted, quote(name))
	}
	taken, err := db.texts(ctx, "sql", fmt.Sprintf("SELECT name FROM system.tables WHERE database = %s AND name IN (%s) ORDER BY name",
		quote(db.addr.database), strings.Join(quoted, ", ")))
	if err == nil && len(taken) > 0 {
		err = millrace.Errorf(millrace.ErrInvalid, "sql: %s cannot be the name of a common table expression; take another", taken[0])
	}
	return err
}

// statementCheck is the state of a walk through a tree.
type statementCheck struct {
	public, defined map[string]bool
	used            map[string]bool // of public
	own             map[string]bool // of defined
}

func (c *statementCheck) visit(n, parent *node) error {
	if !allowedNodes[n.kind] {
		return millrace.Errorf(millrace.ErrInvalid, "sql: the statement has a clause that is not allowed (%.40s)", n.kind)
	}
	var err error
	switch n.kind {
	case "TableIdentifier":
		err = c.table(n.name)
	case "Function":
		err = c.function(n, parent)
	}
	if err != nil {
		return err
	}
	for _, child := range n.children {
		if err := c.visit(child, n); err != nil {
			return err
		}
	}
	return nil
}

func (c *statementCheck) function(n, parent *node) error {
	name := strings.ToLower(n.name)
	if parent != nil && parent.kind == "TableExpression" {
		if !tableFunctions[name] {
			return millrace.Errorf(millrace.ErrInvalid, "sql: the table function %.60s is not allowed", n.name)
		}
		return nil
	}
	if !allowedFunction(name) {
		return millrace.Errorf(millrace.ErrInvalid, "sql: the function %.60s is not allowed", n.name)
	}
	if !inFunctions[name] || len(n.children) == 0 {
		return nil
	}
	for i, arg := range n.children[0].children {
		if i > 0 && arg.kind == "Identifier" { // ClickHouse takes a name there for a table
			if err := c.table(arg.name); err != nil {
				return err
			}
		}
	}
	return nil
}

var inFunctions = map[string]bool{
	"in": true, "notin": true, "nullin": true, "notnullin": true,
	"inignoreset": true, "notinignoreset": true, "nullinignoreset": true, "notnullinignoreset": true,
}

// allowedFunction takes a name in lower case, with combinators behind it.
func allowedFunction(name string) bool {
	for !allowedFunctions()[name] {
		i := slices.IndexFunc(combinators, func(s string) bool { return strings.HasSuffix(name, s) && len(name) > len(s) })
		if i < 0 {
			return false
		}
		name = strings.TrimSuffix(name, combinators[i])
	}
	return true
}

func (c *statementCheck) table(name string) error {
	switch {
	case c.defined[name]:
		c.own[name] = true
	case c.public[name]:
		c.used[name] = true
	case strings.EqualFold(name, "issues"):
		return millrace.ErrNoIssuesTable
	default:
		return millrace.Errorf(millrace.ErrInvalid, "sql: there is no table %.80q here; there are %s",
			name, strings.Join(slices.Sorted(maps.Keys(c.public)), ", "))
	}
	return nil
}
