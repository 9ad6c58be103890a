package duckdb

import "strings"

// eventColumns are the columns of a day table, in the order of appending.
// Text that repeats is compressed by DuckDB as a dictionary.
const eventColumns = `(
	time TIMESTAMP_NS NOT NULL, project VARCHAR NOT NULL, source VARCHAR NOT NULL, kind VARCHAR NOT NULL,
	service VARCHAR NOT NULL, host VARCHAR NOT NULL, env VARCHAR NOT NULL, release VARCHAR NOT NULL,
	level VARCHAR NOT NULL, trace_id VARCHAR NOT NULL, message VARCHAR NOT NULL, weight BIGINT NOT NULL,
	attrs JSON NOT NULL, arrived TIMESTAMP_NS NOT NULL, "partition" INTEGER NOT NULL, "offset" BIGINT NOT NULL,
	ordinal INTEGER NOT NULL)`

// eventNames are the columns of the view. The last four are for people who
// follow an event back to the queue.
const eventNames = `time, project, source, kind, service, host, env, release, level, trace_id, message, weight, attrs, ` +
	`arrived, "partition", "offset", ordinal`

// exceptionsView needs no refresh when days come and go: it reads the view events.
const exceptionsView = `CREATE VIEW exceptions AS
	SELECT time, project, source, service, host, env, release, level, trace_id,
		coalesce(attrs->>'$.type', '') AS type, coalesce(attrs->>'$.fingerprint', '') AS fingerprint,
		message, weight, attrs->'$.frames' AS frames, attrs, arrived, "partition", "offset", ordinal
	FROM events WHERE kind = 'exception'`

// eventsView returns the statement that makes the view events the union of the
// day tables. A UNION ALL prunes days outside the range asked for to nothing.
func eventsView(tables []string) string {
	if len(tables) == 0 {
		tables = []string{"events_none"}
	}
	var b strings.Builder
	b.WriteString("CREATE OR REPLACE VIEW events AS ")
	for i, t := range tables {
		if i > 0 {
			b.WriteString(" UNION ALL ")
		}
		b.WriteString("SELECT " + eventNames + " FROM " + ident(t))
	}
	return b.String()
}
