package issue

import (
	"context"

	"github.com/millrace/millrace"
)

// Limits of what people say in one action.
const (
	MaxBulk    = 1000   // issues
	MaxNote    = 10_000 // bytes of a note, of the reason of a change
	maxRelease = 250    // bytes
)

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
	if in.Next && in.Release != "" {
		return nil, millrace.Errorf(millrace.ErrInvalid, "resolved in release %q or in the next one: give one of both", in.Release)
	}
	if len(in.Release) > maxRelease {
		return nil, millrace.Errorf(millrace.ErrInvalid, "the release has %d bytes, at most %d", len(in.Release), maxRelease)
	}
	out, err := s.each(ctx, project, ids, by, "resolved", func(i *millrace.Issue, now int64) {
		r := &i.Resolution
		if i.State == millrace.IssueResolved && r.Release == in.Release && r.Next == in.Next {
			return
		}
		// What was seen already does not bring it back, however its clock was set.
		i.Resolution = millrace.Resolution{At: max(now, i.LastSeen), By: by, Release: in.Release, Next: in.Next}
		i.State, i.Ignore, i.Regressed = millrace.IssueResolved, millrace.Ignore{}, 0
	})
	return out, err
}

// Reopen makes issues open again, resolved, regressed or ignored ones.
func (s *Service) Reopen(ctx context.Context, project string, ids []string, by string) ([]Outcome, error) {
	return s.each(ctx, project, ids, by, "reopened", func(i *millrace.Issue, _ int64) { open(i) })
}

func open(i *millrace.Issue) {
	i.State, i.Resolution, i.Ignore, i.Regressed = millrace.IssueOpen, millrace.Resolution{}, millrace.Ignore{}, 0
}

// Ignore makes issues nobody's business, for ever or as far as in says: until a
// time, until so many occurrences or users came in production. Its At and By are
// set here. Occurrences and users are counted from the next minute on.
func (s *Service) Ignore(ctx context.Context, project string, ids []string, by string, in millrace.Ignore) ([]Outcome, error) {
	if in.Occurrences < 0 || in.Users < 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "%d occurrences, %d users: must not be negative", in.Occurrences, in.Users)
	}
	if in.Until != 0 && in.Until <= s.deps.Now().UnixNano() {
		return nil, millrace.Errorf(millrace.ErrInvalid, "until: must be in the future")
	}
	return s.each(ctx, project, ids, by, "ignored", func(i *millrace.Issue, now int64) {
		have := i.Ignore
		in.At, in.By = have.At, have.By
		if i.State == millrace.IssueIgnored && have == in {
			return
		}
		in.At, in.By = now, by
		open(i)
		i.State, i.Ignore = millrace.IssueIgnored, in
	})
}

// Assign gives issues to an owner, "" to nobody. Owners have at most 200 bytes.
func (s *Service) Assign(ctx context.Context, project string, ids []string, by, owner string) ([]Outcome, error) {
	if err := checkOwner(owner); err != nil {
		return nil, err
	}
	return s.each(ctx, project, ids, by, "assigned", func(i *millrace.Issue, _ int64) { i.Owner = owner })
}

// Note adds a note, of 1 to 10,000 bytes of text.
func (s *Service) Note(ctx context.Context, project string, ids []string, by, text string) ([]Outcome, error) {
	if text == "" {
		return nil, millrace.Errorf(millrace.ErrInvalid, "the note is empty")
	}
	if err := checkNote(text); err != nil {
		return nil, err
	}
	return s.bulk(ids, func(id string, out *Outcome) error {
		i, err := s.follow(ctx, project, id)
		if err != nil {
			return err
		}
		a := &millrace.Activity{
			Project: project, Issue: i.ID, At: s.deps.Now().UnixNano(), Author: by, Kind: "note", Data: []byte("{}"), Text: text,
		}
		if err := s.deps.Store.AddActivity(ctx, a); err != nil {
			return err
		}
		out.Changed, out.Activity = true, a.ID
		return nil
	})
}

func checkNote(text string) error {
	if len(text) > MaxNote {
		return millrace.Errorf(millrace.ErrInvalid, "the note has %d bytes, at most %d", len(text), MaxNote)
	}
	return nil
}

