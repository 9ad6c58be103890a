package issue

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/millrace/millrace"
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
	stored, err := s.deps.Store.IssueSettings(ctx, project)
	if err != nil {
		return nil, err
	}
	return readSettings(stored)
}

// SetSettings replaces the settings that have the Version given, and returns the
// new ones. Owners hold for issues that are new from then on; that they changed is
// a change of kind "owners", which Undo takes back. ErrInvalid: a bad rule, or
// another Grouping: that is Regroup's, so that fingerprints and settings always
// agree. ErrConflict: somebody changed them meanwhile.
func (s *Service) SetSettings(ctx context.Context, in Settings, by string) (*Settings, error) {
	if err := checkOwners(in.Owners); err != nil {
		return nil, err
	}
	have, err := s.Settings(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	if !sameGrouping(&have.Grouping, &in.Grouping) {
		return nil, millrace.Errorf(millrace.ErrInvalid, "the grouping differs from that in force: it changes by regrouping, which can be previewed and undone")
	}
	in.Author, in.At = by, s.deps.Now()
	before := have.stored()
	before.Version = in.Version // the store refuses any but the newest
	r := &millrace.Regrouping{Project: in.Project, At: in.At.UnixNano(), Author: by, Kind: "owners", SettingsBefore: before, SettingsAfter: in.stored()}
	if err := s.deps.Store.Regroup(ctx, r); err != nil {
		return nil, err
	}
	return readSettings(r.SettingsAfter)
}

func readSettings(stored *millrace.IssueSettings) (*Settings, error) {
	out := &Settings{Project: stored.Project, Version: stored.Version, Owners: []OwnerRule{}, Author: stored.Author}
	if stored.At != 0 {
		out.At = time.Unix(0, stored.At).UTC()
	}
	for _, part := range []struct {
		text []byte
		into any
	}{{stored.Grouping, &out.Grouping}, {stored.Owners, &out.Owners}} {
		if len(part.text) == 0 {
			continue
		}
		if err := json.Unmarshal(part.text, part.into); err != nil {
			return nil, &millrace.Error{Code: millrace.ErrCorrupt, Op: "read settings of issues of project " + stored.Project, Err: err}
		}
	}
	return out, nil
}

// stored is what readSettings reads. Marshalling cannot fail: all are strings,
// numbers and lists of them.
func (set *Settings) stored() *millrace.IssueSettings {
	out := &millrace.IssueSettings{Project: set.Project, Version: set.Version, Author: set.Author}
	if !set.At.IsZero() {
		out.At = set.At.UnixNano()
	}
	out.Grouping, _ = json.Marshal(&set.Grouping)
	owners := set.Owners
	if owners == nil {
		owners = []OwnerRule{}
	}
	out.Owners, _ = json.Marshal(owners)
	return out
}

// groupsAs and ownsAs report whether two settings say the same.
func (set *Settings) groupsAs(o *Settings) bool { return sameGrouping(&set.Grouping, &o.Grouping) }

func (set *Settings) ownsAs(o *Settings) bool {
	return bytes.Equal(set.stored().Owners, o.stored().Owners)
}
