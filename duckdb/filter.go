package duckdb

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// condition is SQL text with its parameters, in order.
type condition struct {
	sql  strings.Builder
	args []any
}

func (c *condition) add(sql string, args ...any) {
	c.sql.WriteString(sql)
	c.args = append(c.args, args...)
}

// columns maps the fields of events to columns of a day table; all other
// fields are attributes.
var columns = map[string]string{
	"project": "project", "source": "source", "kind": "kind", "service": "service", "host": "host", "env": "env",
	"release": "release", "level": "level", "trace_id": "(" + traceID + ")", "message": "message",
	"weight": "weight::VARCHAR",
}

// filter adds f as a boolean expression that is never NULL, with the meaning of
// Filter.Match over a day table. One deviation: the text of a number in attrs is
// what DuckDB's JSON reader makes of it (0.120 reads as 0.12, 1e3 as 1000.0).
func (c *condition) filter(f *millrace.Filter) {
	if f == nil {
		c.add("true")
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

// text ignores case only if there is case to ignore: lower() copies every row.
func (c *condition) text(value string) {
	if lower := strings.ToLower(value); lower != strings.ToUpper(value) {
		c.add("contains(lower(message), ?)", lower)
		return
	}
	c.add("contains(message, ?)", value)
}

// field returns the expression of a field as text, "" if missing.
func field(name string) (expr string, attr bool) {
	if col, ok := columns[name]; ok {
		return col, false
	}
	if strings.ContainsRune(name, 0) { // cannot be written in SQL, and no decoder makes such a key
		return "''", false
	}
	// A JSON pointer takes any key; a constant path is parsed once.
	pointer := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	return "coalesce(json_extract_string(attrs, " + quote(pointer) + "), '')", true
}

func (c *condition) equal(name, value string) {
	if name == "trace_id" {
		c.trace(value)
		return
	}
	expr, attr := field(name)
	if attr {
		c.hint(value)
	}
	c.add(expr+" = ?", value)
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
	c.add("contains(attrs::VARCHAR, ?) AND ", string(escaped[1:len(escaped)-1]))
}

// glob uses the functions that need no pattern matching where it can.
func (c *condition) glob(name, pattern string) {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		c.equal(name, pattern)
		return
	}
	expr, _ := field(name)
	first, last := parts[0], parts[len(parts)-1]
	switch {
	case len(parts) == 2 && last == "":
		c.add("starts_with("+expr+", ?)", first)
	case len(parts) == 2 && first == "":
		c.add("suffix("+expr+", ?)", last)
	case len(parts) == 3 && first == "" && last == "":
		c.add("contains("+expr+", ?)", parts[1])
	default:
		like := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(pattern)
		c.add("("+expr+` LIKE ? ESCAPE '\')`, like)
	}
}

// compare is numeric if the given value is a number. The texts that
// DuckDB reads as numbers and Go does not have spaces.
func (c *condition) compare(f *millrace.Filter) {
	op := map[millrace.FilterOp]string{
		millrace.FilterLt: "<", millrace.FilterLe: "<=", millrace.FilterGt: ">", millrace.FilterGe: ">=",
	}[f.Op]
	want, err := strconv.ParseFloat(f.Value, 64)
	expr, _ := field(f.Field)
	switch {
	case f.Field == "weight" && err == nil:
		c.add("weight::DOUBLE "+op+" ?", want)
	case err == nil:
		c.add("(coalesce(TRY_CAST("+expr+" AS DOUBLE) "+op+" ?, false) AND NOT regexp_matches("+expr+`, '\s'))`, want)
	default:
		c.add(expr+" "+op+" ?", f.Value)
	}
}
