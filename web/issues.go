package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

// Issues answers what there is to know of exceptions, and changes what people say
// of them (issue.Service, which documents each call).
type Issues interface {
	Projects(ctx context.Context) ([]string, error)
	Production(env string) bool
	List(ctx context.Context, req issue.ListRequest) (*issue.Page, error)
	Get(ctx context.Context, project, id, env string, r query.Range) (*issue.Detail, error)
	Types(ctx context.Context, req issue.TypesRequest) (*issue.Types, error)
	Events(ctx context.Context, project, id, env, cursor string, limit int, r query.Range) (*query.LogsResult, error)
	Explain(ctx context.Context, project, id, fingerprint string) (*issue.Explanation, error)
	Activities(ctx context.Context, project, id string, before int64, limit int) ([]millrace.Activity, error)

	Resolve(ctx context.Context, project string, ids []string, by string, in issue.Resolution) ([]issue.Outcome, error)
	Reopen(ctx context.Context, project string, ids []string, by string) ([]issue.Outcome, error)
	Ignore(ctx context.Context, project string, ids []string, by string, in millrace.Ignore) ([]issue.Outcome, error)
	Assign(ctx context.Context, project string, ids []string, by, owner string) ([]issue.Outcome, error)
	Note(ctx context.Context, project string, ids []string, by, text string) ([]issue.Outcome, error)
	UndoActivity(ctx context.Context, project, id string, activity int64, by string) (*issue.Outcome, error)

	Merge(ctx context.Context, project, into string, ids []string, by, note string) (*millrace.Regrouping, error)
	Unmerge(ctx context.Context, project, id string, fingerprints []string, by, note string) (*millrace.Regrouping, error)
	PreviewRegroup(ctx context.Context, project string, g issue.Grouping) (*issue.Preview, error)
	Regroup(ctx context.Context, project string, g issue.Grouping, by, note string) (*millrace.Regrouping, error)
	Undo(ctx context.Context, project string, change int64, by string) (*millrace.Regrouping, error)
	Changes(ctx context.Context, project, id string, before int64, limit int) ([]millrace.Regrouping, error)
	Settings(ctx context.Context, project string) (*issue.Settings, error)
	SetSettings(ctx context.Context, in issue.Settings, by string) (*issue.Settings, error)
	PreviewOwners(ctx context.Context, project string, owners []issue.OwnerRule) (*issue.OwnersPreview, error)
}

// issuePages are the pages of this file's neighbours, if this process has issues.
func (s *Server) issuePages() []route {
	if s.Issues == nil {
		return nil
	}
	return []route{
		{exceptionsPath, "GET,POST", millrace.ScopeRead, http.HandlerFunc(s.exceptionsPage)},
		{typesPath, "GET", millrace.ScopeRead, s.page("types", s.typesPage)},
		{groupingPath, "GET,POST", millrace.ScopeRead, http.HandlerFunc(s.groupingPage)},
		{"/issues/{id}", "GET,POST", millrace.ScopeRead, http.HandlerFunc(s.issuePage)},
	}
}

const (
	exceptionsPath = "/exceptions"
	typesPath      = "/exceptions/types"
	groupingPath   = "/exceptions/grouping"
	issuePath      = "/issues/"
)

// Parameters that the pages about exceptions carry along among themselves.
var issueShared = []string{"project", "env"}

// issueLink returns path with the parameters that pages share, those that pages
// about exceptions share, and kv.
func (v *view) issueLink(path string, kv ...string) string {
	all := make([]string, 0, len(kv)+2*len(issueShared))
	for _, name := range issueShared {
		all = append(all, name, v.get(name))
	}
	return v.link(path, append(all, kv...)...)
}

// issuesProject returns the project that a page is about, and all to choose from,
// if there are several and the caller may. Without a choice it is the key's or the
// default one, unless only others have issues.
func (s *Server) issuesProject(v *view) (project string, all []string, err error) {
	own, limited := millrace.DefaultProject, false
	if who := auth.From(v.ctx); who != nil && who.Key != nil {
		own, limited = who.Key.Project, !who.Key.Allows(millrace.ScopeAdmin)
	}
	if asked := v.get("project"); asked != "" || limited {
		if project, err = rulesProject(v.r, asked); err != nil || limited {
			return project, nil, err
		}
	}
	if all, err = s.Issues.Projects(v.ctx); err != nil {
		return "", nil, err
	}
	if project == "" {
		project = own
		if len(all) > 0 && !slices.Contains(all, own) {
			project = all[0]
		}
	}
	if len(all) == 1 && all[0] == project {
		all = nil
	}
	return project, all, nil
}

