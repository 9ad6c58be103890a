package issue

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// How a fingerprint came to its issue.
const (
	ByFingerprint = "fingerprint" // it groups by itself
	ByClient      = "client"      // whoever sent it, or a rule of its source, named the fingerprint
	ByVersion     = "version"     // the project groups by another version of the fingerprint
	ByRule        = "rule"        // a grouping rule of the project
	ByChange      = "change"      // people merged or parted it
)

// Explanation tells why an event is in its issue.
type Explanation struct {
	exception.Explanation // of the fingerprint's exemplar
	Project, Issue        string
	Fingerprint           string // of the event; the embedded one is what the exemplar gives
	Key                   string // what groups it
	By                    string // ByFingerprint, …
	Rule                  *exception.Rule
	Change                *millrace.Regrouping // of ByChange, the newest merge or unmerge that moved it and was not undone
	Text                  string               // all that in a sentence
	Report                millrace.Report      // the exemplar; empty if none is kept
}

// Explain explains a fingerprint of an issue; "" is the one seen first.
// ErrNotFound: the issue has no such fingerprint.
func (s *Service) Explain(ctx context.Context, project, id, fingerprint string) (*Explanation, error) {
	i, err := s.follow(ctx, project, id)
	if err != nil {
		return nil, err
	}
	prints, err := s.deps.Store.Fingerprints(ctx, project, []string{i.ID})
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(prints, func(f millrace.IssueFingerprint) bool { return fingerprint == "" || f.Fingerprint == fingerprint })
	if at < 0 {
		return nil, millrace.Errorf(millrace.ErrNotFound, "issue %s has no fingerprint %q", i.ID, fingerprint)
	}
	f := &prints[at]
	reports, err := s.deps.Store.FingerprintReports(ctx, project, []string{f.Fingerprint})
	if err != nil {
		return nil, err
	}
	set, err := s.Settings(ctx, project)
	if err != nil {
		return nil, err
	}
	x := &Explanation{Project: project, Issue: i.ID, Fingerprint: f.Fingerprint, Key: f.Key}
	r := readReport(reports[f.Fingerprint])
	_, by, rule := set.Grouping.key(f.Fingerprint, r, f.Service)
	x.By = by
	version := versionOf(f.Fingerprint)
	if by == ByVersion {
		version = set.Grouping.Version
	}
	if r != nil {
		x.Report = *r
		if version == 0 {
			version = exception.LatestVersion
		}
		x.Explanation = exception.Explain(version, r)
	}
	if rule >= 0 {
		x.Rule = &set.Grouping.Rules[rule]
	}
	if x.Change, err = s.movedBy(ctx, f); err != nil {
		return nil, err
	}
	if x.Change != nil {
		x.By = ByChange
	}
	x.Text = x.sentence(set)
	return x, nil
}

// movedBy returns the newest merge or unmerge in force that put a fingerprint, or
// its key before it came, where it is; nil if there is none.
func (s *Service) movedBy(ctx context.Context, f *millrace.IssueFingerprint) (*millrace.Regrouping, error) {
	list, err := s.deps.Store.Regroupings(ctx, f.Project, f.Issue, 0, MaxList)
	if err != nil {
		return nil, err
	}
	for k := range list {
		c := &list[k]
		if c.UndoneBy != 0 || c.Kind != "merge" && c.Kind != "unmerge" {
			continue
		}
		for _, m := range c.Moves {
			if m.To == f.Issue && (m.Fingerprint == f.Fingerprint || m.Fingerprint == "" && m.Key == f.Key) {
				return c, nil
			}
		}
	}
	return nil, nil
}

func (x *Explanation) sentence(set *Settings) string {
	switch x.By {
	case ByChange:
		verb := "merged it into this issue"
		if x.Change.Kind == "unmerge" {
			verb = "took it out of another issue"
		}
		return fmt.Sprintf("%s %s (change %d).", x.Change.Author, verb, x.Change.ID)
	case ByRule:
		return fmt.Sprintf("The project's grouping rule %q matches it: events for which the rule gives the same are one issue.", x.Rule.Name)
	case ByVersion:
		return fmt.Sprintf("The project groups by version %d of the fingerprint, of which this is one; events were counted by another version.", set.Grouping.Version)
	case ByClient:
		return "Whoever sent the event, or a rule of its source, said what is equal to it."
	}
	if x.Basis == "" {
		return "Events with the same fingerprint are one issue; no report of this one is kept."
	}
	return "Events with the same fingerprint are one issue. It was made of: " + x.Basis + "."
}
