package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/problem"
	"github.com/millrace/millrace/query"
	"github.com/millrace/millrace/transform"
)

// Rules keeps the rules of sources (pipeline.RuleBook).
type Rules interface {
	List() []millrace.SourceRules
	// Get returns the newest version under a name. ErrNotFound.
	Get(project, source string) (millrace.SourceRules, error)
	History(ctx context.Context, project, source string, before int64, limit int) ([]*millrace.RuleVersion, error)
	Apply(ctx context.Context, c millrace.RuleChange) (*millrace.RuleVersion, error)
	// Try returns what can be shown as JSON.
	Try(ctx context.Context, t millrace.RuleTrial) (any, error)
}

// maxRulesBody bounds a body with rules: the text with every character escaped,
// lines to try, and a little for the other fields.
const maxRulesBody = 6*transform.MaxRules + 2<<20

type ruleVersion struct {
	Version int64     `json:"version"`
	Project string    `json:"project"`
	Source  string    `json:"source"`
	Rules   string    `json:"rules"`
	Author  string    `json:"author"`
	Created time.Time `json:"created"`
	Note    string    `json:"note"`
	Owned   *bool     `json:"owned,omitempty"` // by the configuration file; of the newest only
}

func newRuleVersion(v *millrace.RuleVersion) ruleVersion {
	return ruleVersion{v.Version, v.Project, v.Source, v.Text, v.Author, v.Created, v.Note, nil}
}

func newSourceRules(r millrace.SourceRules) ruleVersion {
	v := newRuleVersion(r.RuleVersion)
	v.Owned = &r.Owned
	return v
}

func (s *Server) ruleRoutes(api func(func(http.ResponseWriter, *http.Request) (any, error)) http.Handler) []route {
	if s.Rules == nil {
		return nil
	}
	return []route{
		{"/api/v1/rules", "GET", millrace.ScopeRead, api(s.listRules)},
		{"/api/v1/rules/try", "GET,POST,PUT,DELETE", millrace.ScopeRead, api(s.tryOrRules)},
		{"/api/v1/rules/{source}", "GET,PUT,DELETE", millrace.ScopeRead, api(s.rules)},
		{"/api/v1/rules/{source}/history", "GET", millrace.ScopeRead, api(s.rulesHistory)},
		{"/api/v1/presets", "GET", millrace.ScopeRead, api(s.presets)},
		{"/api/v1/presets/{name}", "GET", millrace.ScopeRead, api(s.preset)},
	}
}

// tryOrRules tells the trial from a source of the name "try".
func (s *Server) tryOrRules(w http.ResponseWriter, r *http.Request) (any, error) {
	if r.Method == http.MethodPost {
		return s.tryRules(w, r)
	}
	r.SetPathValue("source", "try")
	return s.rules(w, r)
}

// rulesProject returns the project a request is about.
func rulesProject(r *http.Request, asked string) (string, error) {
	if who := auth.From(r.Context()); who != nil {
		return who.Project(asked)
	}
	return asked, nil
}

func (s *Server) listRules(_ http.ResponseWriter, r *http.Request) (any, error) {
	p := parseParams(r.URL.RawQuery, "project")
	if p.err != nil {
		return nil, p.err
	}
	project, err := readable(r, p.get("project"))
	if err != nil {
		return nil, err
	}
	out := []ruleVersion{}
	for _, v := range s.Rules.List() {
		if project == "" || v.Project == project {
			out = append(out, newSourceRules(v))
		}
	}
	return map[string]any{"rules": out}, nil
}

// sourceName checks the name that rules are kept under.
func sourceName(r *http.Request) (string, error) {
	name := r.PathValue("source")
	if name != "*" && !auth.ValidName(strings.TrimSuffix(name, "*")) {
		return "", millrace.Errorf(millrace.ErrInvalid, "source %.140q: 1 to 128 of A-Z a-z 0-9 . _ -, at the end perhaps *", name)
	}
	return name, nil
}

