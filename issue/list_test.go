package issue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// naive counts the events of a world by issue, one by one.
type naive struct {
	count map[string]int64
	users map[string]map[string]bool
}

func (w *world) naive(project string, r query.Range, match func(*millrace.Event) bool, group func(*millrace.Event) string) naive {
	out := naive{map[string]int64{}, map[string]map[string]bool{}}
	for i := range w.events {
		e := &w.events[i]
		at := time.Unix(0, e.Time)
		if e.Project != project || at.Before(r.From) || !at.Before(r.To) || !match(e) {
			continue
		}
		g := group(e)
		out.count[g] += e.Weight
		if out.users[g] == nil {
			out.users[g] = map[string]bool{}
		}
		if u, _ := e.Attr(millrace.AttrUser); u.String() != "" {
			out.users[g][u.String()] = true
		}
	}
	return out
}

func production(e *millrace.Event) bool { return e.Env != "staging" }

func attr(name string) func(*millrace.Event) string {
	return func(e *millrace.Event) string {
		v, _ := e.Field(name)
		return v.String()
	}
}

// merged returns a world of two projects in which issues were merged.
func merged(t *testing.T) (*world, func(*millrace.Event) string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(3, 9))
	w := newWorld(t, nil, nil)
	all := randomThrown(rnd, 1500, 40, w.clock.now)
	w.throw("other", all[:300]...)
	w.throw(testProject, all[300:1000]...)
	for n := range 12 {
		from, into := fmt.Sprintf("2:%016x", n*3), fmt.Sprintf("2:%016x", n)
		if n > 0 {
			_, err := w.service.Merge(t.Context(), testProject, millrace.IssueID(testProject, into), []string{millrace.IssueID(testProject, from)}, "ann", "")
			ok(t, err)
		}
	}
	w.throw(testProject, all[1000:]...) // after the merges
	prints, err := w.issues.Fingerprints(t.Context(), testProject, nil)
	ok(t, err)
	of := map[string]string{}
	for _, f := range prints {
		of[f.Fingerprint] = f.Issue
	}
	return w, func(e *millrace.Event) string { return of[attr(millrace.AttrFingerprint)(e)] }
}

// lastDays is a range of whole minutes that ends now.
func (w *world) lastDays(n int) query.Range {
	return query.Range{From: w.clock.now.Add(-time.Duration(n) * day), To: w.clock.now}
}

func TestListCountsWhatWasThrown(t *testing.T) {
	w, issueOf := merged(t)
	r := w.lastDays(3)
	for _, c := range []struct {
		name  string
		req   ListRequest
		match func(*millrace.Event) bool
	}{
		{"production", ListRequest{}, production},
		{"all", ListRequest{Env: EnvAll}, func(*millrace.Event) bool { return true }},
		{"staging", ListRequest{Env: "staging"}, func(e *millrace.Event) bool { return e.Env == "staging" }},
		{"a host", ListRequest{Where: "host:host7"}, func(e *millrace.Event) bool { return production(e) && e.Host == "host7" }},
		{"by users", ListRequest{Order: OrderUsers}, production},
		{"by trend", ListRequest{Order: OrderTrend}, production},
		{"by last seen", ListRequest{Order: OrderLastSeen}, production},
		{"open ones", ListRequest{Phases: []string{"new", "ongoing"}}, production},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.req.Project, c.req.Range, c.req.Limit, c.req.Sparkline, c.req.Step = testProject, r, MaxList, true, time.Hour
			page, err := w.service.List(t.Context(), c.req)
			ok(t, err)
			now := w.naive(testProject, r, c.match, issueOf)
			before := w.naive(testProject, earlier(r, 3*day), c.match, issueOf)
			yesterday := w.naive(testProject, earlier(r, day), c.match, issueOf)
			lastWeek := w.naive(testProject, earlier(r, week), c.match, issueOf)
			if len(page.Rows) != len(now.count) || page.Total != len(now.count) {
				t.Fatalf("%d rows of %d, want %d", len(page.Rows), page.Total, len(now.count))
			}
			sum := int64(0)
			for _, row := range page.Rows {
				sum += row.Count
				id := row.ID
				if row.Count != now.count[id] || row.Users != int64(len(now.users[id])) {
					t.Errorf("issue %s: %d occurrences, %d users, want %d, %d", id, row.Count, row.Users, now.count[id], len(now.users[id]))
				}
				got, want := []int64{row.Before, row.Yesterday, row.LastWeek}, []int64{before.count[id], yesterday.count[id], lastWeek.count[id]}
				if !slices.Equal(got, want) {
					t.Errorf("issue %s: earlier %v, want %v", id, got, want)
				}
				spark := 0.0
				for _, n := range row.Spark {
					spark += n
				}
				if int64(spark) != row.Count || len(row.Spark) != len(page.Times) || len(row.Spark) < 72 {
					t.Errorf("issue %s: the sparkline of %d points adds up to %v, want %d", id, len(row.Spark), spark, row.Count)
				}
				if row.Project != testProject || len(row.Fingerprints) != row.Issue.Fingerprints {
					t.Errorf("issue %s: project %q, fingerprints %v of %d", id, row.Project, row.Fingerprints, row.Issue.Fingerprints)
				}
			}
			if page.Count != sum || page.Other != 0 || page.Unknown != 0 {
				t.Errorf("page %d, %d, %d, rows add up to %d", page.Count, page.Other, page.Unknown, sum)
			}
			w.inOrder(t, c.req, page)
		})
	}
}

