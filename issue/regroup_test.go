package issue

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/issuetest"
	"github.com/millrace/millrace/meta"
)

const testProject = "shop"

var testStart = time.Date(2026, 5, 20, 10, 0, 0, 0, time.UTC)

// clock is the time of a test.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newTest(store millrace.Issues, numbers Numbers) (*Service, *clock) {
	c := &clock{testStart}
	s := New(Deps{Store: store, Query: numbers, Now: c.Now, Log: slog.New(slog.DiscardHandler), Options: DefaultOptions()})
	return s, c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fault returns a sighting of fingerprint n, whose report tells of type and
// module by n, so that rules group it.
func fault(n int, at time.Time) millrace.Sighting {
	r := millrace.Report{Language: "java", Exception: &millrace.Exception{
		Type: fmt.Sprintf("T%d", n%4), Message: fmt.Sprint("message ", n),
		Frames: []millrace.Frame{{Module: fmt.Sprintf("M%d", n%3), Function: "f", InApp: true}},
	}}
	return millrace.Sighting{
		Project: testProject, Fingerprint: fmt.Sprintf("f%02d", n), Env: "production", First: at.UnixNano(), Last: at.UnixNano(),
		Type: r.Exception.Type, Title: r.Exception.Message, Report: exception.AppendReport(nil, &r),
	}
}

func by(field string) exception.Rule {
	return exception.Rule{Name: field, Match: []exception.Matcher{{Field: field, Pattern: "*"}}, Fingerprint: "{{" + field + "}}"}
}

var groupings = []Grouping{
	{},
	{Rules: []exception.Rule{by("type")}},
	{Rules: []exception.Rule{by("module")}},
	{Rules: []exception.Rule{{Match: []exception.Matcher{{Field: "type", Pattern: "T1"}}, Fingerprint: "one"}, {Match: []exception.Matcher{{Field: "module", Pattern: "M2"}}, Fingerprint: "two"}}},
}

// whole is the grouping as it is stored.
func whole(t *testing.T, s *Service) (map[string]place, map[string]string) {
	t.Helper()
	l, err := s.layout(t.Context(), testProject)
	must(t, err)
	for _, f := range l.prints {
		if l.keys[f.Key] != f.Issue {
			t.Fatalf("fingerprint %s is in issue %s, its key %s in %q", f.Fingerprint, f.Issue, f.Key, l.keys[f.Key])
		}
	}
	return l.at(), l.keys
}

// TestUndoingAllGivesTheFirstAnswer does random changes while new fingerprints
// come, undoes all that can be undone in the end, and compares with a service that
// saw the same and never was changed.
func TestUndoingAllGivesTheFirstAnswer(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			var store millrace.Issues = issuetest.New()
			if seed%10 == 0 {
				people, err := meta.Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"))
				must(t, err)
				t.Cleanup(func() { _ = people.Close() })
				store = people
			}
			s, c := newTest(store, nil)
			plain, _ := newTest(issuetest.New(), nil)
			w := &walk{t: t, s: s, plain: plain, c: c, rnd: rnd}
			for range 100 {
				w.step()
			}
			undone := w.undoAll()
			w.see() // and new ones go on as if nothing had been
			w.see()
			gotAt, gotKeys := whole(t, s)
			wantAt, wantKeys := whole(t, plain)
			if !maps.Equal(gotAt, wantAt) || !maps.Equal(gotKeys, wantKeys) {
				t.Errorf("after undoing %d changes:\n got %v\n     %v\nwant %v\n     %v", undone, gotAt, gotKeys, wantAt, wantKeys)
			}
			set, err := s.Settings(t.Context(), testProject)
			must(t, err)
			if !sameGrouping(&set.Grouping, &Grouping{}) {
				t.Errorf("the grouping is %v", set.Grouping)
			}
			w.compareIssues()
			if w.made < 5 || undone < 2 {
				t.Errorf("only %d changes were made, %d undone in the end", w.made, undone)
			}
		})
	}
}

type walk struct {
	t        *testing.T
	s, plain *Service
	c        *clock
	rnd      *rand.Rand
	next     int
	made     int // changes
}

func (w *walk) see() {
	w.c.now = w.c.now.Add(time.Minute)
	n := w.next
	if w.next++; w.rnd.IntN(3) == 0 {
		n = w.rnd.IntN(w.next) // again
	}
	at := w.c.now.Add(-time.Duration(w.rnd.IntN(600)) * time.Second)
	one := []millrace.Sighting{fault(n, at)}
	must(w.t, w.s.See(w.t.Context(), one))
	must(w.t, w.plain.See(w.t.Context(), one))
}

func (w *walk) issues() []*millrace.Issue {
	list, err := w.s.deps.Store.ListIssues(w.t.Context(), millrace.IssueQuery{Project: testProject, Order: "id"})
	must(w.t, err)
	return list
}

func (w *walk) step() {
	ctx, t := w.t.Context(), w.t
	list := w.issues()
	pick := func() *millrace.Issue { return list[w.rnd.IntN(len(list))] }
	var r *millrace.Regrouping
	var err error
	kind := w.rnd.IntN(8)
	switch {
	case len(list) == 0 || kind < 3:
		w.see()
		return
	case kind == 3 || kind == 4:
		r, err = w.s.Merge(ctx, testProject, pick().ID, []string{pick().ID, pick().ID}, "ann", "")
	case kind == 5:
		i := pick()
		prints, e := w.s.deps.Store.Fingerprints(ctx, testProject, []string{i.ID})
		must(t, e)
		r, err = w.s.Unmerge(ctx, testProject, i.ID, []string{prints[w.rnd.IntN(len(prints))].Fingerprint}, "ann", "")
	case kind == 6:
		r, err = w.s.Regroup(ctx, testProject, groupings[w.rnd.IntN(len(groupings))], "ann", "")
	default:
		changes, e := w.s.Changes(ctx, testProject, "", 0, 1000)
		must(t, e)
		if len(changes) == 0 {
			return
		}
		r, err = w.s.Undo(ctx, testProject, changes[w.rnd.IntN(len(changes))].ID, "ann")
	}
	code := millrace.ErrorCode(err)
	if err != nil && code != millrace.ErrInvalid && (kind != 7 || code != millrace.ErrConflict) {
		t.Fatalf("kind %d: %v", kind, err)
	}
	if err == nil {
		w.made++
		if r.ID == 0 {
			t.Fatal("a change without an id")
		}
	}
	whole(t, w.s)
}

// undoAll undoes what stands, the newest first.
func (w *walk) undoAll() (n int) {
	for {
		standing, err := w.s.standing(w.t.Context(), &millrace.Regrouping{Project: testProject})
		must(w.t, err)
		if len(standing) == 0 {
			return n
		}
		newest := standing[0]
		for _, c := range standing {
			if c.ID > newest.ID {
				newest = c
			}
		}
		_, err = w.s.Undo(w.t.Context(), testProject, newest.ID, "ann")
		must(w.t, err)
		n++
	}
}

// compareIssues compares what issues have of their fingerprints.
func (w *walk) compareIssues() {
	ctx := context.Background()
	want, err := w.plain.deps.Store.ListIssues(ctx, millrace.IssueQuery{Project: testProject, Order: "id"})
	must(w.t, err)
	got := w.issues()
	if len(got) != len(want) {
		w.t.Fatalf("%d issues, want %d", len(got), len(want))
	}
	for k := range want {
		a, b := *got[k], *want[k]
		a.Version, b.Version, a.Created, b.Created = 0, 0, 0, 0
		if a != b {
			w.t.Errorf("issue\n got %+v\nwant %+v", a, b)
		}
	}
}
