package issue

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/issuetest"
)

// TestOwnersAreUndone changes owners and grouping in turn, and takes each back
// without touching the other.
func TestOwnersAreUndone(t *testing.T) {
	s, c := newTest(issuetest.New(), nil)
	ctx := t.Context()
	for n := range 12 {
		must(t, s.See(ctx, []millrace.Sighting{fault(n, c.now)}))
	}
	owned := func(owner string) []OwnerRule {
		return []OwnerRule{{Match: []exception.Matcher{{Field: "type", Pattern: "*"}}, Owner: owner}}
	}
	set := func(owner string) *millrace.Regrouping {
		t.Helper()
		have, err := s.Settings(ctx, testProject)
		must(t, err)
		have.Owners = owned(owner)
		got, err := s.SetSettings(ctx, *have, "ann")
		must(t, err)
		if got.Version != have.Version+1 || got.Author != "ann" || !got.At.Equal(c.now) || got.Owners[0].Owner != owner {
			t.Fatalf("settings %+v", got)
		}
		list, err := s.Changes(ctx, testProject, "", 0, 1)
		must(t, err)
		if list[0].Kind != "owners" || list[0].Author != "ann" || len(list[0].Moves) != 0 {
			t.Fatalf("change %+v", list[0])
		}
		return &list[0]
	}
	want := func(owner string, g Grouping) {
		t.Helper()
		have, err := s.Settings(ctx, testProject)
		must(t, err)
		got := ""
		if len(have.Owners) > 0 {
			got = have.Owners[0].Owner
		}
		if got != owner || !sameGrouping(&have.Grouping, &g) {
			t.Fatalf("owner %q, grouping %v; want %q, %v", got, have.Grouping, owner, g)
		}
	}
	first := set("one")
	g, err := s.Regroup(ctx, testProject, groupings[1], "bob", "")
	must(t, err)
	second := set("two")
	at, keys := whole(t, s)

	if _, err := s.Undo(ctx, testProject, first.ID, "cid"); millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("undoing owners that were changed since: %v", err)
	}
	back, err := s.Undo(ctx, testProject, second.ID, "cid")
	must(t, err)
	want("one", groupings[1])
	_, err = s.Undo(ctx, testProject, first.ID, "cid")
	must(t, err)
	want("", groupings[1])
	if nowAt, nowKeys := whole(t, s); len(nowAt) != len(at) || len(nowKeys) != len(keys) || nowAt["f03"] != at["f03"] {
		t.Error("undoing owners moved fingerprints")
	}
	_, err = s.Undo(ctx, testProject, g.ID, "cid")
	must(t, err)
	want("", Grouping{})
	if _, err = s.Undo(ctx, testProject, back.ID, "cid"); millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("making owners again that were changed since: %v", err)
	}
	stale := Settings{Project: testProject, Version: 1, Owners: owned("late")}
	if _, err := s.SetSettings(ctx, stale, "dan"); millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("settings of an old version: %v", err)
	}
}
