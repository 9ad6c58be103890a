package rollup

import (
	"maps"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// Fields returns the columns and attributes of events that the rollup reads,
// sorted: all that has to be known to fold an event.
func (r *Rollup) Fields() []string {
	seen := map[string]bool{}
	for _, d := range r.Dimensions {
		seen[d] = true
	}
	conditions := []string{r.Where}
	for _, m := range r.Metrics {
		if m.Field != "" {
			seen[m.Field] = true
		}
		conditions = append(conditions, m.Where)
	}
	for _, src := range conditions {
		if tree, err := parser.Parse(src); err == nil { // compiled before: empty or right
			ast.Walk(&tree.Node, identifiers(seen))
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// identifiers collects the names in an expression.
type identifiers map[string]bool

// Visit implements ast.Visitor.
func (v identifiers) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok {
		v[id.Value] = true
	}
}
