package rollup

import (
	"math"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// table holds the open cells of one set of dimensions, a column per state. A
// row is one cell. The key of a row is built by interning pairs: the codes of
// the first two dimensions yield a number, that and the third code another, so
// that a key of any length needs maps of plain integers only.
type table struct {
	set     millrace.DimensionSet
	pairs   []map[uint64]uint32 // pairs[i] joins the key of dims[:i+1] with dims[i+1]
	rows    map[uint64]uint32   // minute index and key to row
	minutes []int64
	codes   [][]uint32 // per dimension of the set
	states  []column
}

// column is one state of all rows; the slice used follows kind.
type column struct {
	kind   millrace.StateKind
	ints   []int64
	floats []float64
	hists  []sketch.Hist
	hlls   []sketch.HLL
}

func newTable(set millrace.DimensionSet, states []millrace.StateSpec) *table {
	t := &table{set: set, rows: map[uint64]uint32{}, codes: make([][]uint32, len(set.Dims))}
	for range max(0, len(set.Dims)-1) {
		t.pairs = append(t.pairs, map[uint64]uint32{})
	}
	for _, s := range states {
		t.states = append(t.states, column{kind: s.Kind})
	}
	return t
}

// row returns the row of the event whose dimension codes are given.
func (t *table) row(minute int64, minuteIndex uint32, codes []uint32) uint32 {
	var key uint32
	for i, d := range t.set.Dims {
		if i == 0 {
			key = codes[d]
			continue
		}
		pair := uint64(key)<<32 | uint64(codes[d])
		m := t.pairs[i-1]
		next, ok := m[pair]
		if !ok {
			next = uint32(len(m))
			m[pair] = next
		}
		key = next
	}
	at := uint64(minuteIndex)<<32 | uint64(key)
	r, ok := t.rows[at]
	if !ok {
		r = t.grow(minute, codes)
		t.rows[at] = r
	}
	return r
}

func (t *table) grow(minute int64, codes []uint32) uint32 {
	r := uint32(len(t.minutes))
	t.minutes = append(t.minutes, minute)
	for i, d := range t.set.Dims {
		t.codes[i] = append(t.codes[i], codes[d])
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
func (t *table) reset() {
	clear(t.rows)
	for _, m := range t.pairs {
		clear(m)
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
func (t *table) drain(name string, dicts []*dict) *millrace.CellBatch {
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
func (c *column) blobs() [][]byte {
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
