package issue

import (
	"context"

	"github.com/millrace/millrace"
)

// Preview is what a change of the grouping would do.
type Preview struct {
	Fingerprints int // all of the project
	Issues       int // there are now
	After        int // there would be
	Moved        int // fingerprints that would change their issue
	// Groups are the issues that would gain or lose fingerprints, those with most
	// occurrences first, at most MaxPreview.
	Groups  []PreviewGroup
	Omitted int // further groups
	// Version of the settings it is computed from.
	Version int64
}

// MaxPreview bounds the groups of a Preview.
const MaxPreview = 500

// PreviewGroup is one issue as it would be.
type PreviewGroup struct {
	Issue string // id that it would have
	New   bool   // no such issue now
	Title string
	Type  string
	// Parts are the issues that its fingerprints come from, itself too; one part
	// that is another issue: it is parted from that one.
	Parts []PreviewPart
	Count int64 // occurrences of the last 30 days in all environments; -1 unknown
}

// PreviewPart is what one issue gives to a group.
type PreviewPart struct {
	Issue, Type, Title string
	Fingerprints       int   // that come from it
	Stay               int   // fingerprints that it keeps, or gives to other groups
	Count              int64 // occurrences of those that come from it; -1 unknown
}

// PreviewRegroup tells what Regroup would do. It changes nothing.
func (s *Service) PreviewRegroup(ctx context.Context, project string, g Grouping) (*Preview, error) {
	return nil, errNotYet
}

// Regroup groups all fingerprints of a project by g, which becomes part of its
// settings. What people merged stays together unless rules part it, and an issue
// stays the issue that it was as far as possible. ErrConflict: others changed the
// grouping meanwhile.
func (s *Service) Regroup(ctx context.Context, project string, g Grouping, by, note string) (*millrace.Regrouping, error) {
	return nil, errNotYet
}

// Changes returns merges, unmerges, regroups and what took them back, newest
// first, at most limit (0 is 100), before the id given (0: from the newest); of
// one issue, or of all if it is empty.
func (s *Service) Changes(ctx context.Context, project, id string, before int64, limit int) ([]millrace.Regrouping, error) {
	return nil, errNotYet
}

// Undo takes back a change of the grouping: fingerprints and keys go where they
// were, and so do those that came meanwhile because of it. ErrConflict: a later
// change stands in the way, which the message names, or it was undone.
func (s *Service) Undo(ctx context.Context, project string, change int64, by string) (*millrace.Regrouping, error) {
	return nil, errNotYet
}
