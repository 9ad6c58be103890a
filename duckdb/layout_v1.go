package duckdb

// eventColumnsV1 are the columns of a day table of schema version 1, whose name
// ends in _v1 since: all attributes are in attrs. No such table is made any
// more; they go with their day's retention.
const eventColumnsV1 = `(
	time TIMESTAMP_NS NOT NULL,
	project VARCHAR NOT NULL USING COMPRESSION dict_fsst, source VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	kind VARCHAR NOT NULL USING COMPRESSION dict_fsst, service VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	host VARCHAR NOT NULL USING COMPRESSION dict_fsst, env VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	release VARCHAR NOT NULL USING COMPRESSION dict_fsst, level VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	trace_uuid UUID, trace_text VARCHAR NOT NULL USING COMPRESSION dict_fsst,
	message VARCHAR NOT NULL USING COMPRESSION zstd, weight BIGINT NOT NULL,
	attrs JSON NOT NULL USING COMPRESSION zstd,
	arrived TIMESTAMP_NS NOT NULL, "partition" INTEGER NOT NULL, "offset" BIGINT NOT NULL, ordinal INTEGER NOT NULL)`

// suffixV1 is what the migration to version 2 adds to the names of day tables.
const suffixV1 = "_v1"

var layoutV1 = newLayoutV1()

func newLayoutV1() *layout {
	l := &layout{
		v1: true, other: "attrs::VARCHAR",
		exprs: map[string]string{
			"trace_id": traceID, "attrs_other": "attrs",
			"attr_method": "attrs->>'method'", "attr_url": "attrs->>'url'",
			"attr_status": "TRY_CAST(attrs->>'status' AS INTEGER)", "attr_bytes": "TRY_CAST(attrs->>'bytes' AS BIGINT)",
			"attr_rt": "TRY_CAST(attrs->>'rt' AS DOUBLE)", "attr_rt_backend": "TRY_CAST(attrs->>'rt_backend' AS DOUBLE)",
			"attr_client_ip": "attrs->>'client_ip'", "attr_user_agent": "attrs->>'user_agent'",
		},
		texts: map[string]string{
			"project": "project", "source": "source", "kind": "kind", "service": "service", "host": "host", "env": "env",
			"release": "release", "level": "level", "trace_id": "(" + traceID + ")", "message": "message",
			"weight": "weight::VARCHAR",
		},
	}
	addExceptionExprs(l.exprs, l.other)
	return l
}
