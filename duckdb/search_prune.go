package duckdb

import (
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace"
)

// span is a range of rows of a day table: a block, or rows that are in none.
type span struct {
	blockBounds
	day         *day
	block       *indexBlock // nil: in none
	first, last int64       // numbers of rows, last exclusive
	tail        *listed     // what is known of rows that will become a block; nil: nothing
	found       *findings   // nil: not asked yet
}

// noArrival are the bounds of rows of which nothing is known but their events'.
const (
	anyArrival  = math.MinInt64
	lastArrival = math.MaxInt64
)

// spansOf returns the table's rows as spans, in their order.
func (d *day) spansOf(blocks []*indexBlock, tail gathering) (out []*span) {
	next := int64(0)
	unknown := func(to int64, b blockBounds, l *listed) {
		if to = min(to, d.rows); next < to {
			out = append(out, &span{blockBounds: b, day: d, first: next, last: to, tail: l})
			next = to
		}
	}
	all := blockBounds{d.minTime, d.maxTime, anyArrival, lastArrival}
	for _, b := range blocks {
		unknown(b.first, all, nil)
		out = append(out, &span{blockBounds: b.blockBounds, day: d, block: b, first: b.first, last: b.end()})
		next = b.end()
	}
	if tail.from >= next { // else it has become a block meanwhile
		unknown(tail.from, all, nil)
		unknown(tail.to, tail.blockBounds, &tail.listed)
	}
	unknown(d.rows, all, nil)
	return out
}

// ask finds out what the index knows of the span's rows.
func (s *span) ask(x *eventIndex, p *probe) error {
	if s.found != nil {
		return nil
	}
	if s.block == nil {
		s.found = p.askTail(s.tail, s.last-s.first)
		return nil
	}
	err := x.view(s.day.name, func(f *indexFile) (err error) {
		s.found, err = p.ask(f, s.block)
		return err
	})
	if err != nil {
		return fmt.Errorf("search %s: %w", s.day.name, err)
	}
	if s.found == nil { // the file has gone
		s.found = nothingKnown()
	}
	return nil
}

func (s *span) overlaps(from, to int64) bool { return s.minTime < to && s.maxTime >= from }

// within reports whether all events of the span are of [from, to).
func (s *span) within(from, to int64) bool { return s.minTime >= from && s.maxTime < to }

// part is a range of rows of a day table within a window: neighbouring spans, or
// rows that are listed.
type part struct {
	blockBounds
	day         *day
	first, last int64
	spans       []*span // of a part of listed rows none

	rows    []int64 // these alone may match, ascending
	bits    []byte  // those with a bit may, the first of the least bit
	implied int     // the list of the probe that they match, -1: none is known
}

// partRows bounds the rows of a part of blocks: some 5 ms of work, or 100 over texts,
// for one of several connections.
const partRows = 8 * blockRows

// alike reports whether as much is known of the texts and times of s as of p.
func (p *part) alike(s *span) bool {
	have := p.spans[0]
	return have.found.known == s.found.known && (have.block == nil) == (s.block == nil)
}

// joinSpans puts neighbours together.
func joinSpans(spans []*span) (out []*part) {
	for _, s := range spans {
		if n := len(out) - 1; n >= 0 {
			p := out[n]
			if p.day == s.day && p.last == s.first && p.alike(s) && s.last-p.first <= partRows {
				p.last, p.spans = s.last, append(p.spans, s)
				p.minTime, p.maxTime = min(p.minTime, s.minTime), max(p.maxTime, s.maxTime)
				p.minArrived, p.maxArrived = min(p.minArrived, s.minArrived), max(p.maxArrived, s.maxArrived)
				continue
			}
		}
		out = append(out, &part{blockBounds: s.blockBounds, day: s.day, first: s.first, last: s.last, spans: []*span{s}})
	}
	return out
}

// condition begins a condition over the part's rows with events of [from, to). The
// bounds of times are for DuckDB to skip row groups by: it compares the numbers of
// rows with every vector of the table, 0.7 µs each, and sometimes only after it has
// evaluated the filter for them.
func (p *part) condition(x *eventIndex, pr *probe, q millrace.EventQuery, from, to int64) (*condition, error) {
	c := &condition{layout: p.day.layout}
	if p.spans != nil {
		var err error
		if c.texts, err = p.known(x, pr); err != nil {
			return nil, err
		}
	}
	if p.first > 0 {
		c.add(fmt.Sprintf("rowid >= %d AND ", p.first))
	}
	if p.last < p.day.rows {
		c.add(fmt.Sprintf("rowid < %d AND ", p.last))
	}
	if p.minArrived > anyArrival {
		c.add("arrived >= ? AND ", timeNS(p.minArrived))
	}
	if p.maxArrived < lastArrival {
		c.add("arrived <= ? AND ", timeNS(p.maxArrived))
	}
	c.within(max(from, p.minTime), min(to, satAdd(p.maxTime, 1)))
	if p.spans == nil {
		p.listed(c, pr, q)
	} else {
		c.selection(q)
	}
	return c, nil
}

// minutes returns the minutes of a block; nil if they are damaged or gone.
func (s *span) minutes(x *eventIndex) (out []minuteCount, err error) {
	err = x.view(s.day.name, func(f *indexFile) error {
		if out, err = f.readMinutes(s.block); f.bad.Load() {
			out, err = nil, nil
		}
		return err
	})
	return out, err
}

// counts returns the counts per minute and class of a block; nil if there are none.
func (s *span) counts(x *eventIndex) (out []classCount, err error) {
	if s.block.counts == 0 {
		return nil, nil
	}
	err = x.view(s.day.name, func(f *indexFile) error {
		if out, err = f.readCounts(s.block); f.bad.Load() {
			out, err = nil, nil
		}
		return err
	})
	return out, err
}

// matching returns the minutes of a block with how many rows may match at most, as
// far as that is known without looking at each; nil if it is not.
func (s *span) matching(x *eventIndex) ([]minuteCount, error) {
	if s.found.listed != nil {
		return s.found.listedMinutes(), nil
	}
	if s.block == nil || s.block.minutes == uncounted {
		return nil, nil
	}
	minutes, err := s.minutes(x)
	if err != nil || minutes == nil || len(s.found.texts) == 0 || s.found.all() {
		return minutes, err
	}
	counts, err := s.counts(x)
	if err != nil || counts == nil {
		return minutes, err
	}
	for i := range minutes {
		minutes[i].events = 0
	}
	for _, c := range counts {
		if s.found.whole[c.class] > never && int(c.minute) < len(minutes) {
			minutes[c.minute].events += c.events
		}
	}
	return slices.DeleteFunc(minutes, func(m minuteCount) bool { return m.events == 0 }), nil
}
