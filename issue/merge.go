package issue

import (
	"context"
	"maps"
	"slices"

	"github.com/millrace/millrace"
)

// Merge moves all fingerprints of the issues ids, and those to come, to the issue
// into. The emptied issues stay as references to it. ErrNotFound, ErrInvalid:
// nothing to merge.
func (s *Service) Merge(ctx context.Context, project, into string, ids []string, by, note string) (*millrace.Regrouping, error) {
	if len(ids) == 0 || len(ids) > MaxBulk {
		return nil, millrace.Errorf(millrace.ErrInvalid, "%d issues to merge: must be between 1 and %d", len(ids), MaxBulk)
	}
	return s.change(ctx, project, by, "merge", note, func(ctx context.Context, r *millrace.Regrouping) error {
		target, err := s.follow(ctx, project, into)
		if err != nil {
			return err
		}
		var from []string
		for _, id := range ids {
			i, err := s.follow(ctx, project, id)
			if err != nil {
				return err
			}
			if i.ID != target.ID && !slices.Contains(from, i.ID) {
				from = append(from, i.ID)
			}
		}
		if len(from) == 0 {
			return millrace.Errorf(millrace.ErrInvalid, "there is nothing to merge into issue %s: all are part of it", target.ID)
		}
		l, err := s.layoutOf(ctx, project, from)
		if err != nil {
			return err
		}
		to := l.at()
		for name, p := range to {
			to[name] = place{target.ID, p.key}
		}
		keys := maps.Clone(l.keys)
		for key := range keys {
			keys[key] = target.ID
		}
		r.Moves = l.moves(to, keys)
		return nil
	})
}

// layoutOf reads the grouping of some issues: their fingerprints and these's keys.
func (s *Service) layoutOf(ctx context.Context, project string, issues []string) (*layout, error) {
	prints, err := s.deps.Store.Fingerprints(ctx, project, issues)
	if err != nil {
		return nil, err
	}
	l := &layout{prints, map[string]string{}}
	for i := range prints {
		l.keys[prints[i].Key] = prints[i].Issue
	}
	return l, nil
}

// Unmerge takes fingerprints out of an issue: to the issues that they would be by
// themselves, by their keys. Of those that share a key with others that stay, an
// issue of its own is made, and no regrouping puts them back. ErrInvalid: one is
// not the issue's, or none would be left.
func (s *Service) Unmerge(ctx context.Context, project, id string, fingerprints []string, by, note string) (*millrace.Regrouping, error) {
	if len(fingerprints) == 0 || len(fingerprints) > MaxBulk {
		return nil, millrace.Errorf(millrace.ErrInvalid, "%d fingerprints: must be between 1 and %d", len(fingerprints), MaxBulk)
	}
	return s.change(ctx, project, by, "unmerge", note, func(ctx context.Context, r *millrace.Regrouping) error {
		i, err := s.follow(ctx, project, id)
		if err != nil {
			return err
		}
		l, err := s.layoutOf(ctx, project, []string{i.ID})
		if err != nil {
			return err
		}
		out, err := l.takeOut(i.ID, fingerprints)
		if err != nil {
			return err
		}
		to, keys := l.at(), maps.Clone(l.keys)
		taken := map[string]bool{i.ID: true}
		for _, key := range slices.Sorted(maps.Keys(out)) {
			target, err := s.freeIssue(ctx, project, key, taken)
			if err != nil {
				return err
			}
			keys[key] = target
			for _, f := range out[key] {
				to[f] = place{target, key}
			}
		}
		r.Moves = l.moves(to, keys)
		return nil
	})
}

// takeOut returns the fingerprints to take out of an issue by the keys that they
// have then.
func (l *layout) takeOut(id string, fingerprints []string) (map[string][]string, error) {
	out, stay := map[string][]string{}, map[string]bool{}
	at := l.at()
	for _, f := range fingerprints {
		if _, ok := at[f]; !ok {
			return nil, millrace.Errorf(millrace.ErrInvalid, "fingerprint %q is not in issue %s", f, id)
		}
	}
	for i := range l.prints { // in the order of first seen
		f := &l.prints[i]
		if slices.Contains(fingerprints, f.Fingerprint) {
			out[f.Key] = append(out[f.Key], f.Fingerprint)
		} else {
			stay[f.Key] = true
		}
	}
	if len(stay) == 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "issue %s would have no fingerprint left: leave at least one", id)
	}
	for key := range stay {
		if list := out[key]; len(list) > 0 {
			delete(out, key)
			out[apartPrefix+list[0]] = list
		}
	}
	return out, nil
}

// freeIssue returns an id for the issue of a key: of one that does not exist, or
// has no fingerprints, and notes it as taken.
func (s *Service) freeIssue(ctx context.Context, project, key string, taken map[string]bool) (string, error) {
	var failed error
	id := freeID(project, key, func(id string) bool {
		if taken[id] {
			return true
		}
		i, err := s.deps.Store.Issue(ctx, project, id)
		switch {
		case millrace.ErrorCode(err) == millrace.ErrNotFound:
			return false
		case err != nil:
			failed = err
			return false
		}
		return i.Fingerprints > 0
	})
	taken[id] = true
	return id, failed
}
