package duckdb

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace"
)

// listProbe is a condition that holds for rows with one of some fingerprints.
type listProbe struct {
	filter *millrace.Filter
	values map[string]struct{}
	hashes []uint64 // of values, ascending and distinct
}

// newListProbe returns the probe of fingerprint:X, or of several joined by or; nil
// if f is neither.
func newListProbe(f *millrace.Filter) *listProbe {
	subs := f.Sub
	if f.Op != millrace.FilterOr {
		subs = []*millrace.Filter{f}
	}
	p := &listProbe{filter: f, values: map[string]struct{}{}}
	for _, s := range subs {
		if s.Op != millrace.FilterEq || s.Field != millrace.AttrFingerprint || s.Value == "" {
			return nil
		}
		p.values[s.Value] = struct{}{}
		p.hashes = append(p.hashes, listHash(s.Value))
	}
	slices.Sort(p.hashes)
	p.hashes = slices.Compact(p.hashes)
	if len(p.hashes) == 0 {
		return nil
	}
	return p
}

// listFound are the rows of a block that may have one of a probe's fingerprints.
type listFound struct {
	rows  []rowTime
	exact bool // all of them have
}

// findListed finds the rows of a block that the lists name, and those of them that
// the whole filter may take.
func (p *probe) findListed(f *indexFile, b *indexBlock, out *findings) error {
	out.lists = make([]listFound, len(p.lists))
	var file *listFile
	if b.listed > 0 {
		var err error
		if file, err = f.openList(b); err != nil {
			return err
		}
	}
	for i, l := range p.lists {
		found := listFound{[]rowTime{}, true}
		if file != nil {
			rows, exact, err := file.find(l)
			if err != nil {
				return err
			}
			found = listFound{append(found.rows, rows...), exact}
		}
		out.lists[i] = found
	}
	out.listed, out.implied = p.root.rows(out.lists)
	return nil
}

// askTail returns what is known of n rows that are in no block.
func (p *probe) askTail(l *listed, n int64) *findings {
	out := nothingKnown()
	if l == nil || len(p.lists) == 0 {
		return out
	}
	for _, list := range p.lists {
		rows, exact := l.find(list)
		// Rows of a write that was committed since are not the span's.
		rows = slices.DeleteFunc(rows, func(r rowTime) bool { return int64(r.row) >= n })
		out.lists = append(out.lists, listFound{append([]rowTime{}, rows...), exact})
	}
	out.listed, out.implied = p.root.rows(out.lists)
	out.may = out.listed == nil || len(out.listed) > 0
	return out
}

// rows returns the rows that may match as far as lists tell, nil if they do not, and
// the list that all of them match, -1 if none is known to be such.
func (n *probeNode) rows(lists []listFound) (rows []rowTime, implied int) {
	implied = -1
	switch n.op {
	case probeList:
		if lists[n.text].exact {
			implied = n.text
		}
		return lists[n.text].rows, implied
	case millrace.FilterAnd:
		for _, sub := range n.sub {
			if r, i := sub.rows(lists); r != nil && (rows == nil || len(r) < len(rows)) {
				rows, implied = r, i
			}
		}
	case millrace.FilterOr:
		rows = []rowTime{}
		for _, sub := range n.sub {
			r, _ := sub.rows(lists)
			if r == nil {
				return nil, -1
			}
			rows = append(rows, r...)
		}
		slices.SortFunc(rows, func(a, b rowTime) int { return cmp.Compare(a.row, b.row) })
		rows = slices.Compact(rows)
	}
	return rows, implied
}

// listedMinutes returns the minutes of the rows that may match. A minute may be
// there more than once.
func (f *findings) listedMinutes() (out []minuteCount) {
	for _, r := range f.listed {
		minute := floorDiv(r.time, minuteNS)
		if n := len(out) - 1; n < 0 || out[n].minute != minute {
			out = append(out, minuteCount{minute: minute})
		}
		out[len(out)-1].events++
	}
	return out
}

// manyListed is how many listed rows of a block are too many to look for by their
// numbers, which takes 0.15 ms for one, and for all of a block 1 ms.
const manyListed = 8

