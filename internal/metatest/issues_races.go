package metatest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/millrace/millrace"
)

// newRace has several workers see the same new fingerprints, each in an order of
// its own: each issue is created for one of them.
func newRace(t *testing.T, ctx context.Context, m millrace.Issues) {
	const workers, rounds, n = 4, 5, 40
	for round := range rounds {
		var (
			mu      sync.Mutex
			created = map[string]int{}
		)
		wins := race(t, workers, func(w int) error {
			var list []millrace.Sighting
			for i := range n {
				fp := (i*(2*w+1) + 7*w) % n
				s := Sighting(fmt.Sprintf("%d-%d", round, fp), int64(100*round+w))
				s.Key = fmt.Sprintf("key-%d-%d", round, fp/3)
				s.FirstRelease, s.LastRelease = fmt.Sprintf("r%d", (w+fp)%5), fmt.Sprintf("r%d", (w+fp+1)%5)
				list = append(list, s)
			}
			seen, missing, err := m.See(ctx, list, issuesNow)
			if len(missing) > 0 {
				t.Errorf("missing %v", missing)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, s := range seen {
				if s.Created {
					created[s.Issue.ID]++
				}
			}
			return err
		})
		if wins != workers || len(created) != (n+2)/3 {
			t.Fatalf("round %d: %d workers, %d issues created", round, wins, len(created))
		}
		for id, times := range created {
			i := readIssue(t, m, id)
			if times != 1 || i.FirstSeen != int64(100*round)*second || i.LastSeen != int64(100*round+workers-1)*second || i.Fingerprints != 3 && i.Fingerprints != 1 {
				t.Errorf("created %d times: %+v", times, i)
			}
		}
	}
	if a, err := m.Activities(ctx, millrace.DefaultProject, "", 0, 1000); err != nil || len(a) != rounds*((n+2)/3) {
		t.Errorf("%d activities, %v", len(a), err)
	}
}

// Of several who change the same version one wins, while workers see the issue.
func changeRace(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 1))
	const workers = 4
	for version := range int64(5) {
		i := readIssue(t, m, issueOf("a"))
		wins := race(t, workers+1, func(w int) error {
			if w == workers {
				_, _, err := m.See(ctx, []millrace.Sighting{keyless(Sighting("a", 10+version))}, issuesNow)
				return err
			}
			c := *i
			c.Owner = fmt.Sprint(w)
			return m.ChangeIssue(ctx, &c, millrace.Activity{Kind: "assigned"})
		})
		got := readIssue(t, m, i.ID)
		if wins != 2 || got.Version != version+1 || got.LastSeen != (10+version)*second {
			t.Fatalf("%d won, issue %+v", wins, got)
		}
	}
	if a, err := m.Activities(ctx, millrace.DefaultProject, issueOf("a"), 0, 100); err != nil || len(a) != 6 {
		t.Errorf("%d activities, %v", len(a), err)
	}
}

// regroupRace moves fingerprints to and fro while workers see them, and new ones
// of the same keys: in the end all issues are what their fingerprints say.
func regroupRace(t *testing.T, ctx context.Context, m millrace.Issues) {
	a, b := issueOf("a"), issueOf("b")
	see(t, m, Sighting("a", 1), Sighting("b", 1), Sighting("c", 1))
	const rounds = 12
	race(t, 3, func(w int) error {
		for i := range rounds {
			if w == 0 {
				from, to := a, b
				if i%2 == 1 {
					from, to = b, a
				}
				if err := MoveKey(ctx, m, "key-a", from, to); err != nil {
					return err
				}
				continue
			}
			n := Sighting(fmt.Sprintf("n%d-%d", w, i), int64(i+2))
			n.Key = "key-a"
			if _, _, err := m.See(ctx, []millrace.Sighting{keyless(Sighting("b", int64(100*w+i))), n, keyless(Sighting("a", int64(200*w+i)))}, issuesNow); err != nil {
				return err
			}
		}
		return nil
	})
	CheckIssues(t, ctx, m)
	if of, err := m.IssuesOf(ctx, millrace.DefaultProject, []string{"a"}); err != nil || of["a"] != a {
		t.Errorf("after an even number of moves: %v, %v", of, err)
	}
}

