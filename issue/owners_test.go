package issue

import (
	"maps"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/issuetest"
)

// TestPreviewOwners compares a preview with the owners that the same issues get
// when they are new.
func TestPreviewOwners(t *testing.T) {
	owners := []OwnerRule{
		{Match: []exception.Matcher{{Field: "type", Pattern: "T1"}, {Field: "module", Pattern: "M2"}}, Owner: "ann"},
		{Match: []exception.Matcher{{Field: "type", Pattern: "T1"}}, Owner: "bob"},
		{Match: []exception.Matcher{{Field: "type", Pattern: "nothing"}}, Owner: "cid"},
		{Match: []exception.Matcher{{Field: "message", Pattern: "message 1*"}}, Owner: "ann"},
	}
	s, c := newTest(issuetest.New(), nil)
	told, _ := newTest(issuetest.New(), nil)
	_, err := told.SetSettings(t.Context(), Settings{Project: testProject, Owners: owners}, "dan")
	must(t, err)
	for n := range 40 {
		seen := []millrace.Sighting{fault(n, c.now)}
		must(t, s.See(t.Context(), seen))
		must(t, told.See(t.Context(), []millrace.Sighting{fault(n, c.now)}))
	}
	p, err := s.PreviewOwners(t.Context(), testProject, owners)
	must(t, err)
	want := map[string]int{"cid": 0}
	for _, i := range mustList(t, told) {
		want[i.Owner]++
	}
	got := map[string]int{"": p.Nobody}
	for i, r := range p.Rules {
		got[r.Owner] += r.Issues
		if r.Owner != owners[i].Owner || len(r.IDs) != min(r.Issues, ownerExamples) {
			t.Errorf("rule %d: %+v", i, r)
		}
	}
	if p.Issues != 40 || got["cid"] != 0 || !maps.Equal(got, want) {
		t.Errorf("preview %v of %d, want %v", got, p.Issues, want)
	}
	if _, err := s.PreviewOwners(t.Context(), testProject, []OwnerRule{{Owner: "x"}}); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("a rule without matchers: %v", err)
	}
}

func mustList(t *testing.T, s *Service) []*millrace.Issue {
	t.Helper()
	list, err := s.deps.Store.ListIssues(t.Context(), millrace.IssueQuery{Project: testProject})
	must(t, err)
	return list
}
