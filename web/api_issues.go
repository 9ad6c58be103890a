package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

// issueRoutes are the paths about exceptions, if this process has issues. Reading
// needs the scope read, changing admin; a key sees its own project.
func (s *Server) issueRoutes(api func(func(http.ResponseWriter, *http.Request) (any, error)) http.Handler) []route {
	if s.Issues == nil {
		return nil
	}
	read := func(path string, f func(http.ResponseWriter, *http.Request) (any, error)) route {
		return route{path, "GET", millrace.ScopeRead, api(f)}
	}
	change := func(path string, f func(http.ResponseWriter, *http.Request) (any, error)) route {
		return route{path, "POST", millrace.ScopeAdmin, api(f)}
	}
	out := []route{
		read("/api/v1/issues", s.apiIssues),
		read("/api/v1/issues/{id}", s.apiIssue),
		read("/api/v1/issues/{id}/events", s.apiIssueEvents),
		read("/api/v1/issues/{id}/activities", s.apiActivities),
		read("/api/v1/issues/{id}/explain", s.apiExplain),
		read("/api/v1/issues/changes", s.apiChanges),
		read("/api/v1/exceptions/types", s.apiTypes),
		{"/api/v1/issues/settings", "GET,PUT", millrace.ScopeRead, api(s.apiIssueSettings)},
		change("/api/v1/issues/bulk", s.apiBulk),
		change("/api/v1/issues/{id}/merge", s.apiMerge),
		change("/api/v1/issues/{id}/unmerge", s.apiUnmerge),
		change("/api/v1/issues/{id}/activities/{activity}/undo", s.apiUndoActivity),
		change("/api/v1/issues/changes/{change}/undo", s.apiUndoChange),
		change("/api/v1/issues/regroup", s.apiRegroup),
	}
	for _, name := range issueActions {
		out = append(out, change("/api/v1/issues/{id}/"+name, s.apiAct(name)))
	}
	return out
}

// issueFrom is where the range of a request starts that names no start.
const issueFrom = "-24h"

// issueParams reads what the paths about exceptions have in common: the project,
// and if ranged is set the environment and the range.
func (s *Server) issueParams(r *http.Request, ranged bool, allowed ...string) (p *params, project string, rng query.Range, err error) {
	allowed = append(allowed, "project")
	if ranged {
		allowed = append(allowed, "env", "from", "to")
	}
	if p = parseParams(r.URL.RawQuery, allowed...); p.err != nil {
		return p, "", rng, p.err
	}
	if id := r.PathValue("id"); id != "" && !validIssue(id) {
		return p, "", rng, millrace.Errorf(millrace.ErrNotFound, "there is no issue %.40q: ids are 12 digits of 0-9 a-f", id)
	}
	if project, err = rulesProject(r, p.get("project")); err != nil || !ranged {
		return p, project, rng, err
	}
	from := p.get("from")
	if from == "" {
		from = issueFrom
	}
	rng, err = query.ParseRange(from, p.get("to"), s.Now())
	return p, project, rng, err
}

// phases reads the parameter state: phases, or open for those that are neither
// resolved nor ignored; nil is all.
func (p *params) phases() []string {
	var out []string
	for _, name := range p.list("state") {
		found := false
		for _, st := range issueStates {
			if st.name == name {
				found = true
				out = append(out, st.phases...)
				if name == "all" {
					return nil
				}
			}
		}
		if name == "ongoing" {
			found = true
			out = append(out, name)
		}
		if !found {
			p.fail("state %q: must be open, new, ongoing, regressed, resolved, ignored or all", millrace.Example([]byte(name)))
		}
	}
	return out
}

// offset reads a whole number from 0.
func (p *params) offset() int {
	if p.get("offset") == "0" {
		return 0
	}
	return p.count("offset", 1<<31-1)
}

// flag reads true or false; false if it is not given.
func (p *params) flag(name string) bool {
	switch s := p.get(name); s {
	case "true", "1":
		return true
	case "", "false", "0":
	default:
		p.fail("%s %q: must be true or false", name, millrace.Example([]byte(s)))
	}
	return false
}

func (s *Server) apiIssues(_ http.ResponseWriter, r *http.Request) (any, error) {
	p, project, rng, err := s.issueParams(r, true, "state", "owner", "q", "where", "error_class", "order", "limit", "offset", "silent", "step")
	if err != nil {
		return nil, err
	}
	req := issue.ListRequest{
		Project: project, Env: p.get("env"), Range: rng, Phases: p.phases(), Text: p.get("q"), Where: p.get("where"), ErrorClass: p.get("error_class"),
		Order: p.get("order"), Limit: p.count("limit", issue.MaxList), Offset: p.offset(), Silent: p.flag("silent"), Sparkline: true,
	}
	if p.values.Has("owner") {
		owner := p.get("owner")
		req.Owner = &owner
	}
	if p.err != nil {
		return nil, p.err
	}
	if req.Step, err = query.ParseStep(p.get("step")); err != nil {
		return nil, err
	}
	page, err := s.Issues.List(r.Context(), req)
	if err != nil {
		return nil, err
	}
	out := issuePageJSON{
		Issues: []issueJSON{}, Total: page.Total, Count: page.Count, Other: page.Other, Unknown: page.Unknown, Times: someOf(page.Times),
		Step: page.Step.Seconds(), CompleteUntil: instant(page.CompleteUntil), CompleteFrom: instant(page.CompleteFrom),
	}
	for i := range page.Rows {
		out.Issues = append(out.Issues, newIssueJSON(&page.Rows[i]))
	}
	return out, nil
}

