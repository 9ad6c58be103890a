package issue

import (
	"github.com/millrace/millrace/exception"
)

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
func (g *Grouping) Check() error { return errNotYet }
