package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// publicNames are the tables that statements may read.
func (db *DB) publicNames(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{"events": true, "exceptions": true, "ledger": true, "gaps": true, "positions": true, "set_aside": true}
	rollups, err := db.rollupNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range rollups {
		names[rollupPrefix+r] = true
	}
	return names, nil
}

const rollupPrefix = "rollup_"

// publicTable returns the query that a documented name stands for. Names and
// columns are those that DuckDB has; see docs/sql.md.
func (db *DB) publicTable(ctx context.Context, name string) (string, error) {
	switch name {
	case "events":
		return "SELECT " + publicColumns + " FROM " + db.table("events_rows") + " AS e WHERE " + db.visible(), nil
	case "exceptions":
		return "SELECT " + exceptionColumns + " FROM " + db.table("events_rows") + " AS e WHERE kind = 'exception' AND " + db.visible(), nil
	case "ledger":
		m, _, err := db.loadMerged(ctx)
		if err != nil {
			return "", err
		}
		return `SELECT sink, project, source, toDateTime64(minute, 0, 'UTC') AS minute, outcome, reason,
	sum(l.events) AS events, sum(l.weight) AS weight, argMinIf(l.example, l.first, l.example != '') AS example
FROM ` + db.ledgerRows(m, "1") + ` AS l GROUP BY sink, project, source, minute, outcome, reason`, nil
	case "gaps":
		return db.gapsTable(ctx)
	case "positions":
		return db.positionsTable(ctx)
	case "set_aside":
		return db.setAsideTable(ctx)
	}
	if r, ok := strings.CutPrefix(name, rollupPrefix); ok {
		return db.rollupSQL(ctx, r)
	}
	return "", millrace.Errorf(millrace.ErrInvalid, "sql: there is no table %.80q here", name)
}

// publicAttrs puts all attributes of an event together, as the one JSON object they
// came in; the names of the columns come first.
const publicAttrs = `concat('{', arrayStringConcat(arrayFilter(x -> notEmpty(x), [
		if(method = '', '', concat('"method":"', method, '"')),
		if(url = '', '', concat('"url":', toJSONString(url))),
		if(status < 0, '', concat('"status":', toString(status))),
		if(bytes < 0, '', concat('"bytes":', toString(bytes))),
		if(rt < 0, '', concat('"rt":', RT)),
		if(rt_backend < 0, '', concat('"rt_backend":', BACKEND)),
		if(client_ip = 0, '', concat('"client_ip":"', IPv4NumToString(client_ip), '"')),
		if(user_agent = '', '', concat('"user_agent":', toJSONString(user_agent))),
		substring(e.attrs, 2, length(e.attrs) - 2)]), ','), '}')`

var allAttrs = strings.NewReplacer("RT", decimalText("rt"), "BACKEND", decimalText("rt_backend")).Replace(publicAttrs) + " AS attrs"

// publicColumns are those of DuckDB's view, but for trace_uuid.
var publicColumns = `time, project, source, kind, service, host, env, release, level, trace_id, message, weight,
	` + allAttrs + `,
	arrived, partition, offset, ordinal,
	nullIf(method, '') AS attr_method, nullIf(url, '') AS attr_url, nullIf(status, -1) AS attr_status, nullIf(bytes, -1) AS attr_bytes,
	if(rt < 0, NULL, ` + decimalNumber("rt") + `) AS attr_rt,
	if(rt_backend < 0, NULL, ` + decimalNumber("rt_backend") + `) AS attr_rt_backend,
	if(client_ip = 0, NULL, IPv4NumToString(client_ip)) AS attr_client_ip, nullIf(user_agent, '') AS attr_user_agent,
	e.attrs AS attrs_other`

var exceptionColumns = `time, project, source, service, host, env, release, level, trace_id,
	JSONExtract(e.attrs, 'type', 'String') AS type, fingerprint, JSONExtract(e.attrs, 'error_class', 'String') AS error_class,
	JSONExtract(e.attrs, 'user', 'String') AS user, message, JSONExtract(e.attrs, 'exception_message', 'String') AS exception_message,
	weight, JSONExtractRaw(e.attrs, 'frames') AS frames,
	` + allAttrs + `, arrived, partition, offset, ordinal`

