package issue

import (
	"context"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// How a fingerprint came to its issue.
const (
	ByFingerprint = "fingerprint" // it groups by itself
	ByClient      = "client"      // whoever sent it, or a rule of its source, named the fingerprint
	ByVersion     = "version"     // the project groups by another version of the fingerprint
	ByRule        = "rule"        // a grouping rule of the project
	ByChange      = "change"      // people merged or parted, or the project was regrouped
)

// Explanation tells why an event is in its issue.
type Explanation struct {
	exception.Explanation // of the fingerprint's exemplar
	Project, Issue        string
	Fingerprint           string // of the event; the embedded one is what the exemplar gives
	Key                   string // what groups it
	By                    string // ByFingerprint, …
	Rule                  *exception.Rule
	Change                *millrace.Regrouping // of ByChange, the newest that moved it and was not undone
	Text                  string               // all that in a sentence
	Report                millrace.Report      // the exemplar
}

// Explain explains a fingerprint of an issue; "" is the one seen first.
func (s *Service) Explain(ctx context.Context, project, id, fingerprint string) (*Explanation, error) {
	return nil, errNotYet
}
