package rollup

import (
	"github.com/millrace/millrace/sketch"
)

// columns is a chunk of one rollup's events, encoded: what its cells need of
// them, a column each, and nothing of the events themselves. Several metrics of
// one input share its column.
type columns struct {
	n       int
	done    int               // how many of them are in cells
	unit    bool              // every weight is 1
	starts  []int64           // the minutes that occur, Unix seconds
	counts  []uint32          // per start: how many events
	minutes []uint32          // index in starts
	weights []int64           // at least 1
	codes   [][]uint32        // per dimension; nil if no set has it
	sums    [][]int64         // per layout.sums: scaled, times the weight; 0 if there is no value
	mass    []uint64          // of the weights, then per layout.sums: the sum of magnitudes, saturated
	floats  [][]float64       // per layout.floats; NaN if there is no value
	buckets [][]sketch.Bucket // per layout.hists; NoBucket if there is no value
	hashes  [][]uint64        // per layout.hlls; 0 if there is no value
	known   map[int64]uint32  // start to its index
	lastAt  uint32            // of the event before: its minute,
	last    int64             // and when that begins, in ns
}

// newColumns returns empty columns of a layout.
func newColumns(l *layout) *columns {
	return &columns{
		unit: true, codes: make([][]uint32, len(l.used)), sums: make([][]int64, len(l.sums)), mass: make([]uint64, 1+len(l.sums)),
		floats: make([][]float64, len(l.floats)), buckets: make([][]sketch.Bucket, len(l.hists)), hashes: make([][]uint64, len(l.hlls)),
		known: map[int64]uint32{},
	}
}

// reset forgets the events and keeps the memory.
func (c *columns) reset() {
	c.n, c.done, c.unit = 0, 0, true
	c.starts, c.counts = c.starts[:0], c.counts[:0]
	clear(c.known)
	clear(c.mass)
}

// reserve makes room for n events in all columns.
func (c *columns) reserve(l *layout, n int) {
	c.minutes, c.weights = sized(c.minutes, n), sized(c.weights, n)
	for d := range c.codes {
		if l.used[d] {
			c.codes[d] = sized(c.codes[d], n)
		}
	}
	for i := range c.sums {
		c.sums[i] = sized(c.sums[i], n)
	}
	for i := range c.floats {
		c.floats[i] = sized(c.floats[i], n)
	}
	for i := range c.buckets {
		c.buckets[i] = sized(c.buckets[i], n)
	}
	for i := range c.hashes {
		c.hashes[i] = sized(c.hashes[i], n)
	}
}

// sized returns s with n elements, those that it has kept.
func sized[T any](s []T, n int) []T {
	if n > cap(s) {
		grown := make([]T, max(n, cap(s)+min(cap(s), maxChunk/2)))
		copy(grown, s)
		s = grown
	}
	return s[:n]
}

// minute returns the index of the minute of a time in ns.
func (c *columns) minute(ns int64) uint32 {
	// Differences wrap around at the ends of time as they should.
	if len(c.starts) > 0 && uint64(ns-c.last) < 60e9 {
		return c.lastAt
	}
	start := floorMinute(ns)
	i, ok := c.known[start]
	if !ok {
		i = uint32(len(c.starts))
		c.known[start] = i
		c.starts, c.counts = append(c.starts, start), append(c.counts, 0)
	}
	c.last, c.lastAt = start*1e9, i
	return i
}

// bytes returns how much memory the columns hold.
func (c *columns) bytes() int {
	n := 4*cap(c.minutes) + 8*cap(c.weights) + 12*cap(c.starts) + mapEntryBytes*len(c.known)
	for _, s := range c.codes {
		n += 4 * cap(s)
	}
	for _, s := range c.sums {
		n += 8 * cap(s)
	}
	for _, s := range c.floats {
		n += 8 * cap(s)
	}
	for _, s := range c.buckets {
		n += 2 * cap(s)
	}
	for _, s := range c.hashes {
		n += 8 * cap(s)
	}
	return n
}
