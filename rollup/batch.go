package rollup

import "github.com/millrace/millrace"

// batch is a CellBatch that is being filled. Its memory is its own: it is
// written to a Store while the engine goes on.
type batch struct {
	*millrace.CellBatch
	w *worker
}

// newBatch returns an empty batch for n rows of t and those of other, which may
// be nil.
func newBatch(c *cube, w *worker, t *table, set, n int, other *table) *batch {
	if other != nil {
		n += other.len()
	}
	b := &batch{w: w, CellBatch: &millrace.CellBatch{
		Rollup: c.Name, Set: c.Sets[set], Bucket: make([]int64, 0, n),
		Dims: make([][]string, len(t.dims)), States: make([]millrace.StateColumn, len(c.layout.states)),
	}}
	for i := range b.Dims {
		b.Dims[i] = make([]string, 0, n)
	}
	for i, p := range c.layout.states {
		s := &b.States[i]
		switch s.Kind = p.kind; p.kind {
		case millrace.StateSum:
			s.Ints = make([]int64, 0, n)
		case millrace.StateMin, millrace.StateMax:
			s.Floats = make([]float64, 0, n)
		default:
			s.Blobs = make([][]byte, 0, n)
		}
	}
	return b
}

// rows appends rows of t, nil being all. A table without dimensions in a set
// that has some stands for what is in none of its own cells: it is Other.
func (b *batch) rows(c *cube, t *table, rows []uint32) {
	if rows == nil {
		rows = b.w.upTo(t.len())
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
		s.Blobs = b.w.encode(s.Blobs, &t.hists[p.at], rows)
	case millrace.StateHLL:
		s.Blobs = b.w.encode(s.Blobs, &t.hlls[p.at], rows)
	}
}

// sketches is a column of sketches.
type sketches interface {
	Empty(row int) bool
	AppendTo(dst []byte, row int) []byte
}

// arenaBytes is how much is encoded before it is copied to memory of its own, of
// the right size: little enough to be in the cache still.
const arenaBytes = 1 << 17

// encode appends the encodings of rows to blobs; that of an empty sketch is empty.
func (w *worker) encode(blobs [][]byte, from sketches, rows []uint32) [][]byte {
	w.arena, w.ends = w.arena[:0], w.ends[:0]
	for _, r := range rows {
		if !from.Empty(int(r)) {
			w.arena = from.AppendTo(w.arena, int(r))
		}
		w.ends = append(w.ends, len(w.arena))
		if len(w.arena) >= arenaBytes {
			blobs = w.cut(blobs)
		}
	}
	return w.cut(blobs)
}

// cut appends what is encoded to blobs.
func (w *worker) cut(blobs [][]byte) [][]byte {
	arena, from := append([]byte(nil), w.arena...), 0
	for _, to := range w.ends {
		blobs = append(blobs, arena[from:to:to])
		from = to
	}
	w.arena, w.ends = w.arena[:0], w.ends[:0]
	return blobs
}
