package web

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
)

// operation documents one method of one path. The table is the source of
// openapi.json; a test checks that it and the routes agree.
type operation struct {
	path, method, summary string
	params                []param
	body                  map[string]any // schema of the JSON body
	answer                map[string]any // schema of the answer, nil for text
	contentType           string         // of an answer that is not JSON
	status                string         // of a good answer; 200 if none, 204 has no content
}

type param struct{ name, about string }

var timeParams = []param{
	{"from", "start, RFC 3339 or relative such as -1h; default -1h"},
	{"to", "end (not included), RFC 3339, relative or now; default now"},
}

func with(list []param, more ...param) []param { return append(append([]param{}, list...), more...) }

// Pieces of JSON Schema.
func object(props map[string]any) map[string]any {
	return map[string]any{"type": "object", "properties": props}
}

func arrayOf(items map[string]any) map[string]any {
	return map[string]any{"type": "array", "items": items}
}

var (
	anyValue  = map[string]any{}
	integer   = map[string]any{"type": "integer", "format": "int64"}
	numeric   = map[string]any{"type": "number"}
	textual   = map[string]any{"type": "string"}
	boolean   = map[string]any{"type": "boolean"}
	timestamp = map[string]any{"type": "string", "format": "date-time"}
	maybeTime = map[string]any{"type": []string{"string", "null"}, "format": "date-time"}
	countPair = object(map[string]any{"events": integer, "weight": integer})
)

var storedEvent = object(map[string]any{
	"time": timestamp, "project": textual, "source": textual, "kind": textual, "service": textual, "host": textual,
	"env": textual, "release": textual, "level": textual, "trace_id": textual, "message": textual, "weight": integer,
	"attrs": map[string]any{"type": "object", "additionalProperties": true}, "arrived": timestamp,
	"partition": integer, "offset": integer, "ordinal": integer,
})

var account = object(map[string]any{
	"sink": textual, "project": textual, "source": textual, "received": countPair, "stored": countPair, "sampled": countPair,
	"filtered": countPair, "duplicate": countPair, "rejected": countPair, "refused": countPair, "difference": countPair,
	"reasons": arrayOf(object(map[string]any{"outcome": textual, "reason": textual, "events": integer, "weight": integer, "example": textual})),
})

var backfillState = object(map[string]any{
	"rollup": textual, "rows": integer, "total": integer, "cells": integer, "from": maybeTime, "to": maybeTime, "done": boolean, "error": textual,
})

