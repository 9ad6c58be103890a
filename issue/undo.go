package issue

import (
	"context"
	"maps"
	"strings"

	"github.com/millrace/millrace"
)

// Undo takes back a change of the grouping: fingerprints and keys go where they
// were, and so do fingerprints that came meanwhile, where they had gone had the
// change not been. Undoing what undid a change makes it again. ErrConflict: a
// later change stands in the way, which the message names, or it was undone.
func (s *Service) Undo(ctx context.Context, project string, change int64, by string) (*millrace.Regrouping, error) {
	return s.change(ctx, project, by, "undo", "", func(ctx context.Context, r *millrace.Regrouping) error {
		was, err := s.deps.Store.Regrouping(ctx, project, change)
		if err != nil {
			return err
		}
		if was.UndoneBy != 0 {
			return millrace.Errorf(millrace.ErrConflict, "change %d was undone by change %d", change, was.UndoneBy)
		}
		later, err := s.standing(ctx, was)
		if err != nil {
			return err
		}
		if err := s.undoSettings(ctx, was, r, later, by); err != nil {
			return err
		}
		l, err := s.layout(ctx, project)
		if err != nil {
			return err
		}
		u := &undoing{s: s, was: was, layout: l, to: l.at(), keys: maps.Clone(l.keys)}
		if err := u.run(ctx); err != nil {
			return conflictWith(later, was.Moves, err)
		}
		r.Undoes, r.Moves = change, l.moves(u.to, u.keys)
		if err := conflictWith(later, r.Moves, nil); err != nil {
			return err
		}
		return conflictWith(later, was.Moves, nil)
	})
}

// undoSettings puts what a change replaced in the settings back, the grouping or
// the owners; the other stays as it is by now.
func (s *Service) undoSettings(ctx context.Context, was, r *millrace.Regrouping, later []*millrace.Regrouping, by string) error {
	if was.SettingsAfter == nil {
		return nil
	}
	have, err := s.Settings(ctx, was.Project)
	if err != nil {
		return err
	}
	before, after, err := settingsOf(was)
	if err != nil {
		return err
	}
	set := *have
	set.Author, set.At = by, s.deps.Now()
	if !before.groupsAs(after) {
		if c := changing(later, (*Settings).groupsAs); c != nil {
			return millrace.Errorf(millrace.ErrConflict, "the project was regrouped since, by change %d: undo that first", c.ID)
		}
		if !have.groupsAs(after) {
			return millrace.Errorf(millrace.ErrConflict, "the project's grouping was changed again since")
		}
		set.Grouping = before.Grouping
	}
	if !before.ownsAs(after) {
		if c := changing(later, (*Settings).ownsAs); c != nil {
			return millrace.Errorf(millrace.ErrConflict, "the project's owners were changed since, by change %d: undo that first", c.ID)
		}
		if !have.ownsAs(after) {
			return millrace.Errorf(millrace.ErrConflict, "the project's owners were changed again since")
		}
		set.Owners = before.Owners
	}
	r.SettingsBefore, r.SettingsAfter = have.stored(), set.stored()
	return nil
}

// settingsOf returns the settings before and after a change that has them.
func settingsOf(c *millrace.Regrouping) (before, after *Settings, err error) {
	if c.SettingsBefore == nil {
		before = &Settings{Owners: []OwnerRule{}}
	} else if before, err = readSettings(c.SettingsBefore); err != nil {
		return nil, nil, err
	}
	after, err = readSettings(c.SettingsAfter)
	return before, after, err
}

// changing returns one of the changes whose settings before and after are not the
// same, nil if there is none.
func changing(list []*millrace.Regrouping, same func(a, b *Settings) bool) *millrace.Regrouping {
	for _, c := range list {
		if c.SettingsAfter == nil {
			continue
		}
		if before, after, err := settingsOf(c); err != nil || !same(before, after) {
			return c
		}
	}
	return nil
}

// undoing computes the layout without one change.
type undoing struct {
	s      *Service
	was    *millrace.Regrouping
	layout *layout
	to     map[string]place
	keys   map[string]string
}

