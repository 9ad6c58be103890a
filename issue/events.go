package issue

import (
	"context"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// Events returns the stored events of an issue in env and range, newest first, at
// most limit (0 is 100): the samples that were kept, not all that was counted.
// cursor is Next of the page before.
func (s *Service) Events(ctx context.Context, project, id, env, cursor string, limit int, r query.Range) (*query.LogsResult, error) {
	return nil, errNotYet
}

// Sample is an event picked to stand for an issue.
type Sample struct {
	Role  string // "newest", "oldest", "random"
	Event millrace.StoredEvent
}

// Samples picks of the stored events of an issue in env and range the newest, the
// oldest and at most random others, each as likely as any other of the newest
// thousand. The same events give the same choice. Newest first; fewer if there
// are fewer.
func (s *Service) Samples(ctx context.Context, project, id, env string, random int, r query.Range) ([]Sample, error) {
	return nil, errNotYet
}

// SampleReport returns the report that an event was stored with: what attribute
// exception_report says, or for rows of older versions what frames, type and
// message tell. ok is false if e is no exception or has neither.
func SampleReport(e *millrace.StoredEvent) (r millrace.Report, ok bool) { return r, false }