var operations = []operation{
	{
		path: "/ingest", method: "post", summary: "Send lines or NDJSON; gzip, zstd or identity. 200 means that what was accepted is on disk.",
		params: []param{
			{"source", "name of the source"},
			{"format", "auto, or the name of a format"},
			{"service", "for lines that name none"},
			{"host", "for lines that name none"},
			{"env", "for lines that name none"},
			{"release", "for lines that name none"},
		},
		answer: object(map[string]any{"accepted": integer, "rejected": arrayOf(object(map[string]any{"line": integer, "error": textual}))}),
	},
	{
		path: "/api/v1/rollups", method: "get", summary: "The rollups, their dimensions, sets and metrics.",
		answer: object(map[string]any{"rollups": arrayOf(object(map[string]any{
			"name": textual, "where": textual, "dimensions": arrayOf(textual), "sets": arrayOf(anyValue), "metrics": arrayOf(anyValue), "derived": arrayOf(anyValue),
		}))}),
	},
	{
		path: "/api/v1/rollups/{name}", method: "get", summary: "A rollup's metrics, from the fewest cells that answer exactly, or from raw rows (source: raw). Ends of the range that name an instant are exact; relative ones are widened to whole minutes.",
		params: with(
			timeParams,
			param{"metrics", "comma separated: names (any quantile as rt_p95 or rt_p99.9), calls such as sum(price, 2), arithmetic such as share=errors/pv; default all"},
			param{"by", "dimensions, or any fields of events, comma separated"},
			param{"where", "search language, such as service:api status>=500"},
			param{"having", "condition on metrics, such as pv > 100 and error_rate >= 0.01"},
			param{"step", "whole minutes such as 5m; default one bucket over the range"},
			param{"tz", "time zone of days, such as Europe/Berlin; default UTC"},
			param{"compare", "how much earlier to compare with, such as -7d: adds a column NAME_before beside each metric"},
			param{"order", "columns or metrics, comma separated, each with a leading - for descending"},
			param{"limit", "1 to 100000"},
		),
		answer: object(map[string]any{"complete_until": maybeTime, "source": textual, "columns": arrayOf(textual), "rows": arrayOf(arrayOf(anyValue))}),
	},
	{
		path: "/api/v1/rollups/{name}/backfill", method: "post", summary: "Fold a range of raw rows into a rollup again, for what joined its definition later.",
		params: []param{{"from", "RFC 3339 or relative; default the first raw row"}, {"to", "default from when on the rollup is complete"}},
		answer: backfillState,
	},
	{
		path: "/api/v1/rollups/{name}/backfill", method: "get", summary: "How far the newest backfill of a rollup is.", answer: backfillState,
	},
	{
		path: "/api/v1/rollups/{name}/backfill", method: "delete", summary: "End a backfill; what it has done stays.", answer: backfillState,
	},
	{
		path: "/api/v1/logs", method: "get", summary: "Raw rows, newest first.",
		params: with(timeParams, param{"q", "search language"}, param{"limit", "1 to 10000; default 100"}, param{"cursor", "next of the page before"}, param{"project", "default: all that the key may read"}),
		answer: object(map[string]any{"events": arrayOf(storedEvent), "next": textual}),
	},
	{
		path: "/api/v1/logs/histogram", method: "get", summary: "How many rows match, over time.",
		params: with(timeParams, param{"q", "search language"}, param{"step", "duration such as 10s; default about 60 points"}, param{"project", "default: all that the key may read"}),
		answer: object(map[string]any{"complete_until": maybeTime, "step": numeric, "points": arrayOf(object(map[string]any{"time": timestamp, "events": integer, "weight": integer}))}),
	},
	{
		path: "/api/v1/logs/tail", method: "get", summary: "New rows as server-sent events: event (a row), skipped, error.",
		params: []param{{"q", "search language"}, {"project", "default: all that the key may read"}}, contentType: "text/event-stream",
	},
	{
		path: "/api/v1/sql", method: "post", summary: "One read-only SQL statement over events, exceptions, ledger and rollup_NAME.",
		body:   map[string]any{"type": "object", "required": []string{"sql"}, "additionalProperties": false, "properties": map[string]any{"sql": textual}},
		answer: object(map[string]any{"columns": arrayOf(textual), "rows": arrayOf(arrayOf(anyValue))}),
	},
	{
		path: "/api/v1/ledger", method: "get", summary: "The accounts: received = stored + sampled + filtered + duplicate + rejected.",
		params: []param{
			{"from", "start of arrival; default unbounded"},
			{"to", "end of arrival; default unbounded"},
			{"project", ""},
			{"source", ""},
			{"sink", "events or rollup"},
		},
		answer: object(map[string]any{
			"balanced": boolean, "accounts": arrayOf(account),
			"folded": arrayOf(object(map[string]any{"where": textual, "weight": integer, "hint": textual})),
		}),
	},
	{
		path: "/api/v1/gaps", method: "get", summary: "Offsets that were missing from the queue.",
		answer: object(map[string]any{"gaps": arrayOf(object(map[string]any{
			"sink": textual, "partition": integer, "generation": integer, "from": integer, "to": integer, "found": timestamp, "reason": textual,
		}))}),
	},
	{
		path: "/api/v1/set-aside", method: "get", summary: "Records taken out of the stream because a stage failed on them, newest first.",
		params: []param{{"limit", "1 to 1000; default 100"}},
		answer: object(map[string]any{"set_aside": arrayOf(object(map[string]any{
			"sink": textual, "partition": integer, "generation": integer, "offset": integer, "ordinal": integer, "time": timestamp,
			"project": textual, "source": textual, "stage": textual, "reason": textual, "bytes": integer, "example": textual,
		}))}),
	},
	{
		path: "/api/v1/status", method: "get", summary: "Lag, rates and sizes of this process.",
		answer: object(map[string]any{
			"complete_until": maybeTime, "version": textual, "started": timestamp, "received": object(map[string]any{"events": numeric, "bytes": numeric}),
			"partitions": arrayOf(anyValue), "sinks": arrayOf(anyValue), "queue_bytes": integer, "disk_free": integer, "disk_total": integer,
			"rollups": object(map[string]any{
				"bytes": integer, "peak": integer, "limit": integer, "dictionaries": integer, "open_cells": integer, "early_flushes": integer,
			}),
			"memory_bytes": integer, "memory_limit": integer, "problems": arrayOf(textual), "store": anyValue,
		}),
	},
	{path: "/api/v1/openapi.json", method: "get", summary: "This document.", answer: object(nil)},
	{path: "/healthz", method: "get", summary: "200 while the process runs.", contentType: "text/plain"},
	{path: "/readyz", method: "get", summary: "200 when the process can do what its roles are, else 503 with the reason: the queue (ingest, worker), the store (worker, query) and the meta database answer, its worker is a member of its group, it is not drained.", contentType: "text/plain"},
	{path: "/metrics", method: "get", summary: "Metrics in the Prometheus text format.", contentType: "text/plain"},
}

