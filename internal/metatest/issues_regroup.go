package metatest

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/millrace/millrace"
)

// moveFP is a move of a fingerprint that keeps its key, which is its own.
func moveFP(fp, from, to string) millrace.Move {
	return millrace.Move{Fingerprint: fp, KeyBefore: "key-" + fp, Key: "key-" + fp, From: from, To: to}
}

func moveKey(key, from, to string) millrace.Move { return millrace.Move{Key: key, From: from, To: to} }

func regroup(t *testing.T, m millrace.Issues, kind string, moves ...millrace.Move) *millrace.Regrouping {
	t.Helper()
	r := &millrace.Regrouping{Project: millrace.DefaultProject, At: 5, Author: "ann", Kind: kind, Note: "why", Moves: moves}
	check(t, m.Regroup(t.Context(), r))
	if r.ID == 0 {
		t.Fatal("a change has no id")
	}
	return r
}

func mergeIssues(t *testing.T, ctx context.Context, m millrace.Issues) {
	a, b := Sighting("a", 10), Sighting("b", 5)
	b.Last, b.FirstRelease, b.LastRelease = 50*second, "0.9", "1.1"
	see(t, m, a, b, Sighting("c", 7))
	r := &millrace.Regrouping{
		Project: millrace.DefaultProject, At: 5, Author: "ann", Kind: "merge", Note: "why",
		Moves: []millrace.Move{moveFP("b", issueOf("b"), issueOf("a")), moveKey("key-b", issueOf("b"), issueOf("a"))},
	}
	log := []millrace.Activity{{Issue: issueOf("b"), Kind: "merged", Data: []byte("{}")}, {Issue: issueOf("a"), Kind: "merged"}}
	check(t, m.Regroup(ctx, r, log...))
	got := readIssue(t, m, issueOf("a"))
	if got.Fingerprints != 2 || got.FirstSeen != 5*second || got.LastSeen != 50*second || got.FirstRelease != "0.9" || got.LastRelease != "1.1" ||
		got.Title != "title of b" || got.MergedInto != "" || got.Version != 1 {
		t.Errorf("merged %+v", got)
	}
	gone := readIssue(t, m, issueOf("b"))
	if gone.Fingerprints != 0 || gone.MergedInto != issueOf("a") || gone.Title != "title of b" || gone.Version != 1 || gone.LastSeen != 50*second {
		t.Errorf("gone %+v", gone)
	}
	wantList(t, m, millrace.IssueQuery{Order: "first_seen"}, "c", "b")
	for _, a := range log {
		list, err := m.Activities(ctx, millrace.DefaultProject, a.Issue, 0, 10)
		if err != nil || len(list) != 2 || list[0].ID != a.ID || list[0].Kind != "merged" || a.Regrouping != r.ID || list[0].Regrouping != r.ID || list[0].Project != millrace.DefaultProject {
			t.Errorf("activities %+v, %v", list, err)
		}
	}
	// Its key decides where new fingerprints go, and it is seen where it is.
	n := Sighting("n", 60)
	n.Key = "key-b"
	if seen := see(t, m, n, keyless(Sighting("b", 70))); len(seen) != 0 {
		t.Errorf("seen %+v", seen)
	}
	got = readIssue(t, m, issueOf("a"))
	if got.Fingerprints != 3 || got.LastSeen != 70*second {
		t.Errorf("after the merge: %+v", got)
	}
	if gone = readIssue(t, m, issueOf("b")); gone.Fingerprints != 0 || gone.LastSeen != 50*second {
		t.Errorf("gone %+v", gone)
	}
}

// An issue comes back with the next fingerprint of a key that it still has,
// without what it had before.
func mergedComesBack(t *testing.T, _ context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 10), Sighting("b", 5))
	regroup(t, m, "regroup", moveKey("another", "", issueOf("b")))
	regroup(t, m, "merge", moveFP("b", issueOf("b"), issueOf("a")), moveKey("key-b", issueOf("b"), issueOf("a")))
	n := Sighting("n", 7)
	n.Key, n.Title, n.Owner = "another", "of n", "team-n"
	if seen := see(t, m, n); len(seen) != 0 {
		t.Errorf("seen %+v", seen)
	}
	got := readIssue(t, m, issueOf("b"))
	if got.Fingerprints != 1 || got.MergedInto != "" || got.FirstSeen != 7*second || got.LastSeen != 7*second || got.Title != "of n" || got.Owner != "team-a" {
		t.Errorf("back %+v", got)
	}
}

