package issue

import (
	"context"
	"sync"

	"github.com/millrace/millrace"
)

// members remembers which issue fingerprints belong to. Only a Regrouping changes
// that, so what was read is right as long as the newest one is the same: a list of
// 50,000 fingerprints reads one row instead of as many. Safe for concurrent use.
type members struct {
	mu       sync.Mutex
	projects map[string]*membership
	held     int // fingerprints of all
}

type membership struct {
	change int64 // the newest when it was read
	of     map[string]string
}

// maxMembers bounds what is remembered: about 100 bytes each.
const maxMembers = 500_000

// issuesOf returns the issues of fingerprints; unknown ones are left out.
func (s *Service) issuesOf(ctx context.Context, project string, fingerprints []string) (map[string]string, error) {
	newest, err := s.newestChange(ctx, project)
	if err != nil {
		return nil, err
	}
	out, ask := s.members.lookup(project, newest, fingerprints)
	if len(ask) == 0 {
		return out, nil
	}
	read, err := s.deps.Store.IssuesOf(ctx, project, ask)
	if err != nil {
		return nil, err
	}
	for f, i := range read {
		out[f] = i
	}
	s.members.add(project, newest, read)
	return out, nil
}

func (s *Service) newestChange(ctx context.Context, project string) (int64, error) {
	list, err := s.deps.Store.Regroupings(ctx, project, "", 0, 1)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return list[0].ID, nil
}

func (m *members) lookup(project string, change int64, fingerprints []string) (out map[string]string, ask []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out = make(map[string]string, len(fingerprints))
	have := m.projects[project]
	if have == nil || have.change != change {
		return out, fingerprints
	}
	for _, f := range fingerprints {
		if i, ok := have.of[f]; ok {
			out[f] = i
		} else {
			ask = append(ask, f)
		}
	}
	return out, ask
}

// fewMembers is how many fingerprints are few.
const fewMembers = 500

// few reports whether a project is known to have few fingerprints, so that asking for
// all costs less than asking twice. It may be wrong, which costs time only.
func (m *members) few(project string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.projects[project]
	return have != nil && len(have.of) <= fewMembers
}

func (m *members) add(project string, change int64, read map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held+len(read) > maxMembers {
		m.projects, m.held = nil, 0
	}
	if m.projects == nil {
		m.projects = map[string]*membership{}
	}
	have := m.projects[project]
	if have == nil || have.change < change {
		if have != nil {
			m.held -= len(have.of)
		}
		have = &membership{change, map[string]string{}}
		m.projects[project] = have
	}
	if have.change > change {
		return
	}
	for f, i := range read {
		if have.of[f] == "" {
			m.held++
		}
		have.of[f] = i
	}
}

var _ millrace.Sightings = (*Service)(nil)
