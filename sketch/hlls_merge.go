package sketch

// Settle sorts the entries of all rows. It is for a column that is about to be
// read more than once: merging and encoding sorted entries takes a third of the
// time. Rows stay as they are otherwise.
func (c *HLLs) Settle() {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for i := range c.rows {
		r := &c.rows[i]
		switch {
		case r.flags != 0 || r.n == 0:
		case r.n <= fewEntries:
			list := c.entries(r)
			r.n, r.flags = uint16(sortFew(list, list)), flagSorted
		default:
			h := c.hll(i)
			if list := s.distinct(&h); len(list) > MaxSparse {
				h.toDense()
			} else {
				h.move(list, len(list))
				h.sorted = uint16(len(list))
			}
			r.put(&h)
		}
	}
}

// MergeRows adds all of some rows of from, which may be c itself, to a row, as
// Merge does one by one, and leaves it sorted. It is the hot path of deriving a
// set of dimensions from another: the rows are those that become one. Rows that
// are sorted, see Settle, cost least.
func (c *HLLs) MergeRows(row int, from *HLLs, rows []uint32) {
	if len(rows) == 1 && c.Empty(row) && c != from {
		c.copyRow(row, from, int(rows[0]))
		return
	}
	total, dense := int(c.rows[row].n), c.rows[row].flags&flagDense
	for _, r := range rows {
		src := &from.rows[r]
		total += int(src.n)
		dense |= src.flags & flagDense
	}
	switch {
	case dense != 0:
		c.mergeDense(row, from, rows)
	case total <= fewEntries:
		c.mergeFew(row, from, rows)
	default:
		c.mergeLists(row, from, rows, total)
	}
}

// copyRow makes a row, which is empty, the same as one of another column.
func (c *HLLs) copyRow(row int, from *HLLs, fromRow int) {
	src := &from.rows[fromRow]
	switch {
	case src.flags&flagDense != 0:
		o := from.hll(fromRow)
		c.storeRegisters(row, o.buf)
	case src.flags&flagSorted != 0:
		c.store(row, from.entries(src))
	case src.n <= fewEntries:
		var few [fewEntries]uint32
		c.store(row, few[:sortFew(few[:], from.entries(src))])
	default:
		s := scratches.Get().(*scratch)
		h := from.hll(fromRow)
		if list := s.distinct(&h); len(list) <= MaxSparse {
			c.store(row, list)
		} else {
			c.storeRegisters(row, s.registersOf(&h))
		}
		scratches.Put(s)
	}
}

// store makes a list, sorted and each index once, that of a sparse row.
func (c *HLLs) store(row int, list []uint32) {
	r, n := &c.rows[row], len(list)
	if n == 0 {
		return
	}
	if r.class == 0 && n > inlineEntries || r.class > 0 && classSize(int(r.class)-1) < n*entryBytes {
		h := c.hll(row)
		h.drop()
		h.block = h.take(n * entryBytes)
		h.sorted = uint16(n)
		copy(words(h.buf), list)
		r.put(&h)
		return
	}
	r.n, r.flags = uint16(n), flagSorted
	copy(c.entries(r), list)
}

// mergeFew merges lists of no more than fewEntries in all.
func (c *HLLs) mergeFew(row int, from *HLLs, rows []uint32) {
	var few [fewEntries]uint32
	n := copy(few[:], c.entries(&c.rows[row]))
	for _, r := range rows {
		n += copy(few[n:], from.entries(&from.rows[r]))
	}
	c.store(row, few[:sortFew(few[:], few[:n])])
}

// mergeDense merges where a row, or the one that is merged into, is dense.
func (c *HLLs) mergeDense(row int, from *HLLs, rows []uint32) {
	h := c.hll(row)
	h.toDense()
	for _, r := range rows {
		src := &from.rows[r]
		switch {
		case c == from && int(r) == row: // whose block was given back
		case src.flags&flagDense != 0:
			o := from.hll(int(r))
			maxRegisters(h.buf, o.buf)
		default:
			raiseEntries(h.buf, from.entries(src))
		}
	}
	c.rows[row].put(&h)
}

// manyEntries is from where it pays to see first whether a row will be dense:
// so many distinct entries name more than MaxSparse registers.
const manyEntries = MaxSparse + MaxSparse/4

// mergeLists merges sparse rows of total entries.
func (c *HLLs) mergeLists(row int, from *HLLs, rows []uint32, total int) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if total > manyEntries {
		c.raiseRows(s, row, from, rows)
		if usedCounters(s.regs[:], 1) > MaxSparse {
			c.storeRegisters(row, s.regs[:])
			return
		}
	}
	u := union{s: s, many: len(rows) > fewLists}
	if r := &c.rows[row]; r.n > 0 {
		u.add(c.entries(r), r.flags != 0)
	}
	for _, i := range rows {
		r := &from.rows[i]
		u.add(from.entries(r), r.flags != 0)
	}
	if list, ok := u.result(); ok {
		c.store(row, list)
		return
	}
	c.raiseRows(s, row, from, rows)
	c.storeRegisters(row, s.regs[:])
}

// raiseRows makes s.regs the registers of sparse rows together.
func (c *HLLs) raiseRows(s *scratch, row int, from *HLLs, rows []uint32) {
	clear(s.regs[:])
	raiseEntries(s.regs[:], c.entries(&c.rows[row]))
	for _, r := range rows {
		raiseEntries(s.regs[:], from.entries(&from.rows[r]))
	}
}

// storeRegisters makes a sparse row dense.
func (c *HLLs) storeRegisters(row int, regs []byte) {
	h := c.hll(row)
	old := h.block
	h.block, h.dense, h.sorted = old.take(registers), true, 0
	copy(h.buf, regs)
	old.drop()
	c.rows[row].put(&h)
}
