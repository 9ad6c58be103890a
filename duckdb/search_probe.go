package duckdb

import (
	"slices"

	"github.com/millrace/millrace"
)

// probe is what the index can tell of a filter, for each block and class of shape:
// whether no row matches, all do, or some may.
type probe struct {
	root  *probeNode
	texts []*textProbe // the conditions over the message
	lists []*listProbe // those over the fingerprint
	// pure: there are no others, so that a block whose texts are known is.
	pure bool
	// needsTrace: only rows with a certain trace id match, which hardly any block has.
	needsTrace bool
}

// probeNode is a node of a filter.
type probeNode struct {
	op   millrace.FilterOp // And, Or, Not; else one of the following
	sub  []*probeNode
	text int // probeText: index in texts; probeList: in lists
	hash uint64
}

// Operations of nodes that are neither And, Or nor Not.
const (
	probeText    = millrace.FilterText
	probeTrace   = millrace.FilterEq     // some row has the trace id with this hash
	probeList    = millrace.FilterGlob   // the row has one of some fingerprints
	probeUnknown = millrace.FilterRegexp // the index knows nothing of it
)

func newProbe(f *millrace.Filter) *probe {
	p := &probe{pure: true}
	if f != nil {
		p.root = p.node(f)
		p.needsTrace = p.root.needsTrace()
	}
	return p
}

func (n *probeNode) needsTrace() bool {
	return n.op == probeTrace || n.op == millrace.FilterAnd && slices.ContainsFunc(n.sub, (*probeNode).needsTrace)
}

func (p *probe) node(f *millrace.Filter) *probeNode {
	n := &probeNode{op: f.Op}
	if l := newListProbe(f); l != nil {
		p.lists, p.pure = append(p.lists, l), false
		return &probeNode{op: probeList, text: len(p.lists) - 1}
	}
	switch f.Op {
	case millrace.FilterAnd, millrace.FilterOr, millrace.FilterNot:
		for _, sub := range f.Sub {
			n.sub = append(n.sub, p.node(sub))
		}
		return n
	case millrace.FilterText:
		return p.addText(f)
	case millrace.FilterGlob:
		if f.Field == "message" {
			return p.addText(f)
		}
	case millrace.FilterEq:
		switch {
		case f.Field == "message":
			return p.addText(f)
		case f.Field == "trace_id" && f.Value != "":
			hi, lo, ok := parseTrace([]byte(f.Value))
			if !ok {
				hi, lo = textHash(validText(f.Value))
			}
			n.op, n.hash, p.pure = probeTrace, traceHash(hi, lo), false
			return n
		}
	}
	n.op, p.pure = probeUnknown, false
	return n
}

func (p *probe) addText(f *millrace.Filter) *probeNode {
	p.texts = append(p.texts, newTextProbe(f))
	return &probeNode{op: probeText, text: len(p.texts) - 1}
}

// findings is what the index knows of a block for a probe.
type findings struct {
	may bool // some row may match
	// known: whether a row matches a text depends on its class alone.
	known bool
	whole [256]verdict   // of the filter, by class
	texts [][256]verdict // of the texts, by class
	occur [256]bool      // classes that rows have
	lists []listFound    // of the lists
	// listed are the rows that may match, by their place in the block, if the filter
	// asks for fingerprints; nil: any may. All of them match the list with the index
	// implied, if that is not negative.
	listed  []rowTime
	implied int
}

// all reports whether all rows match.
func (f *findings) all() bool {
	for class, occurs := range f.occur {
		if occurs && f.whole[class] != always {
			return false
		}
	}
	return true
}

// nothingKnown is what is found of rows that are in no block.
func nothingKnown() *findings { return &findings{may: true, implied: -1} }

// ask looks into the index.
func (p *probe) ask(f *indexFile, b *indexBlock) (*findings, error) {
	if f.bad.Load() {
		return nothingKnown(), nil
	}
	out, err := p.find(f, b)
	if err != nil && f.bad.Load() {
		return nothingKnown(), nil
	}
	return out, err
}

func (p *probe) find(f *indexFile, b *indexBlock) (*findings, error) {
	out := &findings{implied: -1}
	if p.root == nil {
		out.may, out.occur[0], out.whole[0], out.known = true, true, always, true
		return out, nil
	}
	shapes := &shapeList{others: b.rows}
	if len(p.texts) > 0 && b.shapes > 0 {
		var err error
		if shapes, err = f.readShapes(b); err != nil {
			return nil, err
		}
	}
	out.occur[0], out.known = shapes.others > 0, true
	for i := range shapes.texts {
		out.occur[i+1] = true
	}
	if len(p.lists) > 0 {
		if err := p.findListed(f, b, out); err != nil {
			return nil, err
		}
	}
	out.texts = make([][256]verdict, len(p.texts))
	for i, t := range p.texts {
		if err := t.find(f, b, shapes, out, &out.texts[i]); err != nil {
			return nil, err
		}
	}
	for class := range len(shapes.texts) + 1 {
		if !out.occur[class] {
			continue
		}
		v, err := p.root.of(f, b, out, class)
		if err != nil {
			return nil, err
		}
		out.whole[class] = v
		out.may = out.may || v > never
	}
	return out, nil
}

// find fills into with what is known of the text.
func (t *textProbe) find(f *indexFile, b *indexBlock, shapes *shapeList, out *findings, into *[256]verdict) error {
	if out.occur[0] {
		may, err := f.mayHaveGrams(b, t.grams)
		if err != nil {
			return err
		}
		if may {
			into[0], out.known = maybe, false
		}
	}
	numbers, err := f.mayHaveGrams(b, t.number)
	if err != nil {
		return err
	}
	for i, shape := range shapes.texts {
		v := t.of(shape)
		if v == maybe && !numbers {
			v = never
		}
		into[i+1] = v
		out.known = out.known && v != maybe
	}
	return nil
}

// of returns the verdict for rows of a class.
func (n *probeNode) of(f *indexFile, b *indexBlock, found *findings, class int) (verdict, error) {
	switch n.op {
	case millrace.FilterAnd, millrace.FilterOr:
		out := always
		if n.op == millrace.FilterOr {
			out = never
		}
		for _, sub := range n.sub {
			v, err := sub.of(f, b, found, class)
			if err != nil {
				return maybe, err
			}
			if n.op == millrace.FilterAnd {
				out = min(out, v)
			} else {
				out = max(out, v)
			}
		}
		return out, nil
	case millrace.FilterNot:
		v, err := n.sub[0].of(f, b, found, class)
		return always - v, err
	case probeText:
		return found.texts[n.text][class], nil
	case probeList:
		return verdict(min(len(found.lists[n.text].rows), int(maybe))), nil
	case probeTrace:
		if may, err := f.mayHaveTrace(b, n.hash); err != nil || !may {
			return never, err
		}
	}
	return maybe, nil
}