// Who moves a key moves all fingerprints that have it, also those that came
// after the caller had asked which there are.
func regroupLate(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 1), Sighting("b", 1))
	late := Sighting("late", 2)
	late.Key = "key-b"
	see(t, m, late)
	move := func(moves ...millrace.Move) error {
		return m.Regroup(ctx, &millrace.Regrouping{Project: millrace.DefaultProject, Moves: moves})
	}
	whole := []millrace.Move{moveFP("b", issueOf("b"), issueOf("a")), moveKey("key-b", issueOf("b"), issueOf("a"))}
	wantCode(t, move(whole...), millrace.ErrConflict)
	wantCode(t, move(whole[0]), millrace.ErrConflict)
	wantCode(t, move(whole[1]), millrace.ErrConflict)
	wantCode(t, move(moveKey("key-b", issueOf("b"), "")), millrace.ErrConflict)
	wantCode(t, move(millrace.Move{Fingerprint: "b", KeyBefore: "key-b", Key: "unknown", From: issueOf("b"), To: issueOf("b")}), millrace.ErrConflict)
	wantOf(t, m, map[string]string{"a": issueOf("a"), "b": issueOf("b"), "late": issueOf("b")})
	whole = append(whole, millrace.Move{Fingerprint: "late", KeyBefore: "key-b", Key: "key-a", From: issueOf("b"), To: issueOf("a")})
	check(t, move(whole...))
	wantOf(t, m, map[string]string{"a": issueOf("a"), "b": issueOf("a"), "late": issueOf("a")})
	check(t, move(
		millrace.Move{Fingerprint: "b", KeyBefore: "key-b", Key: "key-a", From: issueOf("a"), To: issueOf("a")}, moveKey("key-b", issueOf("a"), ""),
	))
}

func unmergeIssue(t *testing.T, ctx context.Context, m millrace.Issues) {
	b, c := Sighting("b", 5), Sighting("c", 50)
	b.Key, c.Key = "key-a", "key-a"
	see(t, m, Sighting("a", 10), b, c)
	id := millrace.IssueID(millrace.DefaultProject, "apart")
	regroup(
		t, m, "unmerge",
		millrace.Move{Fingerprint: "b", KeyBefore: "key-a", Key: "apart", From: issueOf("a"), To: id},
		millrace.Move{Fingerprint: "c", KeyBefore: "key-a", Key: "apart", From: issueOf("a"), To: id},
		moveKey("apart", "", id),
	)
	want := readIssue(t, m, id)
	if want.Fingerprints != 2 || want.State != millrace.IssueOpen || want.Title != "title of b" || want.FirstSeen != 5*second || want.LastSeen != 50*second || want.Created != 5 {
		t.Errorf("unmerged %+v", want)
	}
	left := readIssue(t, m, issueOf("a"))
	if left.Fingerprints != 1 || left.Title != "title of a" || left.FirstSeen != 10*second || left.LastSeen != 10*second {
		t.Errorf("left %+v", left)
	}
	wantList(t, m, millrace.IssueQuery{Text: "title of b"}, "b")
	d, e := Sighting("d", 100), Sighting("e", 90)
	d.Key, e.Key = "apart", "key-a"
	see(t, m, d, e)
	wantOf(t, m, map[string]string{"a": issueOf("a"), "b": id, "c": id, "d": id, "e": issueOf("a")})
}

func wantOf(t *testing.T, m millrace.Issues, want map[string]string) {
	t.Helper()
	var names []string
	for fp := range want {
		names = append(names, fp)
	}
	if got, err := m.IssuesOf(t.Context(), millrace.DefaultProject, names); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// Keys alone may move, also to an issue without fingerprints, and be forgotten.
func regroupKeys(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 10))
	id := millrace.IssueID(millrace.DefaultProject, "elsewhere")
	regroup(t, m, "regroup", moveKey("key-n", "", id), moveKey("k2", "", issueOf("a")))
	empty := readIssue(t, m, id)
	if empty.Fingerprints != 0 || empty.MergedInto != "" {
		t.Errorf("an issue without fingerprints: %+v", empty)
	}
	wantList(t, m, millrace.IssueQuery{}, "a")
	if seen := see(t, m, Sighting("n", 3)); len(seen) != 0 {
		t.Errorf("seen %+v", seen)
	}
	if got := readIssue(t, m, id); got.FirstSeen != 3*second || got.Title != "title of n" || got.Fingerprints != 1 {
		t.Errorf("filled %+v", got)
	}
	// A fingerprint may get another key and stay. The key that is forgotten starts
	// its issue again, which is there.
	regroup(t, m, "regroup", millrace.Move{Fingerprint: "a", KeyBefore: "key-a", Key: "k2", From: issueOf("a"), To: issueOf("a")}, moveKey("key-a", issueOf("a"), ""))
	b := Sighting("b", 20)
	b.Key = "key-a"
	if seen := see(t, m, b); len(seen) != 0 {
		t.Errorf("seen %+v", seen)
	}
	wantOf(t, m, map[string]string{"a": issueOf("a"), "b": issueOf("a"), "n": id})
	keys, err := m.IssueKeys(ctx, millrace.DefaultProject, nil)
	if want := map[string]string{"key-a": issueOf("a"), "key-n": id, "k2": issueOf("a")}; err != nil || !reflect.DeepEqual(keys, want) {
		t.Errorf("keys %v, %v, want %v", keys, err, want)
	}
	if f, err := m.Fingerprints(ctx, millrace.DefaultProject, []string{issueOf("a")}); err != nil || len(f) != 2 || f[0].Key != "k2" || f[1].Key != "key-a" {
		t.Errorf("fingerprints %+v, %v", f, err)
	}
}

