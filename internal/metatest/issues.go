package metatest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// RunIssues tests an implementation of millrace.Issues. open returns an empty
// one, and sees to it that it is closed.
func RunIssues(t *testing.T, open func(t *testing.T) millrace.Issues) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, context.Context, millrace.Issues)
	}{
		{"see new", seeNew},
		{"see again", seeAgain},
		{"see in any order", seeAnyOrder},
		{"see empty texts", seeEmptyTexts},
		{"see many", seeMany},
		{"see without key", seeWithoutKey},
		{"see under old settings", seeOldSettings},
		{"see one twice", seeOneTwice},
		{"see what is not open", seeNotOpen},
		{"sights", sights},
		{"releases", issueReleases},
		{"odd text", oddText},
		{"projects apart", projectsApart},
		{"nothing", nothing},
		{"list", listIssues},
		{"list text", listText},
		{"list pages", listPages},
		{"change", changeIssue},
		{"activities", activities},
		{"settings", issueSettings},
		{"merge", mergeIssues},
		{"merged comes back", mergedComesBack},
		{"unmerge", unmergeIssue},
		{"regroup keys", regroupKeys},
		{"regroup settings", regroupSettings},
		{"regroup refused", regroupRefused},
		{"regroup what came late", regroupLate},
		{"undo", undoRegrouping},
		{"regroupings", regroupings},
		{"random operations", randomIssues},
		{"race of new", newRace},
		{"race of changes", changeRace},
		{"race of regroupings", regroupRace},
		{"race of undo", undoRace},
		{"race of settings", settingsRace},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, t.Context(), open(t)) })
	}
}

// issuesNow is when the tests of issues see things; event times are before it.
var issuesNow = time.Unix(1_800_000_000, 0).UTC()

const second = int64(time.Second)

// Sighting returns a sighting for tests: of fingerprint fp, at a second, in
// production, with a key of its own.
func Sighting(fp string, at int64) millrace.Sighting {
	return millrace.Sighting{
		Project: millrace.DefaultProject, Fingerprint: fp, Env: "production", First: at * second, Last: at * second,
		FirstRelease: "1.0", LastRelease: "1.0", Type: "Type" + fp, Title: "title of " + fp, Culprit: "shop.go in Buy",
		Level: "error", Service: "shop", Source: "app", Language: "go",
		Report: []byte("report " + fp), Key: "key-" + fp, Owner: "team-a",
	}
}

// keyless is a sighting as workers tell it of what they know.
func keyless(s millrace.Sighting) millrace.Sighting {
	s.Key, s.Report, s.Owner = "", nil, ""
	return s
}

func issueOf(fp string) string { return millrace.IssueID(millrace.DefaultProject, "key-"+fp) }

// see tells of sightings of which none may be missing.
func see(t *testing.T, m millrace.Issues, list ...millrace.Sighting) []millrace.Seen {
	t.Helper()
	seen, missing, err := m.See(t.Context(), list, issuesNow)
	check(t, err)
	if len(missing) > 0 {
		t.Fatalf("missing: %v", missing)
	}
	return seen
}

func readIssue(t *testing.T, m millrace.Issues, id string) *millrace.Issue {
	t.Helper()
	i, err := m.Issue(t.Context(), millrace.DefaultProject, id)
	check(t, err)
	return i
}

