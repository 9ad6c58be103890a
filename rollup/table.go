package rollup

import (
	"math"
	"math/bits"

	"github.com/millrace/millrace/sketch"
)

// table holds the open cells of one set of dimensions, a row each. It is fed
// with events, or derived from a table with more dimensions. A row's integers
// lie next to each other, so that an event touches one cache line of them;
// everything else is a column. No column has pointers: the garbage collector
// has nothing to scan. See locate.go for how rows are found.
type table struct {
	layout  *layout
	dims    []int      // indexes in the rollup's dimensions, ascending
	minutes []uint32   // per row: index in cube.starts
	codes   [][]uint32 // per dimension of dims, per row
	stride  int        // integers per row: the weight and layout.sums
	ints    []int64
	mass    []uint64 // per integer: bound of the magnitude of any sum of inputs
	floats  []column // per layout.floats
	hists   []sketch.Hists
	hlls    []sketch.HLLs

	levels []level // how rows are found
}

// column is a minimum or maximum per row.
type column []float64

// open makes t, which is empty, a table of a set of dimensions.
func (t *table) open(l *layout, set dims) {
	t.layout, t.stride = l, 1+len(l.sums)
	t.dims = t.dims[:0]
	for d := uint32(set); d != 0; d &= d - 1 {
		t.dims = append(t.dims, bits.TrailingZeros32(d))
	}
	t.codes = sizedColumns(t.codes, len(t.dims))
	t.mass = sized(t.mass, t.stride)
	clear(t.mass)
	t.floats = sizedColumns(t.floats, len(l.floats))
	t.hists = sizedColumns(t.hists, len(l.hists))
	t.hlls = sizedColumns(t.hlls, len(l.hlls))
	t.levels = t.levels[:0]
}

// sizedColumns returns n columns, those that are there with their memory.
func sizedColumns[T any](s []T, n int) []T {
	for len(s) < n {
		if len(s) < cap(s) {
			s = s[:len(s)+1]
			continue
		}
		var zero T
		s = append(s, zero)
	}
	return s[:n]
}

// len returns the number of rows.
func (t *table) len() int { return len(t.minutes) }

// grow adds a row with the key of row i of src.
func (t *table) grow(src *source, i int) uint32 {
	r := uint32(len(t.minutes))
	t.minutes = append(t.minutes, src.ids[src.minutes[i]])
	for j, d := range t.dims {
		t.codes[j] = append(t.codes[j], src.codes[d][i])
	}
	t.ints = append(t.ints, zeros[:t.stride]...)
	for j := range t.floats {
		t.floats[j] = append(t.floats[j], math.NaN())
	}
	return r
}

// zeros is as long as a row of integers may be: a metric has at most two.
var zeros [1 + 2*MaxMetrics]int64

// cover gives the sketches of new rows their place.
func (t *table) cover() {
	for i := range t.hists {
		t.hists[i].Grow(t.len())
	}
	for i := range t.hlls {
		t.hlls[i].Grow(t.len())
	}
}

// reset forgets all rows and keeps the memory.
func (t *table) reset() {
	t.minutes, t.ints = t.minutes[:0], t.ints[:0]
	for i := range t.codes {
		t.codes[i] = t.codes[i][:0]
	}
	clear(t.mass)
	for i := range t.floats {
		t.floats[i] = t.floats[i][:0]
	}
	for i := range t.hists {
		t.hists[i].Reset()
	}
	for i := range t.hlls {
		t.hlls[i].Reset()
	}
	for i := range t.levels {
		t.levels[i].clear()
	}
}
