package duckdb

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// layout is how the day tables of one schema version keep events.
type layout struct {
	v1    bool
	exprs map[string]string     // columns of the views that are not columns of the table
	texts map[string]string     // fields of events as text, never NULL; all others are attributes
	attrs map[string]attrColumn // attributes that have a column
	other string                // the column attrs as text
}

// clone returns a copy whose attrs may be changed.
func (l *layout) clone() *layout {
	own := *l
	own.attrs = maps.Clone(l.attrs)
	return &own
}

// layoutOf returns the layout of a day table.
func layoutOf(table string) *layout {
	if strings.HasSuffix(table, suffixV1) {
		return layoutV1
	}
	return layoutV2
}

// eventColumns are the columns of a day table, in the order of appending.
//
// A text costs a flush ten times what a number does (100 ns against 10: it is
// copied, checked and hashed several times over on its way), so there are few:
//
//   - kind, level and method are numbers for the usual names. A level that is
//     none of them is NULL there and the fifth part of origin.
//   - origin is project, source, env and release, which hardly vary within a
//     service, with originSep between them. DuckDB evaluates split_part once per
//     entry of the dictionary, not per row.
//   - The well-known attributes are as millrace.AttrColumns has them: a value, or
//     a mark for "none" (-1, 0.0.0.0, the empty text), or NULL: look into attrs,
//     which has all other attributes.
//   - A trace id of 32 lower-case hex digits is kept as a UUID, any other as text:
//     half the size, a third of the time to look one up.
//
// Messages and attrs of 8 KB and more are packed (longText): read them by
// longMessage and longAttrs.
//
// The compression of text is chosen, not left to DuckDB's analysis, which takes
// 1.9 times the CPU and 2.5 times the disk for attributes: zstd for the long
// texts, a dictionary for what repeats. So is that of most numbers: trying every
// method on every row group takes a tenth of the write, to choose the same one.
// (Of arrived, which hardly changes within a request, and of trace ids, which may
// all be there or none, the best depends on the input.)
const eventColumns = `(
	time TIMESTAMP_NS NOT NULL USING COMPRESSION bitpacking,
	kind ENUM('log', 'access', 'exception', 'metric', 'cost') NOT NULL USING COMPRESSION bitpacking,
	level ENUM('', 'trace', 'debug', 'info', 'warn', 'error', 'fatal') USING COMPRESSION bitpacking,
	origin VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	service VARCHAR NOT NULL USING COMPRESSION dict_fsst, host VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	trace_uuid UUID, trace_text VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	message VARCHAR NOT NULL USING COMPRESSION zstd, weight BIGINT NOT NULL USING COMPRESSION bitpacking,
	method ENUM('', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH',
		'PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK', 'REPORT', 'SEARCH', 'PURGE')
		USING COMPRESSION bitpacking,
	url VARCHAR USING COMPRESSION dict_fsst,
	status INTEGER USING COMPRESSION bitpacking, bytes BIGINT USING COMPRESSION bitpacking,
	rt BIGINT USING COMPRESSION bitpacking, rt_backend BIGINT USING COMPRESSION bitpacking,
	client_ip UINTEGER USING COMPRESSION bitpacking, user_agent VARCHAR USING COMPRESSION dict_fsst,
	attrs JSON NOT NULL USING COMPRESSION zstd,
	arrived TIMESTAMP_NS NOT NULL, "partition" INTEGER NOT NULL USING COMPRESSION bitpacking,
	"offset" BIGINT NOT NULL USING COMPRESSION bitpacking, ordinal INTEGER NOT NULL USING COMPRESSION bitpacking)`

// Indexes in eventColumns.
const (
	colTime = iota
	colKind
	colLevel
	colOrigin
	colService
	colHost
	colTraceUUID
	colTraceText
	colMessage
	colWeight
	colMethod
	colURL
	colStatus
	colBytes
	colRT
	colRTBackend
	colClientIP
	colUserAgent
	colAttrs
	colArrived
	colPartition
	colOffset
	colOrdinal
)

// levels are the names of the column level, in its order.
var levels = []string{"", "trace", "debug", "info", "warn", "error", "fatal"}

// originSep lies between the parts of origin: a noncharacter, which Unicode
// sets apart for use inside of programs. In the parts themselves it is replaced
// by U+FFFD, as invalid UTF-8 is.
const originSep = "\uFDD0"

// originPart returns part n of the column origin, from 1 on.
func originPart(n int) string { return "split_part(origin, chr(64976), " + strconv.Itoa(n) + ")" }

var levelText = "CASE WHEN level IS NULL THEN " + originPart(5) + " ELSE level::VARCHAR END"

// attrColumn is an attribute with a column.
type attrColumn struct {
	name   string
	text   string // its value as text, '' for none
	value  string // its value as the views have it; what none becomes is left to none
	none   string // the mark for none
	typ    string // of the value in the views, "" for text
	json   string // its value as JSON
	number string // its value as number, NULL for none; "" if it never is one
	// literal returns the SQL of the column's value that reads as text, "?" for
	// the text itself, if there is one: what has none can only be in attrs.
	literal func(text string) (sql string, ok bool)
	// strict columns are what the views have: their values fit nearly always, and
	// looking into attrs for the others makes DuckDB unpack it for all rows.
	strict bool
	full   bool // it is never NULL in the table asked
}

const ipText = `concat(client_ip >> 24, '.', (client_ip >> 16) & 255, '.', (client_ip >> 8) & 255, '.', client_ip & 255)`

