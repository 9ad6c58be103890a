package clickhouse

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// dimFilter returns a filter as a condition over the columns of a set's dimensions.
// It means what Filter.Match does. What the set does not have is empty.
func (k *cube) dimFilter(set millrace.DimensionSet, f *millrace.Filter) string {
	if f == nil {
		return "true"
	}
	text := func(field string) string {
		for _, d := range set.Dims {
			if k.schema.Dimensions[d] == field {
				return dimColumn(field)
			}
		}
		return "''"
	}
	switch f.Op {
	case millrace.FilterAnd, millrace.FilterOr:
		op, all := " AND ", []string{"true"}
		if f.Op == millrace.FilterOr {
			op, all = " OR ", []string{"false"}
		}
		for _, s := range f.Sub {
			all = append(all, k.dimFilter(set, s))
		}
		return "(" + strings.Join(all, op) + ")"
	case millrace.FilterNot:
		return "(NOT " + k.dimFilter(set, f.Sub[0]) + ")"
	case millrace.FilterText:
		return "(position('', " + quote(strings.ToLower(f.Value)) + ") > 0)" // cells have no message
	}
	return compareText(text(f.Field), f)
}

var comparisons = map[millrace.FilterOp]string{
	millrace.FilterEq: "=", millrace.FilterNe: "!=", millrace.FilterLt: "<",
	millrace.FilterLe: "<=", millrace.FilterGt: ">", millrace.FilterGe: ">=",
}

// compareText compares a text, as condition does fields of events.
func compareText(text string, f *millrace.Filter) string {
	switch f.Op {
	case millrace.FilterGlob:
		return "(" + text + " LIKE " + quote(likePattern(f.Value)) + ")"
	case millrace.FilterRegexp:
		if _, err := regexp.Compile(f.Value); err != nil || len(f.Value) > millrace.MaxRegexpBytes {
			return "false"
		}
		return "match(" + text + ", " + quote("(?-s)"+f.Value) + ")"
	case millrace.FilterLt, millrace.FilterLe, millrace.FilterGt, millrace.FilterGe:
		if want, err := strconv.ParseFloat(f.Value, 64); err == nil {
			return "(match(" + text + ", " + quote(number) + ") AND ifNull(toFloat64OrNull(" + text + ") " +
				comparisons[f.Op] + " " + floatLiteral(want) + ", false))"
		}
	}
	return "(" + text + " " + comparisons[f.Op] + " " + quote(f.Value) + ")"
}
