package issue

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// Preview is what a change of the grouping would do.
type Preview struct {
	Fingerprints int // all of the project
	Issues       int // there are now
	After        int // there would be
	Moved        int // fingerprints that would change their issue
	// Groups are the issues that would gain or lose fingerprints, those with most
	// occurrences first, at most MaxPreview.
	Groups  []PreviewGroup
	Omitted int // further groups
	// Version of the settings it is computed from.
	Version int64
}

// MaxPreview bounds the groups of a Preview.
const MaxPreview = 500

// previewDays is over what time a preview counts.
const previewDays = 30

// PreviewGroup is one issue as it would be.
type PreviewGroup struct {
	Issue string // id that it would have
	New   bool   // no such issue now
	Title string
	Type  string
	// Parts are the issues that its fingerprints come from, itself too, the one seen
	// first before others; one part that is another issue: it is parted from that.
	Parts []PreviewPart
	Count int64 // occurrences of the last 30 days in all environments; -1 unknown
}

// PreviewPart is what one issue gives to a group.
type PreviewPart struct {
	Issue, Type, Title string
	Fingerprints       int   // that come from it
	Stay               int   // fingerprints that it keeps, or gives to other groups
	Count              int64 // occurrences of those that come from it; -1 unknown
}

// PreviewRegroup tells what Regroup would do. It changes nothing.
func (s *Service) PreviewRegroup(ctx context.Context, project string, g Grouping) (*Preview, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	set, err := s.Settings(ctx, project)
	if err != nil {
		return nil, err
	}
	l, err := s.layout(ctx, project)
	if err != nil {
		return nil, err
	}
	keys, err := s.keyer(project, g).keys(ctx, l.prints)
	if err != nil {
		return nil, err
	}
	counts, err := s.recent(ctx, project)
	if err != nil {
		return nil, err
	}
	to, _ := l.regrouped(project, keys)
	p := &Preview{Fingerprints: len(l.prints), Version: set.Version}
	p.compare(l, to, counts)
	return p, nil
}

// recent returns how often fingerprints occurred lately; nil if that is not known.
func (s *Service) recent(ctx context.Context, project string) (map[string]int64, error) {
	if s.deps.Query == nil {
		return nil, nil
	}
	sc, err := s.scope(ctx, project, EnvAll, "", "", "fingerprint")
	if err != nil {
		return nil, err
	}
	now := s.deps.Now()
	a, err := sc.ask(ctx, question{by: "fingerprint"}, period{r: query.Range{From: now.Add(-previewDays * day), To: now}})
	if err != nil {
		return nil, err
	}
	return a[0].count, nil
}

// compare fills the preview from where fingerprints are and would be.
func (p *Preview) compare(l *layout, to map[string]place, counts map[string]int64) {
	groups, changed, size := map[string]*PreviewGroup{}, map[string]bool{}, map[string]int{}
	var order []*PreviewGroup
	for _, f := range l.inOrder() {
		size[f.Issue]++
		id := to[f.Fingerprint].issue
		g := groups[id]
		if g == nil {
			g = &PreviewGroup{Issue: id, Title: f.Title, Type: f.Type}
			groups[id] = g
			order = append(order, g)
		}
		g.add(f, counts)
		if id != f.Issue {
			p.Moved++
			changed[id], changed[f.Issue] = true, true
		}
	}
	p.Issues, p.After = len(size), len(groups)
	for _, g := range order {
		g.New = size[g.Issue] == 0
		for i := range g.Parts {
			g.Parts[i].Stay = size[g.Parts[i].Issue] - g.Parts[i].Fingerprints
		}
		if changed[g.Issue] {
			p.Groups = append(p.Groups, *g)
		}
	}
	slices.SortStableFunc(p.Groups, func(a, b PreviewGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Issue, b.Issue))
	})
	if p.Omitted = max(0, len(p.Groups)-MaxPreview); p.Omitted > 0 {
		p.Groups = p.Groups[:MaxPreview]
	}
}

// add adds a fingerprint to a group; they come in the order of first seen.
func (g *PreviewGroup) add(f *millrace.IssueFingerprint, counts map[string]int64) {
	i := slices.IndexFunc(g.Parts, func(p PreviewPart) bool { return p.Issue == f.Issue })
	if i < 0 {
		i = len(g.Parts)
		g.Parts = append(g.Parts, PreviewPart{Issue: f.Issue, Type: f.Type, Title: f.Title})
	}
	part := &g.Parts[i]
	part.Fingerprints++
	if counts == nil {
		g.Count, part.Count = unknownCount, unknownCount
		return
	}
	g.Count += counts[f.Fingerprint]
	part.Count += counts[f.Fingerprint]
}