// bulk does something to each of the issues.
func (s *Service) bulk(ids []string, do func(id string, out *Outcome) error) ([]Outcome, error) {
	if len(ids) == 0 || len(ids) > MaxBulk {
		return nil, millrace.Errorf(millrace.ErrInvalid, "%d issues: must be between 1 and %d", len(ids), MaxBulk)
	}
	out := make([]Outcome, len(ids))
	for k, id := range ids {
		out[k].Issue = id
		out[k].Err = do(id, &out[k])
	}
	return out, nil
}

// each changes issues. change must be a pure function of its arguments: it is
// called again if others change the issue meanwhile.
func (s *Service) each(ctx context.Context, project string, ids []string, by, kind string, change func(i *millrace.Issue, now int64)) ([]Outcome, error) {
	return s.bulk(ids, func(id string, out *Outcome) error {
		for range maxRetries {
			i, err := s.follow(ctx, project, id)
			if err != nil {
				return err
			}
			before := factsOf(i)
			if change(i, s.deps.Now().UnixNano()); factsOf(i) == before {
				return nil
			}
			out.Activity, err = s.store(ctx, i, s.activity(i, by, kind, &before, ActivityData{}))
			switch {
			case err == nil:
				out.Changed = true
				return s.recheck(ctx, i)
			case millrace.ErrorCode(err) != millrace.ErrConflict:
				return err
			}
		}
		return errBusy("issue " + id)
	})
}

// UndoActivity takes back what one activity changed of an issue's state, owner or
// ignore, and returns what that did. ErrConflict: what it changed was changed
// again, the message says what. ErrInvalid: it is a note, or a change of the
// grouping, which Undo takes back.
func (s *Service) UndoActivity(ctx context.Context, project, id string, activity int64, by string) (*Outcome, error) {
	list, err := s.deps.Store.Activities(ctx, project, id, activity+1, 1)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || list[0].ID != activity {
		return nil, millrace.Errorf(millrace.ErrNotFound, "issue %s has no activity %d", id, activity)
	}
	a := &list[0]
	d, err := ReadActivity(a)
	if err != nil {
		return nil, err
	}
	if a.Regrouping != 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "activity %d is part of change %d of the grouping: undo that", activity, a.Regrouping)
	}
	if d.Before == nil || d.After == nil {
		return nil, millrace.Errorf(millrace.ErrInvalid, "activity %d (%s) cannot be undone", activity, a.Kind)
	}
	return s.undoActivity(ctx, a, &d, by)
}

func (s *Service) undoActivity(ctx context.Context, a *millrace.Activity, d *ActivityData, by string) (*Outcome, error) {
	for range maxRetries {
		i, err := s.deps.Store.Issue(ctx, a.Project, a.Issue)
		if err != nil {
			return nil, err
		}
		if i.Fingerprints == 0 && i.MergedInto != "" {
			return nil, millrace.Errorf(millrace.ErrConflict, "issue %s was merged into %s since: undo that first", i.ID, i.MergedInto)
		}
		before := factsOf(i)
		after, err := restore(before, d)
		if err != nil {
			return nil, err
		}
		if after.State == millrace.IssueResolved && a.Kind == "regressed" {
			after.Resolution.At = max(after.Resolution.At, i.LastSeen) // else it were back at once
		}
		after.apply(i)
		id, err := s.store(ctx, i, s.activity(i, by, "undone", &before, ActivityData{Undoes: a.ID}))
		switch {
		case err == nil:
			return &Outcome{Issue: i.ID, Changed: true, Activity: id}, s.recheck(ctx, i)
		case millrace.ErrorCode(err) != millrace.ErrConflict:
			return nil, err
		}
	}
	return nil, errBusy("issue " + a.Issue)
}

// restore returns now with what d changed put back.
func restore(now Facts, d *ActivityData) (Facts, error) {
	b, a := *d.Before, *d.After
	changed := func(what string) error {
		return millrace.Errorf(millrace.ErrConflict, "the %s was changed again since", what)
	}
	if b.Owner != a.Owner {
		if now.Owner != a.Owner {
			return now, changed("owner")
		}
		now.Owner = b.Owner
	}
	// State, resolution, ignore and regression are one thing to people.
	b.Owner, a.Owner = "", ""
	if b == a {
		return now, nil
	}
	a.Owner = now.Owner
	if now != a {
		return now, changed("state")
	}
	b.Owner = now.Owner
	return b, nil
}
