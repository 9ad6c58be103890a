package query

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// The planner finds the cells that answer a question exactly and are the fewest
// to read. A source is a set of dimensions at a granularity; it can be used for
// the whole buckets of the range that lie in one step each, that retention has
// not dropped and that have the set and the metrics asked for. The range is cut
// into pieces that have the same sources, from the coarsest granularity to the
// finest, and each piece gets the cheapest: one of its sources, or the best that
// finer granularities have for it.
//
// Costs are counts of cells, asked of the Store only where they decide: a set
// has no more cells than one that has all its dimensions and others, and an hour
// has no more than its minutes.

// source is a set of dimensions that has what is asked for.
type source struct {
	set   millrace.DimensionSet
	avail [3][]millrace.Span // per levels, where it can be used
}

// levels are the granularities, the coarsest first.
var levels = [3]millrace.Granularity{millrace.Day, millrace.Hour, millrace.Minute}

// piece is spans with the ways to answer them: at least one.
type piece struct{ ways []way }

// way is a part to read, or pieces that replace it.
type way struct {
	part   *millrace.CellPart
	pieces []piece
	cost   int64
}

// planner is one search.
type planner struct {
	line    *timeline
	sources []source
}

// newPlanner finds the sources that have the dimensions needed. have is what the
// Store tells of its cells, since is since when it has the metrics asked for.
func newPlanner(line *timeline, have *millrace.Coverage, need []string, since int64) *planner {
	p := &planner{line: line}
	for i := range have.Sets {
		set := have.Sets[i]
		names := make([]string, len(set.Dims))
		for j, d := range set.Dims {
			names[j] = have.Dimensions[d]
		}
		if !containsAll(names, need) {
			continue
		}
		s := source{set: set}
		for level, g := range levels {
			at := slices.Index(set.Granularities, g)
			if at < 0 {
				continue
			}
			from := max(rollupdef.SetFrom(&set, at), since)
			if from == 0 { // always, also before 1970
				from = math.MinInt64
			}
			whole, _ := line.whole(g)
			if from > math.MinInt64 && from <= line.to {
				whole = intersect(whole, []millrace.Span{{From: ceil(g, from), To: line.to}})
			} else if from > line.to {
				whole = nil
			}
			switch g {
			case millrace.Minute:
				whole = subtract(whole, have.NoMinutes)
			case millrace.Hour:
				whole = subtract(whole, have.NoHours)
			}
			s.avail[level] = whole
		}
		p.sources = append(p.sources, s)
	}
	p.prune()
	return p
}

func containsAll[T comparable](have, need []T) bool {
	for _, n := range need {
		if !slices.Contains(have, n) {
			return false
		}
	}
	return true
}

// within reports whether a has no dimension that b lacks: then a's cells are no
// more than b's.
func within(a, b *source) bool { return containsAll(b.set.Dims, a.set.Dims) }

// prune drops the sources that another replaces everywhere.
func (p *planner) prune() {
	replaces := func(a, b *source) bool {
		if !within(a, b) {
			return false
		}
		for level := range levels {
			if len(subtract(b.avail[level], a.avail[level])) > 0 {
				return false
			}
		}
		return true
	}
	all := p.sources
	p.sources = nil
	for i := range all {
		if !slices.ContainsFunc(all, func(s source) bool { return len(s.set.Dims) < len(all[i].set.Dims) && replaces(&s, &all[i]) }) {
			p.sources = append(p.sources, all[i])
		}
	}
}

// cover returns how spans can be answered from a level on; ok is false if they
// cannot.
func (p *planner) cover(spans []millrace.Span, level int) (pieces []piece, ok bool) {
	if len(spans) == 0 {
		return nil, true
	}
	if level == len(levels) {
		return nil, false
	}
	for _, group := range p.split(spans, level) {
		var pc piece
		for _, i := range p.smallest(group.sources) {
			pc.ways = append(pc.ways, way{part: &millrace.CellPart{
				Set: p.sources[i].set, Granularity: levels[level], Spans: group.spans,
			}})
		}
		if len(pc.ways) == 0 || p.finerMayWin(group.sources, level) {
			if finer, ok := p.cover(group.spans, level+1); ok {
				pc.ways = append(pc.ways, way{pieces: finer})
			}
		}
		if len(pc.ways) == 0 {
			return nil, false
		}
		pieces = append(pieces, pc)
	}
	return pieces, true
}

