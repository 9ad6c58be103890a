package web

// issueOperations documents the paths about exceptions, if this process has
// issues.
func (s *Server) issueOperations() []operation {
	if s.Issues == nil {
		return nil
	}
	return issueOperations
}

var maybeInt = map[string]any{"type": []string{"integer", "null"}, "format": "int64"}

var issueSchema = map[string]any{
	"id": textual, "project": textual, "type": textual, "title": textual, "culprit": textual, "level": textual, "service": textual,
	"language": textual, "phase": textual, "state": textual, "owner": textual, "count": integer, "users": integer, "before": maybeInt,
	"yesterday": maybeInt, "last_week": maybeInt, "first_seen": timestamp, "last_seen": timestamp, "first_release": textual,
	"last_release": textual, "regressed": timestamp, "merged_into": textual, "fingerprints": arrayOf(textual), "spark": arrayOf(numeric),
	"resolution": object(map[string]any{"at": timestamp, "by": textual, "release": textual, "next": boolean}),
	"ignore":     object(map[string]any{"at": timestamp, "by": textual, "until": timestamp, "occurrences": integer, "users": integer}),
}

var (
	shareSchema    = object(map[string]any{"value": textual, "count": integer, "users": maybeInt})
	activitySchema = object(map[string]any{
		"id": integer, "at": timestamp, "author": textual, "kind": textual, "data": anyValue, "text": textual, "change": integer,
	})
	changeSchema = object(map[string]any{
		"id": integer, "at": timestamp, "author": textual, "kind": textual, "note": textual, "undoes": integer, "undone_by": integer,
		"moves": arrayOf(object(map[string]any{"fingerprint": textual, "key_before": textual, "key": textual, "from": textual, "to": textual})),
	})
	outcomeSchema  = object(map[string]any{"issue": textual, "changed": boolean, "activity": integer, "error": textual})
	outcomesSchema = object(map[string]any{"outcomes": arrayOf(outcomeSchema)})
	groupingSchema = object(map[string]any{"version": integer, "rules": arrayOf(anyValue)})
	settingsSchema = object(map[string]any{
		"project": textual, "version": integer, "grouping": groupingSchema, "owners": arrayOf(anyValue), "author": textual, "at": timestamp,
	})
)

func issueDetailSchema() map[string]any {
	seen := map[string]any{"fingerprint": textual, "first_seen": timestamp, "last_seen": timestamp, "first_release": textual, "last_release": textual}
	part := func(more map[string]any) map[string]any {
		for name, schema := range seen {
			more[name] = schema
		}
		return object(more)
	}
	all := map[string]any{
		"redirected_from": textual, "releases": arrayOf(shareSchema), "hosts": arrayOf(shareSchema), "environments": arrayOf(shareSchema),
		"services": arrayOf(shareSchema), "times": arrayOf(timestamp), "step": numeric, "series": arrayOf(numeric),
		"activities": arrayOf(activitySchema), "changes": arrayOf(changeSchema), "complete_until": maybeTime, "complete_from": maybeTime,
		"fingerprint_details": arrayOf(part(map[string]any{"key": textual, "count": integer, "type": textual, "title": textual, "culprit": textual})),
		"sights":              arrayOf(part(map[string]any{"env": textual})),
	}
	for name, schema := range issueSchema {
		all[name] = schema
	}
	return object(all)
}

// issueTimes are the range of paths about exceptions; envParam their environment.
var (
	issueTimes = []param{
		{"from", "start, RFC 3339 or relative such as -1h; default -24h"},
		{"to", "end (not included), RFC 3339, relative or now; default now"},
		{"env", "environment; production (default) stands for all that count as such, all for every one"},
		projectParam,
	}
	issueFilters = []param{
		{"where", "search language over service, host and release"},
		{"error_class", "business or system"},
	}
)

func issueAct(name, summary string, props map[string]any) operation {
	return operation{path: "/api/v1/issues/{id}/" + name, method: "post", summary: summary + " (scope admin).", params: []param{projectParam}, body: closed(props), answer: outcomesSchema}
}