// inOrder checks the order, and that pages of three give the same rows.
func (w *world) inOrder(t *testing.T, req ListRequest, page *Page) {
	t.Helper()
	key := func(r *Row) int64 {
		switch req.Order {
		case OrderUsers:
			return r.Users
		case OrderTrend:
			return r.Count - r.Before
		case OrderLastSeen:
			return r.LastSeen
		}
		return r.Count
	}
	for i := 1; i < len(page.Rows); i++ {
		if key(&page.Rows[i]) > key(&page.Rows[i-1]) {
			t.Errorf("row %d has %d after %d", i, key(&page.Rows[i]), key(&page.Rows[i-1]))
		}
	}
	req.Limit, req.Offset = 3, 3
	part, err := w.service.List(t.Context(), req)
	ok(t, err)
	for i := range part.Rows {
		if part.Rows[i].ID != page.Rows[3+i].ID {
			t.Errorf("row %d of the second page is %s, want %s", i, part.Rows[i].ID, page.Rows[3+i].ID)
		}
	}
}

func TestListFilters(t *testing.T) {
	w, _ := merged(t)
	ctx := t.Context()
	req := ListRequest{Project: testProject, Range: w.lastDays(20), Env: EnvAll, Limit: MaxList}
	all, err := w.service.List(ctx, req)
	ok(t, err)
	id := all.Rows[4].ID
	_, err = w.service.Assign(ctx, testProject, []string{id}, "ann", "payments")
	ok(t, err)
	_, err = w.service.Ignore(ctx, testProject, []string{all.Rows[5].ID}, "ann", millrace.Ignore{})
	ok(t, err)
	count := func(change func(*ListRequest)) int {
		t.Helper()
		req := req
		change(&req)
		page, err := w.service.List(ctx, req)
		ok(t, err)
		return len(page.Rows)
	}
	owner, nobody := "payments", ""
	for _, c := range []struct {
		name   string
		want   int
		change func(*ListRequest)
	}{
		{"owner", 1, func(r *ListRequest) { r.Owner = &owner }},
		{"nobody", all.Total - 1, func(r *ListRequest) { r.Owner = &nobody }},
		{"ignored", 1, func(r *ListRequest) { r.Phases = []string{"ignored"} }},
		{"open", all.Total - 1, func(r *ListRequest) { r.Phases = []string{"new", "ongoing", "resolved"} }},
		{"id", 1, func(r *ListRequest) { r.Text = id[:10] }},
		{"silent", all.Total, func(r *ListRequest) {
			r.Silent, r.Range = true, query.Range{From: testStart.Add(-80 * day), To: testStart.Add(-79 * day)}
		}},
		{"quiet", 0, func(r *ListRequest) {
			r.Range = query.Range{From: testStart.Add(-80 * day), To: testStart.Add(-79 * day)}
		}},
	} {
		if got := count(c.change); got != c.want {
			t.Errorf("%s: %d issues, want %d", c.name, got, c.want)
		}
	}
	for _, bad := range []func(*ListRequest){
		func(r *ListRequest) { r.Order = "size" },
		func(r *ListRequest) { r.Phases = []string{"open"} },
		func(r *ListRequest) { r.Limit = MaxList + 1 },
		func(r *ListRequest) { r.Range.To = r.Range.From },
		func(r *ListRequest) { r.Where = "host:a release:b" },
		func(r *ListRequest) { r.Where = "city:rome" },
		func(r *ListRequest) { r.Where = "(" },
		func(r *ListRequest) { r.Step = time.Second },
	} {
		req := req
		bad(&req)
		if _, err := w.service.List(ctx, req); millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("%+v: %v", req, err)
		}
	}
}

