package rollup

import (
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// encoder turns events into columns. Not safe for concurrent use.
type encoder struct {
	layout  *layout
	where   func(*millrace.Event) bool
	dims    []dimension
	numbers []number
	texts   []reader // per layout.hlls
	picked  [encodeBlock]int32
	values  [encodeBlock]millrace.Value
	floats  [encodeBlock]float64
	read    [encodeBlock]string  // the texts of one dimension,
	keys    [encodeBlock]textKey // their keys,
	value   millrace.Value       // of an event at hand
	digits  []byte               // and what those of numbers are made of
}

// encodeBlock is how many events are encoded together, column by column: an
// event is some 500 bytes with its attributes, and these stay in the
// first-level cache, as does what a column needs: its dictionary's hot slots.
const encodeBlock = 64

// number reads a field once for all states that are made of it.
type number struct {
	reader
	sums   []int // indexes in layout.sums
	floats []int // indexes in layout.floats
	hist   int   // index in layout.hists, -1 if there is none
}

func newEncoder(r *Rollup, l *layout, dicts []*dict) *encoder {
	e := &encoder{layout: l, where: r.where}
	for i, d := range dicts {
		if d != nil {
			e.dims = append(e.dims, newDimension(r.Dimensions[i], d, i))
		}
	}
	byField := map[string]*number{}
	var order []string
	of := func(field string) *number {
		if byField[field] == nil {
			byField[field] = &number{reader: newReader(field), hist: -1}
			order = append(order, field)
		}
		return byField[field]
	}
	for i, in := range l.sums {
		n := of(in.field)
		n.sums = append(n.sums, i)
	}
	for i, in := range l.floats {
		n := of(in.field)
		n.floats = append(n.floats, i)
	}
	for i, field := range l.hists {
		of(field).hist = i
	}
	for _, field := range order {
		e.numbers = append(e.numbers, *byField[field])
	}
	for _, field := range l.hlls {
		e.texts = append(e.texts, newReader(field))
	}
	return e
}

// encode appends events that the rollup takes to cols until these hold limit.
// It returns how many events it has gone through.
func (e *encoder) encode(cols *columns, events []millrace.Event, limit int) int {
	done := 0
	for done < len(events) && cols.n < limit {
		block := events[done:min(len(events), done+min(encodeBlock, limit-cols.n))]
		done += len(block)
		picked := e.picked[:0]
		for i := range block {
			if e.where(&block[i]) {
				picked = append(picked, int32(i))
			}
		}
		if len(picked) > 0 {
			e.block(cols, block, picked)
		}
	}
	return done
}

// block appends the picked events of a block.
func (e *encoder) block(cols *columns, events []millrace.Event, picked []int32) {
	from, to := cols.n, cols.n+len(picked)
	cols.reserve(e.layout, to)
	cols.n = to
	minutes, weights := cols.minutes[from:to], cols.weights[from:to]
	heavy := int64(0)
	for i, at := range picked {
		ev := &events[at]
		m := cols.minute(ev.Time)
		cols.counts[m]++
		minutes[i], weights[i] = m, ev.Weight
		heavy |= ev.Weight ^ 1
		cols.mass[0] = addMass(cols.mass[0], ev.Weight)
	}
	cols.unit = cols.unit && heavy == 0
	for i := range e.dims {
		d := &e.dims[i]
		d.encode(e, cols.codes[d.index][from:to], events, picked)
	}
	for i := range e.numbers {
		e.number(cols, &e.numbers[i], events, picked)
	}
	for i := range e.texts {
		r, dst := &e.texts[i], cols.hashes[i][from:to]
		for i, at := range picked {
			dst[i] = hashText(r.text(&events[at]))
		}
	}
	e.value = millrace.Value{}
	clear(e.read[:len(picked)]) // they point into the events
}

// hashText returns the hash of a text for a distinct count: 0 means none.
func hashText(s string) uint64 {
	if s == "" {
		return 0
	}
	return max(1, xxhash.Sum64String(s))
}

// number appends what the states of one field need.
func (e *encoder) number(cols *columns, n *number, events []millrace.Event, picked []int32) {
	from, to := cols.n-len(picked), cols.n
	floats, values := e.floats[:len(picked)], e.values[:len(picked)]
	for i, at := range picked {
		floats[i] = math.NaN()
		if v, ok := n.value(&events[at]); ok {
			if f, ok := v.Float(); ok {
				floats[i], values[i] = f, v
			}
		}
	}
	weights := cols.weights[from:to]
	for _, s := range n.sums {
		in := &e.layout.sums[s]
		dst, mass := cols.sums[s][from:to], cols.mass[1+s]
		for i, f := range floats {
			v := int64(0)
			switch {
			case f != f:
			case in.count:
				v = weights[i]
			default:
				if v = fixedPoint(values[i], f, in.scale); weights[i] != 1 {
					v = mulSat(v, weights[i])
				}
			}
			dst[i] = v
			mass = addMass(mass, v)
		}
		cols.mass[1+s] = mass
	}
	for _, s := range n.floats {
		copy(cols.floats[s][from:to], floats)
	}
	if n.hist >= 0 {
		dst := cols.buckets[n.hist][from:to]
		for i, f := range floats {
			dst[i] = sketch.BucketOf(f) // NoBucket of NaN
		}
	}
	clear(values) // they point into the events
}
