package duckdb

import (
	"context"
	"fmt"
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
var exceptionColumns = []string{
	"time", "project", "source", "service", "host", "env", "release", "level", "trace_id",
	"type", "fingerprint", "error_class", `"user"`, "message", "exception_message", "weight", "frames", "attrs",
	"arrived", `"partition"`, `"offset"`, "ordinal",
}

// addExceptionExprs adds the columns of the view exceptions that come from attributes,
// of which other is the text.
func addExceptionExprs(exprs map[string]string, other string) {
	for _, name := range []string{"type", "fingerprint", "error_class", "user", "exception_message"} {
		column := name
		if name == "user" { // a word of SQL
			column = `"user"`
		}
		exprs[column] = "coalesce(" + attrMember(name) + ", '')"
	}
	exprs["frames"] = other + "::JSON->'$.frames'"
}

// eventsView returns the statement that makes the view events the union of the
// day tables. A UNION ALL prunes days outside the range asked for to nothing.
func eventsView(tables []string) string {
	if len(tables) == 0 {
		tables = []string{"events_none"}
	}
	return "CREATE OR REPLACE VIEW events AS " + unionOf(tables, columnNames, "")
}

// exceptionsView is eventsView for the view exceptions.
func exceptionsView(tables []string) string {
	if len(tables) == 0 {
		tables = []string{"events_none"}
	}
	return "CREATE OR REPLACE VIEW exceptions AS " + unionOf(tables, exceptionColumns, " WHERE kind = 'exception'")
}

func unionOf(tables, columns []string, where string) string {
	selects := make([]string, len(tables))
	for i, t := range tables {
		selects[i] = "SELECT " + layoutOf(t).list(columns) + " FROM " + ident(t) + where
	}
	return strings.Join(selects, " UNION ALL ")
}

// makeViews makes the views of the day tables.
func makeViews(ctx context.Context, c *conn, tables []string) error {
	for _, view := range []string{eventsView(tables), exceptionsView(tables)} {
		if _, err := c.exec(ctx, view); err != nil {
			return fmt.Errorf("%s: %w", view, err)
		}
	}
	return nil
}
