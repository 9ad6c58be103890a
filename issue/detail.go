package issue

import (
	"context"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// Detail is all about one issue but its events.
type Detail struct {
	Row
	RedirectedFrom string // the id asked for, if that issue was merged into this one
	Fingerprints   []Fingerprint
	Sights         []millrace.Sight // by fingerprint and environment
	// Breakdowns of Count, the most first, at most MaxShares and what is left as
	// "(rest)". Environments are of all, the others of those asked for.
	Releases, Hosts, Environments, Services []Share
	Times                                   []time.Time // beginnings of the series' steps
	Step                                    time.Duration
	Series                                  []float64           // counts by Times
	Activities                              []millrace.Activity // the newest 50, see Service.Activities
	Changes                                 []millrace.Regrouping
	CompleteUntil, CompleteFrom             time.Time // as in Page
}

// MaxShares bounds a breakdown.
const MaxShares = 20

// Share is a part of a count. Users overlap between shares.
type Share struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
	Users int64  `json:"users"`
}

// Fingerprint is one fingerprint of an issue.
type Fingerprint struct {
	millrace.IssueFingerprint
	Count int64
}

// Get returns an issue with its numbers in env and range. An id of a merged issue
// gives the one that it was merged into. ErrNotFound.
func (s *Service) Get(ctx context.Context, project, id, env string, r query.Range) (*Detail, error) {
	return nil, errNotYet
}

// Releases returns the releases of a project that had exceptions, newest first
// seen first.
func (s *Service) Releases(ctx context.Context, project string) ([]millrace.IssueRelease, error) {
	return nil, errNotYet
}

// Projects returns the projects that have issues, by name.
func (s *Service) Projects(ctx context.Context) ([]string, error) {
	return s.deps.Store.IssueProjects(ctx)
}