func (s *Server) apiIssue(_ http.ResponseWriter, r *http.Request) (any, error) {
	p, project, rng, err := s.issueParams(r, true)
	if err != nil {
		return nil, err
	}
	d, err := s.Issues.Get(r.Context(), project, r.PathValue("id"), p.get("env"), rng)
	if err != nil {
		return nil, err
	}
	return newIssueDetailJSON(d), nil
}

func (s *Server) apiIssueEvents(_ http.ResponseWriter, r *http.Request) (any, error) {
	p, project, rng, err := s.issueParams(r, true, "cursor", "limit")
	if err != nil {
		return nil, err
	}
	limit := p.count("limit", query.MaxLogs)
	if p.err != nil {
		return nil, p.err
	}
	res, err := s.Issues.Events(r.Context(), project, r.PathValue("id"), p.get("env"), p.get("cursor"), limit, rng)
	if err != nil {
		return nil, err
	}
	return query.LogsResult{Events: someOf(res.Events), Next: res.Next}, nil
}

// pageOf reads before and limit of paths that list newest first.
func (p *params) pageOf() (before int64, limit int) {
	return int64(p.count("before", 1<<53)), p.count("limit", 1000)
}

func (s *Server) apiActivities(_ http.ResponseWriter, r *http.Request) (any, error) {
	p, project, _, err := s.issueParams(r, false, "before", "limit")
	if err != nil {
		return nil, err
	}
	before, limit := p.pageOf()
	if p.err != nil {
		return nil, p.err
	}
	list, err := s.Issues.Activities(r.Context(), project, r.PathValue("id"), before, limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"activities": newActivitiesJSON(list)}, nil
}

func (s *Server) apiChanges(_ http.ResponseWriter, r *http.Request) (any, error) {
	p, project, _, err := s.issueParams(r, false, "issue", "before", "limit")
	if err != nil {
		return nil, err
	}
	before, limit := p.pageOf()
	if id := p.get("issue"); id != "" && !validIssue(id) {
		p.fail("issue %q: ids are 12 digits of 0-9 a-f", millrace.Example([]byte(id)))
	}
	if p.err != nil {
		return nil, p.err
	}
	list, err := s.Issues.Changes(r.Context(), project, p.get("issue"), before, limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"changes": newChangesJSON(list)}, nil
}

func (s *Server) apiExplain(_ http.ResponseWriter, r *http.Request) (any, error) {
	p, project, _, err := s.issueParams(r, false, "fingerprint")
	if err != nil {
		return nil, err
	}
	x, err := s.Issues.Explain(r.Context(), project, r.PathValue("id"), p.get("fingerprint"))
	if err != nil {
		return nil, err
	}
	out := map[string]any{
		"project": x.Project, "issue": x.Issue, "fingerprint": x.Fingerprint, "key": x.Key, "by": x.By, "text": x.Text,
		"explanation": x.Explanation, "report": x.Report,
	}
	if x.Rule != nil {
		out["rule"] = x.Rule
	}
	if x.Change != nil {
		out["change"] = newChangeJSON(x.Change)
	}
	return out, nil
}

func (s *Server) apiTypes(_ http.ResponseWriter, r *http.Request) (any, error) {
	p, project, rng, err := s.issueParams(r, true, "q", "where", "error_class", "order", "limit", "hosts", "step")
	if err != nil {
		return nil, err
	}
	req := issue.TypesRequest{
		Project: project, Env: p.get("env"), Range: rng, Text: p.get("q"), Where: p.get("where"), ErrorClass: p.get("error_class"),
		Order: p.get("order"), Limit: p.count("limit", issue.MaxList), Hosts: p.flag("hosts"),
	}
	if p.err != nil {
		return nil, p.err
	}
	if req.Step, err = query.ParseStep(p.get("step")); err != nil {
		return nil, err
	}
	t, err := s.Issues.Types(r.Context(), req)
	if err != nil {
		return nil, err
	}
	return newTypesJSON(t), nil
}

// untilTime reads when an ignore ends: RFC 3339, or from now as 24h or +24h.
func untilTime(text string, now time.Time) (int64, error) {
	if text == "" {
		return 0, nil
	}
	at := text
	if _, err := millrace.ParseDuration(strings.TrimPrefix(text, "+")); err == nil {
		at = "+" + strings.TrimPrefix(text, "+")
	}
	t, err := query.ParseTime(at, now)
	if err != nil {
		return 0, millrace.Errorf(millrace.ErrInvalid, "until %q: RFC 3339, or a time from now such as 24h", millrace.Example([]byte(text)))
	}
	if !t.After(now) {
		return 0, millrace.Errorf(millrace.ErrInvalid, "until %q: is not in the future", millrace.Example([]byte(text)))
	}
	return t.UnixNano(), nil
}