func wantIssue(t *testing.T, m millrace.Issues, want *millrace.Issue) {
	t.Helper()
	if got := readIssue(t, m, want.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func seeNew(t *testing.T, ctx context.Context, m millrace.Issues) {
	s := Sighting("a", 10)
	s.Last, s.LastRelease = 20*second, "1.1"
	seen := see(t, m, s)
	want := &millrace.Issue{
		ID: issueOf("a"), Project: millrace.DefaultProject, Type: "Typea", Title: "title of a", Culprit: "shop.go in Buy",
		Level: "error", Service: "shop", Language: "go", State: millrace.IssueOpen, Owner: "team-a",
		FirstSeen: 10 * second, LastSeen: 20 * second, FirstRelease: "1.0", LastRelease: "1.1", Fingerprints: 1, Created: issuesNow.UnixNano(),
	}
	if len(seen) != 1 || !seen[0].Created || !slices.Equal(seen[0].Sightings, []int{0}) || !reflect.DeepEqual(seen[0].Issue, want) {
		t.Fatalf("seen %+v", seen)
	}
	wantIssue(t, m, want)
	f, err := m.Fingerprints(ctx, millrace.DefaultProject, []string{want.ID})
	check(t, err)
	wantF := []millrace.IssueFingerprint{{
		Project: millrace.DefaultProject, Fingerprint: "a", Key: "key-a", Issue: want.ID, FirstSeen: 10 * second, LastSeen: 20 * second,
		FirstRelease: "1.0", LastRelease: "1.1", Type: "Typea", Title: "title of a", Culprit: "shop.go in Buy", Level: "error", Service: "shop", Language: "go",
	}}
	if !reflect.DeepEqual(f, wantF) {
		t.Errorf("got  %+v\nwant %+v", f, wantF)
	}
	reports, err := m.FingerprintReports(ctx, millrace.DefaultProject, []string{"a", "unknown"})
	if err != nil || len(reports) != 1 || string(reports["a"]) != "report a" {
		t.Errorf("reports %q, %v", reports, err)
	}
	of, err := m.IssuesOf(ctx, millrace.DefaultProject, []string{"unknown", "a"})
	if err != nil || !reflect.DeepEqual(of, map[string]string{"a": want.ID}) {
		t.Errorf("issues %v, %v", of, err)
	}
	keys, err := m.IssueKeys(ctx, millrace.DefaultProject, []string{"unknown", "key-a"})
	if err != nil || !reflect.DeepEqual(keys, map[string]string{"key-a": want.ID}) {
		t.Errorf("keys %v, %v", keys, err)
	}
	list, err := m.Activities(ctx, millrace.DefaultProject, want.ID, 0, 10)
	check(t, err)
	if len(list) != 1 || list[0].Kind != "created" || list[0].Author != "millrace" || list[0].At != issuesNow.UnixNano() || string(list[0].Data) != "{}" {
		t.Errorf("activities %+v", list)
	}
}

// What is told twice counts once, and nobody is told of an open issue again.
func seeAgain(t *testing.T, ctx context.Context, m millrace.Issues) {
	s := Sighting("a", 10)
	see(t, m, s)
	want := readIssue(t, m, issueOf("a"))
	for _, s := range []millrace.Sighting{s, keyless(s)} {
		if seen := see(t, m, s); len(seen) != 0 {
			t.Errorf("seen again: %+v", seen)
		}
		wantIssue(t, m, want)
	}
	later := keyless(Sighting("a", 30))
	later.FirstRelease, later.LastRelease, later.Title = "1.1", "1.2", "another title"
	see(t, m, later)
	want.LastSeen, want.LastRelease = 30*second, "1.2"
	wantIssue(t, m, want)
	earlier := Sighting("a", 5)
	earlier.FirstRelease, earlier.Title, earlier.Report, earlier.Key, earlier.Owner = "0.9", "the first title", []byte("other"), "other key", "team-b"
	see(t, m, earlier)
	want.FirstSeen, want.FirstRelease, want.Title = 5*second, "0.9", "the first title"
	wantIssue(t, m, want)
	reports, err := m.FingerprintReports(ctx, millrace.DefaultProject, []string{"a"})
	if err != nil || string(reports["a"]) != "report a" {
		t.Errorf("the report became %q, %v", reports["a"], err)
	}
	if keys, err := m.IssueKeys(ctx, millrace.DefaultProject, nil); err != nil || len(keys) != 1 {
		t.Errorf("keys %v, %v", keys, err)
	}
	if a, err := m.Activities(ctx, millrace.DefaultProject, "", 0, 10); err != nil || len(a) != 1 {
		t.Errorf("activities %+v, %v", a, err)
	}
}

// The order in which the same is told does not matter, and neither does in how
// many calls: not for equal times either.
func seeAnyOrder(t *testing.T, ctx context.Context, m millrace.Issues) {
	var list []millrace.Sighting
	for i := range 4 {
		s := Sighting("x", 10)
		s.Title, s.FirstRelease, s.LastRelease = fmt.Sprintf("title %d", 9-i), fmt.Sprintf("2.%d", (i+1)/2), fmt.Sprintf("3.%d", i/2)
		s.Env = []string{"production", "test"}[i%2]
		list = append(list, s)
	}
	var want *millrace.Issue
	for n, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
		for together := range 2 {
			var all []millrace.Sighting
			for _, i := range order {
				s := list[i]
				s.Project = fmt.Sprintf("p%d-%d", n, together)
				if together == 1 {
					all = append(all, s)
				} else {
					see(t, m, s)
				}
			}
			see(t, m, all...)
			project := fmt.Sprintf("p%d-%d", n, together)
			got, err := m.Issue(ctx, project, millrace.IssueID(project, "key-x"))
			check(t, err)
			got.Project, got.ID = "", ""
			if want == nil {
				want = got
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("order %v, together %d: got %+v, want %+v", order, together, got, want)
			}
		}
	}
	if want.FirstRelease != "2.0" || want.LastRelease != "3.1" || want.Title != "title 9" {
		t.Errorf("of equal times: %+v", want)
	}
}

// Workers say culprit and language only of what may be new.
func seeEmptyTexts(t *testing.T, ctx context.Context, m millrace.Issues) {
	b := Sighting("b", 20)
	b.Key, b.Culprit = "key-a", "of b"
	bare := keyless(Sighting("a", 5))
	bare.Culprit, bare.Language, bare.Title = "", "", "earlier"
	see(t, m, Sighting("a", 10), bare, b)
	want := func(title, culprit string) {
		t.Helper()
		if i := readIssue(t, m, issueOf("a")); i.Title != title || i.Culprit != culprit || i.Language != "go" || i.Fingerprints != 2 {
			t.Errorf("issue %+v", i)
		}
		f, err := m.Fingerprints(ctx, millrace.DefaultProject, []string{issueOf("a")})
		if err != nil || f[0].Title != title || f[0].Culprit != culprit || f[1].Culprit == culprit {
			t.Errorf("fingerprints %+v, %v", f, err)
		}
	}
	want("earlier", "shop.go in Buy")
	bare.First, bare.Title = 4*second, "earlier still"
	see(t, m, bare)
	want("earlier still", "shop.go in Buy")
	b = keyless(b)
	b.First, b.Title, b.Culprit, b.Language = second, "b's", "", ""
	see(t, m, b)
	want("b's", "of b")
}

// seeMany tells of more than one statement or array of parameters would bear.
func seeMany(t *testing.T, ctx context.Context, m millrace.Issues) {
	const n = 2100
	list := make([]millrace.Sighting, n)
	for i := range list {
		list[i] = Sighting(fmt.Sprintf("%04d", i), int64(i+1))
		list[i].Key = fmt.Sprintf("k%d", i%700)
	}
	seen := see(t, m, list...)
	if len(seen) != 700 {
		t.Fatalf("%d issues, want 700", len(seen))
	}
	for _, s := range seen {
		i := s.Sightings[0]
		if !s.Created || !slices.Equal(s.Sightings, []int{i, i + 700, i + 1400}) || s.Issue.Fingerprints != 3 ||
			s.Issue.FirstSeen != list[i].First || s.Issue.LastSeen != list[i+1400].Last || s.Issue.Title != list[i].Title {
			t.Fatalf("seen %+v of %+v", s, s.Issue)
		}
	}
	if !slices.IsSortedFunc(seen, func(a, b millrace.Seen) int { return compareText(a.Issue.ID, b.Issue.ID) }) {
		t.Error("issues are not in order")
	}
	for i := range list {
		list[i].First, list[i].Last = list[i].First+n*second, list[i].Last+n*second
		list[i] = keyless(list[i])
	}
	if seen := see(t, m, list...); len(seen) != 0 {
		t.Errorf("%d issues were seen again", len(seen))
	}
	all, err := m.Fingerprints(ctx, millrace.DefaultProject, nil)
	check(t, err)
	for _, f := range all {
		if f.LastSeen != f.FirstSeen+n*second {
			t.Fatalf("fingerprint %+v", f)
		}
	}
	if len(all) != n {
		t.Errorf("%d fingerprints, want %d", len(all), n)
	}
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func seeWithoutKey(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("known", 1))
	list := []millrace.Sighting{keyless(Sighting("new", 3)), keyless(Sighting("known", 2)), Sighting("other", 2), keyless(Sighting("new", 2))}
	list[0].FirstRelease, list[0].LastRelease = "unheard", "unheard"
	seen, missing, err := m.See(ctx, list, issuesNow)
	check(t, err)
	if !slices.Equal(missing, []int{0, 3}) || len(seen) != 1 || seen[0].Issue.ID != issueOf("other") {
		t.Fatalf("seen %+v, missing %v", seen, missing)
	}
	if i := readIssue(t, m, issueOf("known")); i.LastSeen != 2*second {
		t.Errorf("the rest was not stored: %+v", i)
	}
	if r, err := m.IssueReleases(ctx, millrace.DefaultProject); err != nil || len(r) != 1 {
		t.Errorf("releases %+v, %v: what is missing was not stored", r, err)
	}
	// One with a key serves for all of the same call.
	list[3].Key = "key-new"
	if seen := see(t, m, list...); len(seen) != 1 || seen[0].Issue.FirstSeen != 2*second || seen[0].Issue.LastSeen != 3*second {
		t.Errorf("seen %+v", seen)
	}
}

// A key of other settings than the newest starts nothing.
func seeOldSettings(t *testing.T, ctx context.Context, m millrace.Issues) {
	s := Sighting("a", 1)
	s.Settings = 1
	missing := func(want ...int) {
		t.Helper()
		if _, got, err := m.See(ctx, []millrace.Sighting{s}, issuesNow); err != nil || !slices.Equal(got, want) {
			t.Errorf("missing %v, %v, want %v", got, err, want)
		}
	}
	missing(0)
	check(t, m.SetIssueSettings(ctx, &millrace.IssueSettings{Project: millrace.DefaultProject}))
	s.Settings = 0
	missing(0)
	s.Settings = 1
	missing()
	s.Settings = 0 // it is known now
	missing()
	s = Sighting("a", 1)
	s.Project = "another"
	missing()
}

// seeOneTwice has one fingerprint in several sightings of a call.
func seeOneTwice(t *testing.T, ctx context.Context, m millrace.Issues) {
	a, b, c := keyless(Sighting("a", 30)), Sighting("a", 10), Sighting("a", 20)
	b.Env, b.Report = "test", []byte("of b")
	c.Key, c.Report = "another", []byte("of c")
	c.LastRelease = "9"
	seen := see(t, m, a, b, c)
	if len(seen) != 1 || !slices.Equal(seen[0].Sightings, []int{0, 1, 2}) || seen[0].Issue.Fingerprints != 1 ||
		seen[0].Issue.FirstSeen != 10*second || seen[0].Issue.LastSeen != 30*second || seen[0].Issue.LastRelease != "1.0" || seen[0].Issue.ID != issueOf("a") {
		t.Fatalf("seen %+v", seen)
	}
	reports, err := m.FingerprintReports(ctx, millrace.DefaultProject, []string{"a"})
	if err != nil || string(reports["a"]) != "of b" {
		t.Errorf("reports %q, %v", reports, err)
	}
}

func seeNotOpen(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 1), Sighting("b", 1), Sighting("c", 1))
	for fp, state := range map[string]millrace.IssueState{"a": millrace.IssueResolved, "b": millrace.IssueIgnored} {
		i := readIssue(t, m, issueOf(fp))
		i.State = state
		check(t, m.ChangeIssue(ctx, i))
	}
	seen := see(t, m, keyless(Sighting("b", 5)), keyless(Sighting("c", 5)), keyless(Sighting("a", 1)))
	if len(seen) != 2 {
		t.Fatalf("seen %+v", seen)
	}
	for _, s := range seen {
		at := map[string]int64{issueOf("a"): 1, issueOf("b"): 5}[s.Issue.ID]
		if s.Created || s.Issue.State == millrace.IssueOpen || s.Issue.LastSeen != at*second || s.Issue.Version != 1 || len(s.Sightings) != 1 {
			t.Errorf("seen %+v, %+v", s, s.Issue)
		}
	}
}