func regroupSettings(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 1))
	r := &millrace.Regrouping{
		Project: millrace.DefaultProject, Kind: "regroup", At: 1,
		SettingsAfter: &millrace.IssueSettings{Project: millrace.DefaultProject, Grouping: []byte(`{"version":2}`), Owners: []byte("[]"), Author: "ann", At: 1},
	}
	check(t, m.Regroup(ctx, r))
	if r.SettingsAfter.Version != 1 {
		t.Errorf("version %d", r.SettingsAfter.Version)
	}
	stored := func(want *millrace.IssueSettings) {
		t.Helper()
		if got, err := m.IssueSettings(ctx, millrace.DefaultProject); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	stored(r.SettingsAfter)
	if got, err := m.Regrouping(ctx, millrace.DefaultProject, r.ID); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v, want %+v", got, err, r)
	}
	stale := &millrace.Regrouping{
		Project: millrace.DefaultProject, SettingsAfter: &millrace.IssueSettings{Project: millrace.DefaultProject},
		Moves: []millrace.Move{moveKey("new", "", issueOf("a"))},
	}
	wantCode(t, m.Regroup(ctx, stale), millrace.ErrConflict)
	stored(r.SettingsAfter)
	if keys, err := m.IssueKeys(ctx, millrace.DefaultProject, nil); err != nil || len(keys) != 1 {
		t.Errorf("half of what was refused is stored: %v, %v", keys, err)
	}
	stale.SettingsBefore = r.SettingsAfter
	check(t, m.Regroup(ctx, stale))
	if stale.SettingsAfter.Version != 2 {
		t.Errorf("version %d", stale.SettingsAfter.Version)
	}
}

// What is refused changes nothing.
func regroupRefused(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 1), Sighting("b", 2))
	a, b := issueOf("a"), issueOf("b")
	ok := moveFP("a", a, b)
	f := func(what string, code millrace.Code, undoes int64, moves ...millrace.Move) {
		t.Helper()
		r := &millrace.Regrouping{Project: millrace.DefaultProject, Moves: moves, Undoes: undoes}
		err := m.Regroup(ctx, r, millrace.Activity{Issue: a, Kind: "merged"})
		if millrace.ErrorCode(err) != code || r.ID != 0 {
			t.Errorf("%s: %v, id %d, want %s", what, err, r.ID, code)
		}
	}
	f("another issue", millrace.ErrConflict, 0, moveFP("a", b, a))
	f("another issue of one", millrace.ErrConflict, 0, ok, moveFP("b", a, a))
	f("another key before", millrace.ErrConflict, 0, ok, millrace.Move{Fingerprint: "b", KeyBefore: "key-a", Key: "x", From: b, To: a})
	f("an unknown fingerprint", millrace.ErrConflict, 0, ok, moveFP("c", a, b))
	f("a key of another", millrace.ErrConflict, 0, ok, moveKey("key-a", b, a))
	f("an unknown key", millrace.ErrConflict, 0, ok, moveKey("key-c", b, a))
	f("a known key", millrace.ErrConflict, 0, ok, moveKey("key-a", "", a))
	f("one twice", millrace.ErrInvalid, 0, ok, ok)
	f("a key twice", millrace.ErrInvalid, 0, moveKey("key-a", a, b), moveKey("key-a", b, a))
	f("a fingerprint nowhere", millrace.ErrInvalid, 0, moveFP("a", a, ""))
	f("a key nowhere", millrace.ErrInvalid, 0, moveKey("x", "", ""))
	f("nothing to undo", millrace.ErrNotFound, 99)
	wantOf(t, m, map[string]string{"a": a, "b": b})
	for _, fp := range []string{"a", "b"} {
		if i := readIssue(t, m, issueOf(fp)); i.Version != 0 || i.Fingerprints != 1 {
			t.Errorf("issue %+v", i)
		}
	}
	list, err := m.Regroupings(ctx, millrace.DefaultProject, "", 0, 10)
	if err != nil || len(list) != 0 {
		t.Errorf("changes %+v, %v", list, err)
	}
	if list, err := m.Activities(ctx, millrace.DefaultProject, "", 0, 10); err != nil || len(list) != 2 {
		t.Errorf("activities %+v, %v", list, err)
	}
}

