package web

// ruleOperations documents the paths of rules and of the configuration, if this
// process has them.
func (s *Server) ruleOperations() []operation {
	var out []operation
	if s.Rules != nil {
		out = append(out, ruleOperations...)
	}
	if s.Reload != nil {
		out = append(out, operation{
			path: "/api/v1/config/reload", method: "post",
			summary: "Read the configuration file again. 400 names every violation and its place, or what needs a restart; the old configuration then stays.",
			answer:  object(map[string]any{"reloaded": boolean}),
		})
	}
	return out
}

var ruleVersionSchema = object(map[string]any{
	"version": integer, "project": textual, "source": textual, "rules": textual, "author": textual, "created": timestamp,
	"note": textual, "owned": boolean, "warnings": arrayOf(warningSchema),
	"learned": object(map[string]any{
		"version": integer, "text_version": integer, "from": textual, "learned": arrayOf(textual), "closed": boolean, "known": arrayOf(textual),
	}),
})

var projectParam = param{"project", "default: the key's"}

var stepSchema = object(map[string]any{
	"name": textual, "events": integer, "skipped": integer, "matched": integer, "unmatched": integer, "failed": integer,
})

var warningSchema = object(map[string]any{
	"path": textual, "line": integer, "column": integer, "step": textual, "rule": textual, "message": textual, "cure": textual,
	"cost_nanos": integer, "cost_class": textual, "lines": integer,
})

var trialLine = object(map[string]any{
	"line": textual, "outcome": textual, "reason": textual, "event": anyValue, "steps": arrayOf(anyValue),
	"changes": arrayOf(object(map[string]any{"field": textual, "before": textual, "after": textual})),
})

var ruleOperations = []operation{
	{
		path: "/api/v1/rules", method: "get", summary: "The newest rules of every source that ever had some; no text means that they were removed.",
		params: []param{{"project", "default: all that the key may read"}},
		answer: object(map[string]any{"rules": arrayOf(ruleVersionSchema)}),
	},
	{
		path: "/api/v1/rules/{source}", method: "get", summary: "The newest rules of a source, or of a pattern that ends in *.",
		params: []param{projectParam}, answer: ruleVersionSchema,
	},
	{
		path: "/api/v1/rules/{source}", method: "put", summary: "Give a source new rules. Records appended from then on are read by them; 409 if the configuration file owns them, or if the newest version is not the one named by after.",
		params: []param{projectParam},
		body: map[string]any{"type": "object", "required": []string{"rules"}, "additionalProperties": false, "properties": map[string]any{
			"rules": textual, "note": textual, "after": integer,
		}},
		answer: ruleVersionSchema,
	},
	{
		path: "/api/v1/rules/{source}", method: "delete", summary: "Remove a source's rules, by a new version without text.",
		params: []param{projectParam, {"after", "the newest version as you know it"}, {"note", "why"}}, answer: ruleVersionSchema,
	},
	{
		path: "/api/v1/rules/{source}/history", method: "get", summary: "All versions of a source's rules, newest first.",
		params: []param{projectParam, {"before", "versions below this one"}, {"limit", "1 to 1000; default 100"}},
		answer: object(map[string]any{"versions": arrayOf(ruleVersionSchema)}),
	},
	{
		path: "/api/v1/rules/{source}/tally", method: "get", summary: "What a source's rules, or those of the pattern that fits it, did to the events that this process read by their newest version: per step, and per URL template, most events first. Records that were read twice count twice.",
		params: []param{projectParam, {"limit", "most templates, 1 to 20000; default 100"}},
		answer: object(map[string]any{
			"project": textual, "source": textual, "version": integer, "since": maybeTime, "events": integer,
			"steps": arrayOf(object(map[string]any{
				"step": integer, "name": textual, "seen": integer, "skipped": integer, "matched": integer, "dropped": integer,
				"unmatched": integer, "failed": integer, "nanos": integer,
			})),
			"templates": arrayOf(object(map[string]any{
				"template": textual, "events": integer, "paths": integer, "example": textual,
			})),
			"template_count": integer, "hidden_urls": integer,
		}),
	},
	{
		path: "/api/v1/rules/try", method: "post", summary: "Run rules, or the current ones, on given lines or on the last stored events of a source, and store nothing.",
		body: map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
			"project": textual, "source": textual, "format": textual, "rules": textual, "lines": textual, "last": integer,
		}},
		answer: object(map[string]any{
			"version": integer, "current": integer, "lines": integer, "kept": integer, "filtered": anyValue, "rejected": integer,
			"refused": integer, "matched": numeric, "changed": integer, "decode_nanos": integer, "rules_nanos": integer,
			"current_nanos": integer, "warnings": arrayOf(warningSchema), "steps": arrayOf(stepSchema), "events": arrayOf(trialLine),
		}),
	},
	{path: "/api/v1/rules/try", method: "get", summary: "The rules of a source named try.", params: []param{projectParam}, answer: ruleVersionSchema},
	{path: "/api/v1/rules/try", method: "put", summary: "Give a source named try new rules.", params: []param{projectParam}, body: object(nil), answer: ruleVersionSchema},
	{path: "/api/v1/rules/try", method: "delete", summary: "Remove the rules of a source named try.", params: []param{projectParam}, answer: ruleVersionSchema},
	{
		path: "/api/v1/presets", method: "get", summary: "Names of the rules that come with millrace.",
		answer: object(map[string]any{"presets": arrayOf(textual)}),
	},
	{
		path: "/api/v1/presets/{name}", method: "get", summary: "The text of a preset.",
		answer: object(map[string]any{"name": textual, "rules": textual}),
	},
}