var issueOperations = []operation{
	{
		path: "/api/v1/issues", method: "get", summary: "Issues: what occurred in the range, counted exactly by weight; users are estimates. before, yesterday and last_week count as long a time earlier, null where that is not known.",
		params: append(with(issueTimes, issueFilters...), []param{
			{"state", "open, or any of new, ongoing, regressed, resolved, ignored, comma separated; default all"},
			{"owner", "of whom; empty: of nobody"},
			{"q", "part of type, title, culprit or id"},
			{"order", "count (default), users, last_seen, first_seen or trend"},
			{"limit", "1 to 1000; default 50"},
			{"offset", "issues to leave out"},
			{"silent", "true: also those that did not occur in the range"},
			{"step", "of spark, whole minutes such as 30m; default about 30 points"},
		}...),
		answer: object(map[string]any{
			"issues": arrayOf(object(issueSchema)), "total": integer, "count": integer, "other": integer, "unknown": integer,
			"times": arrayOf(timestamp), "step": numeric, "complete_until": maybeTime, "complete_from": maybeTime,
		}),
	},
	{
		path: "/api/v1/issues/{id}", method: "get", summary: "One issue with its breakdowns, fingerprints and newest activities. The id of a merged issue gives the one that it is part of, with redirected_from.",
		params: issueTimes, answer: issueDetailSchema(),
	},
	{
		path: "/api/v1/issues/{id}/events", method: "get", summary: "The stored samples of an issue, newest first. Counts are kept in full, samples are not.",
		params: with(issueTimes, param{"limit", "1 to 10000; default 100"}, param{"cursor", "next of the page before"}),
		answer: object(map[string]any{"events": arrayOf(storedEvent), "next": textual}),
	},
	{
		path: "/api/v1/issues/{id}/activities", method: "get", summary: "What happened to an issue, newest first.",
		params: []param{projectParam, {"before", "activities below this id"}, {"limit", "1 to 1000; default 100"}},
		answer: object(map[string]any{"activities": arrayOf(activitySchema)}),
	},
	{
		path: "/api/v1/issues/{id}/explain", method: "get", summary: "Why events with a fingerprint are in this issue.",
		params: []param{projectParam, {"fingerprint", "default: the one seen first"}},
		answer: object(map[string]any{
			"project": textual, "issue": textual, "fingerprint": textual, "key": textual, "by": textual, "text": textual,
			"explanation": anyValue, "report": anyValue, "rule": anyValue, "change": changeSchema,
		}),
	},
	issueAct("resolve", "Resolve an issue: now, in a release, or in the next one", map[string]any{"release": textual, "next": boolean}),
	issueAct("reopen", "Make an issue open again", map[string]any{}),
	issueAct("ignore", "Ignore an issue: for ever, until a time (RFC 3339, or from now such as 24h), until so many more occurrences or users", map[string]any{"until": textual, "occurrences": integer, "users": integer}),
	issueAct("assign", "Give an issue to an owner; empty: to nobody", map[string]any{"owner": textual}),
	issueAct("note", "Leave a note", map[string]any{"text": textual}),
	{
		path: "/api/v1/issues/bulk", method: "post", summary: "One action, with its fields, on up to 1000 issues (scope admin). Each has an outcome of its own.", params: []param{projectParam},
		body: closed(map[string]any{
			"action": textual, "ids": arrayOf(textual), "release": textual, "next": boolean, "until": textual, "occurrences": integer,
			"users": integer, "owner": textual, "text": textual,
		}, "action", "ids"),
		answer: outcomesSchema,
	},
	{
		path: "/api/v1/issues/{id}/merge", method: "post", summary: "Merge other issues into this one (scope admin). No count changes but by whom it is summed.", params: []param{projectParam},
		body: closed(map[string]any{"ids": arrayOf(textual), "note": textual}, "ids"), answer: changeSchema,
	},
	{
		path: "/api/v1/issues/{id}/unmerge", method: "post", summary: "Take fingerprints out of this issue (scope admin).", params: []param{projectParam},
		body: closed(map[string]any{"fingerprints": arrayOf(textual), "note": textual}, "fingerprints"), answer: changeSchema,
	},
	{
		path: "/api/v1/issues/regroup", method: "post", summary: "Group a project's fingerprints by another version or by rules (scope admin); preview: true tells what that would change, and changes nothing.", params: []param{projectParam},
		body:   closed(map[string]any{"grouping": groupingSchema, "preview": boolean, "note": textual}, "grouping"),
		answer: anyValue,
	},
	{
		path: "/api/v1/issues/changes", method: "get", summary: "Merges, unmerges, regroups and what took them back, newest first.",
		params: []param{projectParam, {"issue", "that took part"}, {"before", "changes below this id"}, {"limit", "1 to 1000; default 100"}},
		answer: object(map[string]any{"changes": arrayOf(changeSchema)}),
	},
	{
		path: "/api/v1/issues/changes/{change}/undo", method: "post", summary: "Take a change of the grouping back (scope admin). 409 names the later change that stands in the way.",
		params: []param{projectParam}, answer: changeSchema,
	},
	{
		path: "/api/v1/issues/{id}/activities/{activity}/undo", method: "post", summary: "Take back what an activity changed of an issue's state, owner or ignore (scope admin).",
		params: []param{projectParam}, answer: outcomeSchema,
	},
	{
		path: "/api/v1/issues/settings", method: "get", summary: "How a project groups, and whose new issues are.", params: []param{projectParam}, answer: settingsSchema,
	},
	{
		path: "/api/v1/issues/settings", method: "put", summary: "Replace the owners' rules (scope admin); 409 if version is not the newest. The grouping changes by regroup alone.", params: []param{projectParam},
		body: closed(map[string]any{
			"project": textual, "version": integer, "grouping": groupingSchema, "owners": arrayOf(anyValue), "author": textual, "at": textual,
		}, "version"),
		answer: settingsSchema,
	},
	{
		path: "/api/v1/exceptions/types", method: "get", summary: "Types of exception in a range, with their counts over time and against before.",
		params: append(with(issueTimes, issueFilters...), []param{
			{"q", "part of the type"},
			{"order", "count (default), users or trend"},
			{"limit", "1 to 1000; default 20"},
			{"hosts", "true: also the hosts of each type"},
			{"step", "of series, whole minutes such as 5m; default about 60 points"},
		}...),
		answer: object(map[string]any{
			"types": arrayOf(object(map[string]any{
				"type": textual, "count": integer, "users": integer, "before": maybeInt, "yesterday": maybeInt, "last_week": maybeInt,
				"series": arrayOf(numeric), "hosts": arrayOf(shareSchema),
			})),
			"total": integer, "count": integer, "before": maybeInt, "yesterday": maybeInt, "last_week": maybeInt, "other": integer,
			"series": arrayOf(numeric), "times": arrayOf(timestamp), "step": numeric, "complete_until": maybeTime, "complete_from": maybeTime,
		}),
	},
}
