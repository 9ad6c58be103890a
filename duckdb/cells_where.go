package duckdb

import (
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// cellFilter adds q.Where as a boolean expression over the dimension columns of
// q.Set, which are never NULL there. It means exactly what Filter.Match does.
func cellFilter(c *condition, s *millrace.RollupSchema, q *millrace.CellQuery) {
	column := func(field string) string {
		for _, d := range q.Set.Dims {
			if s.Dimensions[d] == field {
				return ident(dimColumn(field))
			}
		}
		return "''"
	}
	addCellFilter(c, column, q.Where)
}

var comparisons = map[millrace.FilterOp]string{
	millrace.FilterEq: "=", millrace.FilterNe: "<>", millrace.FilterLt: "<",
	millrace.FilterLe: "<=", millrace.FilterGt: ">", millrace.FilterGe: ">=",
}

func addCellFilter(c *condition, column func(string) string, f *millrace.Filter) {
	if f == nil {
		c.add("true")
		return
	}
	switch f.Op {
	case millrace.FilterAnd, millrace.FilterOr:
		op, start := " AND ", "(true"
		if f.Op == millrace.FilterOr {
			op, start = " OR ", "(false"
		}
		c.add(start)
		for _, s := range f.Sub {
			c.add(op)
			addCellFilter(c, column, s)
		}
		c.add(")")
	case millrace.FilterNot:
		c.add("(NOT ")
		addCellFilter(c, column, f.Sub[0])
		c.add(")")
	case millrace.FilterText:
		c.add("contains(lower("+column("message")+"), ?)", strings.ToLower(f.Value))
	case millrace.FilterGlob:
		like := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(f.Value)
		c.add("("+column(f.Field)+` LIKE ? ESCAPE '\')`, like)
	default:
		ordered := slices.Contains([]millrace.FilterOp{millrace.FilterLt, millrace.FilterLe, millrace.FilterGt, millrace.FilterGe}, f.Op)
		if want, err := strconv.ParseFloat(f.Value, 64); ordered && err == nil {
			c.add("coalesce(millrace_compare("+column(f.Field)+", ?) "+comparisons[f.Op]+" 0, false)", want)
			return
		}
		c.add("("+column(f.Field)+" "+comparisons[f.Op]+" ?)", f.Value)
	}
}
