package issue

import (
	"context"

	"github.com/millrace/millrace"
)

// Merge moves all fingerprints of the issues ids, and those to come, to the issue
// into. The emptied issues stay as references to it. ErrNotFound, ErrInvalid:
// nothing to merge. ErrConflict: they changed meanwhile.
func (s *Service) Merge(ctx context.Context, project, into string, ids []string, by, note string) (*millrace.Regrouping, error) {
	return nil, errNotYet
}

// Unmerge takes fingerprints out of an issue: to the issues that they would be by
// themselves, by their keys. ErrInvalid: one is not the issue's, or none would be
// left.
func (s *Service) Unmerge(ctx context.Context, project, id string, fingerprints []string, by, note string) (*millrace.Regrouping, error) {
	return nil, errNotYet
}
