package issue

import (
	"context"
	"time"
)

// Settings are what a project says about its issues.
type Settings struct {
	Project  string      `json:"project"`
	Version  int64       `json:"version"` // 0: nobody changed them yet
	Grouping Grouping    `json:"grouping"`
	Owners   []OwnerRule `json:"owners"`
	Author   string      `json:"author,omitempty"`
	At       time.Time   `json:"at,omitzero"`
}

// Settings returns a project's settings, the defaults if nobody made any.
func (s *Service) Settings(ctx context.Context, project string) (*Settings, error) {
	return nil, errNotYet
}

// SetSettings replaces the settings that have the Version given, and returns the
// new ones. Owners and Grouping hold for fingerprints and issues that are new
// from then on; Regroup applies a Grouping to all. ErrInvalid: a bad rule.
// ErrConflict: somebody changed them meanwhile.
func (s *Service) SetSettings(ctx context.Context, in Settings, by string) (*Settings, error) {
	return nil, errNotYet
}
