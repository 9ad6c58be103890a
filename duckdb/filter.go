package duckdb

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// condition is SQL text over a day table, with its parameters, in order.
type condition struct {
	layout *layout
	texts  texts
	sql    strings.Builder
	args   []any
}

func (c *condition) add(sql string, args ...any) {
	c.sql.WriteString(sql)
	c.args = append(c.args, args...)
}

// filter adds f as a boolean expression that is never NULL, with the meaning of
// Filter.Match over a day table. One deviation: the text of a number in attrs is
// what DuckDB's JSON reader makes of it (0.120 reads as 0.12, 1e3 as 1000.0);
// in a column it is what was written.
func (c *condition) filter(f *millrace.Filter) {
	if f == nil {
		c.add("true")
		return
	}
	if c.knownText(f) {
		return
	}
	switch f.Op {
	case millrace.FilterAnd:
		c.join(f.Sub, " AND ", "true")
	case millrace.FilterOr:
		c.join(f.Sub, " OR ", "false")
	case millrace.FilterNot:
		c.add("NOT (")
		c.filter(f.Sub[0])
		c.add(")")
	case millrace.FilterText:
		c.text(f.Value)
	case millrace.FilterEq:
		c.equal(f.Field, f.Value)
	case millrace.FilterNe:
		c.add("NOT (")
		c.equal(f.Field, f.Value)
		c.add(")")
	case millrace.FilterGlob:
		c.glob(f.Field, f.Value)
	case millrace.FilterRegexp:
		c.field(f.Field, func(text string) { c.add("regexp_matches("+text+", ?)", f.Value) })
	default:
		c.compare(f)
	}
}

func (c *condition) join(sub []*millrace.Filter, op, empty string) {
	if len(sub) == 0 {
		c.add(empty)
		return
	}
	for i, s := range sub {
		if i > 0 {
			c.add(op)
		}
		c.add("(")
		c.filter(s)
		c.add(")")
	}
}

// text ignores case only if there is case to ignore.
func (c *condition) text(value string) {
	lower, message := strings.ToLower(value), c.layout.texts["message"]
	switch {
	case lower == strings.ToUpper(value):
		c.add("contains("+message+", ?)", value)
	case isASCII(lower):
		c.add("millrace_contains_fold(message, ?)", lower) // which unpacks it
	default:
		c.add("contains(lower("+message+"), ?)", lower)
	}
}

// attrText returns the expression of an attribute in attrs as text, "" if
// missing.
func (l *layout) attrText(name string) string {
	if strings.ContainsRune(name, 0) { // cannot be written in SQL, and no decoder makes such a key
		return "''"
	}
	// A JSON pointer takes any key; a constant path is parsed once.
	pointer := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	return "coalesce(json_extract_string(" + l.other + ", " + quote(pointer) + "), '')"
}

// field adds what test makes of the field's text. Only rows whose column does
// not tell look into attrs.
func (c *condition) field(name string, test func(text string)) {
	if text, ok := c.layout.texts[name]; ok {
		test(text)
		return
	}
	a, ok := c.layout.attrs[name]
	if !ok {
		test(c.layout.attrText(name))
		return
	}
	if a.full {
		test("(" + a.text + ")")
		return
	}
	c.add("CASE WHEN " + name + " IS NULL THEN ")
	test(c.layout.attrText(name))
	c.add(" ELSE ")
	test("(" + a.text + ")")
	c.add(" END")
}

func (c *condition) equal(name, value string) {
	if c.known(name, value) {
		return
	}
	if text, ok := c.layout.texts[name]; ok {
		c.add(text+" = ?", value)
		return
	}
	a, ok := c.layout.attrs[name]
	if !ok {
		c.equalAttr(name, value)
		return
	}
	literal, ok := a.literal(value)
	switch {
	case a.full && !ok:
		c.add("false")
		return
	case a.full && literal == "?":
		c.add(name+" = ?", value)
		return
	case a.full:
		c.add(name + " = " + literal)
		return
	case !ok:
		c.add("(" + name + " IS NULL AND ")
		c.equalAttr(name, value)
		c.add(")")
		return
	}
	var args []any
	if literal == "?" {
		args = []any{value}
	}
	// The first part is for the scan, which skips by it what cannot match.
	c.add("(("+name+" = "+literal+" OR "+name+" IS NULL) AND CASE WHEN "+name+" IS NULL THEN ", args...)
	c.equalAttr(name, value)
	c.add(" ELSE true END)")
}

