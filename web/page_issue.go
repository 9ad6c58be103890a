package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

// issueData is the page of one issue.
type issueData struct {
	layout
	Flash    *flashView
	Pages    []navItem
	Error    string
	ID       string
	Merged   string // the id that led here
	Badge    string
	Level    string
	Type     string
	Says     string // the whole title
	Culprit  string
	Standing string // what being resolved or ignored means for it
	Owner    string
	Owners   []string
	Service  *labelLink
	Hidden   []formField
	Env      choice
	May      bool
	Action   string
	Figures  []figure
	Chart    *panel
	Shares   []*panel
	Logs     string
	Since    string // from when on it is counted
	LastTime string // the page at the time when it was last seen, if it did not occur in the range
	samples
	Why          *whyView
	Fingerprints []fingerprintRow
	CanUnmerge   bool
	Changes      []changeRow
	Activities   []activityRow
	LogError     string
	OlderLog     string
}

type fingerprintRow struct {
	Fingerprint, Key, Title, Count string
	First, Last                    time.Time
	Logs                           string
	Shown                          bool // the sample shown has it
}

// pageStatus is the status of a page that could not be made.
func pageStatus(err error) int { return problem.StatusOf(err) }

func (s *Server) issuePage(w http.ResponseWriter, r *http.Request) {
	v := newView(r, s.Now())
	id := r.PathValue("id")
	project, _, err := s.issuesProject(v)
	if err == nil && !validIssue(id) {
		err = millrace.Errorf(millrace.ErrNotFound, "there is no issue %.40q", id)
	}
	if r.Method == http.MethodPost && err == nil {
		s.act(w, r, project, []string{id})
		return
	}
	var detail *issue.Detail
	if err == nil {
		detail, err = s.Issues.Get(v.ctx, project, id, envOf(v), v.until())
	}
	if err != nil {
		s.logFault(r, err)
		s.pages.render(w, r, pageStatus(err), "error", errorPage{
			layout: s.frame(v, "Issue"), Heading: "This issue cannot be shown", Detail: visible(userMessage(err)),
		})
		return
	}
	if detail.ID != id {
		http.Redirect(w, r, v.issueLink(issuePath+detail.ID, "merged", id), http.StatusSeeOther)
		return
	}
	d := s.newIssueData(v, detail)
	d.Flash = takeFlash(w, v)
	s.fillIssue(v, d, project, detail)
	s.pages.render(w, r, http.StatusOK, "issue", d)
}

// validIssue reports whether a text can be an issue's id: see millrace.IssueID.
func validIssue(id string) bool {
	return len(id) == 12 && strings.Trim(id, "0123456789abcdef") == ""
}

func (s *Server) newIssueData(v *view, d *issue.Detail) *issueData {
	name := visible(shortType(d.Type))
	if name == "" {
		name = "Issue " + d.ID
	}
	out := &issueData{
		layout: s.frame(v, name, "service"), Pages: v.exceptionPages(), ID: d.ID, Badge: d.Phase, Level: visible(d.Level),
		Type: visible(d.Type), Says: visible(d.Title), Culprit: visible(d.Culprit), Owner: visible(d.Owner),
		May: mayChange(v.r), Action: v.here(), Standing: standing(d.Issue), Hidden: v.hidden("from", "to", "refresh", "project"),
		Logs: v.logs(issueRows(d.Row.Fingerprints)), Since: countedSince(d.CompleteFrom),
	}
	if m := v.get("merged"); validIssue(m) {
		out.Merged = m
	}
	if d.Service != "" {
		out.Service = &labelLink{visible(d.Service), v.issueLink(exceptionsPath, "service", d.Service)}
	}
	return out
}

// standing says what the state of an issue means.
func standing(i *millrace.Issue) string {
	switch i.State {
	case millrace.IssueResolved:
		return "Resolved " + resolutionText(&i.Resolution) + "."
	case millrace.IssueRegressed:
		return "It came again after it was resolved " + resolutionText(&i.Resolution) + "."
	case millrace.IssueIgnored:
		return "Ignored " + ignoreText(&i.Ignore) + "."
	}
	return ""
}

func resolutionText(r *millrace.Resolution) string { return "by " + visible(r.By) + resolvedWhere(r) }

func resolvedWhere(r *millrace.Resolution) string {
	switch {
	case r.Release != "":
		return " in release " + visible(r.Release)
	case r.Next:
		return " in the next release"
	}
	return ""
}

func ignoreText(g *millrace.Ignore) string { return "by " + visible(g.By) + ignoredUntil(g) }

func ignoredUntil(g *millrace.Ignore) string {
	var until []string
	if g.Until > 0 {
		until = append(until, time.Unix(0, g.Until).UTC().Format("2006-01-02 15:04Z"))
	}
	if g.Occurrences > 0 {
		until = append(until, formatCount(g.Occurrences)+" more came")
	}
	if g.Users > 0 {
		until = append(until, formatCount(g.Users)+" more users are affected")
	}
	if len(until) == 0 {
		return " for ever"
	}
	return " until " + strings.Join(until, " or ")
}

