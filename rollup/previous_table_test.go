package rollup

import (
	"math"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// table holds the open cells of one set of dimensions, a column per state. A
// row is one cell. Its key is the minute's index with the codes of its
// dimensions; where these do not fit into 64 bits they are interned in pairs:
// the codes of the first two dimensions yield a number, that and the third code
// another, so that a key of any length needs indexes of plain integers only.
type prevTable struct {
	set     millrace.DimensionSet
	pairs   []index // pairs[i] joins the key of dims[:i+1] with dims[i+1]
	rows    index   // key to row
	minutes []int64
	codes   [][]uint32 // per dimension of the set
	states  []prevColumn
}

// column is one state of all rows; the slice used follows kind.
type prevColumn struct {
	kind   millrace.StateKind
	ints   []int64
	floats []float64
	hists  []sketch.Hist
	hlls   []sketch.HLL
}

func newPrevTable(set millrace.DimensionSet, states []millrace.StateSpec) *prevTable {
	t := &prevTable{set: set, codes: make([][]uint32, len(set.Dims))}
	t.pairs = make([]index, max(0, len(set.Dims)-1))
	for _, s := range states {
		t.states = append(t.states, prevColumn{kind: s.Kind})
	}
	return t
}

// Keys that hold two codes: 15 bits of the minute's index, 24 of each code. The
// highest bit tells other keys from them.
const (
	prevPacked   = 1 << 24
	prevMinute   = 1 << 15
	prevInterned = 1 << 63
)

// locate finds the rows of the events in c, or makes them.
func (t *prevTable) locate(c *prevCube, minutes []int64) {
	n := len(c.weights)
	c.keys, c.rows = c.keys[:n], c.rows[:n]
	switch dims := t.set.Dims; len(dims) {
	case 0:
		for i, m := range c.minutes {
			c.keys[i] = uint64(m) << 32
		}
	case 1:
		codes := c.codes[dims[0]][:n]
		for i, m := range c.minutes {
			c.keys[i] = uint64(m)<<32 | uint64(codes[i])
		}
	case 2:
		first, second := c.codes[dims[0]][:n], c.codes[dims[1]][:n]
		for i, m := range c.minutes {
			if m < prevMinute && first[i] < prevPacked && second[i] < prevPacked {
				c.keys[i] = uint64(m)<<48 | uint64(first[i])<<24 | uint64(second[i])
			} else {
				c.keys[i] = t.interned(c, i)
			}
		}
	default:
		for i := range c.minutes {
			c.keys[i] = t.interned(c, i)
		}
	}
	last, row := ^uint64(0), uint32(0) // no key is all ones
	for i, key := range c.keys {
		if key != last {
			var ok bool
			if row, ok = t.rows.find(key); !ok {
				row = t.grow(c, i, minutes[c.minutes[i]])
				t.rows.put(key, row)
			}
			last = key
		}
		c.rows[i] = row
	}
}

// interned returns the key of event i of c.
func (t *prevTable) interned(c *prevCube, i int) uint64 {
	key := c.codes[t.set.Dims[0]][i]
	for j, d := range t.set.Dims[1:] {
		key = t.pairs[j].intern(uint64(key)<<32 | uint64(c.codes[d][i]))
	}
	return prevInterned | uint64(c.minutes[i])<<32 | uint64(key)
}

// grow adds the row of event i of c.
func (t *prevTable) grow(c *prevCube, i int, minute int64) uint32 {
	r := uint32(len(t.minutes))
	t.minutes = append(t.minutes, minute)
	for j, d := range t.set.Dims {
		t.codes[j] = append(t.codes[j], c.codes[d][i])
	}
	for i := range t.states {
		switch c := &t.states[i]; c.kind {
		case millrace.StateSum:
			c.ints = append(c.ints, 0)
		case millrace.StateMin, millrace.StateMax:
			c.floats = append(c.floats, math.NaN())
		case millrace.StateHist:
			c.hists = append(c.hists, sketch.Hist{})
		case millrace.StateHLL:
			c.hlls = append(c.hlls, sketch.HLL{})
		}
	}
	return r
}

// reset forgets all rows. What drain handed out is not touched.
func (t *prevTable) reset() {
	t.rows.reset()
	for i := range t.pairs {
		t.pairs[i].reset()
	}
	n := len(t.minutes)
	t.minutes = make([]int64, 0, n)
	for i := range t.codes {
		t.codes[i] = t.codes[i][:0]
	}
	for i := range t.states {
		c := &t.states[i]
		c.ints, c.floats = make([]int64, 0, len(c.ints)), make([]float64, 0, len(c.floats))
		clear(c.hists)
		clear(c.hlls)
		c.hists, c.hlls = c.hists[:0], c.hlls[:0]
	}
}

// drain returns the rows as deltas.
func (t *prevTable) drain(name string, dicts []*prevDict) *millrace.CellBatch {
	b := &millrace.CellBatch{Rollup: name, Set: t.set, Bucket: t.minutes, Dims: make([][]string, len(t.codes))}
	for i, d := range t.set.Dims {
		values := make([]string, len(t.codes[i]))
		for j, c := range t.codes[i] {
			values[j] = dicts[d].values[c]
		}
		b.Dims[i] = values
	}
	for i := range t.states {
		c := &t.states[i]
		b.States = append(b.States, millrace.StateColumn{Kind: c.kind, Ints: c.ints, Floats: c.floats, Blobs: c.blobs()})
	}
	return b
}

// blobs encodes the column's sketches into one arena; nil for other kinds.
func (c *prevColumn) blobs() [][]byte {
	n := len(c.hists) + len(c.hlls) // one of them is empty
	if n == 0 {
		return nil
	}
	ends := make([]int, 0, n)
	var arena []byte
	for i := range c.hists {
		if !c.hists[i].Empty() {
			arena = c.hists[i].AppendTo(arena)
		}
		ends = append(ends, len(arena))
	}
	for i := range c.hlls {
		if !c.hlls[i].Empty() {
			arena = c.hlls[i].AppendTo(arena)
		}
		ends = append(ends, len(arena))
	}
	out, from := make([][]byte, n), 0
	for i, to := range ends {
		out[i] = arena[from:to:to]
		from = to
	}
	return out
}

// intern returns the value of a key, the next number if it is new.
func (x *index) intern(key uint64) uint32 {
	v, ok := x.find(key)
	if !ok {
		v = uint32(x.n)
		x.put(key, v)
	}
	return v
}