// rowsOf is a query that answers given rows. names and types are those of all
// columns, values has the literals of each row.
func rowsOf(names, types []string, values [][]string) string {
	casts := make([]string, len(names))
	for i := range names {
		casts[i] = fmt.Sprintf("CAST(tupleElement(r, %d) AS %s) AS %s", i+1, types[i], ident(names[i]))
	}
	rows := make([]string, len(values))
	for i, v := range values {
		rows[i] = "(" + strings.Join(v, ", ") + ")"
	}
	if len(rows) == 0 {
		nothing := make([]string, len(names))
		for i := range nothing {
			nothing[i] = "CAST(defaultValueOfTypeName(" + quote(types[i]) + ") AS " + types[i] + ") AS " + ident(names[i])
		}
		return "SELECT " + strings.Join(nothing, ", ") + " WHERE 0"
	}
	return "SELECT " + strings.Join(casts, ", ") + " FROM (SELECT arrayJoin([" + strings.Join(rows, ", ") + "]) AS r)"
}

// inlined bounds what Commits has of one kind and a statement may see: the newest.
const inlined = 500

func timeText(ns int64) string {
	return quote(time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05.999999999"))
}

const timeType = "DateTime64(9, 'UTC')"

func (db *DB) gapsTable(ctx context.Context) (string, error) {
	gaps, err := db.commits.Gaps(ctx)
	if err != nil {
		return "", err
	}
	var rows [][]string
	for _, g := range gaps[max(0, len(gaps)-inlined):] {
		rows = append(rows, []string{
			quote(string(g.Sink)), fmt.Sprint(g.Partition), fmt.Sprintf("toInt64(%d)", g.Generation),
			fmt.Sprintf("toInt64(%d)", g.From), fmt.Sprintf("toInt64(%d)", g.To), timeText(g.Found), quote(validText(g.Reason)),
		})
	}
	return rowsOf([]string{"sink", "partition", "generation", "from", "to", "found", "reason"},
		[]string{"String", "Int32", "Int64", "Int64", "Int64", timeType, "String"}, rows), nil
}

func (db *DB) positionsTable(ctx context.Context) (string, error) {
	all, err := db.Positions(ctx)
	if err != nil {
		return "", err
	}
	var rows [][]string
	for sink, positions := range all {
		for _, p := range positions {
			rows = append(rows, []string{
				quote(string(sink)), fmt.Sprint(p.Partition), fmt.Sprintf("toInt64(%d)", p.Generation), quote(p.TopicID),
				fmt.Sprintf("toInt64(%d)", p.Offset), fmt.Sprint(p.Ordinal), timeText(p.MaxTime),
			})
		}
	}
	return rowsOf([]string{"sink", "partition", "generation", "topic_id", "offset", "ordinal", "max_time"},
		[]string{"String", "Int32", "Int64", "String", "Int64", "Int32", timeType}, rows), nil
}

func (db *DB) setAsideTable(ctx context.Context) (string, error) {
	records, err := db.commits.SetAside(ctx, inlined)
	if err != nil {
		return "", err
	}
	var rows [][]string
	for _, s := range records {
		rows = append(rows, []string{
			quote(string(s.Sink)), fmt.Sprint(s.Partition), fmt.Sprintf("toInt64(%d)", s.Generation), fmt.Sprintf("toInt64(%d)", s.Offset),
			fmt.Sprint(s.Ordinal), timeText(s.Time), quote(validText(s.Project)), quote(validText(s.Source)), quote(validText(s.Stage)),
			quote(validText(s.Reason)),
		})
	}
	return rowsOf([]string{"sink", "partition", "generation", "offset", "ordinal", "time", "project", "source", "stage", "reason"},
		[]string{"String", "Int32", "Int64", "Int64", "Int32", timeType, "String", "String", "String", "String"}, rows), nil
}