// group is spans in which the same sources can be used at a level.
type group struct {
	spans   []millrace.Span
	sources []int
}

// split cuts spans into groups, in the order of their beginnings.
func (p *planner) split(spans []millrace.Span, level int) []group {
	groups := []group{{spans: spans}}
	for i := range p.sources {
		var next []group
		for _, g := range groups {
			if in := intersect(g.spans, p.sources[i].avail[level]); len(in) > 0 {
				next = append(next, group{in, append(slices.Clone(g.sources), i)})
			}
			if out := subtract(g.spans, p.sources[i].avail[level]); len(out) > 0 {
				next = append(next, group{out, g.sources})
			}
		}
		groups = next
	}
	return groups
}

// smallest drops the sources that have all dimensions of another one.
func (p *planner) smallest(sources []int) []int {
	return slices.DeleteFunc(slices.Clone(sources), func(b int) bool {
		return slices.ContainsFunc(sources, func(a int) bool { return a != b && within(&p.sources[a], &p.sources[b]) })
	})
}

// finerMayWin reports whether a finer granularity might have fewer cells than
// the sources of a level: only if one there lacks a dimension of each of them.
func (p *planner) finerMayWin(sources []int, level int) bool {
	for i := range p.sources {
		s := &p.sources[i]
		finer := false
		for l := level + 1; l < len(levels); l++ {
			finer = finer || len(s.avail[l]) > 0
		}
		if finer && !slices.ContainsFunc(sources, func(c int) bool { return within(&p.sources[c], s) }) {
			return true
		}
	}
	return false
}

// open collects the parts whose costs decide.
func open(pieces []piece, decides bool, into *[]*way) {
	for i := range pieces {
		for j := range pieces[i].ways {
			w := &pieces[i].ways[j]
			deciding := decides || len(pieces[i].ways) > 1
			if w.part != nil && deciding {
				*into = append(*into, w)
			}
			open(w.pieces, deciding, into)
		}
	}
}

// cheapest returns the parts of the best ways and what they cost.
func cheapest(pieces []piece) (parts []millrace.CellPart, cost int64) {
	for _, pc := range pieces {
		var best []millrace.CellPart
		least := int64(math.MaxInt64)
		for _, w := range pc.ways {
			these, c := cheapest(w.pieces)
			if w.part != nil {
				these, c = []millrace.CellPart{*w.part}, w.cost
			}
			if c < least {
				best, least = these, c
			}
		}
		parts, cost = append(parts, best...), cost+least
	}
	return parts, cost
}

// plan returns the parts to read, nil if cells cannot answer.
func (p *planner) plan(ctx context.Context, count func(context.Context, []millrace.CellPart) ([]int64, error)) ([]millrace.CellPart, error) {
	pieces, ok := p.cover(p.line.spans(), 0)
	if !ok {
		return nil, nil
	}
	var ways []*way
	open(pieces, false, &ways)
	if len(ways) > 0 {
		asked := make([]millrace.CellPart, len(ways))
		for i, w := range ways {
			asked[i] = *w.part
		}
		costs, err := count(ctx, asked)
		if err != nil {
			return nil, err
		}
		for i, w := range ways {
			w.cost = costs[i]
		}
	}
	parts, _ := cheapest(pieces)
	return joinParts(parts), nil
}

// joinParts makes one part of those of the same set and granularity.
func joinParts(parts []millrace.CellPart) []millrace.CellPart {
	var out []millrace.CellPart
	for _, p := range parts {
		i := slices.IndexFunc(out, func(o millrace.CellPart) bool {
			return o.Granularity == p.Granularity && slices.Equal(o.Set.Dims, p.Set.Dims)
		})
		if i < 0 {
			p.Spans = slices.Clone(p.Spans)
			out = append(out, p)
			continue
		}
		out[i].Spans = rollupdef.MergeSpans(append(out[i].Spans, p.Spans...))
	}
	slices.SortStableFunc(out, func(a, b millrace.CellPart) int { return int(b.Granularity - a.Granularity) })
	return out
}

// sourceName names the granularities read, the coarsest first: 1d+1h+1m.
func sourceName(parts []millrace.CellPart) string {
	var names []string
	for _, p := range parts {
		if n := p.Granularity.String(); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return strings.Join(names, "+")
}
