package issue

import (
	"context"

	"github.com/millrace/millrace"
)

// MaxBulk is the most issues one action may name.
const MaxBulk = 1000

// Outcome is what an action did to one issue.
type Outcome struct {
	Issue    string // id as asked for
	Changed  bool   // false: it was so already
	Activity int64  // for UndoActivity; 0 if nothing changed
	Err      error  // nil, or ErrNotFound, ErrInvalid, …; other issues are not affected
}

// Resolution says when what is resolved counts as come again: with neither field
// set at any later event.
type Resolution struct {
	Release string // events of this release and later ones bring it back
	Next    bool   // those of releases first seen after now do
}

// Resolve marks issues as resolved by somebody. Ids of merged issues stand for the
// issue that they were merged into. The error is of the request itself
// (ErrInvalid: too many ids, Release and Next at once); those of single issues
// are in the outcomes, which are in the order of ids.
func (s *Service) Resolve(ctx context.Context, project string, ids []string, by string, in Resolution) ([]Outcome, error) {
	return nil, errNotYet
}

// Reopen makes issues open again, resolved, regressed or ignored ones.
func (s *Service) Reopen(ctx context.Context, project string, ids []string, by string) ([]Outcome, error) {
	return nil, errNotYet
}

// Ignore makes issues nobody's business, for ever or as far as in says; its At and
// By are set here.
func (s *Service) Ignore(ctx context.Context, project string, ids []string, by string, in millrace.Ignore) ([]Outcome, error) {
	return nil, errNotYet
}

// Assign gives issues to an owner, "" to nobody. Owners have at most 200 bytes.
func (s *Service) Assign(ctx context.Context, project string, ids []string, by, owner string) ([]Outcome, error) {
	return nil, errNotYet
}

// Note adds a note, of 1 to 10,000 bytes of text.
func (s *Service) Note(ctx context.Context, project string, ids []string, by, text string) ([]Outcome, error) {
	return nil, errNotYet
}

// Activities returns what happened to an issue, newest first, at most limit (0 is
// 100), before the id given (0: from the newest). The last of all is "created",
// which has the id 0.
func (s *Service) Activities(ctx context.Context, project, id string, before int64, limit int) ([]millrace.Activity, error) {
	return nil, errNotYet
}

// UndoActivity takes back what one activity changed of an issue's state, owner or
// ignore, and returns what that did. ErrConflict: what it changed was changed
// again, the message says what. ErrInvalid: it is a note, or a change of the
// grouping, which Undo takes back.
func (s *Service) UndoActivity(ctx context.Context, project, id string, activity int64, by string) (*Outcome, error) {
	return nil, errNotYet
}
