package duckdb

import "strings"

// eventColumns are the columns of a day table, in the order of appending.
//
// The compression of text is chosen, not left to DuckDB's analysis, which costs
// a third of a flush: zstd for the long texts (121 bytes a row where the
// automatic choice takes 218, and less time), a dictionary for what repeats. A
// trace id of 32 lower-case hex digits is kept as a UUID, any other as text:
// half the size, a third of the time to look one up.
const eventColumns = `(
	time TIMESTAMP_NS NOT NULL,
	project VARCHAR NOT NULL USING COMPRESSION dict_fsst, source VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	kind VARCHAR NOT NULL USING COMPRESSION dict_fsst, service VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	host VARCHAR NOT NULL USING COMPRESSION dict_fsst, env VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	release VARCHAR NOT NULL USING COMPRESSION dict_fsst, level VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	trace_uuid UUID, trace_text VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	message VARCHAR NOT NULL USING COMPRESSION zstd, weight BIGINT NOT NULL,
	attrs JSON NOT NULL USING COMPRESSION zstd,
	arrived TIMESTAMP_NS NOT NULL, "partition" INTEGER NOT NULL, "offset" BIGINT NOT NULL, ordinal INTEGER NOT NULL)`

// Indexes in eventColumns.
const (
	colTime = iota
	colProject
	colSource
	colKind
	colService
	colHost
	colEnv
	colRelease
	colLevel
	colTraceUUID
	colTraceText
	colMessage
	colWeight
	colAttrs
	colArrived
	colPartition
	colOffset
	colOrdinal
)

// traceID is the column trace_id of the views, computed from a day table.
const traceID = `CASE WHEN trace_uuid IS NULL THEN trace_text ELSE replace(trace_uuid::VARCHAR, '-', '') END`

// eventNames are the columns of the view events over a day table. The last five
// are for people who follow an event back to the queue, or look up a trace
// faster (trace_uuid = '0af7651916cd43dd8448eb211c80319c').
const eventNames = `time, project, source, kind, service, host, env, release, level, ` + traceID + ` AS trace_id, ` +
	`message, weight, attrs, arrived, "partition", "offset", ordinal, trace_uuid`

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