func TestDetailCountsWhatWasThrown(t *testing.T) {
	w, issueOf := merged(t)
	r := w.lastDays(5)
	gone := millrace.IssueID(testProject, fmt.Sprintf("2:%016x", 33)) // merged into 11
	d, err := w.service.Get(t.Context(), testProject, gone, "", r)
	ok(t, err)
	if d.RedirectedFrom != gone || d.ID == gone || len(d.Fingerprints) < 2 || len(d.Changes) == 0 || len(d.Activities) < 2 {
		t.Fatalf("%+v", d)
	}
	mine := func(match func(*millrace.Event) bool) func(*millrace.Event) bool {
		return func(e *millrace.Event) bool { return issueOf(e) == d.ID && match(e) }
	}
	all := w.naive(testProject, r, mine(production), func(*millrace.Event) string { return "" })
	if d.Count != all.count[""] || d.Users != int64(len(all.users[""])) {
		t.Errorf("%d occurrences, %d users, want %d, %d", d.Count, d.Users, all.count[""], len(all.users[""]))
	}
	for _, b := range []struct {
		field string
		got   []Share
		match func(*millrace.Event) bool
	}{
		{"release", d.Releases, production},
		{"host", d.Hosts, production},
		{"service", d.Services, production},
		{"env", d.Environments, func(*millrace.Event) bool { return true }},
	} {
		want := w.naive(testProject, r, mine(b.match), attr(b.field))
		left := int64(0)
		for _, s := range b.got {
			if s.Value == rest {
				left = s.Count
				continue
			}
			if s.Count != want.count[s.Value] || s.Users != int64(len(want.users[s.Value])) {
				t.Errorf("%s %q: %+v, want %d, %d", b.field, s.Value, s, want.count[s.Value], len(want.users[s.Value]))
			}
			delete(want.count, s.Value)
		}
		for _, n := range want.count {
			left -= n
		}
		if left != 0 || len(b.got) == 0 {
			t.Errorf("%s: the rest is off by %d", b.field, left)
		}
	}
	sum := 0.0
	for _, n := range d.Series {
		sum += n
	}
	each := int64(0)
	for _, f := range d.Fingerprints {
		each += f.Count
	}
	if int64(sum) != d.Count || each != d.Count {
		t.Errorf("the series adds up to %v, the fingerprints to %d, want %d", sum, each, d.Count)
	}
	if _, err := w.service.Get(t.Context(), testProject, "nothing", "", r); millrace.ErrorCode(err) != millrace.ErrNotFound {
		t.Error(err)
	}
}

func TestTypesCountWhatWasThrown(t *testing.T) {
	w, _ := merged(t)
	r := w.lastDays(4)
	got, err := w.service.Types(t.Context(), TypesRequest{Project: testProject, Range: r, Hosts: true})
	ok(t, err)
	now := w.naive(testProject, r, production, attr(millrace.AttrType))
	before := w.naive(testProject, earlier(r, 4*day), production, attr(millrace.AttrType))
	if len(got.Rows) != len(now.count) || got.Total != len(now.count) {
		t.Fatalf("%d rows of %d, want %d", len(got.Rows), got.Total, len(now.count))
	}
	total := int64(0)
	for _, row := range got.Rows {
		total += row.Count
		if row.Count != now.count[row.Type] || row.Users != int64(len(now.users[row.Type])) || row.Before != before.count[row.Type] {
			t.Errorf("%+v, want %d, %d, before %d", row, now.count[row.Type], len(now.users[row.Type]), before.count[row.Type])
		}
		sum, hosts := 0.0, int64(0)
		for _, n := range row.Series {
			sum += n
		}
		for _, h := range row.Hosts {
			hosts += h.Count
		}
		if int64(sum) != row.Count || hosts != row.Count {
			t.Errorf("%s: the series adds up to %v, the hosts to %d, want %d", row.Type, sum, hosts, row.Count)
		}
	}
	if got.Count != total {
		t.Errorf("%d in all, want %d", got.Count, total)
	}
	one, err := w.service.Types(t.Context(), TypesRequest{Project: testProject, Range: r, Text: "t3"})
	ok(t, err)
	if len(one.Rows) != 1 || one.Rows[0].Type != "shop.T3" {
		t.Errorf("%+v", one.Rows)
	}
}
