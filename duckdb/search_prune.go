package duckdb

import (
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// candidates returns the parts of the table that may have rows of [from, to) that
// match f, in the order of their rows: those that the index does not rule out,
// neighbours put together.
func (d *day) candidates(x *eventIndex, f *millrace.Filter, from, to int64) ([]part, error) {
	whole := []part{{from, to, 0, allRows}}
	p := newProbe(f)
	if p == nil || len(d.blocks) == 0 {
		return whole, nil
	}
	var out []part
	add := func(q part) {
		if n := len(out) - 1; n >= 0 && out[n].last == q.first {
			out[n].last, out[n].from, out[n].to = q.last, min(out[n].from, q.from), max(out[n].to, q.to)
			return
		}
		out = append(out, q)
	}
	err := x.view(d.name, func(file *indexFile) error {
		next := int64(0)
		for _, b := range d.blocks {
			if b.first > next {
				add(part{from, to, next, b.first})
			}
			next = b.end()
			if b.minTime >= to || b.maxTime < from {
				continue
			}
			may, err := p.mayMatch(file, b)
			if err != nil {
				return err
			}
			if may {
				add(part{max(from, b.minTime), min(to, satAdd(b.maxTime, 1)), b.first, b.end()})
			}
		}
		if next < d.rows {
			add(part{from, to, next, d.rows})
		}
		return nil
	})
	return out, err
}

// probe is what the index can tell of a filter: a condition that is necessary for
// it to match.
type probe struct {
	all, any []*probe // of one kind
	grams    []uint32 // the message has all of them
	trace    bool     // some row has the trace id with this hash
	hash     uint64
}

// newProbe returns nil if the index can tell nothing.
func newProbe(f *millrace.Filter) *probe {
	if f == nil {
		return nil
	}
	switch f.Op {
	case millrace.FilterAnd:
		p := &probe{}
		for _, sub := range f.Sub {
			if q := newProbe(sub); q != nil {
				p.all = append(p.all, q)
			}
		}
		if len(p.all) == 0 {
			return nil
		}
		return p
	case millrace.FilterOr:
		p := &probe{}
		for _, sub := range f.Sub {
			q := newProbe(sub)
			if q == nil {
				return nil
			}
			p.any = append(p.any, q)
		}
		if len(p.any) == 0 {
			return nil
		}
		return p
	case millrace.FilterText:
		return gramProbe(strings.ToLower(f.Value))
	case millrace.FilterGlob:
		if f.Field == "message" {
			return gramProbe(strings.Split(f.Value, "*")...)
		}
	case millrace.FilterEq:
		switch {
		case f.Field == "message":
			return gramProbe(f.Value)
		case f.Field == "trace_id" && f.Value != "":
			hi, lo, ok := parseTrace([]byte(f.Value))
			if !ok {
				hi, lo = textHash(validText(f.Value))
			}
			return &probe{trace: true, hash: traceHash(hi, lo)}
		}
	}
	return nil
}

func gramProbe(texts ...string) *probe {
	p := &probe{}
	for _, t := range texts {
		p.grams = append(p.grams, gramsOf(t)...)
	}
	if len(p.grams) == 0 {
		return nil
	}
	return p
}

// mayMatch reports whether a row of the block may match. A damaged block rules
// nothing out.
func (p *probe) mayMatch(f *indexFile, b *indexBlock) (bool, error) {
	if f.bad.Load() {
		return true, nil
	}
	may, err := p.ask(f, b)
	if err != nil && f.bad.Load() {
		return true, nil
	}
	return may, err
}

func (p *probe) ask(f *indexFile, b *indexBlock) (bool, error) {
	switch {
	case p.trace:
		return f.mayHaveTrace(b, p.hash)
	case len(p.grams) > 0:
		return f.mayHaveGrams(b, p.grams)
	case len(p.any) > 0:
		return p.asks(p.any, f, b, true)
	}
	return p.asks(p.all, f, b, false)
}

// asks returns until if one of subs does, and else its contrary.
func (p *probe) asks(subs []*probe, f *indexFile, b *indexBlock, until bool) (bool, error) {
	for _, q := range subs {
		if may, err := q.ask(f, b); err != nil || may == until {
			return may, err
		}
	}
	return !until, nil
}

// wholeMinutes reports whether the index alone can count what q asks for.
func wholeMinutes(q millrace.EventQuery, step int64) bool {
	return q.Filter == nil && q.Project == "" && step%minuteNS == 0
}

// counted splits the table into blocks whose minutes tell how many events there
// are in [from, to), and the parts in between.
func (d *day) counted(from, to int64) (blocks []*indexBlock, rest []part) {
	next := int64(0)
	add := func(first, last int64, lo, hi int64) {
		if first < last && lo < hi {
			rest = append(rest, part{lo, hi, first, last})
		}
	}
	for _, b := range d.blocks {
		add(next, b.first, from, to)
		next = b.end()
		switch {
		case b.minTime >= to || b.maxTime < from:
		case b.minutes == uncounted || b.minTime < from || b.maxTime >= to:
			add(b.first, b.end(), max(from, b.minTime), min(to, satAdd(b.maxTime, 1)))
		default:
			blocks = append(blocks, b)
		}
	}
	add(next, d.rows, from, to)
	return blocks, slices.Clip(rest)
}
