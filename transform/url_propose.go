package transform

import (
	"slices"
	"strings"
)

// proposer walks a copy of a Learner's tree, folding what has too many children.
type proposer struct {
	l         *Learner
	out       Proposal
	templates []proposedTemplate
}

type proposedTemplate struct {
	text   string
	events int64
}

func (p *proposer) walk(prefix string, node *learnNode) {
	if node.ends > 0 {
		p.templates = append(p.templates, proposedTemplate{prefix, node.ends})
	}
	light, values := p.light(node)
	if values >= p.l.o.Children {
		p.fold(prefix, node, light, values)
	}
	names := make([]string, 0, len(node.children))
	for name := range node.children {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p.walk(prefix+"/"+name, node.children[name])
	}
}

// light returns the children that are not asked for often enough to stay beside
// {*}, and how many there are with those merged before.
func (p *proposer) light(node *learnNode) (names []string, values int) {
	keep := int64(p.l.o.Keep * float64(node.events))
	for name, c := range node.children {
		if c.events <= keep && !isURLPlaceholder([]byte(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	values = len(names)
	if node.star != nil {
		values += node.merged
	}
	return names, values
}

// fold makes {*} of the light children and keeps the others beside it.
func (p *proposer) fold(prefix string, node *learnNode, light []string, values int) {
	star := node.children[urlStar] // of rules learned before
	if star == nil {
		star = &learnNode{}
	}
	before := star.events
	if node.star != nil {
		p.l.merge(star, node.star)
	}
	for _, name := range light {
		p.l.merge(star, node.children[name])
		delete(node.children, name)
	}
	for name := range node.children {
		if name != urlStar {
			p.out.Learned = append(p.out.Learned, prefix+"/"+name)
		}
	}
	node.children[urlStar] = star
	p.out.Learned = append(p.out.Learned, prefix+"/"+urlStar)
	p.out.New = append(p.out.New, LearnedURL{prefix + "/" + urlStar, values, star.events - before})
}

// finish adds the rules there are already and closes the set if it must be.
func (p *proposer) finish() {
	p.out.Learned = append(p.out.Learned, p.l.t.options.Learned...)
	slices.Sort(p.out.Learned)
	p.out.Learned = slices.Compact(p.out.Learned)
	byEvents := func(a, b int64, x, y string) int {
		if a != b {
			if a > b {
				return -1
			}
			return 1
		}
		return strings.Compare(x, y)
	}
	slices.SortFunc(p.out.New, func(a, b LearnedURL) int { return byEvents(a.Events, b.Events, a.Pattern, b.Pattern) })
	slices.SortFunc(p.templates, func(a, b proposedTemplate) int { return byEvents(a.events, b.events, a.text, b.text) })
	p.out.Templates, p.out.seen = len(p.templates), p.templates
	room := p.l.t.room()
	if p.out.Templates <= room {
		return
	}
	for _, t := range p.templates[:room] {
		p.out.Known = append(p.out.Known, t.text)
	}
	slices.Sort(p.out.Known)
}
