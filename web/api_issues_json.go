package web

import (
	"encoding/json"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
)

// The shapes of /api/v1/issues. Times are RFC 3339; counts that are not known are
// null.

type issueJSON struct {
	ID       string `json:"id"`
	Project  string `json:"project"`
	Type     string `json:"type"`
	Title    string `json:"title"`
	Culprit  string `json:"culprit"`
	Level    string `json:"level"`
	Service  string `json:"service"`
	Language string `json:"language"`
	Phase    string `json:"phase"`
	State    string `json:"state"`
	Owner    string `json:"owner"`

	Count     int64  `json:"count"`
	Users     int64  `json:"users"`
	Before    *int64 `json:"before"`
	Yesterday *int64 `json:"yesterday"`
	LastWeek  *int64 `json:"last_week"`

	FirstSeen    time.Time       `json:"first_seen"`
	LastSeen     time.Time       `json:"last_seen"`
	FirstRelease string          `json:"first_release"`
	LastRelease  string          `json:"last_release"`
	Regressed    *time.Time      `json:"regressed,omitempty"`
	Resolution   *resolutionJSON `json:"resolution,omitempty"`
	Ignore       *ignoreJSON     `json:"ignore,omitempty"`
	MergedInto   string          `json:"merged_into,omitempty"`
	Fingerprints []string        `json:"fingerprints"`
	Spark        []float64       `json:"spark,omitempty"`
}

type resolutionJSON struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Release string    `json:"release,omitempty"`
	Next    bool      `json:"next,omitempty"`
}

type ignoreJSON struct {
	At          time.Time  `json:"at"`
	By          string     `json:"by"`
	Until       *time.Time `json:"until,omitempty"`
	Occurrences int64      `json:"occurrences,omitempty"`
	Users       int64      `json:"users,omitempty"`
}

