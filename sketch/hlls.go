package sketch

// HLLs is a column of HyperLogLogs: row i is what an HLL would be that was
// given the same hashes. Rows outside [0, Len()) must not be named.
//
// The zero HLLs has no rows and is ready to use. It is not safe for use while
// another goroutine changes it.
type HLLs struct {
	rows []HLL
}

// Len returns the number of rows.
func (c *HLLs) Len() int { return len(c.rows) }

// Grow makes the column n rows long, if it is shorter; new rows are empty.
func (c *HLLs) Grow(n int) {
	if n > len(c.rows) {
		c.rows = append(c.rows, make([]HLL, n-len(c.rows))...)
	}
}

// AddHash adds one hash to a row, as HLL.AddHash does.
func (c *HLLs) AddHash(row int, hash uint64) { c.rows[row].AddHash(hash) }

// AddRun adds all hashes but those that are 0 to a row: 0 stands for a value
// that is absent. It may reorder hashes.
func (c *HLLs) AddRun(row int, hashes []uint64) {
	h := &c.rows[row]
	for _, x := range hashes {
		if x != 0 {
			h.AddHash(x)
		}
	}
}

// Merge adds all of a row of from, which may be c itself, to a row.
func (c *HLLs) Merge(row int, from *HLLs, fromRow int) {
	c.rows[row].Merge(&from.rows[fromRow])
}

// Empty reports whether nothing was added to a row.
func (c *HLLs) Empty(row int) bool { return c.rows[row].Empty() }

// AppendTo appends the encoding of a row, that of HLL, to dst.
func (c *HLLs) AppendTo(dst []byte, row int) []byte { return c.rows[row].AppendTo(dst) }

// MergeEncoded adds an encoded HLL to a row, as HLL.MergeEncoded does.
func (c *HLLs) MergeEncoded(row int, b []byte) error { return c.rows[row].MergeEncoded(b) }

// Estimate answers as HLL.Estimate does.
func (c *HLLs) Estimate(row int) uint64 { return c.rows[row].Estimate() }

// Reset removes all rows and keeps the memory.
func (c *HLLs) Reset() {
	clear(c.rows)
	c.rows = c.rows[:0]
}

// Trim releases what the column holds beyond maxBytes. Call it after Reset.
func (c *HLLs) Trim(maxBytes int) {
	if c.Bytes() > maxBytes {
		c.rows = nil
	}
}

// Bytes returns how much memory the column holds.
func (c *HLLs) Bytes() int {
	n := cap(c.rows) * 40
	for i := range c.rows {
		n += cap(c.rows[i].table) * 4
		if c.rows[i].dense != nil {
			n += registers
		}
	}
	return n
}
