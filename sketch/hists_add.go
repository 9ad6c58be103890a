package sketch

import (
	"encoding/binary"
	"math"
)

// Add counts weight occurrences of bucket b in a row, as Hist.AddBucket does.
func (c *Hists) Add(row int, b Bucket, weight uint64) {
	if weight == 1 {
		run := [1]Bucket{b}
		c.AddRun(row, run[:], nil)
		return
	}
	if weight == 0 || b >= numBuckets {
		return
	}
	h := c.settled(row)
	h.AddBucket(b, weight)
	c.put(row, &h)
}

// AddRun adds buckets[i], weights[i] times, to a row for each i. NoBucket and
// weights below 1 count nothing; nil weights stand for 1 each.
//
// It is the hot path of a rollup: all events of one cell in a chunk. A few are
// appended to the row's log; otherwise the loops below count them, and leave
// to a Hist what does not fit the counters as they are.
func (c *Hists) AddRun(row int, buckets []Bucket, weights []int64) {
	if weights != nil {
		c.addWeighted(row, buckets, weights)
		return
	}
	r := &c.rows[row]
	if r.kind == kindLog {
		if c.logRun(r, buckets) {
			return
		}
		c.leaveLog(row, buckets)
	}
	for {
		done := c.countRun(r, buckets)
		if done == len(buckets) {
			return
		}
		b, n := buckets[done], uint64(1)
		buckets = buckets[done+1:]
		for len(buckets) > 0 && buckets[0] == b {
			buckets = buckets[1:]
			n++
		}
		if b >= numBuckets || b == zeroBucket && r.addZeros(n) {
			continue
		}
		h := c.settled(row)
		if h.width == 0 {
			h.reserveRun(buckets)
		}
		h.AddBucket(b, n)
		c.put(row, &h)
	}
}

// addZeros adds to the zeros of a row, or returns false, with nothing done, if
// these are not where zeros are counted.
func (r *histRow) addZeros(n uint64) bool {
	base := uint(binary.LittleEndian.Uint16(r.x[4:]))
	zeros := binary.LittleEndian.Uint32(r.x[8:])
	if r.kind > 8 || r.kind == kindLog || uint(zeroBucket)-base < uint(r.n) || n > math.MaxUint32-uint64(zeros) {
		return false
	}
	binary.LittleEndian.PutUint32(r.x[8:], zeros+uint32(n))
	return true
}

// reserveRun makes counters of sparse entries if buckets, about to be added,
// justify them.
func (h *Hist) reserveRun(buckets []Bucket) {
	if len(buckets) < 16 {
		return
	}
	if s := spanOf(buckets); s.lo <= s.hi {
		lo, hi := int(s.lo), int(s.hi)
		if h.denseSize(lo, hi) <= maxRange(len(buckets)) {
			h.toDense(lo, hi, 1)
		}
	}
}

// countRun adds buckets to a row that has counters, up to the first bucket
// that is not covered or overflows, and returns how many it added.
func (c *Hists) countRun(r *histRow, buckets []Bucket) int {
	if r.kind == kindEntries || r.kind == kindLog {
		return 0
	}
	buf := c.mem.at(r.offset(), int(r.class)-1)[:int(r.n)*int(r.kind)]
	base := uint(binary.LittleEndian.Uint16(r.x[4:]))
	switch r.kind {
	case 1:
		return countRun1(buf, base, buckets)
	case 2:
		return countRun2(buf, base, buckets)
	case 4:
		return countRun4(buf, base, buckets)
	}
	return 0
}

func countRun1(buf []byte, base uint, buckets []Bucket) int {
	for k, b := range buckets {
		i := uint(b) - base
		if i >= uint(len(buf)) || buf[i] == math.MaxUint8 {
			return k
		}
		buf[i]++
	}
	return len(buckets)
}

func countRun2(buf []byte, base uint, buckets []Bucket) int {
	for k, b := range buckets {
		i := (uint(b) - base) * 2
		if i >= uint(len(buf)) {
			return k
		}
		p := buf[i : i+2]
		n := binary.LittleEndian.Uint16(p)
		if n == math.MaxUint16 {
			return k
		}
		binary.LittleEndian.PutUint16(p, n+1)
	}
	return len(buckets)
}

func countRun4(buf []byte, base uint, buckets []Bucket) int {
	for k, b := range buckets {
		i := (uint(b) - base) * 4
		if i >= uint(len(buf)) {
			return k
		}
		p := buf[i : i+4]
		n := binary.LittleEndian.Uint32(p)
		if n == math.MaxUint32 {
			return k
		}
		binary.LittleEndian.PutUint32(p, n+1)
	}
	return len(buckets)
}

// addWeighted is AddRun with weights.
func (c *Hists) addWeighted(row int, buckets []Bucket, weights []int64) {
	for i, b := range buckets {
		if w := weights[i]; w > 0 {
			c.Add(row, b, uint64(w))
		}
	}
}
