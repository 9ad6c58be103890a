package issuetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// ChangeIssue implements millrace.Issues.
func (m *Memory) ChangeIssue(_ context.Context, i *millrace.Issue, activities ...millrace.Activity) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("ChangeIssue"); err != nil {
		return err
	}
	p := m.project(i.Project)
	have := p.issues[i.ID]
	if have == nil {
		return notFound("issue", i.ID)
	}
	if have.Version != i.Version {
		return millrace.Errorf(millrace.ErrConflict, "issue %s is of version %d by now", i.ID, have.Version)
	}
	have.State, have.Resolution, have.Ignore, have.Regressed, have.Owner = i.State, i.Resolution, i.Ignore, i.Regressed, i.Owner
	have.Version++
	i.Version = have.Version
	for k := range activities {
		activities[k].Project, activities[k].Issue = i.Project, i.ID
	}
	m.note(p, activities)
	return nil
}

// note stores activities and sets their ids.
func (m *Memory) note(p *project, activities []millrace.Activity) {
	for i := range activities {
		m.lastID++
		activities[i].ID = m.lastID
		p.activities = append(p.activities, activities[i])
	}
}

// Activities implements millrace.Issues.
func (m *Memory) Activities(_ context.Context, project, issue string, before int64, limit int) ([]millrace.Activity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("Activities"); err != nil {
		return nil, err
	}
	var out []millrace.Activity
	for _, a := range slices.Backward(m.project(project).activities) {
		if (issue == "" || a.Issue == issue) && (before == 0 || a.ID < before) && len(out) < limit {
			out = append(out, a)
		}
	}
	return out, nil
}

// AddActivity implements millrace.Issues.
func (m *Memory) AddActivity(_ context.Context, a *millrace.Activity) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("AddActivity"); err != nil {
		return err
	}
	p := m.project(a.Project)
	if p.issues[a.Issue] == nil {
		return notFound("issue", a.Issue)
	}
	list := []millrace.Activity{*a}
	m.note(p, list)
	a.ID = list[0].ID
	return nil
}

func conflict(format string, args ...any) error {
	return millrace.Errorf(millrace.ErrConflict, format, args...)
}

// Regroup implements millrace.Issues.
func (m *Memory) Regroup(_ context.Context, r *millrace.Regrouping, activities ...millrace.Activity) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("Regroup"); err != nil {
		return err
	}
	p := m.project(r.Project)
	var undone *millrace.Regrouping
	if r.Undoes != 0 {
		i := slices.IndexFunc(p.regroupings, func(o *millrace.Regrouping) bool { return o.ID == r.Undoes })
		if i < 0 {
			return millrace.Errorf(millrace.ErrNotFound, "no change %d", r.Undoes)
		}
		if undone = p.regroupings[i]; undone.UndoneBy != 0 {
			return conflict("change %d was undone", r.Undoes)
		}
	}
	var version int64
	if r.SettingsBefore != nil {
		version = r.SettingsBefore.Version
	}
	if r.SettingsAfter != nil && version != p.settings.Version {
		return conflict("the settings are of version %d by now", p.settings.Version)
	}
	next, err := p.moved(r.Moves)
	if err != nil {
		return err
	}
	p.keys = next.keys
	for name, f := range next.prints {
		p.prints[name] = f
	}
	p.finish(r)
	if r.SettingsAfter != nil {
		r.SettingsAfter.Version = p.settings.Version + 1
		p.settings = *r.SettingsAfter
	}
	m.lastID++
	r.ID = m.lastID
	if undone != nil {
		undone.UndoneBy = r.ID
	}
	p.regroupings = append(p.regroupings, clone(r))
	for i := range activities {
		activities[i].Regrouping, activities[i].Project = r.ID, r.Project
	}
	m.note(p, activities)
	return nil
}

// after is keys and changed fingerprints as moves make them.
type after struct {
	keys   map[string]string
	prints map[string]*row
}

