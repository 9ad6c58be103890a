package metatest

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/millrace/millrace"
)

func changeIssue(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 1))
	i := readIssue(t, m, issueOf("a"))
	old := *i
	i.State, i.Owner, i.Regressed = millrace.IssueRegressed, "team-b", 77
	i.Resolution = millrace.Resolution{At: 5, By: "ann", Release: "1.1", Next: true}
	i.Ignore = millrace.Ignore{At: 6, By: "bob", Until: 7, Occurrences: 8, Users: 9}
	log := []millrace.Activity{{Kind: "resolved", At: 5, Author: "ann", Data: []byte(`{"a":1}`)}, {Kind: "assigned"}}
	check(t, m.ChangeIssue(ctx, i, log...))
	if i.Version != 1 {
		t.Errorf("version %d, want 1", i.Version)
	}
	wantIssue(t, m, i)
	want := *i
	// What others own does not change with it.
	i.Title, i.FirstSeen, i.Fingerprints, i.MergedInto, i.Created = "x", 99, 99, "x", 99
	i.State, i.Resolution, i.Ignore = millrace.IssueOpen, millrace.Resolution{}, millrace.Ignore{}
	check(t, m.ChangeIssue(ctx, i))
	want.State, want.Resolution, want.Ignore, want.Version = millrace.IssueOpen, millrace.Resolution{}, millrace.Ignore{}, 2
	wantIssue(t, m, &want)
	wantCode(t, m.ChangeIssue(ctx, &old, millrace.Activity{Kind: "note"}), millrace.ErrConflict)
	if old.Version != 0 {
		t.Errorf("the version of what was refused is %d", old.Version)
	}
	wantIssue(t, m, &want)
	list, err := m.Activities(ctx, millrace.DefaultProject, want.ID, 0, 10)
	check(t, err)
	if len(list) != 3 || list[0].Kind != "assigned" || list[0].Project != millrace.DefaultProject || list[0].Issue != want.ID {
		t.Fatalf("activities %+v", list)
	}
	resolved := millrace.Activity{
		ID: list[1].ID, Project: millrace.DefaultProject, Issue: want.ID, Kind: "resolved", At: 5, Author: "ann", Data: []byte(`{"a":1}`),
	}
	if !reflect.DeepEqual(list[1], resolved) || !reflect.DeepEqual(log[0], resolved) || log[1].ID != list[0].ID {
		t.Errorf("got %+v, told %+v, want %+v", list[1], log, resolved)
	}
}

func activities(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 1), Sighting("b", 1))
	var ids []int64
	for n := range 6 {
		a := &millrace.Activity{
			Project: millrace.DefaultProject, Issue: issueOf([]string{"a", "b"}[n%2]), At: int64(n), Author: "ann", Kind: "note",
			Text: fmt.Sprintf("note %d", n), Data: []byte("{}"), Regrouping: int64(n),
		}
		check(t, m.AddActivity(ctx, a))
		ids = append(ids, a.ID)
	}
	want := func(issue string, before int64, limit int, want ...string) (last int64) {
		t.Helper()
		list, err := m.Activities(ctx, millrace.DefaultProject, issue, before, limit)
		check(t, err)
		if len(list) != len(want) {
			t.Fatalf("%d activities, want %v", len(list), want)
		}
		for i, a := range list {
			if a.Text != want[i] || a.Kind == "note" && (a.ID != ids[a.Regrouping] || a.At != a.Regrouping || a.Author != "ann") {
				t.Errorf("%d: got %+v, want %q", i, a, want[i])
			}
			last = a.ID
		}
		return last
	}
	last := want(issueOf("a"), 0, 2, "note 4", "note 2")
	want(issueOf("a"), last, 5, "note 0", "")
	last = want("", 0, 4, "note 5", "note 4", "note 3", "note 2")
	want("", last, 10, "note 1", "note 0", "", "")
	want(issueOf("c"), 0, 10)
	want(issueOf("a"), 0, 0)
}

func issueSettings(t *testing.T, ctx context.Context, m millrace.Issues) {
	for n := range int64(3) {
		s := &millrace.IssueSettings{
			Project: millrace.DefaultProject, Version: n, Grouping: []byte(fmt.Sprintf(`{"version":%d}`, n)), Owners: []byte(`[]`), Author: "ann", At: n,
		}
		check(t, m.SetIssueSettings(ctx, s))
		if s.Version != n+1 {
			t.Errorf("version %d, want %d", s.Version, n+1)
		}
		if got, err := m.IssueSettings(ctx, millrace.DefaultProject); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("got %+v, %v, want %+v", got, err, s)
		}
		for _, version := range []int64{n, n + 2} {
			stale := &millrace.IssueSettings{Project: millrace.DefaultProject, Version: version}
			wantCode(t, m.SetIssueSettings(ctx, stale), millrace.ErrConflict)
			if stale.Version != version {
				t.Errorf("the version of what was refused is %d", stale.Version)
			}
		}
	}
}