func (u *undoing) run(ctx context.Context) error {
	moved := map[string]bool{} // fingerprints
	back := map[string]place{} // keys that go back: issue is where, key unused
	for _, m := range u.was.Moves {
		if m.Fingerprint != "" {
			if u.to[m.Fingerprint] != (place{m.To, m.Key}) {
				return millrace.Errorf(millrace.ErrConflict, "fingerprint %s was moved again since", m.Fingerprint)
			}
			u.to[m.Fingerprint], moved[m.Fingerprint] = place{m.From, m.KeyBefore}, true
			continue
		}
		have := u.keys[m.Key]
		if have != m.To && (m.To != "" || have != m.From) {
			return millrace.Errorf(millrace.ErrConflict, "key %s was moved again since", m.Key)
		}
		switch {
		case m.From == "":
			delete(u.keys, m.Key)
		default:
			u.keys[m.Key] = m.From
			if m.To != "" {
				back[m.Key] = place{issue: m.From}
			}
		}
	}
	var came []millrace.IssueFingerprint // meanwhile
	for _, f := range u.layout.prints {
		if moved[f.Fingerprint] {
			continue
		}
		if b, ok := back[f.Key]; ok {
			u.to[f.Fingerprint] = place{b.issue, f.Key}
			continue
		}
		came = append(came, f)
	}
	if u.was.SettingsAfter == nil {
		return nil
	}
	before, after, err := settingsOf(u.was)
	if err != nil || before.groupsAs(after) {
		return err
	}
	return u.rekey(ctx, came, before.Grouping)
}

// rekey gives fingerprints that a regrouping did not move, and which so came after
// it, the keys that they would have without it.
func (u *undoing) rekey(ctx context.Context, came []millrace.IssueFingerprint, before Grouping) error {
	keys, err := u.s.keyer(u.was.Project, before).keys(ctx, came)
	if err != nil {
		return err
	}
	left := map[string]bool{} // keys of fingerprints that had them by the regrouping
	for i := range came {
		f := &came[i]
		key := keys[f.Fingerprint]
		if strings.HasPrefix(f.Key, apartPrefix) || key == f.Key && u.keys[key] == f.Issue {
			continue
		}
		if u.keys[key] == "" {
			u.keys[key] = millrace.IssueID(u.was.Project, key)
		}
		u.to[f.Fingerprint] = place{u.keys[key], key}
		left[f.Key] = true
	}
	used := map[string]bool{}
	for _, p := range u.to {
		used[p.key] = true
	}
	for key := range left {
		if !used[key] {
			delete(u.keys, key)
		}
	}
	return nil
}

// standing returns the changes after one that still have an effect: without those
// that cancel each other, as a change and what undid it.
func (s *Service) standing(ctx context.Context, was *millrace.Regrouping) ([]*millrace.Regrouping, error) {
	all := map[int64]*millrace.Regrouping{}
	for before := int64(0); ; {
		list, err := s.deps.Store.Regroupings(ctx, was.Project, "", before, 100)
		if err != nil {
			return nil, err
		}
		for i := range list {
			before = list[i].ID
			if before > was.ID {
				all[before] = &list[i]
			}
		}
		if len(list) < 100 || before <= was.ID {
			break
		}
	}
	var out []*millrace.Regrouping
	for _, c := range all {
		if c.UndoneBy != 0 {
			continue
		}
		n := 0
		for x := c; x != nil; x = all[x.Undoes] {
			n++
		}
		if n%2 == 1 { // else it and those that it undoes are one and its opposite
			out = append(out, c)
		}
	}
	return out, nil
}

// conflictWith returns an error that names the change among later that moved the
// same as moves, or err if there is none.
func conflictWith(later []*millrace.Regrouping, moves []millrace.Move, err error) error {
	touches := map[string]bool{}
	for _, m := range moves {
		touches["f"+m.Fingerprint], touches["k"+m.Key] = true, true
		if m.Fingerprint != "" {
			touches["k"+m.KeyBefore] = true
		}
	}
	delete(touches, "f") // of moves of keys
	var first *millrace.Regrouping
	for _, c := range later {
		for _, m := range c.Moves {
			if touches["f"+m.Fingerprint] || touches["k"+m.Key] || m.Fingerprint != "" && touches["k"+m.KeyBefore] {
				if first == nil || c.ID > first.ID {
					first = c
				}
				break
			}
		}
	}
	if first != nil {
		return millrace.Errorf(millrace.ErrConflict, "change %d (%s) moved the same since: undo that first", first.ID, first.Kind)
	}
	return err
}
