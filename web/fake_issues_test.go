package web

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

// fakeIssues is Issues in memory, with numbers made up: what pages and paths do
// with answers is tested here, the answers themselves in package issue.
type fakeIssues struct {
	now        time.Time
	rows       []*issue.Row
	events     map[string][]millrace.StoredEvent // by issue, newest first
	activities map[string][]millrace.Activity    // newest first
	changes    []millrace.Regrouping
	settings   issue.Settings
	merged     map[string]string
	nextID     int64
	asked      []issue.ListRequest
	err        error // answer of every call, if set
	// What Get and Explain answer, if set.
	shares  []issue.Share
	explain *exception.Explanation
}

func newFakeIssues(now time.Time) *fakeIssues {
	return &fakeIssues{
		now: now, events: map[string][]millrace.StoredEvent{}, activities: map[string][]millrace.Activity{}, merged: map[string]string{},
		settings: issue.Settings{Project: "default", Owners: []issue.OwnerRule{ownedBy("team-payments"), ownedBy("team-search")}},
	}
}

// ownedBy gives everything to an owner.
func ownedBy(owner string) issue.OwnerRule {
	return issue.OwnerRule{Match: []exception.Matcher{{Field: "type", Pattern: "*"}}, Owner: owner}
}

// add makes an issue and n events of it.
func (f *fakeIssues) add(i millrace.Issue, report *millrace.Report, attrs map[string]any, n int) *issue.Row {
	rng := rand.New(rand.NewPCG(uint64(len(f.rows)), 7))
	i.Project = "default"
	fingerprint := "e2:" + fmt.Sprintf("%015x", rng.Uint64()>>4)
	i.ID = millrace.IssueID(i.Project, fingerprint)
	i.Fingerprints = 1
	if i.State == "" {
		i.State = millrace.IssueOpen
	}
	row := &issue.Row{
		Issue: &i, Phase: i.Phase(f.now), Count: int64(40_000 * math.Pow(rng.Float64(), 6)), Yesterday: int64(9000 * math.Pow(rng.Float64(), 4)),
		LastWeek: int64(9000 * math.Pow(rng.Float64(), 4)), Fingerprints: []string{fingerprint},
	}
	row.Count += int64(n)
	row.Before = int64(float64(row.Count) * 2 * rng.Float64())
	row.Users = row.Count / 7
	left := float64(row.Count)
	for k := range 30 {
		share := left / float64(30-k) * 2 * rng.Float64()
		row.Spark = append(row.Spark, math.Floor(share))
		left -= math.Floor(share)
	}
	f.rows = append(f.rows, row)
	f.activities[i.ID] = []millrace.Activity{{Issue: i.ID, At: i.FirstSeen, Author: issue.Author, Kind: "created"}}
	for k := range n {
		f.events[i.ID] = append(f.events[i.ID], f.event(row, report, attrs, k))
	}
	return row
}