// back is the change that takes another one back.
func back(r *millrace.Regrouping) *millrace.Regrouping {
	u := &millrace.Regrouping{Project: r.Project, At: 9, Author: "bob", Kind: "undo", Undoes: r.ID}
	for _, move := range r.Moves {
		u.Moves = append(u.Moves, millrace.Move{
			Fingerprint: move.Fingerprint, KeyBefore: move.Key, Key: move.KeyBefore, From: move.To, To: move.From,
		})
		if move.Fingerprint == "" {
			last := &u.Moves[len(u.Moves)-1]
			last.KeyBefore, last.Key = "", move.Key
		}
	}
	return u
}

func undoRegrouping(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 10), Sighting("b", 5))
	before := []*millrace.Issue{readIssue(t, m, issueOf("a")), readIssue(t, m, issueOf("b"))}
	r := regroup(t, m, "merge", moveFP("b", issueOf("b"), issueOf("a")), moveKey("key-b", issueOf("b"), issueOf("a")))
	see(t, m, keyless(Sighting("b", 90))) // which goes back with it
	u := back(r)
	check(t, m.Regroup(ctx, u))
	before[1].LastSeen = 90 * second
	for _, i := range before {
		i.Version = 2
		wantIssue(t, m, i)
	}
	keys, err := m.IssueKeys(ctx, millrace.DefaultProject, nil)
	if want := map[string]string{"key-a": issueOf("a"), "key-b": issueOf("b")}; err != nil || !reflect.DeepEqual(keys, want) {
		t.Errorf("keys %v, %v", keys, err)
	}
	got, err := m.Regrouping(ctx, millrace.DefaultProject, r.ID)
	if err != nil || got.UndoneBy != u.ID {
		t.Errorf("got %+v, %v", got, err)
	}
	u2 := back(r)
	u2.Moves = nil
	wantCode(t, m.Regroup(ctx, u2), millrace.ErrConflict)
	// An undo can be taken back, too.
	again := back(u)
	check(t, m.Regroup(ctx, again))
	if i := readIssue(t, m, issueOf("b")); i.Fingerprints != 0 || i.MergedInto != issueOf("a") {
		t.Errorf("merged again: %+v", i)
	}
}

func regroupings(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 1), Sighting("b", 1), Sighting("c", 1))
	a, b, c := issueOf("a"), issueOf("b"), issueOf("c")
	all := []*millrace.Regrouping{
		regroup(t, m, "merge", moveFP("b", b, a), moveKey("key-b", b, a)), regroup(t, m, "merge", moveFP("c", c, a), moveKey("key-c", c, a)),
		regroup(t, m, "unmerge", moveFP("b", a, b), moveKey("key-b", a, b)), regroup(t, m, "unmerge", moveFP("c", a, c), moveKey("key-c", a, c)),
	}
	want := func(issue string, before int64, limit int, want ...int) {
		t.Helper()
		list, err := m.Regroupings(ctx, millrace.DefaultProject, issue, before, limit)
		check(t, err)
		var got []int
		for i := range list {
			n := slices.IndexFunc(all, func(r *millrace.Regrouping) bool { return r.ID == list[i].ID })
			if n < 0 || !reflect.DeepEqual(&list[i], all[n]) {
				t.Fatalf("got %+v", list[i])
			}
			got = append(got, n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("changes %v, want %v", got, want)
		}
	}
	want("", 0, 10, 3, 2, 1, 0)
	want("", all[2].ID, 1, 1)
	want(b, 0, 10, 2, 0)
	want(c, 0, 10, 3, 1)
	want(a, all[3].ID, 2, 2, 1)
	want("none", 0, 10)
}
