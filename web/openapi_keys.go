package web

// keyOperations documents the paths of keys and projects, which package auth
// answers to holders of an admin key, if this process has them.
func (s *Server) keyOperations() []operation {
	if s.Keys == nil {
		return nil
	}
	return keyOperations
}

// limitProps are the limits of a key. 0 or none is no limit.
func limitProps(more map[string]any) map[string]any {
	props := map[string]any{
		"event_rate": integer, "byte_rate": integer, "event_burst": integer, "byte_burst": integer,
		"day_events": integer, "day_bytes": integer,
	}
	for name, schema := range more {
		props[name] = schema
	}
	return props
}

// closed is an object without other members.
func closed(props map[string]any, required ...string) map[string]any {
	schema := object(props)
	schema["additionalProperties"] = false
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

var (
	expirySchema = map[string]any{"type": "string", "description": "RFC 3339, a duration from now such as 90d, or never"}
	scopeSchema  = map[string]any{"type": "string", "enum": []string{"ingest", "read", "admin"}}

	usageSchema = object(map[string]any{
		"day":      map[string]any{"type": "string", "format": "date", "description": "UTC"},
		"reason":   map[string]any{"type": "string", "description": "why it was refused; left out: it was taken"},
		"requests": integer, "events": integer, "bytes": integer,
	})
	keySchema = object(map[string]any{
		"id": textual, "name": textual, "project": textual, "scopes": arrayOf(scopeSchema),
		"created": timestamp, "revoked": timestamp, "expires": timestamp,
		"limits": object(limitProps(nil)), "today": arrayOf(usageSchema),
		"key": map[string]any{"type": "string", "description": "the secret; only in the answer that creates it"},
		"dsn": map[string]any{"type": "string", "description": "for Sentry's SDKs; only there, of ingest keys"},
	})
)

var keyOperations = []operation{
	{
		path: "/api/v1/keys", method: "get", summary: "The keys, newest first, with what was done with them today (UTC).",
		answer: object(map[string]any{"keys": arrayOf(keySchema)}),
	},
	{
		path: "/api/v1/keys", method: "post", summary: "Create a key. The secret is in this answer and nowhere else.",
		body: closed(limitProps(map[string]any{
			"name":    textual,
			"project": map[string]any{"type": "string", "default": "default"},
			"scope":   map[string]any{"type": "string", "enum": []string{"ingest", "read", "admin"}, "default": "ingest"},
			"expires": expirySchema,
		})),
		answer: keySchema, status: "201",
	},
	{
		path: "/api/v1/keys/{id}", method: "patch", summary: "Change when a key expires, and its limits; what is left out stays.",
		body: closed(limitProps(map[string]any{"expires": expirySchema})), answer: keySchema,
	},
	{
		path: "/api/v1/keys/{id}", method: "delete", summary: "Revoke a key: it stops being accepted within a second, on every node.",
		status: "204",
	},
	{
		path: "/api/v1/keys/{id}/usage", method: "get", summary: "What was done with a key, by day and reason. The id \"unknown\" stands for what came without a key that is known.",
		answer: object(map[string]any{"usage": arrayOf(usageSchema)}),
	},
	{
		path: "/api/v1/projects", method: "get", summary: "The projects, by name, with the number of keys that are neither revoked nor expired.",
		answer: object(map[string]any{"projects": arrayOf(object(map[string]any{"name": textual, "keys": integer}))}),
	},
}
