package sketch

import "encoding/binary"

// HLLs is a column of HyperLogLogs: row i is what an HLL would be that was
// given the same hashes, with the same encoding. Rows outside [0, Len()) must
// not be named.
//
// A row takes 16 bytes and no more up to three distinct hashes, then a block of
// an arena. Nothing in a column is scanned by the garbage collector, and Reset
// costs nothing, so a column suits many sketches that are dropped together.
//
// The zero HLLs has no rows and is ready to use. Rows may be read, and merged
// into other columns, from several goroutines at once, but a call that changes
// the column must be the only one running on it.
type HLLs struct {
	rows []hllRow
	mem  arena
}

// hllRow is one row. An empty row is all zero.
type hllRow struct {
	kind  uint8
	class uint8  // of the block plus 1; 0: no block
	n     uint16 // sparse entries
	// x is the list of entries while it fits, else the offset of the block.
	x [3 * hllEntry]byte
}

// Len returns the number of rows.
func (c *HLLs) Len() int { return len(c.rows) }

// Grow makes the column n rows long, if it is shorter; new rows are empty.
func (c *HLLs) Grow(n int) { c.rows = growRows(c.rows, n) }

// Empty reports whether nothing was added to a row.
func (c *HLLs) Empty(row int) bool {
	r := &c.rows[row]
	return r.kind != hllDense && r.n == 0
}

// Reset removes all rows and keeps the memory.
func (c *HLLs) Reset() {
	c.rows = c.rows[:0]
	c.mem.reset()
}

// Trim releases memory until at most limit bytes are held, if possible. It
// must follow Reset.
func (c *HLLs) Trim(limit int) { c.rows = trimColumn(c.rows, &c.mem, limit) }

// Bytes returns how much memory the column holds, used or not.
func (c *HLLs) Bytes() int { return cap(c.rows)*rowBytes + c.mem.bytes() }

// AddHash adds one hash to a row, as HLL.AddHash does.
func (c *HLLs) AddHash(row int, hash uint64) {
	h := c.hll(row)
	h.AddHash(hash)
	c.put(row, &h)
}

// AddRun adds all hashes but those that are 0 to a row: 0 stands for a value
// that is absent. It is the hot path of a rollup: all events of one cell in a
// chunk.
func (c *HLLs) AddRun(row int, hashes []uint64) {
	h := c.hll(row)
	for len(hashes) > 0 {
		if h.kind == hllDense {
			raiseAll(h.buf, hashes)
			break
		}
		if x := hashes[0]; x != 0 {
			h.addEntry(entryOf(x))
		}
		hashes = hashes[1:]
	}
	c.put(row, &h)
}

// raiseAll adds hashes other than 0 to registers.
func raiseAll(regs []byte, hashes []uint64) {
	regs = regs[:registers]
	for _, x := range hashes {
		if x != 0 {
			raise(regs, x)
		}
	}
}

// Merge adds all of a row of from, which may be c itself, to a row.
func (c *HLLs) Merge(row int, from *HLLs, fromRow int) {
	if c == from && row == fromRow {
		return
	}
	h, o := c.hll(row), from.hll(fromRow)
	if h.Empty() && cap(o.buf) >= minBlock {
		h.block, h.n, h.kind = h.take(len(o.buf)), o.n, o.kind
		copy(h.buf, o.buf)
	} else {
		h.Merge(&o)
	}
	c.put(row, &h)
}

// AppendTo appends the canonical encoding of a row (FORMAT.md), that of HLL, to
// dst.
func (c *HLLs) AppendTo(dst []byte, row int) []byte {
	h := c.hll(row)
	return h.AppendTo(dst)
}

// MergeEncoded adds an encoded HLL to a row, as HLL.MergeEncoded does.
func (c *HLLs) MergeEncoded(row int, b []byte) error {
	h := c.hll(row)
	if err := h.MergeEncoded(b); err != nil {
		return err
	}
	c.put(row, &h)
	return nil
}

// Estimate answers as HLL.Estimate does.
func (c *HLLs) Estimate(row int) uint64 {
	h := c.hll(row)
	return h.Estimate()
}

// hll returns a row as an HLL, whose buffer is the row's own; who changes it
// puts it back.
func (c *HLLs) hll(row int) HLL {
	r := &c.rows[row]
	h := HLL{block: block{in: &c.mem}, n: r.n, kind: r.kind}
	if r.class == 0 {
		h.buf = r.x[:int(r.n)*hllEntry]
		return h
	}
	h.off = binary.LittleEndian.Uint32(r.x[:])
	h.buf = c.mem.at(h.off, int(r.class)-1)
	switch r.kind {
	case hllDense, hllTable:
	default:
		h.buf = h.buf[:int(r.n)*hllEntry]
	}
	return h
}

// put makes h the content of a row.
func (c *HLLs) put(row int, h *HLL) {
	r := &c.rows[row]
	r.n, r.kind = h.n, h.kind
	if cap(h.buf) >= minBlock {
		r.class = uint8(classOf(cap(h.buf))) + 1
		binary.LittleEndian.PutUint32(r.x[:], h.off)
	}
}
