package rollup

import "github.com/millrace/millrace"

// batch is a CellBatch that is being filled. Its memory is its own: it is
// written to a Store while the engine goes on.
type batch struct {
	*millrace.CellBatch
	arenas [][]byte // per state: the encoded sketches
	ends   [][]int  // per state: where each one ends
}

// newBatch returns an empty batch for n rows of t and those of other, which may
// be nil.
func newBatch(c *cube, t *table, set, n int, other *table) *batch {
	if other != nil {
		n += other.len()
	}
	b := &batch{CellBatch: &millrace.CellBatch{
		Rollup: c.Name, Set: c.Sets[set], Bucket: make([]int64, 0, n),
		Dims: make([][]string, len(t.dims)), States: make([]millrace.StateColumn, len(c.layout.states)),
	}}
	for i := range b.Dims {
		b.Dims[i] = make([]string, 0, n)
	}
	b.arenas, b.ends = make([][]byte, len(b.States)), make([][]int, len(b.States))
	for i, p := range c.layout.states {
		s := &b.States[i]
		switch s.Kind = p.kind; p.kind {
		case millrace.StateSum:
			s.Ints = make([]int64, 0, n)
		case millrace.StateMin, millrace.StateMax:
			s.Floats = make([]float64, 0, n)
		default:
			b.ends[i] = make([]int, 0, n)
		}
	}
	return b
}

// rows appends rows of t, nil being all. A table without dimensions in a set
// that has some stands for what is in none of its own cells: it is Other.
func (b *batch) rows(c *cube, t *table, rows []uint32) {
	if rows == nil {
		rows = make([]uint32, t.len())
		for i := range rows {
			rows[i] = uint32(i)
		}
	}
	for _, r := range rows {
		b.Bucket = append(b.Bucket, c.starts[t.minutes[r]])
	}
	for i, d := range b.Set.Dims {
		values := c.dicts[d].values
		if len(t.dims) == 0 {
			for range rows {
				b.Dims[i] = append(b.Dims[i], Other)
			}
			continue
		}
		codes, dst := t.codes[i], b.Dims[i]
		for _, r := range rows {
			dst = append(dst, values[codes[r]])
		}
		b.Dims[i] = dst
	}
	for i, p := range c.layout.states {
		b.state(i, t, p, rows)
	}
}

// state appends one state of rows.
func (b *batch) state(i int, t *table, p place, rows []uint32) {
	s := &b.States[i]
	switch p.kind {
	case millrace.StateSum:
		dst := s.Ints
		for _, r := range rows {
			dst = append(dst, t.ints[int(r)*t.stride+p.at])
		}
		s.Ints = dst
	case millrace.StateMin, millrace.StateMax:
		for _, r := range rows {
			s.Floats = append(s.Floats, t.floats[p.at][r])
		}
	case millrace.StateHist:
		h := &t.hists[p.at]
		for _, r := range rows {
			if !h.Empty(int(r)) {
				b.arenas[i] = h.AppendTo(b.arenas[i], int(r))
			}
			b.ends[i] = append(b.ends[i], len(b.arenas[i]))
		}
	case millrace.StateHLL:
		h := &t.hlls[p.at]
		for _, r := range rows {
			if !h.Empty(int(r)) {
				b.arenas[i] = h.AppendTo(b.arenas[i], int(r))
			}
			b.ends[i] = append(b.ends[i], len(b.arenas[i]))
		}
	}
}

// finish cuts the encoded sketches into blobs and returns the batch.
func (b *batch) finish() *millrace.CellBatch {
	for i, ends := range b.ends {
		if ends == nil {
			continue
		}
		blobs, from := make([][]byte, len(ends)), 0
		for j, to := range ends {
			blobs[j] = b.arenas[i][from:to:to]
			from = to
		}
		b.States[i].Blobs = blobs
	}
	return b.CellBatch
}
