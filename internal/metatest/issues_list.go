package metatest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// wantList compares the fingerprints whose key started the issues of a list.
func wantList(t *testing.T, m millrace.Issues, q millrace.IssueQuery, want ...string) {
	t.Helper()
	if q.Project == "" {
		q.Project = millrace.DefaultProject
	}
	list, err := m.ListIssues(t.Context(), q)
	check(t, err)
	got := []string{}
	for _, i := range list {
		if !reflect.DeepEqual(i, readIssue(t, m, i.ID)) {
			t.Errorf("listed %+v, read %+v", i, readIssue(t, m, i.ID))
		}
		got = append(got, strings.TrimPrefix(i.Title, "title of "))
	}
	if !slices.Equal(got, append([]string{}, want...)) {
		t.Errorf("%+v: got %v, want %v", q, got, want)
	}
}

func listIssues(t *testing.T, ctx context.Context, m millrace.Issues) {
	see(t, m, Sighting("a", 10), Sighting("b", 20), Sighting("c", 30), Sighting("d", 5))
	see(t, m, keyless(Sighting("a", 40)))
	set := func(fp string, state millrace.IssueState, owner string) {
		i := readIssue(t, m, issueOf(fp))
		i.State, i.Owner = state, owner
		check(t, m.ChangeIssue(ctx, i))
	}
	set("b", millrace.IssueResolved, "team-b")
	set("c", millrace.IssueIgnored, "")
	wantList(t, m, millrace.IssueQuery{}, "a", "c", "b", "d")
	wantList(t, m, millrace.IssueQuery{Order: "last_seen"}, "a", "c", "b", "d")
	wantList(t, m, millrace.IssueQuery{Order: "first_seen"}, "c", "b", "a", "d")
	byID := []string{"a", "b", "c", "d"}
	slices.SortFunc(byID, func(a, b string) int { return strings.Compare(issueOf(a), issueOf(b)) })
	wantList(t, m, millrace.IssueQuery{Order: "id"}, byID...)
	wantList(t, m, millrace.IssueQuery{States: []millrace.IssueState{millrace.IssueOpen}}, "a", "d")
	wantList(t, m, millrace.IssueQuery{States: []millrace.IssueState{millrace.IssueIgnored, millrace.IssueResolved}}, "c", "b")
	wantList(t, m, millrace.IssueQuery{States: []millrace.IssueState{millrace.IssueRegressed}})
	wantList(t, m, millrace.IssueQuery{IDs: []string{issueOf("d"), "none", issueOf("a"), issueOf("a")}}, "a", "d")
	for owner, want := range map[string][]string{"": {"c"}, "team-a": {"a", "d"}, "team-b": {"b"}, "nobody": nil} {
		wantList(t, m, millrace.IssueQuery{Owner: &owner}, want...)
	}
	wantList(t, m, millrace.IssueQuery{NewSince: 20 * second}, "c", "b")
	wantList(t, m, millrace.IssueQuery{SeenSince: 30*second + 1}, "a")
	team := "team-a"
	wantList(t, m, millrace.IssueQuery{Owner: &team, NewSince: 6 * second, Text: "TYPE", States: []millrace.IssueState{millrace.IssueOpen}}, "a")
	wantList(t, m, millrace.IssueQuery{Project: "another"})
	_, err := m.ListIssues(ctx, millrace.IssueQuery{Project: millrace.DefaultProject, Order: "title; DROP TABLE issues"})
	wantCode(t, err, millrace.ErrInvalid)
}

// Text is searched for as it is, in any case, also after it has changed.
func listText(t *testing.T, ctx context.Context, m millrace.Issues) {
	named := func(fp, typ, title, culprit string) millrace.Sighting {
		s := Sighting(fp, 10)
		s.Type, s.Title, s.Culprit = typ, "title of "+title, culprit
		return s
	}
	see(t, m, named("a", "java.lang.NullPointerException", "a", "Shop.java in buy"),
		named("b", "ValueError", "100% of \\x_y ÄRGER [x] it's \"so\"", ""), named("c", "Other", "c", "100 of xzy"))
	b := "100% of \\x_y ÄRGER [x] it's \"so\""
	for text, want := range map[string][]string{
		"nullpointer": {"a"}, "LANG.NULL": {"a"}, "shop.JAVA": {"a"}, "100%": {b}, "%": {b}, "x_y": {b}, "_": {b}, "\\X": {b}, "ärger": {b}, "Ärger [X]": {b},
		"it's": {b}, "\"so\"": {b}, "100": {b, "c"}, "*": nil, "nobody wrote this": nil, issueOf("c"): {"c"}, strings.ToUpper(issueOf("a")[2:9]): {"a"},
		strings.Repeat("x", 100_000): nil, "\x00": nil,
	} {
		if len(want) == 2 && issueOf("b") > issueOf("c") {
			slices.Reverse(want)
		}
		wantList(t, m, millrace.IssueQuery{Text: text}, want...)
	}
	earlier := named("c", "Other", "renamed", "elsewhere")
	earlier.First--
	see(t, m, earlier)
	wantList(t, m, millrace.IssueQuery{Text: "xzy"})
	wantList(t, m, millrace.IssueQuery{Text: "RENAMED"}, "renamed")
}

// Pages put together are the list, also where all were seen at the same time.
func listPages(t *testing.T, ctx context.Context, m millrace.Issues) {
	var list []millrace.Sighting
	for i := range 25 {
		list = append(list, Sighting(fmt.Sprint(i), int64(i%3)))
	}
	see(t, m, list...)
	for _, order := range []string{"last_seen", "first_seen", "id"} {
		q := millrace.IssueQuery{Project: millrace.DefaultProject, Order: order}
		all, err := m.ListIssues(ctx, q)
		check(t, err)
		var paged []*millrace.Issue
		for q.Limit = 4; ; q.Offset += q.Limit {
			page, err := m.ListIssues(ctx, q)
			check(t, err)
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
		}
		if len(all) != 25 || !reflect.DeepEqual(paged, all) {
			t.Errorf("order %s: %d issues, %d of pages, which differ", order, len(all), len(paged))
		}
		q.Limit, q.Offset = 0, 20
		if rest, err := m.ListIssues(ctx, q); err != nil || !reflect.DeepEqual(rest, all[20:]) {
			t.Errorf("order %s: %d issues from 20 on, %v", order, len(rest), err)
		}
	}
}