// MoveKey moves a key and all that have it, and tries again if there are more by
// then. ErrConflict: the key belongs to another issue.
func MoveKey(ctx context.Context, m millrace.Issues, key, from, to string) error {
	for {
		keys, err := m.IssueKeys(ctx, millrace.DefaultProject, []string{key})
		if err != nil {
			return err
		}
		if keys[key] != from {
			return millrace.Errorf(millrace.ErrConflict, "key %s is in %s", key, keys[key])
		}
		list, err := m.Fingerprints(ctx, millrace.DefaultProject, []string{from})
		if err != nil {
			return err
		}
		r := &millrace.Regrouping{Project: millrace.DefaultProject, Moves: []millrace.Move{moveKey(key, from, to)}}
		for _, f := range list {
			if f.Key == key {
				r.Moves = append(r.Moves, millrace.Move{Fingerprint: f.Fingerprint, KeyBefore: key, Key: key, From: from, To: to})
			}
		}
		if err := m.Regroup(ctx, r); millrace.ErrorCode(err) != millrace.ErrConflict {
			return err
		}
	}
}

// CheckIssues compares the issues of the default project with their fingerprints,
// and these with their keys.
func CheckIssues(t *testing.T, ctx context.Context, m millrace.Issues) {
	t.Helper()
	list, err := m.ListIssues(ctx, millrace.IssueQuery{Project: millrace.DefaultProject})
	check(t, err)
	keys, err := m.IssueKeys(ctx, millrace.DefaultProject, nil)
	check(t, err)
	for _, i := range list {
		f, err := m.Fingerprints(ctx, millrace.DefaultProject, []string{i.ID})
		check(t, err)
		first, last := f[0].FirstSeen, f[0].LastSeen
		for _, f := range f {
			if keys[f.Key] != i.ID {
				t.Errorf("fingerprint %+v, its key belongs to %s", f, keys[f.Key])
			}
			first, last = min(first, f.FirstSeen), max(last, f.LastSeen)
		}
		if i.Fingerprints != len(f) || i.FirstSeen != first || i.LastSeen != last {
			t.Errorf("issue %+v has %d fingerprints, from %d to %d", i, len(f), first, last)
		}
	}
}

// A change is taken back once.
func undoRace(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 1), Sighting("b", 1))
	for range 5 {
		r := regroup(t, m, "merge", moveFP("b", issueOf("b"), issueOf("a")), moveKey("key-b", issueOf("b"), issueOf("a")))
		if wins := race(t, 4, func(int) error { return m.Regroup(ctx, back(r)) }); wins != 1 {
			t.Fatalf("%d took it back", wins)
		}
	}
	CheckIssues(t, ctx, m)
}

// Of several who change the settings one wins; a key of the settings before
// starts nothing from then on.
func settingsRace(t *testing.T, ctx context.Context, m millrace.Issues) {
	for version := range int64(5) {
		wins := race(t, 4, func(w int) error {
			s := &millrace.IssueSettings{Project: millrace.DefaultProject, Version: version}
			if w%2 == 0 {
				return m.SetIssueSettings(ctx, s)
			}
			return m.Regroup(ctx, &millrace.Regrouping{Project: millrace.DefaultProject, SettingsBefore: s, SettingsAfter: &millrace.IssueSettings{Project: s.Project}})
		})
		s, err := m.IssueSettings(ctx, millrace.DefaultProject)
		if err != nil || wins != 1 || s.Version != version+1 {
			t.Fatalf("%d changed version %d, now %+v, %v", wins, version, s, err)
		}
		old := Sighting("a", 1)
		old.Settings = version
		if _, missing, err := m.See(ctx, []millrace.Sighting{old}, issuesNow); err != nil || len(missing) != 1 {
			t.Errorf("missing %v, %v", missing, err)
		}
	}
}
