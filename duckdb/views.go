package duckdb

import (
	"context"
	"strings"
)

// columnNames are the columns of the view events. Those behind attrs are for
// people who follow an event back to the queue or look up a trace faster
// (trace_uuid = '0af7651916cd43dd8448eb211c80319c').
//
// Those named attr_ have the well-known attributes, NULL where an event has none.
// A url or user agent that is no text and a status or size that is no natural
// number are in attrs only. attrs_other has the attributes that are not in a
// column of the table and is many times cheaper to look into than attrs, which is
// put together from all. None is named as the attribute itself: a column would
// take the place of the alias in attrs->>'url' AS url ... GROUP BY url.
var columnNames = []string{
	"time", "project", "source", "kind", "service", "host", "env", "release", "level", "trace_id",
	"message", "weight", "attrs", "arrived", `"partition"`, `"offset"`, "ordinal", "trace_uuid",
	"attr_method", "attr_url", "attr_status", "attr_bytes", "attr_rt", "attr_rt_backend", "attr_client_ip", "attr_user_agent", "attrs_other",
}

// traceID is the column trace_id of the view events.
const traceID = `CASE WHEN trace_uuid IS NULL THEN trace_text ELSE replace(trace_uuid::VARCHAR, '-', '') END`

// list returns the select list of columns over a day table of layout l.
func (l *layout) list(columns []string) string {
	var b strings.Builder
	for i, name := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		if expr := l.exprs[name]; expr != "" {
			b.WriteString(expr + " AS ")
		}
		b.WriteString(name)
	}
	return b.String()
}

// exceptionColumns are the columns of the view exceptions. frames are those of
// older rows; newer ones have exception_report among their attributes.
const exceptionColumns = `time, project, source, service, host, env, release, level, trace_id,
		coalesce(attrs_other->>'$.type', '') AS type, coalesce(attrs_other->>'$.fingerprint', '') AS fingerprint,
		coalesce(attrs_other->>'$.error_class', '') AS error_class, coalesce(attrs_other->>'$.user', '') AS "user",
		message, coalesce(attrs_other->>'$.exception_message', '') AS exception_message, weight, attrs_other->'$.frames' AS frames, attrs, arrived, "partition", "offset", ordinal`

// eventsView returns the statement that makes the view events the union of the
// day tables. A UNION ALL prunes days outside the range asked for to nothing.
func eventsView(tables []string) string {
	if len(tables) == 0 {
		tables = []string{"events_none"}
	}
	selects := make([]string, len(tables))
	for i, t := range tables {
		selects[i] = "SELECT " + layoutOf(t).list(columnNames) + " FROM " + ident(t)
	}
	return "CREATE OR REPLACE VIEW events AS " + strings.Join(selects, " UNION ALL ")
}

// exceptionsView needs no refresh when days come and go: it reads the view events.
const exceptionsView = "CREATE OR REPLACE VIEW exceptions AS SELECT " + exceptionColumns + " FROM events WHERE kind = 'exception'"

// renewExceptions makes the view exceptions again if a release before this one made
// it. A view keeps nothing, so that this takes no new version of the schema.
func renewExceptions(ctx context.Context, c *conn) error {
	known, err := exists(ctx, c, "SELECT 1 FROM duckdb_columns() WHERE table_name = 'exceptions' AND column_name = 'exception_message'")
	if err != nil || known {
		return err
	}
	_, err = c.exec(ctx, exceptionsView)
	return err
}
