package rollup

import (
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/millrace/millrace"
)

// WhereKind returns the kind that a valid condition limits events to, if it is
// kind == "…" or joins that to others by and. A store that keeps the kind skips
// the other events by it.
func WhereKind(where string) (millrace.Kind, bool) {
	return kindOf(parsed(where))
}

func kindOf(n ast.Node) (millrace.Kind, bool) {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return 0, false
	}
	switch b.Operator {
	case "and", "&&":
		if k, ok := kindOf(b.Left); ok {
			return k, true
		}
		return kindOf(b.Right)
	case "==":
		id, isField := b.Left.(*ast.IdentifierNode)
		text, isText := b.Right.(*ast.StringNode)
		if isField && isText && id.Value == "kind" {
			return millrace.ParseKind(text.Value)
		}
	}
	return 0, false
}

// parsed returns the tree of a condition, nil if there is none.
func parsed(where string) ast.Node {
	if where == "" {
		return nil
	}
	tree, err := parser.Parse(where)
	if err != nil {
		return nil
	}
	return tree.Node
}
