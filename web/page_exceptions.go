package web

import (
	"fmt"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

// exceptionsData is the list of issues.
type exceptionsData struct {
	layout
	Flash    *flashView
	Pages    []navItem
	States   []navItem
	Q, Owner string
	Selects  []choice
	Services []string
	Owners   []string
	Hidden   []formField // parameters that the filters' form carries along
	Error    string
	Empty    *emptyState
	Note     string // why there is no row
	Since    string // from when on issues are counted
	May      bool   // act on issues
	Action   string // where actions are posted
	Head     []columnHead
	Rows     []issueRow
	Showing  string
	Newer    string
	Older    string
	Other    string
}

type columnHead struct {
	Label, About, Link, Class string
	Sorted                    bool
}

// labelLink is a word that leads to something.
type labelLink struct{ Label, Link string }

// issueRow is one issue of the list.
type issueRow struct {
	ID, Link, Type, Name, Badge string
	Title, Culprit              string
	Service, Owner              *labelLink
	Quiet                       bool // resolved or ignored
	Spark                       template.HTML
	Count, CountTitle           string
	Delta, Mood, Was            string
	Users                       string
	FirstSeen, LastSeen         time.Time
	Release, FirstRelease       string
}

// Issues of a page: what a person looks through, and few enough that undoing an
// action on all of them fits a cookie.
const issueRowsPage = 50

// Tabs of the list and the phases they show.
var issueStates = []struct {
	name, label string
	phases      []string
}{
	{"open", "Open", []string{"new", "ongoing", "regressed"}},
	{"new", "New", []string{"new"}},
	{"regressed", "Regressed", []string{"regressed"}},
	{"ignored", "Ignored", []string{"ignored"}},
	{"resolved", "Resolved", []string{"resolved"}},
	{"all", "All", nil},
}

// What counts are compared with.
var comparisons = []string{"", "the time before", "yesterday", "yesterday", "week", "last week"}

func (s *Server) exceptionsPage(w http.ResponseWriter, r *http.Request) {
	v := newView(r, s.Now())
	project, projects, err := s.issuesProject(v)
	if r.Method == http.MethodPost && err == nil {
		s.act(w, r, project, nil)
		return
	}
	d := &exceptionsData{
		layout: s.frame(v, "Exceptions"), Flash: takeFlash(w, v), Pages: v.exceptionPages(),
		Q: v.get("q"), Owner: v.get("owner"), May: mayChange(r), Action: v.here(),
	}
	if err == nil {
		err = s.fillIssues(v, d, project, projects)
	}
	status := http.StatusOK
	if err != nil {
		s.logFault(r, err)
		d.Error, status = userMessage(err), pageStatus(err)
	}
	s.pages.render(w, r, status, "exceptions", d)
}

// listRequest reads what the URL asks for.
func listRequest(v *view, project string) (issue.ListRequest, int) {
	req := issue.ListRequest{
		Project: project, Env: envOf(v), Range: v.until(), Text: v.get("q"), Where: v.where("service"), ErrorClass: v.get("class"),
		Order: v.get("order"), Limit: issueRowsPage, Sparkline: true,
	}
	req.Phases = issueStates[0].phases
	for _, st := range issueStates {
		if st.name == v.get("state") {
			req.Phases = st.phases
		}
	}
	// What was ignored or resolved need not have occurred to be looked for.
	req.Silent = v.get("state") == "resolved" || v.get("state") == "ignored" || req.Text != ""
	if owner := v.get("owner"); owner == nobody {
		owner = ""
		req.Owner = &owner
	} else if owner != "" {
		req.Owner = &owner
	}
	page, err := strconv.Atoi(v.get("page"))
	if err != nil || page < 1 || page > math.MaxInt32 {
		page = 1
	}
	req.Offset = (page - 1) * issueRowsPage
	return req, page
}

// nobody as an owner in a URL asks for issues without one.
const nobody = "nobody"

func (s *Server) fillIssues(v *view, d *exceptionsData, project string, projects []string) error {
	req, page := listRequest(v, project)
	var res *issue.Page
	var err error
	var env choice
	parallel(
		func() { res, err = s.Issues.List(v.ctx, req) },
		func() { env = s.envChoice(v, project) },
		func() { d.Services = s.seen(v, project, "service") },
		func() { d.Owners = s.owners(v, project) },
	)
	d.filters(v, project, projects, env)
	if err != nil {
		return err
	}
	for i := range res.Rows {
		row := newIssueRow(v, &res.Rows[i])
		d.Rows = append(d.Rows, row)
		if row.Owner != nil && !slices.Contains(d.Owners, row.Owner.Label) {
			d.Owners = append(d.Owners, row.Owner.Label)
		}
	}
	d.Since = countedSince(res.CompleteFrom)
	d.Head = issueHead(v)
	d.paging(v, page, res.Total)
	if n := res.Other + res.Unknown; n > 0 {
		d.Other = formatCount(n) + " more exceptions are counted that belong to no issue: their fingerprints are too many to be kept apart, or not known yet."
	}
	if len(d.Rows) == 0 {
		d.none(s, v)
	}
	return nil
}

// owners returns whom the rules of a project name, for a form.
func (s *Server) owners(v *view, project string) []string {
	set, err := s.Issues.Settings(v.ctx, project)
	if err != nil {
		return nil // they can be typed
	}
	var out []string
	for _, rule := range set.Owners {
		if !slices.Contains(out, rule.Owner) {
			out = append(out, rule.Owner)
		}
	}
	return out
}

func (d *exceptionsData) filters(v *view, project string, projects []string, env choice) {
	state := v.get("state")
	for i, st := range issueStates {
		name := st.name
		if i == 0 {
			name = ""
		}
		d.States = append(d.States, navItem{st.label, v.With("state", name), st.name == state || i == 0 && state == ""})
	}
	if len(projects) > 0 {
		d.Selects = append(d.Selects, projectChoice(project, projects))
	}
	d.Selects = append(d.Selects, env,
		newChoice("class", "Class", v.get("class"), "", "All", "system", "System", "business", "Business"),
		newChoice("order", "Sort by", v.get("order"), "", "Count", issue.OrderTrend, "Growth", issue.OrderUsers, "Users", issue.OrderLastSeen, "Last seen", issue.OrderFirstSeen, "First seen"),
		newChoice("vs", "Compare with", v.get("vs"), comparisons...))
	d.Hidden = v.hidden("state", "from", "to", "refresh")
}

func projectChoice(project string, projects []string) choice {
	var pairs []string
	for _, p := range projects {
		pairs = append(pairs, p, p)
	}
	return newChoice("project", "Project", project, pairs...)
}

// hidden returns parameters that a form carries along.
func (v *view) hidden(names ...string) (out []formField) {
	for _, name := range names {
		if value := v.get(name); value != "" {
			out = append(out, formField{name, value})
		}
	}
	return out
}

func issueHead(v *view) []columnHead {
	order := v.get("order")
	sorted := func(label, about, class, name string) columnHead {
		to := name
		if name == issue.OrderCount {
			to = ""
		}
		return columnHead{label, about, v.With("order", to), class, order == name || order == to}
	}
	return []columnHead{
		{Label: "Issue", Class: "what"},
		sorted("Trend", "Over the range; sorts by growth", "trend", issue.OrderTrend),
		sorted("Count", "Occurrences in the range, and the change against the time compared with", "n", issue.OrderCount),
		sorted("Users", "How many were affected, estimated", "n", issue.OrderUsers),
		sorted("Last seen", "", "n", issue.OrderLastSeen),
		{Label: "Release", About: "The last one it was seen in", Class: "release"},
		{Label: "Owner", Class: "owner"},
	}
}

func newIssueRow(v *view, r *issue.Row) issueRow {
	out := issueRow{
		ID: r.ID, Link: v.issueLink(issuePath + r.ID), Type: visible(r.Type), Name: visible(shortType(r.Type)), Badge: badge(r.Phase),
		Title: visible(tellingLine(r.Title)), Culprit: visible(r.Culprit), Quiet: r.Phase == "resolved" || r.Phase == "ignored",
		Spark: spark(trimSpark(r.Spark), "red"), Count: formatShort(float64(r.Count)), CountTitle: formatCount(r.Count),
		FirstSeen: time.Unix(0, r.Issue.FirstSeen), LastSeen: time.Unix(0, r.Issue.LastSeen),
		Release: visible(r.LastRelease),
	}
	if out.Name == "" {
		out.Name = "Unnamed"
	}
	switch {
	case r.LastRelease == "":
		out.Release = visible(r.FirstRelease)
	case r.FirstRelease != r.LastRelease:
		out.FirstRelease = visible(r.FirstRelease)
	}
	if r.Users > 0 {
		out.Users = formatShort(float64(r.Users))
	}
	if r.Service != "" {
		out.Service = &labelLink{visible(r.Service), v.With("service", r.Service)}
	}
	if r.Owner != "" {
		out.Owner = &labelLink{visible(r.Owner), v.With("owner", r.Owner)}
	}
	out.Delta, out.Mood, out.Was = compareCount(r, v.get("vs"))
	return out
}

// tellingLine returns the first line that has a letter or a digit: not the brace
// that JSON begins with.
func tellingLine(s string) string {
	for line := range strings.SplitSeq(s, "\n") {
		if strings.ContainsFunc(line, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }) {
			return strings.TrimSpace(line)
		}
	}
	return firstLine(s)
}

