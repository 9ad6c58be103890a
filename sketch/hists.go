package sketch

// Hists is a column of histograms: row i is what a Hist would be that was
// given the same values. Rows outside [0, Len()) must not be named.
//
// The zero Hists has no rows and is ready to use. It is not safe for use while
// another goroutine changes it.
type Hists struct {
	rows []Hist
}

// Len returns the number of rows.
func (c *Hists) Len() int { return len(c.rows) }

// Grow makes the column n rows long, if it is shorter; new rows are empty.
func (c *Hists) Grow(n int) {
	if n > len(c.rows) {
		c.rows = append(c.rows, make([]Hist, n-len(c.rows))...)
	}
}

// Add counts weight occurrences of bucket b in a row, as Hist.AddBucket does.
func (c *Hists) Add(row int, b Bucket, weight uint64) {
	c.rows[row].AddBucket(b, weight)
}

// AddRun adds buckets[i], weights[i] times, to a row for each i; weights below
// 1 count nothing, and nil weights stand for 1 each. It may reorder both.
func (c *Hists) AddRun(row int, buckets []Bucket, weights []int64) {
	h := &c.rows[row]
	for i, b := range buckets {
		switch {
		case weights == nil:
			h.AddBucket(b, 1)
		case weights[i] > 0:
			h.AddBucket(b, uint64(weights[i]))
		}
	}
}

// Merge adds all of a row of from, which may be c itself, to a row.
func (c *Hists) Merge(row int, from *Hists, fromRow int) {
	c.rows[row].Merge(&from.rows[fromRow])
}

// Empty reports whether nothing was added to a row.
func (c *Hists) Empty(row int) bool { return c.rows[row].Empty() }

// AppendTo appends the encoding of a row, that of Hist, to dst.
func (c *Hists) AppendTo(dst []byte, row int) []byte { return c.rows[row].AppendTo(dst) }

// MergeEncoded adds an encoded Hist to a row, as Hist.MergeEncoded does.
func (c *Hists) MergeEncoded(row int, b []byte) error { return c.rows[row].MergeEncoded(b) }

// Quantile answers as Hist.Quantile does.
func (c *Hists) Quantile(row int, q float64) float64 { return c.rows[row].Quantile(q) }

// Reset removes all rows and keeps the memory.
func (c *Hists) Reset() {
	clear(c.rows)
	c.rows = c.rows[:0]
}

// Trim releases what the column holds beyond maxBytes. Call it after Reset.
func (c *Hists) Trim(maxBytes int) {
	if c.Bytes() > maxBytes {
		c.rows = nil
	}
}

// Bytes returns how much memory the column holds.
func (c *Hists) Bytes() int {
	n := cap(c.rows) * 40
	for i := range c.rows {
		n += cap(c.rows[i].buf)
	}
	return n
}