// nanos is a time of a record; 0 is none.
func nanos(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// known is null for a count that is not known.
func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func newIssueJSON(r *issue.Row) issueJSON {
	i := r.Issue
	out := issueJSON{
		ID: i.ID, Project: i.Project, Type: i.Type, Title: i.Title, Culprit: i.Culprit, Level: i.Level, Service: i.Service, Language: i.Language,
		Phase: r.Phase, State: string(i.State), Owner: i.Owner,
		Count: r.Count, Users: r.Users, Before: known(r.Before), Yesterday: known(r.Yesterday), LastWeek: known(r.LastWeek),
		FirstSeen: nanos(i.FirstSeen), LastSeen: nanos(i.LastSeen), FirstRelease: i.FirstRelease, LastRelease: i.LastRelease,
		Regressed: instant(nanos(i.Regressed)), MergedInto: i.MergedInto, Fingerprints: nonNil(r.Fingerprints), Spark: r.Spark,
	}
	if x := i.Resolution; x.At != 0 {
		out.Resolution = &resolutionJSON{nanos(x.At), x.By, x.Release, x.Next}
	}
	if x := i.Ignore; x.At != 0 && i.State == millrace.IssueIgnored {
		out.Ignore = &ignoreJSON{nanos(x.At), x.By, instant(nanos(x.Until)), x.Occurrences, x.Users}
	}
	return out
}

type issuePageJSON struct {
	Issues        []issueJSON `json:"issues"`
	Total         int         `json:"total"`
	Count         int64       `json:"count"`
	Other         int64       `json:"other"`
	Unknown       int64       `json:"unknown"`
	Times         []time.Time `json:"times"`
	Step          float64     `json:"step"` // seconds
	CompleteUntil *time.Time  `json:"complete_until"`
	CompleteFrom  *time.Time  `json:"complete_from"`
}

type fingerprintJSON struct {
	Fingerprint  string    `json:"fingerprint"`
	Key          string    `json:"key"`
	Count        int64     `json:"count"`
	FirstSeen    time.Time `json:"first_seen"`
	LastSeen     time.Time `json:"last_seen"`
	FirstRelease string    `json:"first_release"`
	LastRelease  string    `json:"last_release"`
	Type         string    `json:"type"`
	Title        string    `json:"title"`
	Culprit      string    `json:"culprit"`
}

type sightJSON struct {
	Fingerprint  string    `json:"fingerprint"`
	Env          string    `json:"env"`
	FirstSeen    time.Time `json:"first_seen"`
	LastSeen     time.Time `json:"last_seen"`
	FirstRelease string    `json:"first_release"`
	LastRelease  string    `json:"last_release"`
}

type shareJSON struct {
	Value string `json:"value"` // "(rest)" stands for all that are not listed
	Count int64  `json:"count"`
	Users *int64 `json:"users"`
}

func newShares(list []issue.Share) []shareJSON {
	out := []shareJSON{}
	for _, s := range list {
		out = append(out, shareJSON{s.Value, s.Count, known(s.Users)})
	}
	return out
}

type activityJSON struct {
	ID     int64           `json:"id"`
	At     time.Time       `json:"at"`
	Author string          `json:"author"`
	Kind   string          `json:"kind"`
	Data   json.RawMessage `json:"data,omitempty"`
	Text   string          `json:"text,omitempty"`
	Change int64           `json:"change,omitempty"` // of the grouping, which is undone as such
}

func newActivitiesJSON(list []millrace.Activity) []activityJSON {
	out := []activityJSON{}
	for _, a := range list {
		x := activityJSON{ID: a.ID, At: nanos(a.At), Author: a.Author, Kind: a.Kind, Text: a.Text, Change: a.Regrouping}
		if json.Valid(a.Data) {
			x.Data = a.Data
		}
		out = append(out, x)
	}
	return out
}

type changeJSON struct {
	ID       int64           `json:"id"`
	At       time.Time       `json:"at"`
	Author   string          `json:"author"`
	Kind     string          `json:"kind"`
	Note     string          `json:"note"`
	Moves    []millrace.Move `json:"moves"`
	Undoes   int64           `json:"undoes,omitempty"`
	UndoneBy int64           `json:"undone_by,omitempty"`
}

func newChangeJSON(g *millrace.Regrouping) changeJSON {
	out := changeJSON{ID: g.ID, At: nanos(g.At), Author: g.Author, Kind: g.Kind, Note: g.Note, Moves: g.Moves, Undoes: g.Undoes, UndoneBy: g.UndoneBy}
	if out.Moves == nil {
		out.Moves = []millrace.Move{}
	}
	return out
}

func newChangesJSON(list []millrace.Regrouping) []changeJSON {
	out := []changeJSON{}
	for i := range list {
		out = append(out, newChangeJSON(&list[i]))
	}
	return out
}

type issueDetailJSON struct {
	issueJSON
	RedirectedFrom string            `json:"redirected_from,omitempty"`
	Details        []fingerprintJSON `json:"fingerprint_details"`
	Sights         []sightJSON       `json:"sights"`
	Releases       []shareJSON       `json:"releases"`
	Hosts          []shareJSON       `json:"hosts"`
	Environments   []shareJSON       `json:"environments"`
	Services       []shareJSON       `json:"services"`
	Times          []time.Time       `json:"times"`
	Step           float64           `json:"step"` // seconds
	Series         []float64         `json:"series"`
	Activities     []activityJSON    `json:"activities"`
	Changes        []changeJSON      `json:"changes"`
	CompleteUntil  *time.Time        `json:"complete_until"`
	CompleteFrom   *time.Time        `json:"complete_from"`
}

func newIssueDetailJSON(d *issue.Detail) issueDetailJSON {
	out := issueDetailJSON{
		issueJSON: newIssueJSON(&d.Row), RedirectedFrom: d.RedirectedFrom, Details: []fingerprintJSON{}, Sights: []sightJSON{},
		Releases: newShares(d.Releases), Hosts: newShares(d.Hosts), Environments: newShares(d.Environments), Services: newShares(d.Services),
		Times: someOf(d.Times), Step: d.Step.Seconds(), Series: someOf(d.Series),
		Activities: newActivitiesJSON(d.Activities), Changes: newChangesJSON(d.Changes),
		CompleteUntil: instant(d.CompleteUntil), CompleteFrom: instant(d.CompleteFrom),
	}
	for _, f := range d.Fingerprints {
		out.Details = append(out.Details, fingerprintJSON{
			f.Fingerprint, f.Key, f.Count, nanos(f.FirstSeen), nanos(f.LastSeen), f.FirstRelease, f.LastRelease, f.Type, f.Title, f.Culprit,
		})
	}
	for _, s := range d.Sights {
		out.Sights = append(out.Sights, sightJSON{s.Fingerprint, s.Env, nanos(s.FirstSeen), nanos(s.LastSeen), s.FirstRelease, s.LastRelease})
	}
	return out
}

// someOf makes a list that is [] in JSON, never null.
func someOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type outcomeJSON struct {
	Issue    string `json:"issue"`
	Changed  bool   `json:"changed"`
	Activity int64  `json:"activity,omitempty"` // for undo
	Error    string `json:"error,omitempty"`
}

func newOutcomeJSON(o *issue.Outcome) outcomeJSON {
	out := outcomeJSON{Issue: o.Issue, Changed: o.Changed, Activity: o.Activity}
	if o.Err != nil {
		out.Error = userMessage(o.Err)
	}
	return out
}

type typeJSON struct {
	Type      string      `json:"type"`
	Count     int64       `json:"count"`
	Users     int64       `json:"users"`
	Before    *int64      `json:"before"`
	Yesterday *int64      `json:"yesterday"`
	LastWeek  *int64      `json:"last_week"`
	Series    []float64   `json:"series"`
	Hosts     []shareJSON `json:"hosts"`
}

type typesJSON struct {
	Types         []typeJSON  `json:"types"`
	Total         int         `json:"total"`
	Count         int64       `json:"count"`
	Before        *int64      `json:"before"`
	Yesterday     *int64      `json:"yesterday"`
	LastWeek      *int64      `json:"last_week"`
	Other         int64       `json:"other"`
	Series        []float64   `json:"series"`
	Times         []time.Time `json:"times"`
	Step          float64     `json:"step"` // seconds
	CompleteUntil *time.Time  `json:"complete_until"`
	CompleteFrom  *time.Time  `json:"complete_from"`
}

func newTypesJSON(t *issue.Types) typesJSON {
	out := typesJSON{
		Types: []typeJSON{}, Total: t.Total, Count: t.Count, Before: known(t.Before), Yesterday: known(t.Yesterday), LastWeek: known(t.LastWeek),
		Other: t.Other, Series: someOf(t.Series), Times: someOf(t.Times), Step: t.Step.Seconds(),
		CompleteUntil: instant(t.CompleteUntil), CompleteFrom: instant(t.CompleteFrom),
	}
	for i := range t.Rows {
		r := &t.Rows[i]
		out.Types = append(out.Types, typeJSON{r.Type, r.Count, r.Users, known(r.Before), known(r.Yesterday), known(r.LastWeek), someOf(r.Series), newShares(r.Hosts)})
	}
	return out
}

type previewJSON struct {
	Fingerprints int                `json:"fingerprints"`
	Issues       int                `json:"issues"`
	After        int                `json:"after"`
	Moved        int                `json:"moved"`
	Groups       []previewGroupJSON `json:"groups"`
	Omitted      int                `json:"omitted"`
	Version      int64              `json:"version"` // of the settings
}

type previewGroupJSON struct {
	Issue string            `json:"issue"`
	New   bool              `json:"new"`
	Type  string            `json:"type"`
	Title string            `json:"title"`
	Count *int64            `json:"count"`
	Parts []previewPartJSON `json:"parts"`
}

type previewPartJSON struct {
	Issue        string `json:"issue"`
	Type         string `json:"type"`
	Title        string `json:"title"`
	Fingerprints int    `json:"fingerprints"`
	Stay         int    `json:"stay"`
	Count        *int64 `json:"count"`
}

func newPreviewJSON(p *issue.Preview) previewJSON {
	out := previewJSON{
		Fingerprints: p.Fingerprints, Issues: p.Issues, After: p.After, Moved: p.Moved, Groups: []previewGroupJSON{},
		Omitted: p.Omitted, Version: p.Version,
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		x := previewGroupJSON{g.Issue, g.New, g.Type, g.Title, known(g.Count), []previewPartJSON{}}
		for _, part := range g.Parts {
			x.Parts = append(x.Parts, previewPartJSON{part.Issue, part.Type, part.Title, part.Fingerprints, part.Stay, known(part.Count)})
		}
		out.Groups = append(out.Groups, x)
	}
	return out
}
