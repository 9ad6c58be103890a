package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/internal/problem"
	"github.com/millrace/millrace/transform"
)

// Rules keeps the rules of sources (pipeline.RuleBook).
type Rules interface {
	List() []millrace.SourceRules
	// Get returns the newest version under a name. ErrNotFound.
	Get(project, source string) (millrace.SourceRules, error)
	History(ctx context.Context, project, source string, before int64, limit int) ([]*millrace.RuleVersion, error)
	Apply(ctx context.Context, c millrace.RuleChange) (*millrace.RuleVersion, error)
	// Lint returns what the rules of a version may do but probably should not.
	Lint(ctx context.Context, version int64) ([]transform.Warning, error)
	// Tally returns what the rules of a source did, or those of the pattern that
	// fits it.
	Tally(project, source string) millrace.RuleTally
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

	// What was learned beside the rules, in the form of package transform; of one
	// source's newest only: it may have 256 KiB.
	Learned json.RawMessage `json:"learned,omitempty"`

	Warnings []transform.Warning `json:"warnings,omitzero"` // of the lint; nil unless the answer to a change
}

func newRuleVersion(v *millrace.RuleVersion) ruleVersion {
	return ruleVersion{
		Version: v.Version, Project: v.Project, Source: v.Source, Rules: v.Text, Author: v.Author, Created: v.Created, Note: v.Note,
	}
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
		{"/api/v1/rules/{source}/tally", "GET", millrace.ScopeRead, api(s.rulesTally)},
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

// rulesRequest reads what the paths about one source's rules have in common: the
// project, and the name that the rules are kept under. allowed are parameters
// besides project; the caller checks their errors once it has read them.
func rulesRequest(r *http.Request, allowed ...string) (project, source string, p *params, err error) {
	p = parseParams(r.URL.RawQuery, append(allowed, "project")...)
	if p.err != nil {
		return "", "", p, p.err
	}
	source = r.PathValue("source")
	if source != "*" && !auth.ValidName(strings.TrimSuffix(source, "*")) {
		return "", "", p, millrace.Errorf(millrace.ErrInvalid, "source %.140q: 1 to 128 of A-Z a-z 0-9 . _ -, at the end perhaps *", source)
	}
	project, err = rulesProject(r, p.get("project"))
	return project, source, p, err
}

// rules answers what a source's rules are, changes them, or removes them.
func (s *Server) rules(w http.ResponseWriter, r *http.Request) (any, error) {
	project, source, p, err := rulesRequest(r, "after", "note")
	if err != nil {
		return nil, err
	}
	after := p.count("after", 1<<53)
	if p.err != nil {
		return nil, p.err
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		v, err := s.Rules.Get(project, source)
		if err != nil {
			return nil, err
		}
		answer := newSourceRules(v)
		answer.Learned = json.RawMessage(v.Learned)
		return answer, nil
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
	warnings, err := s.Rules.Lint(r.Context(), v.Version)
	if err != nil {
		return nil, fmt.Errorf("version %d is current, but its lint failed: %w", v.Version, err)
	}
	answer := newRuleVersion(v)
	answer.Warnings = append([]transform.Warning{}, warnings...)
	return answer, nil
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
	project, source, p, err := rulesRequest(r, "before", "limit")
	if err != nil {
		return nil, err
	}
	before, limit := p.count("before", 1<<53), p.count("limit", 1000)
	if p.err != nil {
		return nil, p.err
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
