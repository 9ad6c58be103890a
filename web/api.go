package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/query"
)

// instant is null in JSON while nothing is known.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

type rollupInfo struct {
	Name       string       `json:"name"`
	Where      string       `json:"where"`
	Dimensions []string     `json:"dimensions"`
	Sets       []rollupSet  `json:"sets"`
	Metrics    []metricInfo `json:"metrics"`
	Derived    []derived    `json:"derived"`
}

type rollupSet struct {
	Dimensions    []string `json:"dimensions"`
	Granularities []string `json:"granularities"`
}

type metricInfo struct {
	Name     string `json:"name"`
	Function string `json:"function"`
	Field    string `json:"field"`
	Where    string `json:"where"`
}

type derived struct {
	Name       string `json:"name"`
	Expression string `json:"expression"`
}

func (s *Server) listRollups(_ http.ResponseWriter, r *http.Request) (any, error) {
	if p := parseParams(r.URL.RawQuery); p.err != nil {
		return nil, p.err
	}
	out := []rollupInfo{}
	for _, sc := range s.Query.Schemas() {
		info := rollupInfo{Name: sc.Name, Where: sc.Where, Dimensions: nonNil(sc.Dimensions), Sets: []rollupSet{}, Metrics: []metricInfo{}, Derived: []derived{}}
		for _, set := range sc.Sets {
			rs := rollupSet{Dimensions: []string{}, Granularities: []string{}}
			for _, d := range set.Dims {
				rs.Dimensions = append(rs.Dimensions, sc.Dimensions[d])
			}
			for _, g := range set.Granularities {
				rs.Granularities = append(rs.Granularities, g.String())
			}
			info.Sets = append(info.Sets, rs)
		}
		for _, m := range sc.Metrics {
			info.Metrics = append(info.Metrics, metricInfo{m.Name, string(m.Func), m.Field, m.Where})
		}
		for _, d := range sc.Derived {
			info.Derived = append(info.Derived, derived{d.Name, d.Expr})
		}
		out = append(out, info)
	}
	return map[string]any{"rollups": out}, nil
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (s *Server) rollup(_ http.ResponseWriter, r *http.Request) (any, error) {
	req, err := s.rollupRequest(r)
	if err != nil {
		return nil, err
	}
	res, err := s.Query.Rollup(r.Context(), req)
	if err != nil {
		return nil, err
	}
	return struct {
		CompleteUntil *time.Time `json:"complete_until"`
		Source        string     `json:"source"`
		Columns       []string   `json:"columns"`
		Rows          [][]any    `json:"rows"`
	}{instant(res.CompleteUntil), res.Source, res.Columns, res.Rows}, nil
}

// rollupRequest reads the question. Ends of the range that name an instant are
// exact, relative ones are widened to whole minutes.
func (s *Server) rollupRequest(r *http.Request) (query.RollupRequest, error) {
	p := parseParams(r.URL.RawQuery, "metrics", "by", "where", "having", "from", "to", "step", "tz", "compare", "order", "limit")
	from, to := p.get("from"), p.get("to")
	req := query.RollupRequest{
		Rollup: r.PathValue("name"), Metrics: p.expressions("metrics"), By: p.list("by"), Where: p.get("where"), Having: p.get("having"),
		ExactFrom: query.IsAbsolute(from), ExactTo: query.IsAbsolute(to), Order: p.list("order"), Limit: p.count("limit", query.MaxRows),
	}
	if p.err != nil {
		return req, p.err
	}
	var err error
	if req.Range, err = query.ParseRange(from, to, s.Now()); err != nil {
		return req, err
	}
	if req.Step, err = query.ParseStep(p.get("step")); err != nil {
		return req, err
	}
	if req.Zone, err = query.ParseZone(p.get("tz")); err != nil {
		return req, err
	}
	req.Compare, err = query.ParseCompare(p.get("compare"))
	return req, err
}

// logsRequest reads what the three log paths have in common.
func (s *Server) logsRequest(r *http.Request, p *params) (query.LogsRequest, error) {
	req := query.LogsRequest{
		Query: p.get("q"), Project: p.get("project"),
		Limit: p.count("limit", query.MaxLogs), Cursor: p.get("cursor"),
	}
	if p.err != nil {
		return req, p.err
	}
	var err error
	if req.Range, err = query.ParseRange(p.get("from"), p.get("to"), s.Now()); err != nil {
		return req, err
	}
	req.Project, err = readable(r, req.Project)
	return req, err
}

// readable returns the project whose rows a request may see: the one asked
// for, all ("") where nothing limits the caller, else the key's own.
func readable(r *http.Request, asked string) (string, error) {
	who := auth.From(r.Context())
	if who == nil || asked == "" && (who.Key == nil || who.Key.Allows(millrace.ScopeAdmin)) {
		return asked, nil
	}
	return who.Project(asked)
}

func (s *Server) logs(_ http.ResponseWriter, r *http.Request) (any, error) {
	req, err := s.logsRequest(r, parseParams(r.URL.RawQuery, "q", "from", "to", "limit", "cursor", "project"))
	if err != nil {
		return nil, err
	}
	return s.Query.Logs(r.Context(), req)
}

func (s *Server) histogram(_ http.ResponseWriter, r *http.Request) (any, error) {
	p := parseParams(r.URL.RawQuery, "q", "from", "to", "step", "project")
	req, err := s.logsRequest(r, p)
	if err != nil {
		return nil, err
	}
	var step time.Duration
	if text := p.get("step"); text != "" {
		if step, err = millrace.ParseDuration(text); err != nil || step <= 0 {
			return nil, millrace.Errorf(millrace.ErrInvalid, "step %q: must be a duration such as 10s or 1m", millrace.Example([]byte(text)))
		}
	}
	h, err := s.Query.Histogram(r.Context(), req, step)
	if err != nil {
		return nil, err
	}
	return struct {
		CompleteUntil *time.Time             `json:"complete_until"`
		Step          float64                `json:"step"`
		Points        []query.HistogramPoint `json:"points"`
	}{instant(h.CompleteUntil), h.Step, h.Points}, nil
}

// maxSQLBody bounds the body of a SQL request: a statement with every
// character escaped, and a little for the other fields.
const maxSQLBody = 6*query.MaxSQLBytes + 1024

func (s *Server) sql(w http.ResponseWriter, r *http.Request) (any, error) {
	ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || ct != "application/json" {
		return nil, millrace.Errorf(millrace.ErrInvalid, `the body must be application/json: {"sql": "select …"}`)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSQLBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, millrace.Errorf(millrace.ErrTooLarge, "the body has more than %d bytes", maxSQLBody)
		}
		return nil, &millrace.Error{Code: millrace.ErrInvalid, Message: "the body ended early", Err: err}
	}
	var req struct {
		SQL string `json:"sql"`
	}
	if err := decodeStrict(body, &req); err != nil {
		return nil, err
	}
	t, err := s.Query.SQL(r.Context(), query.SQLRequest{SQL: req.SQL})
	if err != nil {
		return nil, err
	}
	return query.JSON(t), nil
}