func (p *project) moved(moves []millrace.Move) (*after, error) {
	a := &after{maps.Clone(p.keys), map[string]*row{}}
	movedKeys := map[string]bool{}
	for _, v := range moves {
		if v.Fingerprint == "" {
			have, ok := a.keys[v.Key]
			switch {
			case movedKeys[v.Key] || v.From == "" && v.To == "" || v.Key == "":
				return nil, millrace.Errorf(millrace.ErrInvalid, "key %s is moved twice, or nowhere", v.Key)
			case ok != (v.From != "") || have != v.From:
				return nil, conflict("key %s is of issue %q by now", v.Key, have)
			}
			movedKeys[v.Key] = true
			if a.keys[v.Key] = v.To; v.To == "" {
				delete(a.keys, v.Key)
			}
			continue
		}
		have := p.prints[v.Fingerprint]
		switch {
		case a.prints[v.Fingerprint] != nil || v.To == "" || v.From == "" || v.Key == "":
			return nil, millrace.Errorf(millrace.ErrInvalid, "fingerprint %s is moved twice, or nowhere", v.Fingerprint)
		case have == nil || have.Issue != v.From || have.Key != v.KeyBefore:
			return nil, conflict("fingerprint %s is no longer in issue %s", v.Fingerprint, v.From)
		}
		c := *have
		c.Issue, c.Key = v.To, v.Key
		a.prints[v.Fingerprint] = &c
	}
	return a, p.agree(a, moves)
}

// agree checks that fingerprints are where their keys are: who listed them before
// a new one came has not moved that.
func (p *project) agree(a *after, moves []millrace.Move) error {
	keys := map[string]bool{}
	for _, v := range moves {
		keys[v.Key] = true
		if v.Fingerprint != "" {
			keys[v.KeyBefore] = true
		}
	}
	for name, f := range p.prints {
		if now := a.prints[name]; now != nil {
			f = now
		}
		if keys[f.Key] && a.keys[f.Key] != f.Issue {
			return conflict("fingerprint %s came meanwhile", name)
		}
	}
	return nil
}

// finish makes the issues that moves name, and derives the rest.
func (p *project) finish(r *millrace.Regrouping) {
	went := map[string]map[string]int{} // from, to, fingerprints
	touched := map[string]bool{}
	for _, v := range r.Moves {
		for _, id := range []string{v.From, v.To} {
			if id == "" {
				continue
			}
			touched[id] = true
			if p.issues[id] == nil {
				p.issues[id] = &millrace.Issue{ID: id, Project: r.Project, State: millrace.IssueOpen, Created: r.At}
			}
		}
		if v.Fingerprint != "" && v.From != v.To {
			if went[v.From] == nil {
				went[v.From] = map[string]int{}
			}
			went[v.From][v.To]++
		}
	}
	for id := range touched {
		p.refresh(id)
		i := p.issues[id]
		i.Version++
		if i.Fingerprints > 0 || len(went[id]) == 0 {
			continue
		}
		to := slices.Collect(maps.Keys(went[id]))
		i.MergedInto = slices.MinFunc(to, func(a, b string) int {
			return cmp.Or(cmp.Compare(went[id][b], went[id][a]), strings.Compare(a, b))
		})
	}
}

func clone(r *millrace.Regrouping) *millrace.Regrouping {
	c := *r
	c.Moves = slices.Clone(r.Moves)
	return &c
}

// Regroupings implements millrace.Issues.
func (m *Memory) Regroupings(_ context.Context, project, issue string, before int64, limit int) ([]millrace.Regrouping, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("Regroupings"); err != nil {
		return nil, err
	}
	var out []millrace.Regrouping
	for _, r := range slices.Backward(m.project(project).regroupings) {
		touches := slices.ContainsFunc(r.Moves, func(v millrace.Move) bool { return v.From == issue || v.To == issue })
		if (issue == "" || touches) && (before == 0 || r.ID < before) && len(out) < limit {
			out = append(out, *clone(r))
		}
	}
	return out, nil
}

// Regrouping implements millrace.Issues.
func (m *Memory) Regrouping(_ context.Context, project string, id int64) (*millrace.Regrouping, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("Regrouping"); err != nil {
		return nil, err
	}
	for _, r := range m.project(project).regroupings {
		if r.ID == id {
			return clone(r), nil
		}
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "no change %d", id)
}

// IssueSettings implements millrace.Issues.
func (m *Memory) IssueSettings(_ context.Context, project string) (*millrace.IssueSettings, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("IssueSettings"); err != nil {
		return nil, err
	}
	c := m.project(project).settings
	return &c, nil
}

// SetIssueSettings implements millrace.Issues.
func (m *Memory) SetIssueSettings(_ context.Context, s *millrace.IssueSettings) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("SetIssueSettings"); err != nil {
		return err
	}
	p := m.project(s.Project)
	if p.settings.Version != s.Version {
		return conflict("the settings are of version %d by now", p.settings.Version)
	}
	s.Version++
	p.settings = *s
	return nil
}
