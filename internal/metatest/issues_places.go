package metatest

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

func sights(t *testing.T, ctx context.Context, m millrace.Issues) {
	in := func(s millrace.Sighting, env, release string) millrace.Sighting {
		s.Env, s.FirstRelease, s.LastRelease = env, release, release
		return s
	}
	b := Sighting("b", 4)
	b.Key = "key-a"
	see(t, m, in(Sighting("a", 3), "production", "2"), in(Sighting("a", 5), "", "3"), in(b, "production", "4"), in(Sighting("c", 1), "other", "1"))
	see(t, m, in(Sighting("a", 1), "production", "1"), in(Sighting("a", 9), "production", "5"))
	got, err := m.Sights(ctx, millrace.DefaultProject, issueOf("a"))
	check(t, err)
	want := []millrace.Sight{
		{Fingerprint: "a", Env: "", FirstSeen: 5 * second, LastSeen: 5 * second, FirstRelease: "3", LastRelease: "3"},
		{Fingerprint: "a", Env: "production", FirstSeen: second, LastSeen: 9 * second, FirstRelease: "1", LastRelease: "5"},
		{Fingerprint: "b", Env: "production", FirstSeen: 4 * second, LastSeen: 4 * second, FirstRelease: "4", LastRelease: "4"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	f, err := m.Fingerprints(ctx, millrace.DefaultProject, []string{issueOf("a")})
	check(t, err)
	if len(f) != 2 || f[0].Fingerprint != "a" || f[0].FirstSeen != second || f[0].LastSeen != 9*second || f[0].LastRelease != "5" || f[1].Fingerprint != "b" {
		t.Errorf("fingerprints %+v", f)
	}
}

// Releases are told by the events at both ends of a sighting; none is nothing.
func issueReleases(t *testing.T, ctx context.Context, m millrace.Issues) {
	tell := func(first, last int64, from, to string) {
		t.Helper()
		s := Sighting("a", first)
		s.Last, s.FirstRelease, s.LastRelease = last*second, from, to
		see(t, m, s)
	}
	tell(10, 20, "1.1", "1.2")
	tell(11, 30, "1.1", "1.1")
	tell(5, 5, "1.0", "1.0")
	tell(1, 40, "", "")
	tell(20, 20, "0-later", "0-later")
	want := []millrace.IssueRelease{
		{Release: "1.0", FirstSeen: 5 * second, LastSeen: 5 * second},
		{Release: "1.1", FirstSeen: 10 * second, LastSeen: 30 * second},
		{Release: "0-later", FirstSeen: 20 * second, LastSeen: 20 * second},
		{Release: "1.2", FirstSeen: 20 * second, LastSeen: 20 * second},
	}
	if got, err := m.IssueReleases(ctx, millrace.DefaultProject); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// oddText has what clients send: none of it may stop what is beside it.
func oddText(t *testing.T, ctx context.Context, m millrace.Issues) {
	odd := []string{"nul\x00byte", "bad \xff utf-8", "quote ' \" \\ \u2028 \u202e", "<script>", "%_\\%", strings.Repeat("long ", 2000), "", "\U0001F600", "a\nb\tc\x1f"}
	var list []millrace.Sighting
	for i, text := range odd {
		s := Sighting("fp "+text, int64(i+1))
		s.Key, s.Title, s.Type, s.Culprit, s.Level, s.Service, s.Language, s.Source = "k"+text, text, text, text, text, text, text, text
		s.Env, s.FirstRelease, s.LastRelease, s.Owner = text, text, text, text
		s.Report = []byte(text)
		list = append(list, s)
	}
	list = append(list, Sighting("good", 1))
	if seen := see(t, m, list...); len(seen) != len(list) {
		t.Fatalf("%d issues, want %d", len(seen), len(list))
	}
	see(t, m, list...)
	for i, text := range odd {
		fp := list[i].Fingerprint
		of, err := m.IssuesOf(ctx, millrace.DefaultProject, []string{fp})
		check(t, err)
		issue := readIssue(t, m, of[fp])
		if !strings.Contains(text, "\x00") && !strings.Contains(text, "\xff") && (issue.Title != text || issue.Owner != text || issue.Culprit != text) {
			t.Errorf("%.20q became %.20q, %.20q", text, issue.Title, issue.Owner)
		}
		reports, err := m.FingerprintReports(ctx, millrace.DefaultProject, []string{fp})
		check(t, err)
		if string(reports[fp]) != text {
			t.Errorf("report %.20q became %.20q", text, reports[fp])
		}
		s, err := m.Sights(ctx, millrace.DefaultProject, issue.ID)
		if err != nil || len(s) != 1 {
			t.Errorf("%.20q: sights %+v, %v", text, s, err)
		}
		issue.Resolution = millrace.Resolution{By: text, Release: text, At: 1}
		check(t, m.ChangeIssue(ctx, issue, millrace.Activity{Author: text, Kind: "note", Text: text, Data: []byte("{}")}))
		if a, err := m.Activities(ctx, millrace.DefaultProject, issue.ID, 0, 1); err != nil || len(a) != 1 || len(text) > 0 && a[0].Text == "" {
			t.Errorf("%.20q: activities %+v, %v", text, a, err)
		}
		_, err = m.ListIssues(ctx, millrace.IssueQuery{Project: millrace.DefaultProject, Text: text, Owner: &text})
		check(t, err)
	}
}

func projectsApart(t *testing.T, ctx context.Context, m millrace.Issues) {
	a, b := Sighting("x", 1), Sighting("x", 2)
	b.Project, b.Title = "b", "of b"
	seen := see(t, m, a, b)
	if len(seen) != 2 || seen[0].Issue.ID == seen[1].Issue.ID || seen[0].Issue.Project != "b" {
		t.Fatalf("seen %+v", seen)
	}
	if got, err := m.IssueProjects(ctx); err != nil || !reflect.DeepEqual(got, []string{"b", millrace.DefaultProject}) {
		t.Errorf("projects %v, %v", got, err)
	}
	idB := millrace.IssueID("b", "key-x")
	_, err := m.Issue(ctx, millrace.DefaultProject, idB)
	wantCode(t, err, millrace.ErrNotFound)
	i, err := m.Issue(ctx, "b", idB)
	if err != nil || i.Title != "of b" || i.FirstSeen != 2*second {
		t.Errorf("issue %+v, %v", i, err)
	}
	check(t, m.SetIssueSettings(ctx, &millrace.IssueSettings{Project: "b"}))
	if s, err := m.IssueSettings(ctx, millrace.DefaultProject); err != nil || s.Version != 0 {
		t.Errorf("settings %+v, %v", s, err)
	}
	list, err := m.ListIssues(ctx, millrace.IssueQuery{Project: "b"})
	if err != nil || len(list) != 1 || list[0].ID != idB {
		t.Errorf("list %+v, %v", list, err)
	}
	check(t, m.AddActivity(ctx, &millrace.Activity{Project: "b", Issue: idB, Kind: "note"}))
	if a, err := m.Activities(ctx, millrace.DefaultProject, "", 0, 10); err != nil || len(a) != 1 {
		t.Errorf("activities %+v, %v", a, err)
	}
	err = m.Regroup(ctx, &millrace.Regrouping{Project: "b", Moves: []millrace.Move{
		{Fingerprint: "x", KeyBefore: "key-x", Key: "key-x", From: issueOf("x"), To: idB},
	}})
	wantCode(t, err, millrace.ErrConflict)
	if r, err := m.IssueReleases(ctx, "c"); err != nil || len(r) != 0 {
		t.Errorf("releases %+v, %v", r, err)
	}
	if f, err := m.Fingerprints(ctx, "b", []string{issueOf("x")}); err != nil || len(f) != 0 {
		t.Errorf("fingerprints %+v, %v", f, err)
	}
}