// pick is rows of a span of which the list tells that they may match, ascending.
type pick struct {
	span *span
	rows []int64
	blockBounds
}

// pick returns the listed rows of the span with events of [from, to).
func (s *span) pick(from, to int64) pick {
	p := pick{span: s, blockBounds: noBounds}
	p.minArrived, p.maxArrived = anyArrival, lastArrival
	for _, r := range s.found.listed {
		if r.time >= from && (r.time < to || to == math.MaxInt64) {
			p.rows = append(p.rows, s.first+int64(r.row))
			p.minTime, p.maxTime = min(p.minTime, r.time), max(p.maxTime, r.time)
		}
	}
	return p
}

// with reports whether one statement may do for both.
func (p *pick) with(q *pick) bool {
	return p.span.day == q.span.day && p.span.found.implied == q.span.found.implied
}

// partsOf returns what is to be looked at of spans, which are by day and row, for
// events of [from, to).
func (x *eventIndex) partsOf(spans []*span, from, to int64) []*part {
	var plain []*span
	var few, many []pick
	for _, s := range spans {
		if s.found.listed == nil {
			plain = append(plain, s)
			continue
		}
		switch p := s.pick(from, to); {
		case len(p.rows) >= x.manyRows:
			many = append(many, p)
		case len(p.rows) > 0:
			few = append(few, p)
		}
	}
	return slices.Concat(joinSpans(plain), fewParts(few), manyParts(many))
}

// part returns a part of nothing yet, to look at rows of p's table.
func (p *pick) part() *part {
	return &part{blockBounds: p.blockBounds, day: p.span.day, first: p.rows[0], last: p.rows[0] + 1, implied: p.span.found.implied}
}

func (p *part) widen(b blockBounds) {
	p.minTime, p.maxTime = min(p.minTime, b.minTime), max(p.maxTime, b.maxTime)
	p.minArrived, p.maxArrived = min(p.minArrived, b.minArrived), max(p.maxArrived, b.maxArrived)
}

// fewParts are for short lists of rows, as readLists has them.
func fewParts(picks []pick) (out []*part) {
	for i := range picks {
		p := &picks[i]
		var last *part
		if i > 0 && picks[i-1].with(p) {
			last = out[len(out)-1]
		}
		for _, row := range p.rows {
			if last == nil || len(last.rows) == shortList {
				last = p.part()
				out = append(out, last)
			}
			last.rows, last.last = append(last.rows, row), row+1
			last.widen(p.blockBounds)
		}
	}
	return out
}

// manyParts are for blocks of which so many rows may match that all are passed,
// with a bit for each.
func manyParts(picks []pick) (out []*part) {
	var last *part
	for i := range picks {
		p := &picks[i]
		end := p.rows[len(p.rows)-1] + 1
		if last == nil || !picks[i-1].with(p) || end-last.first > partRows {
			last = p.part()
			out = append(out, last)
		}
		last.widen(p.blockBounds)
		last.bits = append(last.bits, make([]byte, (end-last.first+7)/8-int64(len(last.bits)))...)
		for _, row := range p.rows {
			at := row - last.first
			last.bits[at/8] |= 1 << (at % 8)
		}
		last.last = end
	}
	return out
}

// listed adds that a row is one of the part's, project and filter, and notes what
// the list says of the filter.
func (p *part) listed(c *condition, pr *probe, q millrace.EventQuery) {
	if p.implied >= 0 {
		c.texts = texts{pr.lists[p.implied].filter: knownText{all: true}}
	}
	if p.bits != nil {
		// In a CASE, since DuckDB would try for every row what else there is, to find
		// out which is the cheapest.
		c.add(" AND CASE WHEN millrace_bit(rowid, ?, ?) THEN true", p.first, p.bits)
		c.selection(q)
		c.add(" ELSE false END")
		return
	}
	if int64(len(p.rows)) < p.last-p.first {
		c.add(" AND rowid IN (VALUES ")
		for i, row := range p.rows {
			if i > 0 {
				c.add(",")
			}
			c.add(fmt.Sprintf("(%d)", row))
		}
		c.add(")")
	}
	c.selection(q)
}