func (s *Server) openapi(http.ResponseWriter, *http.Request) (any, error) {
	paths := map[string]map[string]any{}
	for _, op := range slices.Concat(operations, s.ruleOperations(), s.keyOperations(), s.clusterOperations(), s.issueOperations()) {
		if op.path == "/ingest" && s.Ingest == nil || op.path == "/metrics" && s.Metrics == nil {
			continue
		}
		if paths[op.path] == nil {
			paths[op.path] = map[string]any{}
		}
		paths[op.path][op.method] = op.document()
	}
	version := s.Version
	if version == "" {
		version = "dev"
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "millrace", "version": version},
		"paths":   paths,
		"security": []any{
			map[string]any{}, // on loopback nothing needs a key
			map[string]any{"bearer": []string{}},
		},
		"components": map[string]any{
			"securitySchemes": map[string]any{"bearer": map[string]any{"type": "http", "scheme": "bearer"}},
			"schemas": map[string]any{"Problem": object(map[string]any{
				"title": textual, "status": integer, "detail": textual, "code": textual,
			})},
		},
	}, nil
}

var pathParam = regexp.MustCompile(`\{(\w+)\}`)

func (op *operation) document() map[string]any {
	var params []any
	for _, m := range pathParam.FindAllStringSubmatch(op.path, -1) {
		params = append(params, map[string]any{"name": m[1], "in": "path", "required": true, "schema": textual})
	}
	for _, p := range op.params {
		params = append(params, map[string]any{"name": p.name, "in": "query", "description": p.about, "schema": textual})
	}
	contentType := op.contentType
	if contentType == "" {
		contentType = "application/json"
	}
	media := map[string]any{}
	if op.answer != nil {
		media["schema"] = op.answer
	}
	good := map[string]any{"description": "the answer", "content": map[string]any{contentType: media}}
	if op.status == "204" {
		good = map[string]any{"description": "done"}
	}
	doc := map[string]any{
		"summary": op.summary,
		"responses": map[string]any{
			cmp.Or(op.status, "200"): good,
			"default": map[string]any{
				"description": "what is wrong, and the limit (RFC 9457)",
				"content":     map[string]any{"application/problem+json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Problem"}}},
			},
		},
	}
	if params != nil {
		doc["parameters"] = params
	}
	if op.body != nil {
		doc["requestBody"] = map[string]any{"required": true, "content": map[string]any{"application/json": map[string]any{"schema": op.body}}}
	}
	return doc
}
