package web

import (
	"context"
	"mime"
	"net/http"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// Cluster knows the nodes that work together, this one at least.
type Cluster interface {
	Cluster(ctx context.Context) (*query.Cluster, error)
	// Change changes the plan that all nodes follow and returns it with its new
	// version. ErrInvalid names each value out of bounds; ErrConflict: the version
	// is another.
	Change(ctx context.Context, c query.PlanChange) (millrace.Plan, int64, error)
}

func (s *Server) clusterRoutes(api func(func(http.ResponseWriter, *http.Request) (any, error)) http.Handler) []route {
	if s.Cluster == nil {
		return nil
	}
	return []route{{"/api/v1/cluster", "GET,POST", millrace.ScopeRead, api(s.cluster)}}
}

func (s *Server) cluster(w http.ResponseWriter, r *http.Request) (any, error) {
	if p := parseParams(r.URL.RawQuery); p.err != nil {
		return nil, p.err
	}
	if r.Method != http.MethodPost {
		return s.Cluster.Cluster(r.Context())
	}
	if _, err := author(r); err != nil {
		return nil, err
	}
	var c query.PlanChange
	if ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || ct != "application/json" {
		return nil, millrace.Errorf(millrace.ErrInvalid, `the body must be application/json: {"pause": true}`)
	}
	if err := readJSON(w, r, &c); err != nil {
		return nil, err
	}
	plan, version, err := s.Cluster.Change(r.Context(), c)
	if err != nil {
		return nil, err
	}
	return map[string]any{"version": version, "plan": plan}, nil
}

var clusterPlan = map[string]any{
	"flush_rows": integer, "max_rate": numeric, "pause": boolean, "drain": arrayOf(textual),
}

// clusterOperations documents the paths of this file, if this process has them.
func (s *Server) clusterOperations() []operation {
	if s.Cluster == nil {
		return nil
	}
	change := map[string]any{"version": integer}
	for name, schema := range clusterPlan {
		change[name] = schema
	}
	pace := object(map[string]any{"sink": textual, "rate": numeric, "error": numeric, "delay_seconds": numeric})
	sink := object(map[string]any{"sink": textual, "committed": integer, "lag_records": integer, "lag_seconds": numeric})
	return []operation{
		{
			path: "/api/v1/cluster", method: "get", summary: "The nodes that work together, who owns which partition and how far behind it is, and the plan that they follow.",
			answer: object(map[string]any{
				"node": textual, "version": integer, "plan": object(clusterPlan),
				"nodes": arrayOf(object(map[string]any{
					"name": textual, "age_seconds": numeric, "state": textual, "roles": arrayOf(textual), "version": textual, "url": textual,
					"started": timestamp, "plan_version": integer, "partitions": arrayOf(integer), "pace": arrayOf(pace),
					"received":     object(map[string]any{"events": numeric, "bytes": numeric}),
					"memory_bytes": integer, "memory_limit": integer, "locks": arrayOf(textual), "faults": arrayOf(textual),
				})),
				"partitions": arrayOf(object(map[string]any{"partition": integer, "owner": textual, "end": integer, "sinks": arrayOf(sink)})),
			}),
		},
		{
			path: "/api/v1/cluster", method: "post", summary: "Change the plan that all nodes follow within a second (scope admin): what is left out stays. " +
				"flush_rows: raw rows per transaction at most, 1 to 1048576, 0 as configured. max_rate: events a second per worker at most, from 100, 0 no limit of its own. " +
				"pause: workers read nothing, ingest goes on. drain: names of nodes whose workers hand over and stay idle, and that take no events. " +
				"With version the change is made only if the plan still has that one, else 409.",
			body:   map[string]any{"type": "object", "additionalProperties": false, "properties": change},
			answer: object(map[string]any{"version": integer, "plan": object(clusterPlan)}),
		},
	}
}
