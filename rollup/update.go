package rollup

import "math"

// block is how many events or rows are located together: their row numbers stay
// in the first-level cache until their states are updated.
const block = 1024

// feed updates t with events from to to of a chunk. The worker's memory of rows
// is for as many events.
func (t *table) feed(w *worker, src *source, cols *columns, from, to int) {
	rows := sized(w.rows, to-from)
	w.rows = rows
	for at := 0; at < len(rows); at += block {
		part := rows[at:min(at+block, len(rows))]
		t.locate(src, from+at, part)
		t.addInts(part, cols, from+at)
		for i := range t.floats {
			t.floats[i].fold(t.layout.floats[i].max, part, cols.floats[i][from+at:])
		}
	}
	if len(t.hists)+len(t.hlls) > 0 {
		t.cover()
		t.sketch(w, cols, from)
	}
}

// expect notes that inputs of such magnitudes are about to be added.
func (t *table) expect(mass []uint64) {
	for i, m := range mass {
		t.mass[i] = addUnsigned(t.mass[i], m)
	}
}

// addInts adds the weights and sums of events to their rows.
func (t *table) addInts(rows []uint32, cols *columns, from int) {
	if cols.unit && t.mass[0] <= math.MaxInt64 {
		t.addOnes(rows, cols, from)
		return
	}
	t.addColumn(0, rows, cols.weights[from:])
	for j, in := range cols.sums {
		t.addColumn(1+j, rows, in[from:])
	}
}

// addOnes is addInts where every weight is 1. Rows of one and two integers are
// nearly all there are.
func (t *table) addOnes(rows []uint32, cols *columns, from int) {
	ints := t.ints
	switch {
	case t.stride == 1:
		for _, r := range rows {
			ints[r]++
		}
		return
	case t.stride == 2 && t.mass[1] <= math.MaxInt64:
		in := cols.sums[0][from : from+len(rows)]
		for i, r := range rows {
			s := ints[2*int(r) : 2*int(r)+2 : 2*int(r)+2]
			s[0]++
			s[1] += in[i]
		}
		return
	}
	for _, r := range rows {
		ints[int(r)*t.stride]++
	}
	for j, in := range cols.sums {
		t.addColumn(1+j, rows, in[from:])
	}
}

// addColumn adds a column to integer j of rows.
func (t *table) addColumn(j int, rows []uint32, in []int64) {
	ints, stride := t.ints, t.stride
	in = in[:len(rows)]
	if t.mass[j] <= math.MaxInt64 {
		for i, r := range rows {
			ints[int(r)*stride+j] += in[i]
		}
		return
	}
	for i, r := range rows {
		s := &ints[int(r)*stride+j]
		*s = addSat(*s, in[i])
	}
}

// fold takes values into the minima or maxima of rows. NaN is no value.
func (c column) fold(greatest bool, rows []uint32, in []float64) {
	in = in[:len(rows)]
	if greatest {
		for i, r := range rows {
			if f := in[i]; !(c[r] >= f) && f == f {
				c[r] = f
			}
		}
		return
	}
	for i, r := range rows {
		if f := in[i]; !(c[r] <= f) && f == f {
			c[r] = f
		}
	}
}