// known adds the comparison of a field that has a form of its own.
func (c *condition) known(name, value string) bool {
	switch {
	case name == "trace_id":
		c.trace(value)
	case c.layout.v1:
		return false
	case name == "kind":
		if _, ok := millrace.ParseKind(value); ok {
			c.add("kind = " + quote(value))
		} else {
			c.add("false")
		}
	case name == "level" && slices.Contains(levels, value):
		c.add("(level IS NOT NULL AND level = " + quote(value) + ")")
	case name == "level":
		c.add("(level IS NULL AND "+originPart(5)+" = ?)", value)
	default:
		return false
	}
	return true
}

func (c *condition) equalAttr(name, value string) {
	c.add("(")
	c.hint(value)
	c.add(c.layout.attrText(name)+" = ?)", value)
}

// trace compares with the column that holds such ids, without text.
func (c *condition) trace(value string) {
	if _, _, ok := parseTrace([]byte(value)); ok {
		c.add("(trace_uuid IS NOT NULL AND trace_uuid = ?::UUID)", value)
		return
	}
	c.add("(trace_uuid IS NULL AND trace_text = ?)", value)
}

// hint skips rows whose attributes do not contain the value's text at all,
// which is many times cheaper than parsing them. Attributes are written by
// AppendAttrs, so a string appears as AppendJSONString writes it. Numbers may
// be written in more than one way and nested values have spaces: no hint.
func (c *condition) hint(value string) {
	if value == "" || strings.ContainsAny(value[:1], "{[+-.0123456789") {
		return
	}
	escaped := millrace.AppendJSONString(nil, value)
	c.add("contains("+c.layout.other+", ?) AND ", string(escaped[1:len(escaped)-1]))
}

// glob uses the functions that need no pattern matching where it can.
func (c *condition) glob(name, pattern string) {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		c.equal(name, pattern)
		return
	}
	first, last := parts[0], parts[len(parts)-1]
	c.field(name, func(text string) {
		switch {
		case len(parts) == 2 && last == "":
			c.add("starts_with("+text+", ?)", first)
		case len(parts) == 2 && first == "":
			c.add("suffix("+text+", ?)", last)
		case len(parts) == 3 && first == "" && last == "":
			c.add("contains("+text+", ?)", parts[1])
		default:
			like := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(pattern)
			c.add("("+text+` LIKE ? ESCAPE '\')`, like)
		}
	})
}

// compare is numeric if the given value is a number. The texts that
// DuckDB reads as numbers and Go does not have spaces.
func (c *condition) compare(f *millrace.Filter) {
	op := map[millrace.FilterOp]string{
		millrace.FilterLt: "<", millrace.FilterLe: "<=", millrace.FilterGt: ">", millrace.FilterGe: ">=",
	}[f.Op]
	want, err := strconv.ParseFloat(f.Value, 64)
	a, known := c.layout.attrs[f.Field]
	number := func(text string) {
		c.add("(coalesce(TRY_CAST("+text+" AS DOUBLE) "+op+" ?, false) AND NOT regexp_matches("+text+`, '\s'))`, want)
	}
	switch {
	case err != nil:
		c.field(f.Field, func(text string) { c.add(text+" "+op+" ?", f.Value) })
	case f.Field == "weight":
		c.add("weight::DOUBLE "+op+" ?", want)
	case !known || a.number == "":
		c.field(f.Field, number)
	default:
		c.compareColumn(&a, op, want, number)
	}
}

// compareColumn compares an attribute's numbers. The bound of an integer column
// is written as an integer where it is one, for the scan to skip by.
func (c *condition) compareColumn(a *attrColumn, op string, want float64, inAttrs func(text string)) {
	bound := strconv.FormatFloat(want, 'g', -1, 64) + "::DOUBLE"
	if want == math.Trunc(want) && math.Abs(want) < 1<<53 {
		bound = strconv.FormatInt(int64(want), 10)
	} else if math.IsInf(want, 0) || math.IsNaN(want) {
		bound = quote(strconv.FormatFloat(want, 'g', -1, 64)) + "::DOUBLE"
	}
	column := a.name + " >= 0 AND " + a.number + " " + op + " " + bound
	if a.full {
		c.add("(" + column + ")")
		return
	}
	c.add("((" + column + " OR " + a.name + " IS NULL) AND CASE WHEN " + a.name + " IS NULL THEN ")
	inAttrs(c.layout.attrText(a.name))
	c.add(" ELSE true END)")
}
