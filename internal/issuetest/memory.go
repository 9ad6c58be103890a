// Package issuetest has a millrace.Issues in memory, for the tests of those who
// use one: naive, with what is derived computed anew at every change.
package issuetest

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// Memory implements millrace.Issues. Use New.
type Memory struct {
	mu       sync.Mutex
	projects map[string]*project
	lastID   int64
	// Fail is called before each call with its name; what it returns is the call's
	// error. Nil never fails.
	Fail func(call string) error
}

type project struct {
	issues      map[string]*millrace.Issue
	keys        map[string]string // to issue
	prints      map[string]*row
	sights      map[[2]string]*millrace.Sight
	releases    map[string]*millrace.IssueRelease
	activities  []millrace.Activity
	regroupings []*millrace.Regrouping
	settings    millrace.IssueSettings
}

type row struct {
	millrace.IssueFingerprint
	report []byte
}

// New returns an empty memory.
func New() *Memory { return &Memory{projects: map[string]*project{}} }

var _ millrace.Issues = (*Memory)(nil)

func (m *Memory) enter(call string) error {
	if m.Fail == nil {
		return nil
	}
	return m.Fail(call)
}

func (m *Memory) project(name string) *project {
	p := m.projects[name]
	if p == nil {
		p = &project{
			issues: map[string]*millrace.Issue{}, keys: map[string]string{}, prints: map[string]*row{},
			sights: map[[2]string]*millrace.Sight{}, releases: map[string]*millrace.IssueRelease{},
		}
		p.settings.Project = name
		m.projects[name] = p
	}
	return p
}

// span is when something was seen first and last. Of two the lesser first and the
// greater last count, with their releases, so that the order of telling does not
// matter.
type span struct {
	first, last               int64
	firstRelease, lastRelease string
}

func (a span) with(b span) span {
	if c := cmp.Compare(b.first, a.first); c < 0 || c == 0 && b.firstRelease < a.firstRelease {
		a.first, a.firstRelease = b.first, b.firstRelease
	}
	if c := cmp.Compare(b.last, a.last); c > 0 || c == 0 && b.lastRelease > a.lastRelease {
		a.last, a.lastRelease = b.last, b.lastRelease
	}
	return a
}

func spanOf(s *millrace.Sighting) span { return span{s.First, s.Last, s.FirstRelease, s.LastRelease} }

// earlier reports whether a sighting is before the one that a fingerprint has its
// texts of.
func earlier(s *millrace.Sighting, f *millrace.IssueFingerprint) bool {
	return cmp.Or(
		cmp.Compare(s.First, f.FirstSeen), strings.Compare(s.FirstRelease, f.FirstRelease),
		slices.Compare(
			[]string{s.Type, s.Title, s.Culprit, s.Level, s.Service, s.Language},
			[]string{f.Type, f.Title, f.Culprit, f.Level, f.Service, f.Language},
		)) < 0
}

// See implements millrace.Issues.
func (m *Memory) See(_ context.Context, sightings []millrace.Sighting, now time.Time) (seen []millrace.Seen, missing []int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("See"); err != nil {
		return nil, nil, err
	}
	created, touched := map[*millrace.Issue]bool{}, map[*millrace.Issue][]int{}
	var order []*millrace.Issue
	for i := range sightings {
		s := &sightings[i]
		p := m.project(s.Project)
		f := p.prints[s.Fingerprint]
		if f == nil {
			if f = m.introduce(p, sightings, s.Fingerprint, now, created); f == nil {
				missing = append(missing, i)
				continue
			}
		}
		p.saw(f, s)
		issue := p.issues[f.Issue]
		if touched[issue] == nil {
			order = append(order, issue)
		}
		touched[issue] = append(touched[issue], i)
	}
	slices.SortFunc(order, func(a, b *millrace.Issue) int {
		return cmp.Or(strings.Compare(a.Project, b.Project), strings.Compare(a.ID, b.ID))
	})
	for _, issue := range order {
		m.project(issue.Project).refresh(issue.ID)
		if created[issue] || issue.State != millrace.IssueOpen {
			c := *issue
			seen = append(seen, millrace.Seen{Issue: &c, Created: created[issue], Sightings: touched[issue]})
		}
	}
	return seen, missing, nil
}