// badge returns the phase where it is not the usual one.
func badge(phase string) string {
	if phase == "ongoing" {
		return ""
	}
	return phase
}

// trimSpark leaves out what a line cannot show: nothing before the first point.
func trimSpark(values []float64) []float64 {
	if len(values) == 1 {
		return append(values, values[0])
	}
	return values
}

// compareCount says how a count changed against another time.
func compareCount(r *issue.Row, vs string) (delta, mood, was string) {
	return changeOf(r.Count, comparedWith(vs, r.Before, r.Yesterday, r.LastWeek), vs)
}

func comparedWith(vs string, before, yesterday, week int64) int64 {
	switch vs {
	case "yesterday":
		return yesterday
	case "week":
		return week
	}
	return before
}

func changeOf(count, then int64, vs string) (delta, mood, was string) {
	label := comparisons[1]
	for i := 0; i < len(comparisons); i += 2 {
		if comparisons[i] == vs {
			label = comparisons[i+1]
		}
	}
	switch {
	case then < 0:
		return "", "", ""
	case then == 0 && count > 0:
		return "new", "bad", "none in " + label
	case then == 0:
		return "", "", ""
	}
	f := figure{}.compare(float64(count), float64(then), formatShort, true)
	return f.Delta, f.Mood, formatCount(then) + " in " + label
}

