package sketch

import (
	"encoding/binary"
	"slices"
)

// Hists is a column of histograms: row i is what a Hist would be that was
// given the same values, with the same encoding. Rows outside [0, Len()) must
// not be named.
//
// A row takes 16 bytes and no more while it has at most six values of weight
// 1, then a block of an arena. Nothing in a column is scanned by the garbage
// collector, and Reset costs nothing, so a column suits many sketches that are
// dropped together.
//
// The zero Hists has no rows and is ready to use. Rows may be read, and merged
// into other columns, from several goroutines at once, but a call that changes
// the column must be the only one running on it.
type Hists struct {
	rows []histRow
	mem  arena
}

// histRow is one row. An empty row is all zero.
type histRow struct {
	kind  uint8
	class uint8 // of the block plus 1; 0: no block
	// n is the number of values in the log, else that of entries or counters.
	n uint16
	// x is the log itself while it fits, else the offset of the block and,
	// where kind is a width, also the base and the zeros of the Hist.
	x [2 * inlineLog]byte
}

const (
	// A log is a list of buckets as they came, 2 bytes each: nothing is
	// cheaper to add to, and it is smaller than counters up to about 100
	// values.
	kindLog = 0 // in the row up to inlineLog, else in a block
	// 1, 2, 4 and 8 are the widths of counters.
	kindEntries = 16 // sorted entries, as in a sparse Hist

	inlineLog = 6
	maxLog    = 128
	rowBytes  = 16
)

// Len returns the number of rows.
func (c *Hists) Len() int { return len(c.rows) }

// Grow makes the column n rows long, if it is shorter; new rows are empty.
func (c *Hists) Grow(n int) { c.rows = growRows(c.rows, n) }

// growRows appends zero rows until there are n.
func growRows[R any](rows []R, n int) []R {
	have := len(rows)
	if n <= have {
		return rows
	}
	rows = slices.Grow(rows, n-have)[:n]
	clear(rows[have:])
	return rows
}

// Empty reports whether nothing was added to a row.
func (c *Hists) Empty(row int) bool { return c.rows[row].n == 0 }

// Reset removes all rows and keeps the memory.
func (c *Hists) Reset() {
	c.rows = c.rows[:0]
	c.mem.reset()
}

// Trim releases memory until at most limit bytes are held, if possible. It
// must follow Reset.
func (c *Hists) Trim(limit int) { c.rows = trimColumn(c.rows, &c.mem, limit) }

// trimColumn trims rows and arena of a column that was reset. It spares the
// rows, since these are allocated as one.
func trimColumn[R any](rows []R, mem *arena, limit int) []R {
	held := cap(rows) * rowBytes
	if held > limit {
		rows, held = nil, 0
	}
	mem.trim(limit - held)
	return rows
}

// Bytes returns how much memory the column holds, used or not.
func (c *Hists) Bytes() int { return cap(c.rows)*rowBytes + c.mem.bytes() }

// AppendTo appends the canonical encoding of a row (FORMAT.md), that of Hist,
// to dst.
func (c *Hists) AppendTo(dst []byte, row int) []byte {
	if r := &c.rows[row]; r.kind == kindLog {
		return appendLog(dst, c.log(r))
	}
	h := c.hist(row)
	return h.AppendTo(dst)
}

// Quantile answers as Hist.Quantile does.
func (c *Hists) Quantile(row int, q float64) float64 {
	var entries [maxLog * entrySize]byte
	h := c.hist(row)
	if r := &c.rows[row]; r.kind == kindLog {
		h = Hist{block: block{buf: entries[:0]}}
		h.addLog(c.log(r))
	}
	return h.Quantile(q)
}

// MergeEncoded adds an encoded Hist to a row, as Hist.MergeEncoded does.
func (c *Hists) MergeEncoded(row int, b []byte) error {
	s, err := summarize(b)
	if err != nil {
		return err
	}
	h := c.settled(row)
	h.mergeValid(b, s)
	c.put(row, &h)
	return nil
}

// log returns the log of a row of that kind.
func (c *Hists) log(r *histRow) []Bucket { return c.room(r)[:r.n] }

// room returns the memory of the log of a row.
func (c *Hists) room(r *histRow) []Bucket {
	if r.class == 0 {
		return bucketsOf(r.x[:])
	}
	return bucketsOf(c.mem.at(r.offset(), int(r.class)-1))
}

func (r *histRow) offset() uint32 { return binary.LittleEndian.Uint32(r.x[:]) }

// hist returns a row that is not a log as a Hist, whose buffer is the row's
// own; who changes it puts it back.
func (c *Hists) hist(row int) Hist {
	r := &c.rows[row]
	h := Hist{block: block{in: &c.mem}}
	size := entrySize
	switch r.kind {
	case kindLog:
		return h
	case kindEntries:
	default:
		size = int(r.kind)
		h.width = r.kind
		h.base = binary.LittleEndian.Uint16(r.x[4:])
		h.zeros = binary.LittleEndian.Uint32(r.x[8:])
	}
	h.off = r.offset()
	h.buf = c.mem.at(h.off, int(r.class)-1)[:int(r.n)*size]
	return h
}

// put makes h the content of a row.
func (c *Hists) put(row int, h *Hist) {
	r := &c.rows[row]
	if len(h.buf) == 0 {
		*r = histRow{}
		return
	}
	size := int(h.width)
	r.kind = h.width
	if h.width == 0 {
		r.kind, size = kindEntries, entrySize
	}
	r.class = uint8(classOf(cap(h.buf))) + 1
	r.n = uint16(len(h.buf) / size)
	binary.LittleEndian.PutUint32(r.x[:], h.off)
	binary.LittleEndian.PutUint16(r.x[4:], h.base)
	binary.LittleEndian.PutUint32(r.x[8:], h.zeros)
}

// settled is hist for a row of any kind: it turns a log into a Hist.
func (c *Hists) settled(row int) Hist {
	r := &c.rows[row]
	h := c.hist(row)
	if r.kind == kindLog {
		var scratch [maxLog]Bucket
		n := copy(scratch[:], c.log(r))
		c.dropLog(r)
		h.addLog(scratch[:n])
	}
	return h
}

// dropLog gives the block of a log back, if it has one.
func (c *Hists) dropLog(r *histRow) {
	if r.class > 0 {
		c.mem.release(r.offset(), int(r.class)-1)
	}
	*r = histRow{}
}