// mayChange reports whether a request's sender may do more than look.
func mayChange(r *http.Request) bool {
	who := auth.From(r.Context())
	return who == nil || who.Key == nil || who.Key.Allows(millrace.ScopeAdmin)
}

// shortType returns the last part of a qualified type: java.util.List is List,
// App\Errors\Timeout is Timeout. What does not look qualified stays.
func shortType(t string) string {
	if strings.ContainsAny(t, " \t\n(") {
		return t
	}
	if i := strings.LastIndexAny(t, `.\/`); i >= 0 && i+1 < len(t) {
		return t[i+1:]
	}
	return t
}

// issueRows is the query for the stored rows of fingerprints; further terms, such
// as host:x, narrow it.
func issueRows(fingerprints []string, terms ...string) string {
	q := "kind:exception"
	switch n := min(len(fingerprints), maxLinked); n {
	case 0:
	case 1:
		q += " " + query.Term(millrace.AttrFingerprint, fingerprints[0])
	default:
		list := make([]string, n)
		for i := range list {
			list[i] = query.Term(millrace.AttrFingerprint, fingerprints[i])
		}
		q += " (" + strings.Join(list, " OR ") + ")"
	}
	return strings.Join(append([]string{q}, terms...), " ")
}

// maxLinked bounds the fingerprints in a link to the Logs page: URLs of more than
// 8 KB are refused on their way.
const maxLinked = 100

// formField is a parameter that a form carries along.
type formField struct{ Name, Value string }

// option is a choice of a form.
type option struct {
	Value, Label string
	Current      bool
}

// choice is a select of a form.
type choice struct {
	Name, Label string
	Options     []option
}

// newChoice makes a choice of values and labels in turn; what is chosen and not
// among them is added, so that a shared URL keeps what it says.
func newChoice(name, label, chosen string, pairs ...string) choice {
	c := choice{Name: name, Label: label}
	found := false
	for i := 0; i+1 < len(pairs); i += 2 {
		found = found || pairs[i] == chosen
		c.Options = append(c.Options, option{pairs[i], visible(pairs[i+1]), pairs[i] == chosen})
	}
	if !found {
		c.Options = append(c.Options, option{chosen, visible(chosen), true})
	}
	return c
}

// exceptionPages is the navigation between the pages about exceptions.
func (v *view) exceptionPages() []navItem {
	out := []navItem{
		{"Issues", v.issueLink(exceptionsPath), v.Path == exceptionsPath},
		{"Types", v.issueLink(typesPath), v.Path == typesPath},
		{"Grouping and owners", v.issueLink(groupingPath), v.Path == groupingPath},
	}
	for i := range out {
		if out[i].Current {
			out[i].Link = v.With()
		}
	}
	return out
}

// seen returns the values of a dimension that exceptions of a project had in the
// range, the most frequent first; nil if that is not known.
func (s *Server) seen(v *view, project, dimension string) []string {
	res, err := s.ask(v.ctx, query.RollupRequest{
		Rollup: issue.Rollup, Metrics: []string{"count"}, By: []string{dimension}, Where: query.Term("project", project),
		Range: v.Range, Order: []string{"-count"}, Limit: 50,
	})
	if err != nil {
		return nil // a convenience: what it would offer can be typed
	}
	var out []string
	for _, row := range res.Rows {
		if name, ok := row[0].(string); ok && name != "" {
			out = append(out, name)
		}
	}
	return out
}

// envChoice offers production, all, and what else was seen.
func (s *Server) envChoice(v *view, project string) choice {
	pairs := []string{issue.EnvProduction, "Production", issue.EnvAll, "All"}
	for _, env := range s.seen(v, project, "env") {
		if !s.Issues.Production(env) && env != issue.EnvAll {
			pairs = append(pairs, env, env)
		}
	}
	return newChoice("env", "Environment", envOf(v), pairs...)
}

// envOf returns the environment a page shows.
func envOf(v *view) string {
	if env := v.get("env"); env != "" {
		return env
	}
	return issue.EnvProduction
}

// until is the range of a view up to what can be there already, so that what came
// before is compared with as long a time.
func (v *view) until() query.Range { return query.Range{From: v.Range.From, To: v.end()} }
