package clickhouse

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// condition spells filters over events_rows in SQL, with the meaning of
// Filter.Match. Two deviations: the text of a number in attrs is what ClickHouse's
// JSON reader makes of it (0.120 reads as 0.12, 1e3 as 1000); in a column it is
// what was written. And of what ParseFloat takes for numbers only decimal ones
// are compared as such: not "inf", "nan", "0x10" and "1_000".
//
// Expressions are never NULL.
type condition struct {
	sql strings.Builder
	// closer says that rows may have what their columns do not tell (bits of odd).
	closer bool
}

func (c *condition) add(sql ...string) {
	for _, s := range sql {
		c.sql.WriteString(s)
	}
}

// filter adds f as a condition.
func (c *condition) filter(f *millrace.Filter) {
	if f == nil {
		c.add("1")
		return
	}
	switch f.Op {
	case millrace.FilterAnd:
		c.join(f.Sub, " AND ", "1")
	case millrace.FilterOr:
		c.join(f.Sub, " OR ", "0")
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
		c.regexp(f.Field, f.Value)
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

// attr is how a well-known attribute is stored.
type attr struct {
	bit    millrace.AttrSet
	none   string // condition of a row whose column has no value
	text   string // the value as text, "" for none
	number string // the value as Float64, of rows that have one; "" if only its text tells
	// equal returns the condition that the column has a value; ok is false if no
	// column can have it. It is not called for "".
	equal func(value string) (sql string, ok bool)
}

// Powers of ten up to the largest scale of a millrace.Decimal.
var powers = func() string {
	all := make([]string, 23)
	for i := range all {
		all[i] = fmt.Sprintf("1e%d", i)
	}
	return "[" + strings.Join(all, ", ") + "]"
}()

// decimalText spells a millrace.Decimal: digits, and a point before the last scale
// of them.
func decimalText(column string) string {
	r := strings.NewReplacer("D", "toString(bitShiftRight("+column+", 5))", "S", "bitAnd("+column+", 31)", "C", column)
	return r.Replace("if(C < 0, '', if(S = 0, D, concat(substring(leftPad(D, S + 1, '0'), 1, greatest(length(D), S + 1) - S), '.', right(leftPad(D, S + 1, '0'), S))))")
}

func decimalNumber(column string) string {
	return "(toFloat64(bitShiftRight(" + column + ", 5)) / arrayElement(" + powers + ", bitAnd(" + column + ", 31) + 1))"
}

func equalText(column string) func(string) (string, bool) {
	return func(value string) (string, bool) { return column + " = " + quote(value), true }
}

func equalInt(column string, limit int64) func(string) (string, bool) {
	return func(value string) (string, bool) {
		n, err := strconv.ParseInt(value, 10, 64)
		return column + " = " + value, err == nil && n >= 0 && n <= limit && strconv.FormatInt(n, 10) == value
	}
}

func equalDecimal(column string) func(string) (string, bool) {
	return func(value string) (string, bool) {
		d := millrace.ParseDecimal(value)
		return fmt.Sprintf("%s = %d", column, int64(d)), d != millrace.NoDecimal
	}
}

var attrs = map[string]attr{
	millrace.AttrMethod: {
		bit: millrace.InMethod, none: "method = ''", text: "method",
		equal: func(value string) (string, bool) {
			return "method = " + quote(value), slices.Contains(millrace.Methods[:], value)
		},
	},
	millrace.AttrURL:       {bit: millrace.InURL, none: "url = ''", text: "url", equal: equalText("url")},
	millrace.AttrUserAgent: {bit: millrace.InUserAgent, none: "user_agent = ''", text: "user_agent", equal: equalText("user_agent")},
	millrace.AttrStatus: {
		bit: millrace.InStatus, none: "status < 0", text: "if(status < 0, '', toString(status))",
		number: "toFloat64(status)", equal: equalInt("status", math.MaxInt32),
	},
	millrace.AttrBytes: {
		bit: millrace.InBytes, none: "bytes < 0", text: "if(bytes < 0, '', toString(bytes))",
		number: "toFloat64(bytes)", equal: equalInt("bytes", math.MaxInt64),
	},
	millrace.AttrRT: {
		bit: millrace.InRT, none: "rt < 0", text: decimalText("rt"), number: decimalNumber("rt"), equal: equalDecimal("rt"),
	},
	millrace.AttrRTBackend: {
		bit: millrace.InRTBackend, none: "rt_backend < 0", text: decimalText("rt_backend"),
		number: decimalNumber("rt_backend"), equal: equalDecimal("rt_backend"),
	},
	millrace.AttrClientIP: {
		bit: millrace.InClientIP, none: "client_ip = 0", text: "if(client_ip = 0, '', IPv4NumToString(client_ip))",
		equal: func(value string) (string, bool) {
			ip := millrace.ParseIPv4(value)
			return fmt.Sprintf("client_ip = %d", ip), ip != 0
		},
	},
}

// columnTexts are the fields that are columns of every event.
var columnTexts = map[string]string{
	"project": "project", "source": "source", "kind": "kind", "service": "service", "host": "host", "env": "env",
	"release": "release", "level": "level", "trace_id": "trace_id", "message": "message", "weight": "toString(weight)",
	millrace.AttrFingerprint: "fingerprint",
}

// attrText is an attribute in attrs as text, "" if it is missing.
func attrText(name string) string { return "JSONExtract(attrs, " + quote(name) + ", 'String')" }

// text returns a field as text.
func (c *condition) fieldText(name string) string {
	if t, ok := columnTexts[name]; ok {
		return t
	}
	a, ok := attrs[name]
	switch {
	case !ok:
		return attrText(name)
	case c.closer:
		return "if(" + a.none + ", " + attrText(name) + ", " + a.text + ")"
	}
	return a.text
}

func (c *condition) equal(name, value string) {
	if name == "weight" {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && strconv.FormatInt(n, 10) == value {
			c.add("weight = ", value)
		} else {
			c.add("0")
		}
		return
	}
	if t, ok := columnTexts[name]; ok {
		c.add(t, " = ", quote(value))
		return
	}
	a, ok := attrs[name]
	if !ok {
		c.equalAttr(name, value)
		return
	}
	if value == "" && c.closer {
		c.add("(", a.none, " AND ")
		c.equalAttr(name, value)
		c.add(")")
		return
	}
	sql, fits := a.none, true
	if value != "" {
		sql, fits = a.equal(value)
	}
	if !fits {
		sql = "0"
	}
	if !c.closer {
		c.add(sql)
		return
	}
	c.add("(", sql, " OR (", a.none, " AND ")
	c.equalAttr(name, value)
	c.add("))")
}

func (c *condition) equalAttr(name, value string) {
	c.add("(", attrHint(name, value), attrText(name), " = ", quote(value), ")")
}

// attrHint skips rows whose attrs do not have the member at all, which is several
// times cheaper than parsing them. attrs are written by AppendAttrs: no spaces, and
// strings as AppendJSONString writes them. Numbers may be written in more than one
// way, so that only the key is looked for if the value may be one.
func attrHint(name, value string) string {
	if value == "" {
		return ""
	}
	member := append(millrace.AppendJSONString(nil, name), ':')
	if !strings.ContainsAny(value[:1], "{[+-.0123456789tfn") {
		member = millrace.AppendJSONString(member, value)
	}
	return "position(attrs, " + quote(string(member)) + ") > 0 AND "
}

// glob uses the functions that need no pattern where it can.
func (c *condition) glob(name, pattern string) {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		c.equal(name, pattern)
		return
	}
	first, last, text := parts[0], parts[len(parts)-1], c.fieldText(name)
	switch {
	case len(parts) == 2 && first == "" && last == "":
		c.add("1")
	case len(parts) == 2 && last == "":
		c.add("startsWith(", text, ", ", quote(first), ")")
	case len(parts) == 2 && first == "":
		c.add("endsWith(", text, ", ", quote(last), ")")
	default:
		c.add("(", text, " LIKE ", quote(likePattern(pattern)), ")")
	}
}

// likePattern writes a pattern with * for LIKE.
func likePattern(pattern string) string { return strings.ReplaceAll(escapeLike(pattern), "*", "%") }

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// regexp has the meaning of package regexp: in ClickHouse a dot takes newlines too.
// An expression that cannot be compiled matches nothing.
func (c *condition) regexp(name, expr string) {
	if _, err := regexp.Compile(expr); err != nil || len(expr) > millrace.MaxRegexpBytes {
		c.add("0")
		return
	}
	c.add("match(", c.fieldText(name), ", ", quote("(?-s)"+expr), ")")
}

// number is the form of numbers that ParseFloat and ClickHouse both read, the same
// way (with precise_float_parsing).
const number = `^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$`

// compare is numeric if the given value is a number.
func (c *condition) compare(f *millrace.Filter) {
	op := map[millrace.FilterOp]string{
		millrace.FilterLt: "<", millrace.FilterLe: "<=", millrace.FilterGt: ">", millrace.FilterGe: ">=",
	}[f.Op]
	want, err := strconv.ParseFloat(f.Value, 64)
	if err != nil {
		c.add(c.fieldText(f.Field), " ", op, " ", quote(f.Value))
		return
	}
	bound := " " + op + " " + floatLiteral(want)
	ofText := func(text string) string {
		return "(match(" + text + ", " + quote(number) + ") AND ifNull(toFloat64OrNull(" + text + ")" + bound + ", 0))"
	}
	a, known := attrs[f.Field]
	switch {
	case f.Field == "weight":
		c.add("toFloat64(weight)", bound)
	case !known || a.number == "":
		c.add(ofText(c.fieldText(f.Field)))
	case c.closer:
		c.add("if(", a.none, ", ", ofText(attrText(f.Field)), ", ", a.number, bound, ")")
	default:
		c.add("(NOT (", a.none, ") AND ", a.number, bound, ")")
	}
}

func floatLiteral(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	return "toFloat64(" + quote(strconv.FormatFloat(f, 'g', -1, 64)) + ")"
}

// oddMask returns the bits of odd whose rows a filter has to look at closer.
func oddMask(f *millrace.Filter) uint16 {
	if f == nil {
		return 0
	}
	mask := uint16(attrs[f.Field].bit)
	if f.Op == millrace.FilterText && strings.ContainsAny(strings.ToLower(f.Value), "ki") {
		mask |= oddCase
	}
	for _, s := range f.Sub {
		mask |= oddMask(s)
	}
	return mask
}
