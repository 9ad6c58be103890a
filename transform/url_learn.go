package transform

import (
	"maps"
	"slices"
	"strings"
)

// LearnOptions say when a Learner folds. Zero means the default.
type LearnOptions struct {
	// Children is how many distinct segments below one prefix are too many;
	// default 100.
	Children int
	// Keep is the share of a prefix's events from which on a segment is kept
	// beside {*}: what many ask for has a name worth showing; default 0.01.
	Keep float64
	// Nodes bounds the memory, 250 bytes each; default 50,000.
	Nodes int
}

const (
	defaultLearnChildren = 100
	defaultLearnKeep     = 0.01
	defaultLearnNodes    = 50_000

	// crowdedChildren is how many times Children segments of one prefix may be
	// held apart; crowdedTemplates is the like for templates and the cap.
	crowdedChildren, crowdedTemplates = 4, 4
)

// Learner watches the paths of one source and proposes rules by which segments
// of high cardinality become {*}. It is a tree of the templates' segments. Its
// memory is bounded: where there are too many children or nodes, those of fewest
// events become one. It is deterministic: the same paths in the same order give
// the same proposal. It is not safe for concurrent use.
type Learner struct {
	t       *Templates
	o       LearnOptions
	scratch urlScratch
	root    *learnNode
	nodes   int
	leaves  int  // where a path ended
	merges  bool // for want of room, or of patience with one prefix
	closed  bool // the rules bound the set already
}

// learnNode is a segment below a prefix.
type learnNode struct {
	children map[string]*learnNode
	star     *learnNode // what was merged to save memory
	merged   int        // how many children that were; repeated ones count again
	events   int64      // that passed
	ends     int64      // that ended here
}

// NewLearner returns a learner for the source that has the rules t: it proposes
// what should be learned beside what t has learned.
func NewLearner(t *Templates, o LearnOptions) *Learner {
	if o.Children <= 0 {
		o.Children = defaultLearnChildren
	}
	if o.Keep <= 0 {
		o.Keep = defaultLearnKeep
	}
	if o.Nodes <= 0 {
		o.Nodes = defaultLearnNodes
	}
	open := *t
	open.known = nil
	return &Learner{t: &open, o: o, root: &learnNode{}, nodes: 1, closed: t.known != nil}
}

// Resize changes the bound of the memory, in nodes.
func (l *Learner) Resize(nodes int) {
	l.o.Nodes = nodes
	if l.nodes > nodes {
		l.shrink()
	}
}

// Crowded reports whether so many templates were seen that a proposal should not
// wait: several times as many as the cap has room for or as one prefix should
// have, and nothing bounds them.
func (l *Learner) Crowded() bool {
	return !l.closed && (l.merges || l.leaves > crowdedTemplates*l.t.room())
}

// Observe takes the path of one event. What an explicit pattern fits is not
// learned from.
func (l *Learner) Observe(path string) {
	if path == "*" || path == URLOther {
		return
	}
	s := &l.scratch
	s.normalize(path, l.t.options.IgnoreCase)
	if l.t.explicit.find(s, 0) != "" {
		return
	}
	node := l.root
	node.events++
	for segment := range strings.SplitSeq(asString(l.t.classify(s)[1:]), "/") {
		node = l.step(node, segment)
		node.events++
	}
	if node.ends++; node.ends == 1 {
		l.leaves++
	}
	if l.nodes > l.o.Nodes {
		l.shrink()
	}
}

// step returns the child for a segment.
func (l *Learner) step(node *learnNode, segment string) *learnNode {
	if c := node.children[segment]; c != nil {
		return c
	}
	if len(node.children) >= crowdedChildren*l.o.Children {
		l.mergeLight(node, l.median(node))
	}
	if node.children == nil {
		node.children = map[string]*learnNode{}
	}
	c := &learnNode{}
	node.children[strings.Clone(segment)] = c
	l.nodes++
	return c
}

// median returns the events of a node's child in the middle.
func (l *Learner) median(node *learnNode) int64 {
	events := make([]int64, 0, len(node.children))
	for _, c := range node.children {
		events = append(events, c.events)
	}
	slices.Sort(events)
	return events[len(events)/2]
}

// mergeLight merges the children of at most so many events into the star.
func (l *Learner) mergeLight(node *learnNode, events int64) {
	for _, name := range slices.Sorted(maps.Keys(node.children)) {
		c := node.children[name]
		if c.events > events || isURLPlaceholder([]byte(name)) {
			continue
		}
		delete(node.children, name)
		node.merged++
		l.merges = true
		if node.star == nil {
			node.star = c
			continue
		}
		l.merge(node.star, c)
	}
}

// merge moves all of src into dst.
func (l *Learner) merge(dst, src *learnNode) {
	l.nodes--
	if dst.ends > 0 && src.ends > 0 {
		l.leaves--
	}
	dst.events += src.events
	dst.ends += src.ends
	dst.merged += src.merged
	if src.star != nil {
		if dst.star == nil {
			dst.star = src.star
		} else {
			l.merge(dst.star, src.star)
		}
	}
	if dst.children == nil {
		dst.children = src.children
		return
	}
	for _, name := range slices.Sorted(maps.Keys(src.children)) {
		if c := dst.children[name]; c != nil {
			l.merge(c, src.children[name])
		} else {
			dst.children[name] = src.children[name]
		}
	}
}

// shrink merges children everywhere, those of fewest events first, until half
// of the nodes are free.
func (l *Learner) shrink() {
	for events := int64(1); l.nodes > l.o.Nodes/2 && events < 1<<60; events *= 2 {
		l.shrinkBelow(l.root, events)
	}
}

func (l *Learner) shrinkBelow(node *learnNode, events int64) {
	l.mergeLight(node, events)
	for _, c := range node.children {
		l.shrinkBelow(c, events)
	}
	if node.star != nil {
		l.shrinkBelow(node.star, events)
	}
}

// Proposal is what a Learner would change, to be stored as a new version of the
// rules.
type Proposal struct {
	Learned []string // for URLOptions.Learned: the current ones and the new
	Known   []string // for URLOptions.Known; nil unless there are more templates than the cap

	New       []LearnedURL // the new rules among Learned, most events first
	Templates int          // how many the paths seen would have, without Known
	Events    int64        // that were observed

	seen []proposedTemplate // those templates, most events first
}

// LearnedURL is one rule that a Learner proposes.
type LearnedURL struct {
	Pattern string `json:"pattern"`
	Values  int    `json:"values"` // distinct segments that become {*}, roughly
	Events  int64  `json:"events"` // with one of these
}

// Propose returns the rules for what was observed so far. It costs time in
// proportion to the nodes, and changes nothing.
func (l *Learner) Propose() Proposal {
	work := *l // the counter of nodes is changed
	p := &proposer{l: &work, out: Proposal{Events: l.root.events}}
	p.walk("", l.root.clone())
	p.finish()
	return p.out
}

func (n *learnNode) clone() *learnNode {
	c := *n
	c.children = make(map[string]*learnNode, len(n.children))
	for name, child := range n.children {
		c.children[name] = child.clone()
	}
	if n.star != nil {
		c.star = n.star.clone()
	}
	return &c
}