func (f *fakeIssues) event(row *issue.Row, report *millrace.Report, attrs map[string]any, k int) millrace.StoredEvent {
	all := map[string]any{
		millrace.AttrType: row.Type, "exception_message": row.Title, millrace.AttrFingerprint: row.Fingerprints[0],
		millrace.AttrUser: fmt.Sprintf("user-%d", 4711+k),
	}
	for name, v := range attrs {
		all[name] = v
	}
	if report != nil {
		all[millrace.AttrReport] = json.RawMessage(exception.AppendReport(nil, report))
	}
	raw, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return millrace.StoredEvent{
		Time: time.Unix(0, row.Issue.LastSeen).Add(-time.Duration(k) * 37 * time.Second).UTC(), Project: "default", Source: "app", Kind: "exception",
		Service: row.Service, Host: fmt.Sprintf("app-%d", 1+k%3), Env: "production", Release: row.LastRelease, Level: row.Level,
		TraceID: fmt.Sprintf("0af7651916cd43dd8448eb211c%06x", k), Message: row.Type + ": " + row.Title + "\n\tat com.acme.Shop.main(Shop.java:12)",
		Weight: 1, Attrs: raw, Offset: int64(1000 - k), Arrived: f.now,
	}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (f *fakeIssues) find(id string) *issue.Row {
	for _, r := range f.rows {
		if r.ID == id {
			return r
		}
	}
	return nil
}

func (f *fakeIssues) Projects(context.Context) ([]string, error) { return []string{"default"}, f.err }

func (f *fakeIssues) Production(env string) bool { return env == "" || env == "production" }

func (f *fakeIssues) List(_ context.Context, req issue.ListRequest) (*issue.Page, error) {
	f.asked = append(f.asked, req)
	if f.err != nil {
		return nil, f.err
	}
	p := &issue.Page{CompleteUntil: f.now.Add(-time.Minute), Step: 48 * time.Minute}
	for _, r := range f.rows {
		r.Phase = r.Issue.Phase(f.now)
		text := strings.ToLower(r.Type + "\n" + r.Title + "\n" + r.Culprit + "\n" + r.ID)
		switch {
		case f.merged[r.ID] != "", len(req.Phases) > 0 && !slices.Contains(req.Phases, r.Phase), req.Owner != nil && *req.Owner != r.Owner,
			!strings.Contains(text, strings.ToLower(req.Text)), req.Project != "default":
			continue
		}
		p.Rows = append(p.Rows, *r)
	}
	slices.SortStableFunc(p.Rows, func(a, b issue.Row) int {
		if req.Order == issue.OrderLastSeen {
			return int(min(1, max(-1, b.Issue.LastSeen-a.Issue.LastSeen)))
		}
		return int(b.Count - a.Count)
	})
	p.Total = len(p.Rows)
	p.Rows = p.Rows[min(len(p.Rows), req.Offset):]
	p.Rows = p.Rows[:min(len(p.Rows), req.Limit)]
	return p, nil
}

func (f *fakeIssues) Get(_ context.Context, project, id, env string, r query.Range) (*issue.Detail, error) {
	if f.err != nil {
		return nil, f.err
	}
	d := &issue.Detail{CompleteUntil: f.now.Add(-time.Minute), Step: 30 * time.Minute}
	if to := f.merged[id]; to != "" {
		d.RedirectedFrom, id = id, to
	}
	row := f.find(id)
	if row == nil || project != "default" {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no issue %q", id)
	}
	row.Phase = row.Issue.Phase(f.now)
	d.Row = *row
	if env == "staging" {
		d.Count, d.Users = 0, 0
	}
	left := float64(d.Count)
	n := int(r.To.Sub(r.From) / d.Step)
	for k := range n {
		d.Times = append(d.Times, r.From.Add(time.Duration(k)*d.Step))
		d.Series = append(d.Series, math.Ceil(left/float64(n)*(1+math.Sin(float64(k)/5))))
	}
	share := func(names ...string) (out []issue.Share) {
		for k, name := range names {
			out = append(out, issue.Share{Value: name, Count: d.Count >> (k + 1), Users: d.Users >> (k + 1)})
		}
		return out
	}
	d.Releases = share(row.LastRelease, row.FirstRelease, "shop@4.18.2")
	d.Hosts, d.Environments, d.Services = share("app-1", "app-2", "app-3", "(rest)"), share("production", "staging", ""), share(row.Service)
	if f.shares != nil {
		d.Releases, d.Hosts, d.Environments, d.Services = f.shares, f.shares, f.shares, f.shares
	}
	for _, fp := range row.Fingerprints {
		d.Fingerprints = append(d.Fingerprints, issue.Fingerprint{Count: d.Count / int64(len(row.Fingerprints)), IssueFingerprint: millrace.IssueFingerprint{
			Project: project, Fingerprint: fp, Key: fp, Issue: id, FirstSeen: row.Issue.FirstSeen, LastSeen: row.Issue.LastSeen, Type: row.Type, Title: row.Title,
		}})
	}
	d.Activities = f.activities[id]
	d.Changes = f.changes
	return d, nil
}

func (f *fakeIssues) Types(_ context.Context, req issue.TypesRequest) (*issue.Types, error) {
	if f.err != nil {
		return nil, f.err
	}
	if req.Step == 0 {
		req.Step = 24 * time.Minute
	}
	t := &issue.Types{CompleteUntil: f.now.Add(-time.Minute), Step: req.Step}
	for at := req.Range.From; at.Before(req.Range.To); at = at.Add(req.Step) {
		t.Times = append(t.Times, at)
	}
	t.Series = make([]float64, len(t.Times))
	byType := map[string]int{}
	for i, r := range f.rows {
		if !strings.Contains(strings.ToLower(r.Type), strings.ToLower(req.Text)) {
			continue
		}
		row := issue.TypeRow{Type: r.Type, Users: r.Users, Before: r.Before, Yesterday: r.Yesterday, LastWeek: -1}
		for k := range t.Times {
			v := math.Floor(float64(r.Count)/float64(len(t.Times))*(1+math.Sin(float64(k+3*i)/9)) + 0.5)
			row.Series = append(row.Series, v)
			row.Count += int64(v)
			t.Series[k] += v
		}
		row.Hosts = []issue.Share{{Value: "app-1", Count: row.Count / 2}, {Value: "app-2", Count: row.Count / 2}}
		if at, ok := byType[r.Type]; ok {
			have := &t.Rows[at]
			have.Count, have.Before, have.Users = have.Count+row.Count, have.Before+row.Before, have.Users+row.Users
			for k, v := range row.Series {
				have.Series[k] += v
			}
		} else {
			byType[r.Type] = len(t.Rows)
			t.Rows = append(t.Rows, row)
		}
		t.Count += row.Count
		t.Before += row.Before
		t.Yesterday += row.Yesterday
	}
	slices.SortStableFunc(t.Rows, func(a, b issue.TypeRow) int { return int(b.Count - a.Count) })
	t.LastWeek, t.Total = -1, len(t.Rows)
	t.Rows = t.Rows[:min(len(t.Rows), req.Limit)]
	return t, nil
}

func (f *fakeIssues) Events(_ context.Context, _, id, _, cursor string, limit int, _ query.Range) (*query.LogsResult, error) {
	list, from := f.events[id], 0
	_, _ = fmt.Sscanf(cursor, "c%d", &from)
	out := &query.LogsResult{Events: list[min(from, len(list)):]}
	if len(out.Events) > limit {
		out.Events, out.Next = out.Events[:limit], fmt.Sprintf("c%d", from+limit)
	}
	return out, f.err
}

func (f *fakeIssues) Explain(_ context.Context, project, id, fingerprint string) (*issue.Explanation, error) {
	row := f.find(id)
	if row == nil {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no issue %q", id)
	}
	if f.explain != nil {
		return &issue.Explanation{Project: project, Issue: id, Fingerprint: fingerprint, Key: f.explain.Rule, Rule: &exception.Rule{Name: f.explain.Rule}, Text: f.explain.Basis, Explanation: *f.explain}, nil
	}
	return &issue.Explanation{
		Project: project, Issue: id, Fingerprint: fingerprint, Key: fingerprint, By: issue.ByFingerprint,
		Text: "Equal exceptions have this type and these frames of the application.",
		Explanation: exception.Explanation{Version: 2, Basis: "application frames", Fingerprint: fingerprint, Parts: []exception.Part{
			{Kind: "type", Raw: row.Type, Used: row.Type},
			{Kind: "frame", Raw: "com.acme.shop.checkout.CartController$$Lambda$231/0x0000000800c1.apply", Used: "com.acme.shop.checkout.CartController.lambda.apply", Stripped: []string{"lambda number", "class address"}},
			{Kind: "frame", Raw: "org.springframework.web.servlet.DispatcherServlet.doDispatch", Stripped: []string{"not the application's"}},
			{Kind: "message", Depth: 1, Raw: row.Title, Stripped: []string{"frames tell more"}},
		}},
	}, nil
}

func (f *fakeIssues) Activities(_ context.Context, _, id string, before int64, limit int) ([]millrace.Activity, error) {
	var out []millrace.Activity
	for _, a := range f.activities[id] {
		if (before == 0 || a.ID < before) && len(out) < limit {
			out = append(out, a)
		}
	}
	return out, f.err
}

// change applies a change to each issue and notes it.
func (f *fakeIssues) change(ids []string, by, kind, text string, do func(*millrace.Issue)) ([]issue.Outcome, error) {
	if f.err != nil {
		return nil, f.err
	}
	var out []issue.Outcome
	for _, id := range ids {
		row := f.find(id)
		if row == nil {
			out = append(out, issue.Outcome{Issue: id, Err: millrace.Errorf(millrace.ErrNotFound, "there is no issue %q", id)})
			continue
		}
		before := factsOf(row.Issue)
		do(row.Issue)
		after := factsOf(row.Issue)
		f.nextID++
		f.activities[id] = append([]millrace.Activity{{ID: f.nextID, Issue: id, At: f.now.UnixNano(), Author: by, Kind: kind, Data: mustJSON(issue.ActivityData{Before: &before, After: &after}), Text: text}}, f.activities[id]...)
		out = append(out, issue.Outcome{Issue: id, Changed: true, Activity: f.nextID})
	}
	return out, nil
}

func factsOf(i *millrace.Issue) issue.Facts {
	return issue.Facts{State: i.State, Resolution: i.Resolution, Ignore: i.Ignore, Owner: i.Owner}
}

func (f *fakeIssues) Resolve(_ context.Context, _ string, ids []string, by string, in issue.Resolution) ([]issue.Outcome, error) {
	return f.change(ids, by, "resolved", "", func(i *millrace.Issue) {
		i.State, i.Resolution = millrace.IssueResolved, millrace.Resolution{At: f.now.UnixNano(), By: by, Release: in.Release, Next: in.Next}
	})
}

func (f *fakeIssues) Reopen(_ context.Context, _ string, ids []string, by string) ([]issue.Outcome, error) {
	return f.change(ids, by, "reopened", "", func(i *millrace.Issue) { i.State = millrace.IssueOpen })
}

func (f *fakeIssues) Ignore(_ context.Context, _ string, ids []string, by string, in millrace.Ignore) ([]issue.Outcome, error) {
	return f.change(ids, by, "ignored", "", func(i *millrace.Issue) { in.By = by; i.State, i.Ignore = millrace.IssueIgnored, in })
}

func (f *fakeIssues) Assign(_ context.Context, _ string, ids []string, by, owner string) ([]issue.Outcome, error) {
	return f.change(ids, by, "assigned", "", func(i *millrace.Issue) { i.Owner = owner })
}

func (f *fakeIssues) Note(_ context.Context, _ string, ids []string, by, text string) ([]issue.Outcome, error) {
	return f.change(ids, by, "note", text, func(*millrace.Issue) {})
}

func (f *fakeIssues) UndoActivity(_ context.Context, _, id string, activity int64, by string) (*issue.Outcome, error) {
	for _, a := range f.activities[id] {
		if a.ID != activity {
			continue
		}
		d, err := issue.ReadActivity(&a)
		if err != nil {
			return nil, err
		}
		out, err := f.change([]string{id}, by, "undone", "", func(i *millrace.Issue) {
			i.State, i.Resolution, i.Ignore, i.Owner = d.Before.State, d.Before.Resolution, d.Before.Ignore, d.Before.Owner
		})
		return &out[0], err
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "there is no activity %d", activity)
}

func (f *fakeIssues) Merge(_ context.Context, project, into string, ids []string, by, note string) (*millrace.Regrouping, error) {
	g := millrace.Regrouping{ID: int64(len(f.changes) + 1), Project: project, Author: by, Kind: "merge", Note: note, At: f.now.UnixNano()}
	to := f.find(into)
	for _, id := range ids {
		row := f.find(id)
		if row == nil || to == nil {
			return nil, millrace.Errorf(millrace.ErrNotFound, "there is no issue %q", id)
		}
		f.merged[id] = into
		for _, fp := range row.Fingerprints {
			g.Moves = append(g.Moves, millrace.Move{Fingerprint: fp, From: id, To: into, Key: fp})
		}
		to.Fingerprints = append(to.Fingerprints, row.Fingerprints...)
	}
	f.changes = append([]millrace.Regrouping{g}, f.changes...)
	return &g, nil
}

func (f *fakeIssues) Unmerge(_ context.Context, project, id string, fingerprints []string, by, note string) (*millrace.Regrouping, error) {
	g := millrace.Regrouping{ID: int64(len(f.changes) + 1), Project: project, Author: by, Kind: "unmerge", Note: note, At: f.now.UnixNano()}
	row := f.find(id)
	for _, fp := range fingerprints {
		i := slices.Index(row.Fingerprints, fp)
		if i < 0 || len(row.Fingerprints) == 1 {
			return nil, millrace.Errorf(millrace.ErrInvalid, "fingerprint %q is not of issue %s, or its last", fp, id)
		}
		row.Fingerprints = slices.Delete(row.Fingerprints, i, i+1)
		g.Moves = append(g.Moves, millrace.Move{Fingerprint: fp, From: id, To: millrace.IssueID(project, fp), Key: fp})
	}
	f.changes = append([]millrace.Regrouping{g}, f.changes...)
	return &g, nil
}

func (f *fakeIssues) PreviewRegroup(_ context.Context, _ string, g issue.Grouping) (*issue.Preview, error) {
	return &issue.Preview{Fingerprints: 41, Issues: 40, After: 12, Moved: 29, Version: f.settings.Version, Groups: []issue.PreviewGroup{{
		Issue: f.rows[0].ID, Title: f.rows[0].Title, Type: f.rows[0].Type, Count: 12, Parts: []issue.PreviewPart{{Issue: f.rows[1].ID, Fingerprints: 1, Count: -1}},
	}}}, f.err
}

func (f *fakeIssues) PreviewOwners(_ context.Context, _ string, owners []issue.OwnerRule) (*issue.OwnersPreview, error) {
	p := &issue.OwnersPreview{Issues: len(f.rows), Rules: make([]issue.OwnerMatches, len(owners))}
	for i, o := range owners {
		p.Rules[i].Owner = o.Owner
	}
	return p, f.err
}

func (f *fakeIssues) Regroup(_ context.Context, project string, g issue.Grouping, by, note string) (*millrace.Regrouping, error) {
	f.settings.Grouping = g
	change := millrace.Regrouping{ID: int64(len(f.changes) + 1), Project: project, Author: by, Kind: "regroup", Note: note, At: f.now.UnixNano()}
	f.changes = append([]millrace.Regrouping{change}, f.changes...)
	return &change, f.err
}

func (f *fakeIssues) Undo(_ context.Context, project string, change int64, by string) (*millrace.Regrouping, error) {
	for i := range f.changes {
		c := &f.changes[i]
		if c.ID != change {
			continue
		}
		for _, m := range c.Moves {
			delete(f.merged, m.From)
		}
		c.UndoneBy = int64(len(f.changes) + 1)
		g := millrace.Regrouping{ID: c.UndoneBy, Project: project, Author: by, Kind: "undo", Undoes: change, At: f.now.UnixNano()}
		f.changes = append([]millrace.Regrouping{g}, f.changes...)
		return &g, nil
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "there is no change %d", change)
}

func (f *fakeIssues) Changes(_ context.Context, _, _ string, _ int64, _ int) ([]millrace.Regrouping, error) {
	return f.changes, f.err
}

func (f *fakeIssues) Settings(context.Context, string) (*issue.Settings, error) {
	return &f.settings, f.err
}

func (f *fakeIssues) SetSettings(_ context.Context, in issue.Settings, by string) (*issue.Settings, error) {
	if in.Version != f.settings.Version {
		return nil, millrace.Errorf(millrace.ErrConflict, "the settings have version %d by now", f.settings.Version)
	}
	in.Version++
	in.Author = by
	f.settings = in
	return &in, f.err
}