func (s *Server) ledgerRequest(p *params) (query.LedgerRequest, error) {
	req := query.LedgerRequest{Project: p.get("project"), Source: p.get("source"), Sink: p.get("sink")}
	if p.err != nil {
		return req, p.err
	}
	var err error
	for name, t := range map[string]*time.Time{"from": &req.Range.From, "to": &req.Range.To} {
		if text := p.get(name); text != "" {
			if *t, err = query.ParseTime(text, s.Now()); err != nil {
				return req, err
			}
		}
	}
	return req, nil
}

func (s *Server) ledger(_ http.ResponseWriter, r *http.Request) (any, error) {
	req, err := s.ledgerRequest(parseParams(r.URL.RawQuery, "from", "to", "project", "source", "sink"))
	if err != nil {
		return nil, err
	}
	return s.Query.Ledger(r.Context(), req)
}

func (s *Server) gaps(_ http.ResponseWriter, r *http.Request) (any, error) {
	if p := parseParams(r.URL.RawQuery); p.err != nil {
		return nil, p.err
	}
	list, err := s.Query.Gaps(r.Context())
	if err != nil {
		return nil, err
	}
	return map[string]any{"gaps": list}, nil
}

func (s *Server) setAside(_ http.ResponseWriter, r *http.Request) (any, error) {
	p := parseParams(r.URL.RawQuery, "limit")
	limit := p.count("limit", 1000)
	if p.err != nil {
		return nil, p.err
	}
	list, err := s.Query.SetAside(r.Context(), limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"set_aside": list}, nil
}

func (s *Server) status(_ http.ResponseWriter, r *http.Request) (any, error) {
	if p := parseParams(r.URL.RawQuery); p.err != nil {
		return nil, p.err
	}
	st, ok := s.Query.Status()
	if !ok {
		return nil, millrace.Errorf(millrace.ErrNotFound, "this process runs no pipeline")
	}
	ctx, cancel := context.WithTimeout(r.Context(), statsTimeout)
	defer cancel()
	out := struct {
		CompleteUntil *time.Time `json:"complete_until"`
		query.PipelineStatus
		Store *storeStats `json:"store"` // null while the store does not answer
	}{CompleteUntil: instant(s.Query.CompleteUntil()), PipelineStatus: st}
	stats, err := s.Query.Stats(ctx)
	if err != nil { // the more reason to tell what else is known
		out.Problems = append(slices.Clone(out.Problems), "store: "+err.Error())
		return out, nil
	}
	out.Store = &storeStats{
		stats.Events, stats.Deltas, stats.Cells, stats.DirtyHours,
		stats.EventBytes, stats.RollupBytes, stats.TotalBytes, instant(stats.OldestEvent), stats.MemoryBytes,
	}
	return out, nil
}

// statsTimeout bounds how long the status waits for a store that may not answer.
const statsTimeout = 3 * time.Second

// storeStats is millrace.StoreStats in JSON's terms.
type storeStats struct {
	Events      int64      `json:"events"`
	Deltas      int64      `json:"deltas"`
	Cells       int64      `json:"cells"`
	DirtyHours  int64      `json:"dirty_hours"`
	EventBytes  int64      `json:"event_bytes"`
	RollupBytes int64      `json:"rollup_bytes"`
	TotalBytes  int64      `json:"total_bytes"`
	OldestEvent *time.Time `json:"oldest_event"`
	MemoryBytes int64      `json:"memory_bytes"`
}

// decodeStrict reads one JSON object and refuses unknown fields and anything
// after it.
func decodeStrict(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return &millrace.Error{Code: millrace.ErrInvalid, Message: "the body is not the JSON expected: " + err.Error()}
	}
	if _, err := dec.Token(); err != io.EOF {
		return millrace.Errorf(millrace.ErrInvalid, "the body has something after the JSON object")
	}
	return nil
}