func (d *exceptionsData) paging(v *view, page, total int) {
	from := (page-1)*issueRowsPage + 1
	to := from + len(d.Rows) - 1
	switch {
	case len(d.Rows) == 0:
	case total <= issueRowsPage:
		d.Showing = plural(total, "issue")
	default:
		d.Showing = fmt.Sprintf("%s to %s of %s issues", formatCount(int64(from)), formatCount(int64(to)), formatCount(int64(total)))
	}
	if page > 1 {
		number := ""
		if page > 2 {
			number = strconv.Itoa(page - 1)
		}
		d.Newer = v.With("page", number)
	}
	if to < total && len(d.Rows) > 0 {
		d.Older = v.With("page", strconv.Itoa(page+1))
	}
}

// countedSince says that a part of the range is missing, since cells did not have
// what issues need before t.
func countedSince(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return "Exceptions are counted by issue since " + t.UTC().Format("2006-01-02 15:04") + " UTC. What is stored from before joins them by: millrace backfill --rollup exceptions"
}

// none says why the list is empty.
func (d *exceptionsData) none(s *Server, v *view) {
	d.Note = "No issue in this range."
	for _, name := range []string{"q", "owner", "service", "class", "page"} {
		if v.get(name) != "" {
			d.Note = "No issue fits these filters in this range."
			return
		}
	}
	if state := v.get("state"); state != "" && state != "all" {
		d.Note = "No " + state + " issue in this range."
		return
	}
	d.Empty = s.exceptionEmptiness(v)
	d.waiting(d.Empty)
}

// exceptionEmptiness is set if not even other rows are there.
func (s *Server) exceptionEmptiness(v *view) *emptyState {
	page, err := s.Query.Logs(v.ctx, query.LogsRequest{Query: "kind:exception", Range: v.Range, Limit: 1})
	if err != nil || len(page.Events) > 0 {
		return nil
	}
	return s.emptiness(v)
}