func nothing(t *testing.T, ctx context.Context, m millrace.Issues) {
	if seen := see(t, m); len(seen) != 0 {
		t.Errorf("seen %+v", seen)
	}
	_, err := m.Issue(ctx, millrace.DefaultProject, "none")
	wantCode(t, err, millrace.ErrNotFound)
	_, err = m.Regrouping(ctx, millrace.DefaultProject, 1)
	wantCode(t, err, millrace.ErrNotFound)
	wantCode(t, m.ChangeIssue(ctx, &millrace.Issue{Project: millrace.DefaultProject, ID: "none"}), millrace.ErrNotFound)
	wantCode(t, m.AddActivity(ctx, &millrace.Activity{Project: millrace.DefaultProject, Issue: "none"}), millrace.ErrNotFound)
	list, err := m.ListIssues(ctx, millrace.IssueQuery{Project: millrace.DefaultProject})
	f, err2 := m.Fingerprints(ctx, millrace.DefaultProject, nil)
	f2, err3 := m.Fingerprints(ctx, millrace.DefaultProject, []string{})
	projects, err4 := m.IssueProjects(ctx)
	s, err5 := m.IssueSettings(ctx, millrace.DefaultProject)
	for _, err := range []error{err, err2, err3, err4, err5} {
		check(t, err)
	}
	if len(list)+len(f)+len(f2)+len(projects) != 0 || s.Version != 0 || s.Project != millrace.DefaultProject {
		t.Errorf("%v %v %v %v %+v", list, f, f2, projects, s)
	}
}
