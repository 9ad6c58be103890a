package issue

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/issuetest"
	"github.com/millrace/millrace/query"
)

func TestEventsOfAnIssue(t *testing.T) {
	w, issueOf := merged(t)
	ctx := t.Context()
	id := millrace.IssueID(testProject, fmt.Sprintf("2:%016x", 11))
	r := query.Range{From: testStart.Add(-30 * day), To: testStart.Add(time.Hour)}
	var want []string
	for i := range w.events {
		if e := &w.events[i]; e.Project == testProject && issueOf(e) == id && production(e) {
			want = append(want, time.Unix(0, e.Time).UTC().String())
		}
	}
	var got []millrace.StoredEvent
	for cursor := ""; ; {
		page, err := w.service.Events(ctx, testProject, id, "", cursor, 7, r)
		ok(t, err)
		got = append(got, page.Events...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(got) != len(want) || len(got) < 20 {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	samples, err := w.service.Samples(ctx, testProject, id, "", 5, r)
	ok(t, err)
	roles := map[string]int{}
	for i := range samples {
		roles[samples[i].Role]++
		rep, found := SampleReport(&samples[i].Event)
		if !found || rep.Exception == nil || len(rep.Exception.Frames) != 1 {
			t.Errorf("report %+v, %v", rep, found)
		}
	}
	if roles[RoleNewest] != 1 || roles[RoleOldest] != 1 || roles[RoleRandom] != 5 {
		t.Errorf("roles %v", roles)
	}
	if n := len(samples); !samples[0].Event.Time.Equal(got[0].Time) || !samples[n-1].Event.Time.Equal(got[len(got)-1].Time) {
		t.Error("the newest and the oldest are not at the ends")
	}
}

func TestReportsOfOldRows(t *testing.T) {
	e := &millrace.StoredEvent{Kind: "exception", Message: "it broke", Attrs: json.RawMessage(`{"type":"A","frames":[{"function":"f","in_app":true}]}`)}
	r, found := SampleReport(e)
	if !found || r.Exception.Type != "A" || len(r.Exception.Frames) != 1 {
		t.Errorf("%+v, %v", r, found)
	}
	e.Message = "java.lang.IllegalStateException: no\n\tat shop.Cart.add(Cart.java:7)\n"
	e.Attrs = json.RawMessage(`{"type":"java.lang.IllegalStateException","frames":[{"function":"add"}]}`)
	if r, found = SampleReport(e); !found || r.Language != "java" || r.Exception.Frames[0].Line != 7 {
		t.Errorf("%+v, %v", r, found)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"exception_report":{"v":9}}`} {
		if _, found := SampleReport(&millrace.StoredEvent{Kind: "exception", Attrs: json.RawMessage(bad)}); found {
			t.Errorf("a report of %s", bad)
		}
	}
}

func TestExplain(t *testing.T) {
	w := newWorld(t, nil, nil)
	ctx := t.Context()
	at := testStart.Add(-time.Hour)
	algorithm := fmt.Sprintf("2:%016x", 1)
	w.throw(testProject, thrown{fingerprint: algorithm, typ: "A", at: at, weight: 1}, thrown{fingerprint: "c:named", typ: "B", at: at, weight: 1},
		thrown{fingerprint: "c:merged", typ: "C", at: at, weight: 1})
	check := func(fingerprint, by, text string) {
		t.Helper()
		of, err := w.issues.IssuesOf(ctx, testProject, []string{fingerprint})
		ok(t, err)
		x, err := w.service.Explain(ctx, testProject, of[fingerprint], fingerprint)
		ok(t, err)
		if x.By != by || !strings.Contains(x.Text, text) || len(x.Parts) == 0 || x.Report.Exception == nil {
			t.Errorf("%s: %s, %q, %d parts, want %s, %q", fingerprint, x.By, x.Text, len(x.Parts), by, text)
		}
	}
	check(algorithm, ByFingerprint, "same fingerprint")
	check("c:named", ByClient, "Whoever sent")
	_, err := w.service.Merge(ctx, testProject, millrace.IssueID(testProject, "c:named"), []string{millrace.IssueID(testProject, "c:merged")}, "ann", "")
	ok(t, err)
	check("c:merged", ByChange, "ann merged")
	g := Grouping{Version: 2, Rules: []exception.Rule{{Name: "bees", Match: []exception.Matcher{{Field: "type", Pattern: "B"}}, Fingerprint: "bees"}}}
	preview, err := w.service.PreviewRegroup(ctx, testProject, g)
	ok(t, err)
	_, err = w.service.Regroup(ctx, testProject, g, "ann", "")
	ok(t, err)
	check("c:named", ByRule, "bees")
	check(algorithm, ByVersion, "version 2")
	list, err := w.issues.ListIssues(ctx, millrace.IssueQuery{Project: testProject})
	ok(t, err)
	if preview.After != len(list) || preview.Issues != 2 || preview.Fingerprints != 3 {
		t.Errorf("preview %+v, then %d issues", preview, len(list))
	}
}

// TestPreviewTellsWhatRegroupDoes compares the preview's groups with the issues
// after.
func TestPreviewTellsWhatRegroupDoes(t *testing.T) {
	w := newWorld(t, nil, nil)
	w.throw(testProject, randomThrown(rand.New(rand.NewPCG(5, 5)), 200, 30, w.clock.now)...)
	g := Grouping{Rules: []exception.Rule{by("type")}}
	p, err := w.service.PreviewRegroup(t.Context(), testProject, g)
	ok(t, err)
	r, err := w.service.Regroup(t.Context(), testProject, g, "ann", "")
	ok(t, err)
	if p.After != 7 || p.Moved == 0 || len(p.Groups) != 7 || r.SettingsAfter == nil {
		t.Fatalf("%+v", p)
	}
	page, err := w.service.List(t.Context(), ListRequest{Project: testProject, Env: EnvAll, Range: w.lastDays(30)})
	ok(t, err)
	counts := map[string]int64{}
	for i := range page.Rows {
		counts[page.Rows[i].ID] = page.Rows[i].Count
	}
	for _, group := range p.Groups {
		if counts[group.Issue] != group.Count || group.Count == 0 || group.Title == "" {
			t.Errorf("issue %s has %d occurrences, the preview said %+v", group.Issue, counts[group.Issue], group)
		}
	}
}

// TestToldAgainAfterAFault fails each call now and then: what is told again in the
// end is stored once.
func TestToldAgainAfterAFault(t *testing.T) {
	for seed := range uint64(50) {
		store := issuetest.New()
		s, c := newTest(store, nil)
		rnd := rand.New(rand.NewPCG(seed, 1))
		must(t, s.See(t.Context(), []millrace.Sighting{fault(1, c.now)}))
		id := millrace.IssueID(testProject, "f01")
		_, err := s.Resolve(t.Context(), testProject, []string{id}, "ann", Resolution{})
		must(t, err)
		c.now = c.now.Add(time.Hour)
		store.Fail = func(string) error {
			if rnd.IntN(2) == 0 {
				return millrace.Errorf(millrace.ErrUnavailable, "away")
			}
			return nil
		}
		batch := []millrace.Sighting{fault(1, c.now), fault(2, c.now)}
		for err = s.See(t.Context(), batch); err != nil; err = s.See(t.Context(), batch) {
			if millrace.ErrorCode(err) != millrace.ErrUnavailable {
				t.Fatal(err)
			}
		}
		store.Fail = nil
		must(t, s.See(t.Context(), batch))
		kinds := map[string]int{}
		list, err := s.Activities(t.Context(), testProject, "", 0, 0)
		must(t, err)
		for _, a := range list {
			kinds[a.Kind]++
		}
		if kinds["created"] != 2 || kinds["regressed"] != 1 || kinds["resolved"] != 1 || len(list) != 4 {
			t.Fatalf("seed %d: %v", seed, kinds)
		}
	}
}