// introduce makes the row of a fingerprint that is new, of the first sighting that
// has a key of the settings as they are; nil if none has.
func (m *Memory) introduce(p *project, all []millrace.Sighting, fingerprint string, now time.Time, created map[*millrace.Issue]bool) *row {
	for i := range all {
		s := &all[i]
		if s.Project != p.settings.Project || s.Fingerprint != fingerprint || s.Key == "" || s.Settings != p.settings.Version {
			continue
		}
		id, ok := p.keys[s.Key]
		if !ok {
			id = millrace.IssueID(s.Project, s.Key)
			p.keys[s.Key] = id
		}
		if p.issues[id] == nil {
			p.issues[id] = &millrace.Issue{ID: id, Project: s.Project, State: millrace.IssueOpen, Owner: s.Owner, Created: now.UnixNano()}
			created[p.issues[id]] = true
			m.note(p, []millrace.Activity{{
				Project: s.Project, Issue: id, At: now.UnixNano(), Author: "millrace", Kind: "created", Data: []byte("{}"),
			}})
		}
		f := &row{report: slices.Clone(s.Report)}
		f.Project, f.Fingerprint, f.Key, f.Issue = s.Project, s.Fingerprint, s.Key, id
		f.FirstSeen = math.MaxInt64 // every sighting is earlier
		p.prints[s.Fingerprint] = f
		return f
	}
	return nil
}

// saw notes times, texts, environments and releases.
func (p *project) saw(f *row, s *millrace.Sighting) {
	if earlier(s, &f.IssueFingerprint) {
		f.FirstSeen, f.FirstRelease = s.First, s.FirstRelease
		f.Type, f.Title, f.Level, f.Service = s.Type, s.Title, s.Level, s.Service
		f.Culprit, f.Language = cmp.Or(s.Culprit, f.Culprit), cmp.Or(s.Language, f.Language)
	}
	told := spanOf(s)
	both := span{f.FirstSeen, f.LastSeen, f.FirstRelease, f.LastRelease}.with(told)
	f.LastSeen, f.LastRelease = both.last, both.lastRelease
	at := [2]string{s.Fingerprint, s.Env}
	if g := p.sights[at]; g != nil {
		told = span{g.FirstSeen, g.LastSeen, g.FirstRelease, g.LastRelease}.with(told)
	}
	p.sights[at] = &millrace.Sight{
		Fingerprint: s.Fingerprint, Env: s.Env,
		FirstSeen: told.first, LastSeen: told.last, FirstRelease: told.firstRelease, LastRelease: told.lastRelease,
	}
	p.sawRelease(s.FirstRelease, s.First)
	p.sawRelease(s.LastRelease, s.Last)
	if s.FirstRelease == s.LastRelease {
		p.sawRelease(s.FirstRelease, s.Last)
	}
}

func (p *project) sawRelease(name string, at int64) {
	if name == "" {
		return
	}
	r := p.releases[name]
	if r == nil {
		r = &millrace.IssueRelease{Release: name, FirstSeen: at, LastSeen: at}
		p.releases[name] = r
	}
	r.FirstSeen, r.LastSeen = min(r.FirstSeen, at), max(r.LastSeen, at)
}

// of returns the fingerprints of an issue by first seen.
func (p *project) of(issue string) []*row {
	var out []*row
	for _, f := range p.prints {
		if f.Issue == issue {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, byFirst)
	return out
}

func (f *row) texts() []string {
	return []string{f.Type, f.Title, f.Culprit, f.Level, f.Service, f.Language}
}

func byFirst(a, b *row) int {
	return cmp.Or(cmp.Compare(a.FirstSeen, b.FirstSeen), strings.Compare(a.Fingerprint, b.Fingerprint))
}

// refresh derives what an issue has of its fingerprints.
func (p *project) refresh(id string) {
	i := p.issues[id]
	own := p.of(id)
	i.Fingerprints = len(own)
	if len(own) == 0 {
		return
	}
	f := slices.MinFunc(own, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.FirstSeen, b.FirstSeen), strings.Compare(a.FirstRelease, b.FirstRelease), slices.Compare(a.texts(), b.texts()))
	})
	i.Type, i.Title, i.Culprit, i.Level, i.Service, i.Language = f.Type, f.Title, f.Culprit, f.Level, f.Service, f.Language
	i.MergedInto = ""
	all := span{f.FirstSeen, f.LastSeen, f.FirstRelease, f.LastRelease}
	for _, f := range own {
		all = all.with(span{f.FirstSeen, f.LastSeen, f.FirstRelease, f.LastRelease})
	}
	i.FirstSeen, i.LastSeen, i.FirstRelease, i.LastRelease = all.first, all.last, all.firstRelease, all.lastRelease
}

func notFound(what, id string) error {
	return millrace.Errorf(millrace.ErrNotFound, "no %s %q", what, id)
}

// Issue implements millrace.Issues.
func (m *Memory) Issue(_ context.Context, project, id string) (*millrace.Issue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("Issue"); err != nil {
		return nil, err
	}
	i := m.project(project).issues[id]
	if i == nil {
		return nil, notFound("issue", id)
	}
	c := *i
	return &c, nil
}