// decimalText is a millrace.Decimal as text.
func decimalText(col string) string {
	digits := "(" + col + " >> 5)::VARCHAR"
	padded := "lpad(" + digits + ", greatest(length(" + digits + "), (" + col + " & 31) + 1)::INTEGER, '0')"
	return "CASE WHEN " + col + " & 31 = 0 THEN " + digits + " ELSE concat(left(" + padded + ", -(" + col + " & 31)), '.', right(" +
		padded + ", " + col + " & 31)) END"
}

// The forms of columns.

func textColumnOf(name string) attrColumn {
	return attrColumn{
		name: name, text: name, value: name, none: "''", json: "to_json(" + name + ")::VARCHAR", strict: true,
		literal: func(string) (string, bool) { return "?", true },
	}
}

func integerColumn(name, typ string, limit int64) attrColumn {
	return attrColumn{
		name: name, value: name, none: "-1", typ: typ, json: name, number: name, strict: true,
		text: "CASE WHEN " + name + " < 0 THEN '' ELSE " + name + "::VARCHAR END",
		literal: func(s string) (string, bool) {
			if s == "" {
				return "-1", true
			}
			n, err := strconv.ParseInt(s, 10, 64)
			return s, err == nil && n >= 0 && n <= limit && strconv.FormatInt(n, 10) == s
		},
	}
}

func decimalColumn(name string) attrColumn {
	number := "((" + name + " >> 5)::DOUBLE / pow(10, " + name + " & 31))"
	return attrColumn{
		name: name, value: number, none: "-1", typ: "DOUBLE", json: decimalText(name), number: number,
		text: "CASE WHEN " + name + " < 0 THEN '' ELSE " + decimalText(name) + " END",
		literal: func(s string) (string, bool) {
			d := millrace.NoDecimal
			if s != "" {
				d = millrace.ParseDecimal(s)
			}
			return strconv.FormatInt(int64(d), 10), s == "" || d != millrace.NoDecimal
		},
	}
}

// attrColumns lists the well-known attributes in the order of columnNames.
var attrColumns = []attrColumn{
	{
		name: "method", text: "method::VARCHAR", value: "method::VARCHAR", none: "''", json: `concat('"', method, '"')`,
		literal: func(s string) (string, bool) { return quote(s), slices.Contains(millrace.Methods[:], s) },
	},
	textColumnOf("url"),
	integerColumn("status", "INTEGER", math.MaxInt32),
	integerColumn("bytes", "BIGINT", math.MaxInt64),
	decimalColumn("rt"),
	decimalColumn("rt_backend"),
	{
		name: "client_ip", text: "CASE WHEN client_ip = 0 THEN '' ELSE " + ipText + " END", value: ipText, none: "0",
		json: `concat('"', ` + ipText + `, '"')`,
		literal: func(s string) (string, bool) {
			ip := millrace.ParseIPv4(s)
			return strconv.FormatUint(uint64(ip), 10), s == "" || ip != 0
		},
	},
	textColumnOf("user_agent"),
}

// attrMember is a member of attrs as text, NULL if it has none of that name.
func attrMember(name string) string { return "millrace_attr(attrs::VARCHAR, " + quote(name) + ")" }

// view returns the attribute as the views have it.
func (a *attrColumn) view() string {
	if a.strict {
		return "CASE WHEN " + a.name + " <> " + a.none + " THEN " + a.value + " END"
	}
	other := attrMember(a.name)
	if a.typ != "" {
		other = "TRY_CAST(" + other + " AS " + a.typ + ")"
	}
	return "CASE WHEN " + a.name + " IS NULL THEN " + other + " WHEN " + a.name + " <> " + a.none + " THEN " + a.value + " END"
}

// wholeAttrs puts the JSON of all attributes together, as
// millrace.EventRows.AppendAttrs does.
func wholeAttrs() string {
	var parts []string
	for i := range attrColumns {
		a := &attrColumns[i]
		parts = append(parts, "CASE WHEN "+a.name+" <> "+a.none+` THEN concat('"`+a.name+`":', `+a.json+", ',') END")
	}
	columns := "concat(" + strings.Join(parts, ", ") + ")"
	return "CASE WHEN attrs::VARCHAR = '{}' THEN concat('{', left(" + columns + ", -1), '}') ELSE concat('{', " + columns +
		", substr(" + longAttrs.sql + ", 2)) END::JSON"
}

var layoutV2 = newLayoutV2()

func newLayoutV2() *layout {
	l := &layout{
		exprs: map[string]string{
			"project": originPart(1), "source": originPart(2), "env": originPart(3), "release": originPart(4),
			"kind": "kind::VARCHAR", "level": levelText, "trace_id": traceID, "message": longMessage.sql, "attrs": "(" + wholeAttrs() + ")", "attrs_other": longAttrs.sql + "::JSON",
		},
		texts: map[string]string{
			"project": originPart(1), "source": originPart(2), "env": originPart(3), "release": originPart(4),
			"kind": "kind::VARCHAR", "level": "(" + levelText + ")", "service": "service", "host": "host",
			"trace_id": "(" + traceID + ")", "message": longMessage.sql, "weight": "weight::VARCHAR",
		},
		attrs: map[string]attrColumn{}, other: longAttrs.sql,
	}
	addExceptionExprs(l.exprs, longAttrs.sql)
	for _, a := range attrColumns {
		l.exprs["attr_"+a.name] = a.view()
		l.attrs[a.name] = a
	}
	return l
}
