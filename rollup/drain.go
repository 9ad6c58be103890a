package rollup

import (
	"github.com/millrace/millrace"
)

// emit appends the cells of all sets to out and forgets them.
func (e *Engine) emit(out *Drained) {
	batches := make([][]*millrace.CellBatch, len(e.cubes))
	at := make(map[*cube]int, len(e.cubes))
	for i, c := range e.cubes {
		batches[i], at[c] = make([]*millrace.CellBatch, len(c.Sets)), i
		if e.limits.Age > 0 {
			c.see(e.arrived)
		}
		c.planning.observe(c)
	}
	e.walk(func(w *worker, t *task) {
		c := t.cube
		rows := float64(t.table.len())
		c.planning.rows[t.node] = rows
		if set := c.nodes[t.node].set; set >= 0 {
			batches[at[c]][set] = c.batch(w, t.table, set, hourOf(e.arrived))
		}
	})
	for i, c := range e.cubes {
		for set, b := range batches[i] {
			if b != nil {
				out.Cells = append(out.Cells, b)
			}
			if l := c.limiters[set]; l != nil && l.folded > 0 {
				out.Folded = append(out.Folded, Folded{Rollup: c.Name, Set: c.name(set), Weight: l.folded})
				l.folded = 0
			}
		}
		c.reset()
	}
}

// batch returns the cells of t, the table of a set. Combinations beyond the
// set's cap are merged into the cells whose values are all Other.
func (c *cube) batch(w *worker, t *table, set int, hour int64) *millrace.CellBatch {
	keep := []uint32(nil) // all
	var other *table
	if l := c.limiters[set]; l != nil {
		l.begin(hour)
		if keep = l.choose(t, w.order[:0]); len(keep) < t.len() {
			w.order = keep
			other = c.overflow(w, t, keep, l)
			if keep == nil {
				keep = []uint32{} // nil is all
			}
		} else {
			w.order, keep = keep, nil
		}
	}
	n := t.len()
	if keep != nil {
		n = len(keep)
	}
	b := newBatch(c, w, t, set, n, other)
	b.rows(c, t, keep)
	if other != nil {
		b.rows(c, other, nil)
	}
	return b.CellBatch
}

// overflow returns a table of the minutes with what keep, which ascends, leaves
// out of t.
func (c *cube) overflow(w *worker, t *table, keep []uint32, l *limiter) *table {
	other := &table{}
	other.open(c.layout, 0)
	src := t.source(c)
	other.begin(&src, c.dicts)
	other.expect(t.mass)
	var row [1]uint32
	for r, k := 0, 0; r < t.len(); r++ {
		if k < len(keep) && keep[k] == uint32(r) {
			k++
			continue
		}
		other.locate(&src, r, row[:])
		other.mergeInts(row[:], t.ints[r*t.stride:])
		for i := range t.floats {
			other.floats[i].fold(c.layout.floats[i].max, row[:], t.floats[i][r:])
		}
		other.cover()
		for i := range t.hists {
			other.hists[i].Merge(int(row[0]), &t.hists[i], r)
		}
		for i := range t.hlls {
			other.hlls[i].Merge(int(row[0]), &t.hlls[i], r)
		}
	}
	return other
}
