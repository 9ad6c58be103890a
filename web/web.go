package web

import (
	"context"
	"log/slog"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/internal/problem"
	"github.com/millrace/millrace/query"
)

// Deps is what the server is made of. Query, Guard and Now are required.
type Deps struct {
	Query *query.Service
	Guard *auth.Guard
	Now   func() time.Time
	// Ingest answers what brings events, by pattern, and Keys /api/v1/keys; they authorize by
	// themselves. Nil where this process does not have them.
	Ingest map[string]http.Handler
	Keys   http.Handler
	// Front answers, before any path is looked at, what belongs to a protocol whose
	// paths are not patterns of ServeMux, and leaves all else to the handler given;
	// nil for none.
	Front func(http.Handler) http.Handler
	// Metrics is what /metrics shows; nil leaves the path out.
	Metrics prometheus.Gatherer
	// Backfills is what /api/v1/rollups/{name}/backfill starts; nil where this
	// process does not fold.
	Backfills Backfills
	// Rules serves /api/v1/rules; nil leaves it out.
	Rules Rules
	// Cluster serves /api/v1/cluster; nil leaves it out.
	Cluster Cluster
	// Issues serves exceptions, their pages and /api/v1/issues; nil leaves them out.
	Issues Issues
	// Reload reads the configuration file again (POST /api/v1/config/reload); nil
	// leaves the path out.
	Reload func(context.Context) error
	// Ready says why the process cannot serve yet, nil if it can.
	Ready   func(context.Context) error
	Version string
	Log     *slog.Logger // for faults that answers do not show; nil is slog.Default
}

// Server answers HTTP requests. Create it with New.
type Server struct {
	Deps
	assets *assets
	pages  *templates
	routes []route
}

// route is one path of the server and its methods.
type route struct {
	path    string // of ServeMux, without a method
	methods string // "GET", "POST" or "GET,POST"; GET includes HEAD
	scope   millrace.Scope
	handler http.Handler
}

// New returns the handler of the whole port.
func New(d Deps) (http.Handler, error) {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	s := &Server{Deps: d}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = loadTemplates(s.assets, d.Log); err != nil {
		return nil, err
	}
	s.routes = s.table()
	mux := http.NewServeMux()
	for _, r := range s.routes {
		h := allowMethods(r.methods, r.handler)
		if r.scope != "" {
			h = d.Guard.Require(r.scope, h)
		}
		mux.Handle(r.path, h)
	}
	for pattern, h := range d.Ingest {
		mux.Handle(pattern, h)
	}
	if d.Keys != nil {
		mux.Handle("/api/v1/keys", d.Keys)
		mux.Handle("/api/v1/keys/", d.Keys)
		mux.Handle("/api/v1/projects", d.Keys)
	}
	mux.Handle("/", http.HandlerFunc(s.notFound))
	if d.Front != nil {
		return s.recovering(secure(d.Front(mux))), nil
	}
	return s.recovering(secure(mux)), nil
}

// The API's paths, as openapi.json names them, plus pages.
func (s *Server) table() []route {
	api := func(f func(http.ResponseWriter, *http.Request) (any, error)) http.Handler { return s.answer(f) }
	page := func(f func(*view) any, name string) http.Handler { return s.page(name, f) }
	rs := []route{
		{"/api/v1/rollups", "GET", millrace.ScopeRead, api(s.listRollups)},
		{"/api/v1/rollups/{name}", "GET", millrace.ScopeRead, api(s.rollup)},
		{"/api/v1/rollups/{name}/backfill", "GET,POST,DELETE", millrace.ScopeAdmin, api(s.backfill)},
		{"/api/v1/logs", "GET", millrace.ScopeRead, api(s.logs)},
		{"/api/v1/logs/histogram", "GET", millrace.ScopeRead, api(s.histogram)},
		{"/api/v1/logs/tail", "GET", millrace.ScopeRead, http.HandlerFunc(s.tail)},
		{"/api/v1/sql", "POST", millrace.ScopeRead, api(s.sql)},
		{"/api/v1/ledger", "GET", millrace.ScopeRead, api(s.ledger)},
		{"/api/v1/gaps", "GET", millrace.ScopeRead, api(s.gaps)},
		{"/api/v1/set-aside", "GET", millrace.ScopeRead, api(s.setAside)},
		{"/api/v1/status", "GET", millrace.ScopeRead, api(s.status)},
		{"/api/v1/openapi.json", "GET", "", api(s.openapi)},
		{"/healthz", "GET", "", http.HandlerFunc(healthz)},
		{"/readyz", "GET", "", http.HandlerFunc(s.readyz)},
		{"/{$}", "GET", millrace.ScopeRead, page(s.overview, "dashboard")},
		{"/traffic", "GET", millrace.ScopeRead, page(s.traffic, "dashboard")},
		{"/pipeline", "GET", millrace.ScopeRead, page(s.pipeline, "dashboard")},
		{"/logs", "GET", millrace.ScopeRead, page(s.logsPage, "logs")},
		{"/static/{file}", "GET", "", http.HandlerFunc(s.assets.serve)},
		{"/favicon.ico", "GET", "", http.HandlerFunc(s.assets.favicon)},
		{auth.LoginPath, "GET,POST", "", s.Guard.Login()},
		{auth.LogoutPath, "POST", "", s.Guard.Logout()},
	}
	rs = append(rs, s.ruleRoutes(api)...)
	rs = append(rs, s.clusterRoutes(api)...)
	rs = append(rs, s.issuePages()...)
	rs = append(rs, s.issueRoutes(api)...)
	if s.Reload != nil {
		rs = append(rs, route{"/api/v1/config/reload", "POST", millrace.ScopeAdmin, api(s.reload)})
	}
	if s.Metrics != nil {
		rs = append(rs, route{"/metrics", "GET", millrace.ScopeRead, promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{})})
	}
	return rs
}

// allowMethods answers other methods with 405 and the list of those allowed.
func allowMethods(methods string, next http.Handler) http.Handler {
	allowed := strings.Split(methods, ",")
	if allowed[0] == http.MethodGet {
		allowed = append(allowed, http.MethodHead)
	}
	sort.Strings(allowed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, m := range allowed {
			if r.Method == m {
				next.ServeHTTP(w, r)
				return
			}
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeJSON(w, r, http.StatusMethodNotAllowed, "application/problem+json", problem.Document{
			Title: http.StatusText(http.StatusMethodNotAllowed), Status: http.StatusMethodNotAllowed,
			Detail: r.URL.Path + " takes " + strings.Join(allowed, ", "), Code: millrace.ErrInvalid,
		})
	})
}

func healthz(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") }

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.Ready != nil {
		if err := s.Ready(r.Context()); err != nil {
			plain(w, http.StatusServiceUnavailable, "not ready: "+millrace.ErrorMessage(err)+"\n")
			return
		}
	}
	plain(w, http.StatusOK, "ready\n")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client may be gone
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		problem.Write(w, millrace.Errorf(millrace.ErrNotFound, "there is no %s; see /api/v1/openapi.json", r.URL.Path), nil)
		return
	}
	s.pages.render(w, r, http.StatusNotFound, "error", errorPage{
		layout: layout{Title: "Not found", Version: s.Version}, Heading: "There is no such page", Detail: r.URL.Path,
	})
}
