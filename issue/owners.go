package issue

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// MaxOwner is the most bytes of an owner's name.
const MaxOwner = 200

// OwnerRule gives new issues to an owner. The first rule that matches counts. A
// project's rules are the JSON of millrace.IssueSettings.Owners, a list.
type OwnerRule struct {
	// Match are patterns over file, module, function, type, message and service;
	// all must hold, those of frames for one frame.
	Match []exception.Matcher `json:"match"`
	Owner string              `json:"owner"` // a person or a team
}

// rule returns a rule of grouping with the same matchers.
func (o *OwnerRule) rule() exception.Rule {
	return exception.Rule{Match: o.Match, Fingerprint: "owner"}
}

func checkOwners(rules []OwnerRule) error {
	if len(rules) > MaxRules {
		return millrace.Errorf(millrace.ErrInvalid, "%d owner rules: at most %d", len(rules), MaxRules)
	}
	for i := range rules {
		if err := checkOwner(rules[i].Owner); err != nil {
			return err
		}
		if rules[i].Owner == "" {
			return millrace.Errorf(millrace.ErrInvalid, "owner rule %s names no owner", ordinal(i))
		}
		r := rules[i].rule()
		if err := checkRule(&r, "owner", i); err != nil {
			return err
		}
	}
	return nil
}

func checkOwner(owner string) error {
	if len(owner) > MaxOwner {
		return millrace.Errorf(millrace.ErrInvalid, "the owner has %d bytes, at most %d", len(owner), MaxOwner)
	}
	return nil
}

// ownerOf returns the owner of the first rule that matches, "" if none does. r may
// be nil: then type, title and service are all that rules see.
func ownerOf(owners []OwnerRule, r *millrace.Report, one *millrace.Sighting) string {
	if len(owners) == 0 {
		return ""
	}
	if i := ownerRule(matching(owners), r, one.Type, one.Title, one.Service); i >= 0 {
		return owners[i].Owner
	}
	return ""
}

// matching returns rules of grouping with the same matchers.
func matching(owners []OwnerRule) []exception.Rule {
	rules := make([]exception.Rule, len(owners))
	for i := range owners {
		rules[i] = owners[i].rule()
	}
	return rules
}

// ownerRule returns the index of the first rule that matches, -1 if none does.
func ownerRule(rules []exception.Rule, r *millrace.Report, typ, title, service string) int {
	if r == nil {
		r = &millrace.Report{Exception: &millrace.Exception{Type: typ, Message: title}}
	}
	_, i := exception.ApplyRules(rules, r, exception.Origin{Service: service}, "")
	return i
}

// OwnersPreview is what owner rules would say of the issues that there are, if they
// were new.
type OwnersPreview struct {
	Issues int
	Rules  []OwnerMatches // by rule
	Nobody int            // issues that no rule matches
}

// OwnerMatches are the issues that one rule decides on.
type OwnerMatches struct {
	Owner  string
	Issues int
	IDs    []string // of those seen last, at most 5
}

const ownerExamples = 5

// PreviewOwners tells which rule would decide on each issue of a project. It
// changes nothing. ErrInvalid: a bad rule.
func (s *Service) PreviewOwners(ctx context.Context, project string, owners []OwnerRule) (*OwnersPreview, error) {
	if err := checkOwners(owners); err != nil {
		return nil, err
	}
	all, err := s.deps.Store.Fingerprints(ctx, project, nil)
	if err != nil {
		return nil, err
	}
	// By issue, the first of each is the one that its owner was chosen by.
	firsts := slices.CompactFunc(all, func(a, b millrace.IssueFingerprint) bool { return a.Issue == b.Issue })
	slices.SortStableFunc(firsts, func(a, b millrace.IssueFingerprint) int { return cmp.Compare(b.LastSeen, a.LastSeen) })
	p := &OwnersPreview{Issues: len(firsts), Rules: make([]OwnerMatches, len(owners))}
	for i := range owners {
		p.Rules[i].Owner = owners[i].Owner
	}
	rules := matching(owners)
	for batch := range slices.Chunk(firsts, reportBatch) {
		names := make([]string, len(batch))
		for i := range batch {
			names[i] = batch[i].Fingerprint
		}
		reports, err := s.deps.Store.FingerprintReports(ctx, project, names)
		if err != nil {
			return nil, err
		}
		for i := range batch {
			f := &batch[i]
			at := ownerRule(rules, readReport(reports[f.Fingerprint]), f.Type, f.Title, f.Service)
			if at < 0 {
				p.Nobody++
				continue
			}
			m := &p.Rules[at]
			m.Issues++
			if len(m.IDs) < ownerExamples {
				m.IDs = append(m.IDs, f.Issue)
			}
		}
	}
	return p, nil
}

func ordinal(i int) string { return strconv.Itoa(i + 1) }
