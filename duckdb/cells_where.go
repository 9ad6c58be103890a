package duckdb

import (
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// cellFilter adds a filter as a boolean expression over the key columns of a
// set, which are never NULL there. It means exactly what Filter.Match does.
// A condition on a dimension asks for the values that fulfil it, so that it is
// evaluated once per value and not once per cell.
func cellFilter(c *condition, k *cube, set millrace.DimensionSet, f *millrace.Filter) {
	addCellFilter(c, func(field string, test func(text string)) {
		key := ""
		if d := slices.Index(k.schema.Dimensions, field); d >= 0 {
			key = k.keyOf(set, d)
		}
		if key == "" { // the set does not have it: it is empty in every cell
			test("''")
			return
		}
		c.add("(" + key + " IN (SELECT code FROM " + k.values() + " WHERE ")
		test("value")
		c.add("))")
	}, f)
}

var comparisons = map[millrace.FilterOp]string{
	millrace.FilterEq: "=", millrace.FilterNe: "<>", millrace.FilterLt: "<",
	millrace.FilterLe: "<=", millrace.FilterGt: ">", millrace.FilterGe: ">=",
}

// addCellFilter adds a filter; on puts a test of a field's text in its place.
func addCellFilter(c *condition, on func(field string, test func(text string)), f *millrace.Filter) {
	if f == nil {
		c.add("true")
		return
	}
	if field, values := oneOf(f); len(values) > 1 {
		on(field, func(text string) {
			c.add("("+text+" IN (?"+strings.Repeat(", ?", len(values)-1)+"))", values...)
		})
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
			addCellFilter(c, on, s)
		}
		c.add(")")
	case millrace.FilterNot:
		c.add("(NOT ")
		addCellFilter(c, on, f.Sub[0])
		c.add(")")
	case millrace.FilterText:
		on("message", func(text string) { c.add("contains(lower("+text+"), ?)", strings.ToLower(f.Value)) })
	default:
		on(f.Field, func(text string) { addComparison(c, text, f) })
	}
}

// oneOf returns the field and values of a filter that says "one of these", nil
// values for another: as one test of the dimension's values it costs what one
// equality does, where a test for each, of many fingerprints, takes minutes.
func oneOf(f *millrace.Filter) (field string, values []any) {
	if f.Op != millrace.FilterOr {
		return "", nil
	}
	for _, s := range f.Sub {
		if s.Op != millrace.FilterEq || s.Field != f.Sub[0].Field {
			return "", nil
		}
		values = append(values, s.Value)
	}
	if len(f.Sub) > 0 {
		field = f.Sub[0].Field
	}
	return field, values
}

func addComparison(c *condition, text string, f *millrace.Filter) {
	switch f.Op {
	case millrace.FilterGlob:
		like := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(f.Value)
		c.add("("+text+` LIKE ? ESCAPE '\')`, like)
		return
	case millrace.FilterRegexp:
		c.add("regexp_matches("+text+", ?)", f.Value)
		return
	case millrace.FilterLt, millrace.FilterLe, millrace.FilterGt, millrace.FilterGe:
		if want, err := strconv.ParseFloat(f.Value, 64); err == nil {
			c.add("coalesce(millrace_compare("+text+", ?) "+comparisons[f.Op]+" 0, false)", want)
			return
		}
	}
	c.add("("+text+" "+comparisons[f.Op]+" ?)", f.Value)
}