// fillIssue asks what is not in the detail and lays out the page.
func (s *Server) fillIssue(v *view, d *issueData, project string, detail *issue.Detail) {
	parallel(
		func() { s.fillSamples(v, d, project, detail) },
		func() { d.Env = s.envChoice(v, project) },
		func() { d.Owners = s.owners(v, project) },
		func() { s.fillLog(v, d, project, detail) },
	)
	s.fillWhy(v, d, project)
	d.Figures = issueFigures(v, detail)
	d.Chart = issueChart(v, detail)
	d.Shares = issueShares(v, detail)
	for _, f := range detail.Fingerprints {
		d.Fingerprints = append(d.Fingerprints, fingerprintRow{
			Fingerprint: f.Fingerprint, Key: visible(f.Key), Title: visible(firstLine(f.Title)), Count: formatCount(f.Count),
			First: time.Unix(0, f.FirstSeen), Last: time.Unix(0, f.LastSeen), Shown: f.Fingerprint == d.Shown,
			Logs: v.logs(issueRows([]string{f.Fingerprint})),
		})
	}
	if last := time.Unix(0, detail.Issue.LastSeen).UTC(); detail.Count == 0 && detail.Issue.LastSeen > 0 {
		d.LastTime = v.With("from", last.Add(-23*time.Hour).Format(time.RFC3339), "to", last.Add(time.Hour).Format(time.RFC3339), "env", issue.EnvAll)
	}
	d.CanUnmerge = d.May && len(d.Fingerprints) > 1
}

func issueFigures(v *view, d *issue.Detail) []figure {
	vs := v.get("vs")
	count := figure{Label: "Count", Value: formatShort(float64(d.Count)), Title: formatCount(d.Count), Spark: spark(trimSpark(d.Series), "red")}
	if then := comparedWith(vs, d.Before, d.Yesterday, d.LastWeek); then >= 0 {
		count = count.compare(float64(d.Count), float64(then), formatShort, true)
	}
	trend := figure{Label: "Against yesterday", Value: none}
	trend.Value, trend.Mood, trend.Was = changeFigure(d.Count, d.Yesterday, d.LastWeek)
	users := figure{Label: "Users", Value: none, Was: "no event says whom it affected"}
	if d.Users > 0 {
		users.Was, users.Value, users.Title = "estimated", formatShort(float64(d.Users)), formatCount(d.Users)
	}
	out := []figure{
		count, trend, users,
		{Label: "First seen", HTML: stamp(time.Unix(0, d.Issue.FirstSeen), "ago"), Was: releaseText("in ", d.FirstRelease)},
		{Label: "Last seen", HTML: stamp(time.Unix(0, d.Issue.LastSeen), "ago"), Was: releaseText("in ", d.LastRelease)},
	}
	return out
}

func releaseText(prefix, release string) string {
	if release == "" {
		return ""
	}
	return prefix + visible(release)
}

// changeFigure says how a count stands against yesterday's, and last week's.
func changeFigure(count, yesterday, week int64) (value, mood, was string) {
	value, mood, _ = changeOf(count, yesterday, "yesterday")
	if value == "" {
		value, mood = none, ""
	}
	switch last, _, _ := changeOf(count, week, "week"); {
	case week < 0:
	case last == "":
		was = "none last week"
	default:
		was = last + " against last week"
	}
	return value, mood, was
}

func issueChart(v *view, d *issue.Detail) *panel {
	p := &panel{Title: "Over time", About: "Occurrences per " + stepName(d.Step), Wide: "8"}
	p.Chart = timesChart(v, "issue", "bars", d.Times, d.Step, issueRows(d.Row.Fingerprints), d.CompleteUntil,
		series{Label: "Occurrences", Color: "red", Values: d.Series})
	p.Chart.Label = fmt.Sprintf("Occurrences over time: %s in all", formatCount(d.Count))
	return p.orEmpty("It did not occur in this range and environment.")
}

// timesChart returns a chart over given steps.
func timesChart(v *view, id, kind string, times []time.Time, step time.Duration, logs string, complete time.Time, list ...series) *chart {
	c := &chart{ID: id, Kind: kind, Unit: "count", Step: max(1, int64(step/time.Second)), Logs: logs, Series: list}
	for _, t := range times {
		c.Times = append(c.Times, t.Unix())
	}
	c.From, c.To = v.Range.From.Unix(), v.end().Unix()
	if n := len(c.Times); n > 0 {
		c.From = c.Times[0]
		c.To = max(c.From+c.Step, min(c.To, c.Times[n-1]+c.Step))
	}
	if !complete.IsZero() {
		c.Complete = complete.Unix()
	}
	for i := range c.Series {
		c.Series[i].JSON = c.Series[i].Values
	}
	return c
}

// issueShares are the breakdowns, each value with a link to its rows.
func issueShares(v *view, d *issue.Detail) []*panel {
	var out []*panel
	for _, b := range []struct {
		title, label, field string
		list                []issue.Share
	}{
		{"Releases", "Release", "release", d.Releases},
		{"Hosts", "Host", "host", d.Hosts},
		{"Environments", "Environment", "env", d.Environments},
		{"Services", "Service", "service", d.Services},
	} {
		p := &panel{Title: b.title, Wide: "4"}
		p.Table = shareTable(b.label, b.list, func(value string) string {
			return v.logs(issueRows(d.Row.Fingerprints, query.Term(b.field, value)))
		})
		p.orNote("None in this range.")
		out = append(out, p)
	}
	return out
}

const restOfShares = "(rest)"

// shareTable lists the parts of a count with bars.
func shareTable(label string, list []issue.Share, link func(value string) string) *table {
	t := &table{Head: []header{{Label: label}, {Label: "Count", Numeric: true}, {Label: "Share", Numeric: true}}}
	var total, top int64
	for _, sh := range list {
		total += sh.Count
		top = max(top, sh.Count)
	}
	for _, sh := range list {
		name := cell{Text: visible(sh.Value), Title: visible(sh.Value), Link: link(sh.Value)}
		switch sh.Value {
		case "":
			name = cell{Text: "not said", Dim: true}
		case restOfShares:
			name = cell{Text: "all others", Dim: true}
		}
		t.Rows = append(t.Rows, row{
			Share: float64(sh.Count) / float64(max(1, top)), Bad: true,
			Cells: []cell{name, text(formatCount(sh.Count)), text(formatPercent(float64(sh.Count) / float64(max(1, total))))},
		})
	}
	return t
}
