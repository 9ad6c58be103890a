package web

import (
	"mime"
	"net/http"
	"strconv"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
)

// issueActions are what can be done to one issue or to many.
var issueActions = []string{"resolve", "reopen", "ignore", "assign", "note"}

// actionBody is the body of every action; which fields it may have depends on it.
type actionBody struct {
	Action string   `json:"action"` // of bulk only
	IDs    []string `json:"ids"`    // of bulk only

	Release     string `json:"release"` // resolve
	Next        bool   `json:"next"`
	Until       string `json:"until"` // ignore
	Occurrences int64  `json:"occurrences"`
	Users       int64  `json:"users"`
	Owner       string `json:"owner"` // assign
	Text        string `json:"text"`  // note
}

// check refuses fields that an action does not have: a body with a slip must not
// ignore an issue for ever.
func (b *actionBody) check() error {
	for _, f := range []struct {
		name, of string
		set      bool
	}{
		{"release", "resolve", b.Release != ""},
		{"next", "resolve", b.Next},
		{"until", "ignore", b.Until != ""},
		{"occurrences", "ignore", b.Occurrences != 0},
		{"users", "ignore", b.Users != 0},
		{"owner", "assign", b.Owner != ""},
		{"text", "note", b.Text != ""},
	} {
		if f.set && f.of != b.Action {
			return millrace.Errorf(millrace.ErrInvalid, "%s belongs to %s, not to %s", f.name, f.of, b.Action)
		}
	}
	if b.Occurrences < 0 || b.Users < 0 {
		return millrace.Errorf(millrace.ErrInvalid, "occurrences and users must be at least 1")
	}
	return nil
}

// readIssueBody reads a JSON body; an empty one is {}.
func readIssueBody(w http.ResponseWriter, r *http.Request, into any) error {
	if r.ContentLength == 0 {
		return nil
	}
	if ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || ct != "application/json" {
		return millrace.Errorf(millrace.ErrInvalid, "the body must be application/json")
	}
	return readJSON(w, r, into)
}

// apiAct answers an action on the issue of the path.
func (s *Server) apiAct(name string) func(http.ResponseWriter, *http.Request) (any, error) {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		_, project, _, err := s.issueParams(r, false)
		if err != nil {
			return nil, err
		}
		var body actionBody
		if err := readIssueBody(w, r, &body); err != nil {
			return nil, err
		}
		if body.Action != "" || body.IDs != nil {
			return nil, millrace.Errorf(millrace.ErrInvalid, "action and ids belong to /api/v1/issues/bulk")
		}
		body.Action = name
		out, err := s.apply(r, project, []string{r.PathValue("id")}, &body)
		if err == nil && len(out) == 1 && out[0].Err != nil {
			return nil, out[0].Err
		}
		return outcomes(out), err
	}
}

func (s *Server) apiBulk(w http.ResponseWriter, r *http.Request) (any, error) {
	_, project, _, err := s.issueParams(r, false)
	if err != nil {
		return nil, err
	}
	var body actionBody
	if err := readIssueBody(w, r, &body); err != nil {
		return nil, err
	}
	if n := len(body.IDs); n == 0 || n > issue.MaxBulk {
		return nil, millrace.Errorf(millrace.ErrInvalid, "ids: %d; must be 1 to %d", n, issue.MaxBulk)
	}
	out, err := s.apply(r, project, body.IDs, &body)
	return outcomes(out), err
}

func outcomes(list []issue.Outcome) map[string]any {
	out := []outcomeJSON{}
	for i := range list {
		out = append(out, newOutcomeJSON(&list[i]))
	}
	return map[string]any{"outcomes": out}
}

// apply does what a body says to issues.
func (s *Server) apply(r *http.Request, project string, ids []string, b *actionBody) ([]issue.Outcome, error) {
	by, err := author(r)
	if err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	ctx := r.Context()
	switch b.Action {
	case "resolve":
		return s.Issues.Resolve(ctx, project, ids, by, issue.Resolution{Release: b.Release, Next: b.Next})
	case "reopen":
		return s.Issues.Reopen(ctx, project, ids, by)
	case "ignore":
		until, err := untilTime(b.Until, s.Now())
		if err != nil {
			return nil, err
		}
		return s.Issues.Ignore(ctx, project, ids, by, millrace.Ignore{Until: until, Occurrences: b.Occurrences, Users: b.Users})
	case "assign":
		return s.Issues.Assign(ctx, project, ids, by, b.Owner)
	case "note":
		return s.Issues.Note(ctx, project, ids, by, b.Text)
	}
	return nil, millrace.Errorf(millrace.ErrInvalid, "action %.40q: must be resolve, reopen, ignore, assign or note", b.Action)
}

// maxChangeNote bounds what is written beside a change of the grouping.
const maxChangeNote = 1000

// groupBody is the body of merge, unmerge and regroup; each reads its own fields.
type groupBody struct {
	IDs          []string        `json:"ids"`
	Fingerprints []string        `json:"fingerprints"`
	Grouping     *issue.Grouping `json:"grouping"`
	Preview      bool            `json:"preview"`
	Note         string          `json:"note"`
}