// ListIssues implements millrace.Issues.
func (m *Memory) ListIssues(_ context.Context, q millrace.IssueQuery) ([]*millrace.Issue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("ListIssues"); err != nil {
		return nil, err
	}
	if q.Order != "" && q.Order != "last_seen" && q.Order != "first_seen" && q.Order != "id" {
		return nil, millrace.Errorf(millrace.ErrInvalid, "no order %q", q.Order)
	}
	var out []*millrace.Issue
	for _, i := range m.project(q.Project).issues {
		if i.Fingerprints > 0 && selects(&q, i) {
			c := *i
			out = append(out, &c)
		}
	}
	slices.SortFunc(out, func(a, b *millrace.Issue) int {
		c := 0
		switch q.Order {
		case "last_seen", "":
			c = cmp.Compare(b.LastSeen, a.LastSeen)
		case "first_seen":
			c = cmp.Compare(b.FirstSeen, a.FirstSeen)
		}
		return cmp.Or(c, strings.Compare(a.ID, b.ID))
	})
	out = out[min(q.Offset, len(out)):]
	if q.Limit > 0 {
		out = out[:min(q.Limit, len(out))]
	}
	return out, nil
}

func selects(q *millrace.IssueQuery, i *millrace.Issue) bool {
	part := func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(q.Text)) }
	return (len(q.States) == 0 || slices.Contains(q.States, i.State)) &&
		(len(q.IDs) == 0 || slices.Contains(q.IDs, i.ID)) &&
		(q.Owner == nil || *q.Owner == i.Owner) &&
		(q.NewSince == 0 || i.FirstSeen >= q.NewSince) &&
		(q.SeenSince == 0 || i.LastSeen >= q.SeenSince) &&
		(part(i.Type) || part(i.Title) || part(i.Culprit) || part(i.ID))
}

// IssuesOf implements millrace.Issues.
func (m *Memory) IssuesOf(_ context.Context, project string, fingerprints []string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("IssuesOf"); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, name := range fingerprints {
		if f := m.project(project).prints[name]; f != nil {
			out[name] = f.Issue
		}
	}
	return out, nil
}

// IssueKeys implements millrace.Issues.
func (m *Memory) IssueKeys(_ context.Context, project string, keys []string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("IssueKeys"); err != nil {
		return nil, err
	}
	p := m.project(project)
	if keys == nil {
		return maps.Clone(p.keys), nil
	}
	out := map[string]string{}
	for _, k := range keys {
		if id, ok := p.keys[k]; ok {
			out[k] = id
		}
	}
	return out, nil
}

// Fingerprints implements millrace.Issues.
func (m *Memory) Fingerprints(_ context.Context, project string, issues []string) ([]millrace.IssueFingerprint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("Fingerprints"); err != nil {
		return nil, err
	}
	var all []*row
	for _, f := range m.project(project).prints {
		if issues == nil || slices.Contains(issues, f.Issue) {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b *row) int { return cmp.Or(strings.Compare(a.Issue, b.Issue), byFirst(a, b)) })
	var out []millrace.IssueFingerprint
	for _, f := range all {
		out = append(out, f.IssueFingerprint)
	}
	return out, nil
}

// FingerprintReports implements millrace.Issues.
func (m *Memory) FingerprintReports(_ context.Context, project string, fingerprints []string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("FingerprintReports"); err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, name := range fingerprints {
		if f := m.project(project).prints[name]; f != nil {
			out[name] = slices.Clone(f.report)
		}
	}
	return out, nil
}

// Sights implements millrace.Issues.
func (m *Memory) Sights(_ context.Context, project, issue string) ([]millrace.Sight, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("Sights"); err != nil {
		return nil, err
	}
	p := m.project(project)
	var out []millrace.Sight
	for _, s := range p.sights {
		if p.prints[s.Fingerprint].Issue == issue {
			out = append(out, *s)
		}
	}
	slices.SortFunc(out, func(a, b millrace.Sight) int {
		return cmp.Or(strings.Compare(a.Fingerprint, b.Fingerprint), strings.Compare(a.Env, b.Env))
	})
	return out, nil
}

// IssueReleases implements millrace.Issues.
func (m *Memory) IssueReleases(_ context.Context, project string) ([]millrace.IssueRelease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("IssueReleases"); err != nil {
		return nil, err
	}
	var out []millrace.IssueRelease
	for _, r := range m.project(project).releases {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b millrace.IssueRelease) int {
		return cmp.Or(cmp.Compare(a.FirstSeen, b.FirstSeen), strings.Compare(a.Release, b.Release))
	})
	return out, nil
}

// IssueProjects implements millrace.Issues.
func (m *Memory) IssueProjects(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("IssueProjects"); err != nil {
		return nil, err
	}
	var out []string
	for name, p := range m.projects {
		if len(p.issues) > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}