// rules answers what a source's rules are, changes them, or removes them.
func (s *Server) rules(w http.ResponseWriter, r *http.Request) (any, error) {
	p := parseParams(r.URL.RawQuery, "project", "after", "note")
	after := p.count("after", 1<<53)
	if p.err != nil {
		return nil, p.err
	}
	source, err := sourceName(r)
	if err != nil {
		return nil, err
	}
	project, err := rulesProject(r, p.get("project"))
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		v, err := s.Rules.Get(project, source)
		if err != nil {
			return nil, err
		}
		return newSourceRules(v), nil
	}
	change := millrace.RuleChange{Project: project, Source: source, Note: p.get("note"), After: -1}
	if p.get("after") != "" {
		change.After = int64(after)
	}
	if change.Author, err = author(r); err != nil {
		return nil, err
	}
	if r.Method == http.MethodPut {
		if err := readChange(w, r, &change); err != nil {
			return nil, err
		}
	}
	v, err := s.Rules.Apply(r.Context(), change)
	if err != nil {
		return nil, violations(err)
	}
	return newRuleVersion(v), nil
}

// author returns who changes something; ErrForbidden unless an admin.
func author(r *http.Request) (string, error) {
	who := auth.From(r.Context())
	if who == nil || who.Key == nil {
		return "local", nil // nothing needs a key here
	}
	if !who.Key.Allows(millrace.ScopeAdmin) {
		return "", millrace.Errorf(millrace.ErrForbidden, "the key lacks the scope %q", millrace.ScopeAdmin)
	}
	if who.Key.Name == "" {
		return "key " + who.Key.ID, nil
	}
	return who.Key.Name, nil
}

// readChange reads {"rules": "…", "note": "…", "after": 123}.
func readChange(w http.ResponseWriter, r *http.Request, c *millrace.RuleChange) error {
	var req struct {
		Rules *string `json:"rules"`
		Note  string  `json:"note"`
		After *int64  `json:"after"`
	}
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if req.Rules == nil || strings.TrimSpace(*req.Rules) == "" {
		return millrace.Errorf(millrace.ErrInvalid, `the body lacks the rules: {"rules": "steps: …"}; DELETE removes them`)
	}
	if len(req.Note) > 1000 {
		return millrace.Errorf(millrace.ErrInvalid, "note: %d bytes; at most 1000", len(req.Note))
	}
	c.Text = *req.Rules
	if req.Note != "" {
		c.Note = req.Note
	}
	if req.After != nil {
		c.After = *req.After
	}
	return nil
}

// readJSON reads a body of at most maxRulesBody bytes strictly.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRulesBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return millrace.Errorf(millrace.ErrTooLarge, "the body has more than %d bytes", maxRulesBody)
		}
		return &millrace.Error{Code: millrace.ErrInvalid, Message: "the body ended early", Err: err}
	}
	return decodeStrict(body, into)
}

// violated is an error that lists the violations of rules apart.
type violated struct{ wrong *transform.Error }

// ProblemFields implements problem.Detailed.
func (v violated) ProblemFields() map[string]any {
	return map[string]any{"violations": v.wrong.Violations}
}

// Unwrap keeps the code and the message.
func (v violated) Unwrap() error { return v.wrong }

// Error implements error.
func (v violated) Error() string { return v.wrong.Error() }

var _ problem.Detailed = violated{}

func violations(err error) error {
	if wrong, ok := errors.AsType[*transform.Error](err); ok {
		return violated{wrong}
	}
	return err
}

func (s *Server) rulesHistory(_ http.ResponseWriter, r *http.Request) (any, error) {
	p := parseParams(r.URL.RawQuery, "project", "before", "limit")
	before, limit := p.count("before", 1<<53), p.count("limit", 1000)
	if p.err != nil {
		return nil, p.err
	}
	source, err := sourceName(r)
	if err != nil {
		return nil, err
	}
	project, err := rulesProject(r, p.get("project"))
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = 100
	}
	list, err := s.Rules.History(r.Context(), project, source, int64(before), limit)
	if err != nil {
		return nil, err
	}
	out := []ruleVersion{}
	for _, v := range list {
		out = append(out, newRuleVersion(v))
	}
	return map[string]any{"versions": out}, nil
}

func (s *Server) presets(_ http.ResponseWriter, r *http.Request) (any, error) {
	if p := parseParams(r.URL.RawQuery); p.err != nil {
		return nil, p.err
	}
	return map[string]any{"presets": transform.Presets()}, nil
}

