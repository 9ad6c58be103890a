package issue

import (
	"context"
	"encoding/json"

	"github.com/millrace/millrace"
)

// Facts are what people and time change of an issue.
type Facts struct {
	State      millrace.IssueState `json:"state"`
	Resolution millrace.Resolution `json:"resolution,omitzero"`
	Ignore     millrace.Ignore     `json:"ignore,omitzero"`
	Regressed  int64               `json:"regressed,omitempty"` // ns
	Owner      string              `json:"owner,omitempty"`
}

func factsOf(i *millrace.Issue) Facts {
	return Facts{i.State, i.Resolution, i.Ignore, i.Regressed, i.Owner}
}

func (f *Facts) apply(i *millrace.Issue) {
	i.State, i.Resolution, i.Ignore, i.Regressed, i.Owner = f.State, f.Resolution, f.Ignore, f.Regressed, f.Owner
}

// ActivityData is the JSON of millrace.Activity.Data. Which fields there are
// depends on the kind.
type ActivityData struct {
	// Before and After are the issue's state, resolution, ignore and owner, of
	// resolved, regressed, ignored, unignored, reopened, assigned and undone.
	Before *Facts `json:"before,omitempty"`
	After  *Facts `json:"after,omitempty"`
	Undoes int64  `json:"undoes,omitempty"` // the activity that undone took back
	// Of regressed: where and in what it came back.
	Env     string `json:"env,omitempty"`
	Release string `json:"release,omitempty"`
	// Of unignored: what ended it ("until", "occurrences", "users") and how many
	// there were.
	Reason string `json:"reason,omitempty"`
	Count  int64  `json:"count,omitempty"`
	// Of merged, unmerged and regrouped: how many fingerprints this issue gained
	// and lost, and of which others.
	Gained int      `json:"gained,omitempty"`
	Lost   int      `json:"lost,omitempty"`
	Issues []string `json:"issues,omitempty"`
}

// ReadActivity reads an activity's data. Fields it does not know are left alone.
func ReadActivity(a *millrace.Activity) (d ActivityData, err error) {
	if len(a.Data) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(a.Data, &d); err != nil {
		return d, &millrace.Error{Code: millrace.ErrCorrupt, Op: "read activity", Err: err}
	}
	return d, nil
}

// activity returns an entry that tells of a change: before is what the issue was,
// the issue what it is now.
func (s *Service) activity(i *millrace.Issue, by, kind string, before *Facts, d ActivityData) millrace.Activity {
	after := factsOf(i)
	d.Before, d.After = before, &after
	return millrace.Activity{
		Project: i.Project, Issue: i.ID, At: s.deps.Now().UnixNano(), Author: by, Kind: kind, Data: d.encode(),
	}
}

// encode cannot fail: all are strings, numbers and lists of them.
func (d *ActivityData) encode() []byte {
	data, _ := json.Marshal(d)
	return data
}

// store stores a changed issue and an activity, and returns the activity's id.
func (s *Service) store(ctx context.Context, i *millrace.Issue, a millrace.Activity) (int64, error) {
	list := []millrace.Activity{a}
	if err := s.deps.Store.ChangeIssue(ctx, i, list...); err != nil {
		return 0, err
	}
	return list[0].ID, nil
}

// maxHops bounds how far a merged issue is followed.
const maxHops = 1000

// follow returns an issue, or of one that was merged the one that it is part of.
func (s *Service) follow(ctx context.Context, project, id string) (*millrace.Issue, error) {
	for range maxHops {
		i, err := s.deps.Store.Issue(ctx, project, id)
		if err != nil {
			return nil, err
		}
		if i.Fingerprints > 0 || i.MergedInto == "" {
			return i, nil
		}
		id = i.MergedInto
	}
	return nil, millrace.Errorf(millrace.ErrCorrupt, "issue %s is merged into another more than %d times over", id, maxHops)
}

// Activities returns what happened to an issue, newest first, at most limit (0 is
// 100), before the id given (0: from the newest). Their Data is ActivityData. An
// empty id is all issues of the project; a merged issue has its own.
func (s *Service) Activities(ctx context.Context, project, id string, before int64, limit int) ([]millrace.Activity, error) {
	limit, err := pageSize(limit)
	if err != nil {
		return nil, err
	}
	return s.deps.Store.Activities(ctx, project, id, before, limit)
}

// pageSize checks the limit of a page of a log.
func pageSize(limit int) (int, error) {
	if limit == 0 {
		return 100, nil
	}
	if limit < 1 || limit > MaxList {
		return 0, millrace.Errorf(millrace.ErrInvalid, "limit %d: must be between 1 and %d", limit, MaxList)
	}
	return limit, nil
}
