package issue

import (
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// MaxRules bounds the grouping rules and the owner rules of a project: each is
// tried for every new fingerprint.
const MaxRules = 500

// Grouping says which fingerprints are one issue: those with the same key. It is
// the JSON of millrace.IssueSettings.Grouping.
type Grouping struct {
	// Version of the fingerprint that groups; 0: each fingerprint by itself. What
	// clients and rules of sources named themselves stays by itself.
	Version int `json:"version"`
	// Rules come before: of the first that matches the key is made. They see type,
	// message, frames and service; env and release are refused, since a fingerprint
	// is seen in several.
	Rules []exception.Rule `json:"rules,omitempty"`
}

// Check tells what is wrong with g: ErrInvalid, naming the rule.
func (g *Grouping) Check() error {
	if g.Version < 0 || g.Version > exception.LatestVersion {
		return millrace.Errorf(millrace.ErrInvalid, "version %d: must be between 0 and %d", g.Version, exception.LatestVersion)
	}
	if len(g.Rules) > MaxRules {
		return millrace.Errorf(millrace.ErrInvalid, "%d grouping rules: at most %d", len(g.Rules), MaxRules)
	}
	for i := range g.Rules {
		if err := checkRule(&g.Rules[i], "grouping", i); err != nil {
			return err
		}
	}
	return nil
}

func checkRule(r *exception.Rule, what string, i int) error {
	if err := ruleError(r); err != nil {
		return &millrace.Error{Code: millrace.ErrInvalid, Message: what + " rule " + ordinal(i) + ": " + err.Error()}
	}
	return nil
}

// ruleError tells what is wrong with a rule.
func ruleError(r *exception.Rule) error {
	if err := exception.CheckRule(r); err != nil {
		return err
	}
	for _, m := range r.Match {
		if m.Field == "env" || m.Field == "release" {
			return fmt.Errorf("%s cannot group, since one fingerprint is seen in several", m.Field)
		}
	}
	return nil
}

// plain reports whether every fingerprint is its own key.
func (g *Grouping) plain() bool { return g.Version == 0 && len(g.Rules) == 0 }

// key returns what groups a fingerprint, how it came by it (ByFingerprint, …) and
// the index of the rule of ByRule. r is its exemplar's, nil if that tells nothing.
// It is a pure function of its arguments.
func (g *Grouping) key(fingerprint string, r *millrace.Report, service string) (key, by string, rule int) {
	key, by = fingerprint, ByFingerprint
	if versionOf(fingerprint) == 0 {
		by = ByClient
	} else if g.Version > 0 && r != nil {
		if f := exception.FingerprintOf(g.Version, r); f != "" && f != fingerprint {
			key, by = f, ByVersion
		}
	}
	if r == nil || len(g.Rules) == 0 {
		return key, by, -1
	}
	custom, rule := exception.ApplyRules(g.Rules, r, exception.Origin{Service: service}, key)
	if rule >= 0 {
		key, by = custom, ByRule
	}
	return key, by, rule
}

// versionOf returns the version of a fingerprint that an algorithm made, 0 for one
// that somebody named.
func versionOf(fingerprint string) int {
	if len(fingerprint) != 18 || fingerprint[1] != ':' {
		return 0
	}
	if v := int(fingerprint[0] - '0'); v >= 1 && v <= exception.LatestVersion {
		return v
	}
	return 0
}

// readReport reads an exemplar, nil if it tells nothing: a fingerprint whose
// report is damaged is grouped like one without.
func readReport(data []byte) *millrace.Report {
	if len(data) == 0 {
		return nil
	}
	r, err := exception.ParseReport(data)
	if err != nil || r.Exception == nil {
		return nil
	}
	return &r
}
