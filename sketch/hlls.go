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
	_     [0]uint32 // entries are read as numbers
	flags uint8
	class uint8  // of the block plus 1; 0: no block
	n     uint16 // sparse entries
	// x is the entries while they fit, else the offset of the block and how
	// many entries are sorted.
	x [inlineEntries * entryBytes]byte
}

const (
	flagDense  = 1 // the block is registers
	flagSorted = 2 // all entries are sorted, each index once

	inlineEntries = 3
)

// Len returns the number of rows.
func (c *HLLs) Len() int { return len(c.rows) }

// Grow makes the column n rows long, if it is shorter; new rows are empty.
func (c *HLLs) Grow(n int) { c.rows = growRows(c.rows, n) }

// Empty reports whether nothing was added to a row.
func (c *HLLs) Empty(row int) bool {
	r := &c.rows[row]
	return r.n == 0 && r.flags&flagDense == 0
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
	c.rows[row].put(&h)
}

// AddRun adds all hashes but those that are 0 to a row: 0 stands for a value
// that is absent. It is the hot path of a rollup: all events of one cell in a
// chunk.
func (c *HLLs) AddRun(row int, hashes []uint64) {
	r := &c.rows[row]
	h := c.hll(row)
	if !h.dense && len(hashes) > repeated {
		hashes = h.addRepeated(hashes)
	}
	for len(hashes) > 0 && !h.dense {
		n := min(len(hashes), batch)
		rest := h.addHashes(hashes[:n])
		hashes = hashes[n-len(rest):]
	}
	if len(hashes) > 0 {
		raiseAll(h.buf, hashes)
	}
	r.put(&h)
}

// repeated is the length of runs from which on it pays to look for repetitions.
const repeated = 64

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
	if h.Empty() && cap(h.buf) < len(o.buf) {
		h.drop()
		h.block, h.sorted, h.dense = h.take(len(o.buf)), o.sorted, o.dense
		copy(h.buf, o.buf)
	} else {
		h.Merge(&o)
	}
	c.rows[row].put(&h)
}

// AppendTo appends the canonical encoding of a row (FORMAT.md), that of HLL, to
// dst.
func (c *HLLs) AppendTo(dst []byte, row int) []byte {
	if r := &c.rows[row]; r.flags == flagSorted {
		return appendEntries(dst, c.entries(r))
	}
	h := c.hll(row)
	return h.AppendTo(dst)
}

// MergeEncoded adds an encoded HLL to a row, as HLL.MergeEncoded does.
func (c *HLLs) MergeEncoded(row int, b []byte) error {
	h := c.hll(row)
	if err := h.MergeEncoded(b); err != nil {
		return err
	}
	c.rows[row].put(&h)
	return nil
}

// Estimate answers as HLL.Estimate does.
func (c *HLLs) Estimate(row int) uint64 {
	h := c.hll(row)
	return h.Estimate()
}

// entries returns the entries of a sparse row.
func (c *HLLs) entries(r *hllRow) []uint32 {
	if r.class == 0 {
		return words(r.x[:int(r.n)*entryBytes])
	}
	return words(c.mem.at(r.offset(), int(r.class)-1)[:int(r.n)*entryBytes])
}

func (r *hllRow) offset() uint32 { return binary.LittleEndian.Uint32(r.x[:]) }

// hll returns a row as an HLL, whose buffer is the row's own; who changes it
// puts it back.
func (c *HLLs) hll(row int) HLL {
	r := &c.rows[row]
	h := HLL{block: block{in: &c.mem}, dense: r.flags&flagDense != 0}
	if r.class == 0 {
		h.buf = r.x[:int(r.n)*entryBytes]
	} else {
		h.off = r.offset()
		h.buf = c.mem.at(h.off, int(r.class)-1)
		if h.dense {
			return h
		}
		h.buf = h.buf[:int(r.n)*entryBytes]
		h.sorted = binary.LittleEndian.Uint16(r.x[4:])
	}
	if r.flags&flagSorted != 0 {
		h.sorted = r.n
	}
	return h
}

// put makes h the content of a row.
func (r *hllRow) put(h *HLL) {
	n := uint16(len(h.buf) / entryBytes)
	r.flags, r.n = 0, n
	switch {
	case h.dense:
		r.flags = flagDense
	case n == 1 || n == h.sorted && n > 0:
		r.flags = flagSorted
	}
	if cap(h.buf) >= minBlock {
		r.class = uint8(classOf(cap(h.buf))) + 1
		binary.LittleEndian.PutUint32(r.x[:], h.off)
		binary.LittleEndian.PutUint16(r.x[4:], h.sorted)
	}
}