// groupRequest reads what changes of the grouping have in common.
func (s *Server) groupRequest(w http.ResponseWriter, r *http.Request) (project, by string, b groupBody, err error) {
	if _, project, _, err = s.issueParams(r, false); err != nil {
		return project, by, b, err
	}
	if by, err = author(r); err != nil {
		return project, by, b, err
	}
	if err = readIssueBody(w, r, &b); err == nil && len(b.Note) > maxChangeNote {
		err = millrace.Errorf(millrace.ErrInvalid, "note: %d bytes; at most %d", len(b.Note), maxChangeNote)
	}
	return project, by, b, err
}

func (s *Server) apiMerge(w http.ResponseWriter, r *http.Request) (any, error) {
	project, by, b, err := s.groupRequest(w, r)
	if err != nil {
		return nil, err
	}
	if n := len(b.IDs); n == 0 || n > issue.MaxBulk {
		return nil, millrace.Errorf(millrace.ErrInvalid, "ids: %d; must be 1 to %d issues to merge into this one", n, issue.MaxBulk)
	}
	return changed(s.Issues.Merge(r.Context(), project, r.PathValue("id"), b.IDs, by, b.Note))
}

func (s *Server) apiUnmerge(w http.ResponseWriter, r *http.Request) (any, error) {
	project, by, b, err := s.groupRequest(w, r)
	if err != nil {
		return nil, err
	}
	if n := len(b.Fingerprints); n == 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "fingerprints: none; name those to take out of this issue")
	}
	return changed(s.Issues.Unmerge(r.Context(), project, r.PathValue("id"), b.Fingerprints, by, b.Note))
}

func changed(g *millrace.Regrouping, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return newChangeJSON(g), nil
}

func (s *Server) apiRegroup(w http.ResponseWriter, r *http.Request) (any, error) {
	project, by, b, err := s.groupRequest(w, r)
	if err != nil {
		return nil, err
	}
	if b.Grouping == nil {
		return nil, millrace.Errorf(millrace.ErrInvalid, `the body lacks the grouping: {"grouping": {"version": 2, "rules": []}, "preview": true}`)
	}
	if b.Preview {
		preview, err := s.Issues.PreviewRegroup(r.Context(), project, *b.Grouping)
		if err != nil {
			return nil, err
		}
		return newPreviewJSON(preview), nil
	}
	return changed(s.Issues.Regroup(r.Context(), project, *b.Grouping, by, b.Note))
}

func (s *Server) apiUndoChange(_ http.ResponseWriter, r *http.Request) (any, error) {
	_, project, _, err := s.issueParams(r, false)
	if err != nil {
		return nil, err
	}
	by, err := author(r)
	if err != nil {
		return nil, err
	}
	id, err := strconv.ParseInt(r.PathValue("change"), 10, 64)
	if err != nil || id < 1 {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no change %.40q", r.PathValue("change"))
	}
	return changed(s.Issues.Undo(r.Context(), project, id, by))
}

func (s *Server) apiUndoActivity(_ http.ResponseWriter, r *http.Request) (any, error) {
	_, project, _, err := s.issueParams(r, false)
	if err != nil {
		return nil, err
	}
	by, err := author(r)
	if err != nil {
		return nil, err
	}
	id, err := strconv.ParseInt(r.PathValue("activity"), 10, 64)
	if err != nil || id < 1 {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no activity %.40q", r.PathValue("activity"))
	}
	out, err := s.Issues.UndoActivity(r.Context(), project, r.PathValue("id"), id, by)
	if err != nil {
		return nil, err
	}
	if out.Err != nil {
		return nil, out.Err
	}
	return newOutcomeJSON(out), nil
}

// apiIssueSettings answers a project's settings, or replaces those of a version.
func (s *Server) apiIssueSettings(w http.ResponseWriter, r *http.Request) (any, error) {
	_, project, _, err := s.issueParams(r, false)
	if err != nil {
		return nil, err
	}
	if r.Method != http.MethodPut {
		return settingsJSON(s.Issues.Settings(r.Context(), project))
	}
	by, err := author(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Project  string            `json:"project"`
		Version  int64             `json:"version"`
		Grouping *issue.Grouping   `json:"grouping"`
		Owners   []issue.OwnerRule `json:"owners"`
		Author   string            `json:"author"` // of the version read; not kept
		At       string            `json:"at"`
	}
	if err := readIssueBody(w, r, &in); err != nil {
		return nil, err
	}
	if in.Project != "" && in.Project != project {
		return nil, millrace.Errorf(millrace.ErrInvalid, "project %.140q: the settings are those of %q", in.Project, project)
	}
	if in.Grouping == nil {
		old, err := s.Issues.Settings(r.Context(), project)
		if err != nil {
			return nil, err
		}
		in.Grouping = &old.Grouping
	}
	return settingsJSON(s.Issues.SetSettings(r.Context(), issue.Settings{Project: project, Version: in.Version, Grouping: *in.Grouping, Owners: in.Owners}, by))
}

func settingsJSON(set *issue.Settings, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	out := *set
	out.Owners = someOf(out.Owners)
	return out, nil
}
