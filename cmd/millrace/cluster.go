package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/duckdb"
	"github.com/millrace/millrace/ingest"
	"github.com/millrace/millrace/internal/problem"
	"github.com/millrace/millrace/meta"
	"github.com/millrace/millrace/pipeline"
)

// state is what keeps what people change, and for a store that nodes share also
// positions and locks.
type state interface {
	millrace.Meta
	millrace.Commits
	millrace.Locks
	millrace.Nodes
	millrace.Issues
}

// openState opens PostgreSQL if the configuration has one, else the file in the
// data directory.
func (s *server) openState(ctx context.Context) (err error) {
	if s.cfg.Meta.Address != "" {
		p, err := meta.OpenPostgres(ctx, s.cfg.Meta.Address)
		if err != nil {
			return err
		}
		s.meta = p
		return nil
	}
	f, err := meta.Open(ctx, filepath.Join(s.cfg.Data, "meta.db"))
	if err != nil {
		return err
	}
	s.meta = f
	return nil
}

// openStore opens ClickHouse if the configuration has one, else the DuckDB in
// the data directory.
func (s *server) openStore(ctx context.Context) error {
	if s.cfg.Shared() {
		db, err := clickhouse.Open(ctx, s.cfg.ClickHouse, s.meta, s.now, s.log)
		if err != nil {
			return err
		}
		s.store, s.full = db, &storeDiskGuard{high: &s.disk.high, ask: db.Disk}
		return nil
	}
	opts := s.cfg.Store
	opts.Threads = min(opts.Threads, limitProcessors(s.cfg.Limits))
	db, err := duckdb.Open(ctx, opts, filepath.Join(s.cfg.Data, "millrace.duckdb"), s.now, s.log)
	if err != nil {
		return err
	}
	s.store = db
	return nil
}

// join makes this node's worker a member of the group that shares the
// partitions out; nil if the store is this node's alone.
func (s *server) join() func(context.Context, pipeline.Handler) (pipeline.Membership, error) {
	if !s.cfg.Shared() {
		return nil
	}
	return func(ctx context.Context, h pipeline.Handler) (pipeline.Membership, error) {
		m, err := s.queue.Join(ctx, s.cfg.Node.Group, h)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
}

// byRole answers requests for what this node does not do with a hint; what all
// nodes have goes through.
func (s *server) byRole(next http.Handler) http.Handler {
	node, endpoints := &s.cfg.Node, http.NewServeMux()
	for pattern, h := range s.endpoints() {
		endpoints.Handle(pattern, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		role := roleOf(r.URL.Path)
		if _, pattern := endpoints.Handler(r); pattern != "" || ingest.ForElastic(r) {
			role = config.RoleIngest
		}
		if role == "" || node.Has(role) {
			next.ServeHTTP(w, r)
			return
		}
		problem.Write(w, &millrace.Error{
			Code: millrace.ErrNotFound, Message: "node " + node.Hostname() + " does not have the role " + role,
			Hint: "ask a node that does; GET /api/v1/cluster lists them",
		}, nil)
	})
}

// everywhere are the paths that each node serves.
var everywhere = []string{
	"/healthz", "/readyz", "/metrics", "/static/", "/favicon.ico", "/login", "/logout", "/pipeline",
	"/api/v1/status", "/api/v1/cluster", "/api/v1/keys", "/api/v1/projects", "/api/v1/config/", "/api/v1/openapi.json", "/api/v1/rules",
}

// roleOf returns the role that serves a path which brings no events; empty if
// every node does.
func roleOf(path string) string {
	for _, prefix := range everywhere {
		if strings.HasPrefix(path, prefix) {
			return ""
		}
	}
	return config.RoleQuery
}

// runPipeline works, or follows what the workers of other nodes do.
func (s *server) runPipeline(ctx context.Context) {
	if !s.cfg.Node.Has(config.RoleWorker) {
		s.pipeline.Observe(ctx)
		return
	}
	if err := s.pipeline.Run(ctx); err != nil {
		s.log.Warn("leave the group of workers", "err", err) // its session ends by itself
	}
}

// alone runs do while this node holds the lock of that name, again and again
// until ctx ends.
func (s *server) alone(ctx context.Context, name string, do func(context.Context)) {
	for ctx.Err() == nil {
		lease, err := s.meta.Lock(ctx, name)
		if err != nil {
			if ctx.Err() == nil {
				s.node.fault("lock "+name, err)
				s.log.Error("lock", "name", name, "err", err, "hint", millrace.ErrorHint(err))
				sleep(ctx, lockRetry)
			}
			continue
		}
		s.node.fault("lock "+name, nil)
		held, cancel := millrace.WithLease(ctx, lease)
		s.node.holds(name, true)
		do(held)
		s.node.holds(name, false)
		cancel()
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			s.log.Warn("release lock", "name", name, "err", err) // the database does so when the connection ends
		}
	}
}

// lockRetry is the pause after a lock could not be asked for.
const lockRetry = 5 * time.Second

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
