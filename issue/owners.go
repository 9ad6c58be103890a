package issue

import (
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
	if r == nil {
		r = &millrace.Report{Exception: &millrace.Exception{Type: one.Type, Message: one.Title}}
	}
	rules := make([]exception.Rule, len(owners))
	for i := range owners {
		rules[i] = owners[i].rule()
	}
	if _, i := exception.ApplyRules(rules, r, exception.Origin{Service: one.Service}, ""); i >= 0 {
		return owners[i].Owner
	}
	return ""
}

func ordinal(i int) string { return strconv.Itoa(i + 1) }