func (s *Server) preset(_ http.ResponseWriter, r *http.Request) (any, error) {
	if p := parseParams(r.URL.RawQuery); p.err != nil {
		return nil, p.err
	}
	text, err := transform.Preset(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return map[string]any{"name": r.PathValue("name"), "rules": string(text)}, nil
}

type tryRequest struct {
	Project string  `json:"project"`
	Source  string  `json:"source"`
	Format  string  `json:"format"`
	Rules   *string `json:"rules"` // absent: the current ones
	Lines   string  `json:"lines"` // what to try them on,
	Last    int     `json:"last"`  // or how many of the source's stored events
}

// tryRules runs rules on lines without storing anything.
func (s *Server) tryRules(w http.ResponseWriter, r *http.Request) (any, error) {
	var req tryRequest
	if err := readJSON(w, r, &req); err != nil {
		return nil, err
	}
	if req.Source == "" {
		req.Source = "default"
	}
	if !auth.ValidName(req.Source) {
		return nil, millrace.Errorf(millrace.ErrInvalid, "source %.140q: 1 to 128 of A-Z a-z 0-9 . _ -", req.Source)
	}
	project, err := rulesProject(r, req.Project)
	if err != nil {
		return nil, err
	}
	trial := millrace.RuleTrial{Project: project, Source: req.Source, Format: req.Format, Text: req.Rules, Payload: []byte(req.Lines)}
	if req.Lines == "" {
		if err := s.lastLines(r.Context(), &req, &trial); err != nil {
			return nil, err
		}
	}
	result, err := s.Rules.Try(r.Context(), trial)
	if err != nil {
		return nil, violations(err)
	}
	return result, nil
}

// maxLast is how many stored events a trial takes at most.
const maxLast = 1000

// lastLines fills a trial with the newest stored events of the source.
func (s *Server) lastLines(ctx context.Context, req *tryRequest, t *millrace.RuleTrial) error {
	if req.Last < 1 || req.Last > maxLast {
		return millrace.Errorf(millrace.ErrInvalid, "lines are missing, and last is %d: must be between 1 and %d", req.Last, maxLast)
	}
	page, err := s.Query.Logs(ctx, query.LogsRequest{
		Query: `source:"` + t.Source + `"`, Project: t.Project, Limit: req.Last,
		Range: query.Range{From: time.Unix(0, 0), To: s.Now().Add(millrace.MaxAhead)},
	})
	if err != nil {
		return err
	}
	var d decode.Decoder
	for i := range page.Events {
		line := storedLine(&d, &page.Events[i])
		if len(t.Payload)+len(line) > 1<<20 {
			break
		}
		t.Payload = append(t.Payload, line...)
		t.Frames = append(t.Frames, uint32(len(line)))
	}
	if t.Frames == nil {
		t.Frames = []uint32{}
	}
	return nil
}

// storedLine returns the line that an event was, or one that decodes to it: of
// structured lines that have a message only that is kept, beside the fields.
// What rules masked or dropped by then is gone.
func storedLine(d *decode.Decoder, e *millrace.StoredEvent) string {
	if len(e.Attrs) <= len("{}") || decodes(d, e.Message) {
		return e.Message
	}
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(e.Attrs, &fields) != nil {
		return e.Message // our own JSON: cannot be
	}
	for name, value := range map[string]string{
		"time": e.Time.Format(time.RFC3339Nano), "level": e.Level, "service": e.Service, "host": e.Host, "env": e.Env,
		"release": e.Release, "trace_id": e.TraceID, "message": e.Message,
	} {
		if value != "" {
			fields[name] = millrace.AppendJSONString(nil, value)
		}
	}
	line, err := json.Marshal(fields)
	if err != nil {
		return e.Message
	}
	return string(line)
}

// decodes reports whether a line has fields of its own.
func decodes(d *decode.Decoder, line string) bool {
	var b millrace.Batch
	b.Reset(&millrace.Record{Format: "auto", Payload: []byte(line), Frames: []uint32{uint32(len(line))}})
	d.Decode(&b)
	return len(b.Events) == 1 && len(b.Events[0].Attrs) > 0
}

// reload makes the server read its configuration file again.
func (s *Server) reload(_ http.ResponseWriter, r *http.Request) (any, error) {
	if p := parseParams(r.URL.RawQuery); p.err != nil {
		return nil, p.err
	}
	if err := s.Reload(r.Context()); err != nil {
		return nil, err
	}
	return map[string]any{"reloaded": true}, nil
}
