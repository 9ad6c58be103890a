package sketch

import (
	"encoding/binary"
	"math/bits"
)

// unlog reads a log into dst, which is long enough.
func unlog(dst []Bucket, log []byte) []Bucket {
	dst = dst[:len(log)/2]
	for i := range dst {
		dst[i] = Bucket(binary.LittleEndian.Uint16(log[2*i:]))
	}
	return dst
}

// logRun appends buckets to the log of a row, or returns false, with nothing
// done, if it is time for counters.
func (c *Hists) logRun(r *histRow, buckets []Bucket) bool {
	need := 2 * (int(r.n) + len(buckets))
	log := r.x[:]
	if r.class > 0 {
		log = c.mem.at(r.offset(), int(r.class)-1)
	}
	if need > len(log) {
		if need > 2*maxLog {
			return false
		}
		if log = c.growLog(r, buckets, need); log == nil {
			return false
		}
	}
	pos := int(r.n)
	for _, b := range buckets {
		binary.LittleEndian.PutUint16(log[2*pos:], uint16(b))
		// What is no bucket is overwritten by the next.
		pos += int((uint(b) - numBuckets) >> (bits.UintSize - 1))
	}
	r.n = uint16(pos)
	return true
}

// growLog moves a log to a block of at least need bytes, which it returns, or
// returns nil if counters of its values and buckets take no more.
func (c *Hists) growLog(r *histRow, buckets []Bucket, need int) []byte {
	size := minBlock
	for size < need {
		size *= 2
	}
	old := c.log(r)
	if lo, hi, ok := widen(spanOf(buckets), old); ok {
		lo, hi = padded(lo, hi)
		if hi-lo+1 <= size {
			return nil
		}
	}
	off, log := c.mem.alloc(size)
	copy(log, old)
	if r.class > 0 {
		c.mem.release(r.offset(), int(r.class)-1)
	}
	r.class = uint8(classOf(size)) + 1
	binary.LittleEndian.PutUint32(r.x[:], off)
	return log
}

// span is a range of buckets; lo > hi says that there are none.
type span struct{ lo, hi Bucket }

// spanOf returns the range of buckets, zero apart. It looks at some thousands
// only, for the others will hardly be far off, and counters can grow.
func spanOf(buckets []Bucket) span {
	s := span{lo: numBuckets}
	for _, b := range buckets[:min(len(buckets), 4096)] {
		if b != zeroBucket && b < numBuckets {
			s = span{min(s.lo, b), max(s.hi, b)}
		}
	}
	return s
}

// widen adds the values of a log to s and reports whether there are any.
func widen(s span, log []byte) (lo, hi int, ok bool) {
	for ; len(log) > 0; log = log[2:] {
		if b := Bucket(binary.LittleEndian.Uint16(log)); b != zeroBucket {
			s = span{min(s.lo, b), max(s.hi, b)}
		}
	}
	return int(s.lo), int(s.hi), s.lo <= s.hi
}

// leaveLog turns the log of a row, to which buckets will be added, into
// counters or, if these would take too much memory, sorted entries.
func (c *Hists) leaveLog(row int, buckets []Bucket) {
	r := &c.rows[row]
	var scratch [2 * maxLog]byte
	log := scratch[:copy(scratch[:], c.log(r))]
	c.dropLog(r)
	h := Hist{block: block{in: &c.mem}}
	lo, hi, ok := widen(spanOf(buckets), log)
	if lo, hi = padded(lo, hi); ok && hi-lo+1 <= maxRange(len(log)/2+len(buckets)) {
		h.makeDense(lo, hi, 1)
	}
	h.addLog(log)
	c.put(row, &h)
}

// maxRange returns how many counters of one byte may be made for n values at
// once.
func maxRange(n int) int { return max(512, 8*min(n, numBuckets)) }

// addLog adds the values of a log to h.
func (h *Hist) addLog(log []byte) {
	for ; len(log) > 0; log = log[2:] {
		h.AddBucket(Bucket(binary.LittleEndian.Uint16(log)), 1)
	}
}

// appendLog appends the encoding of the values of a log. It sorts a few of
// them by insertion; for more it marks the buckets in use, whose ranks are
// then sums of bits, and counts by rank.
func appendLog(dst, log []byte) []byte {
	if len(log) > 2*24 {
		return appendRanked(dst, log)
	}
	var sorted [24]Bucket
	n := 0
	for ; len(log) > 0; log = log[2:] {
		b := Bucket(binary.LittleEndian.Uint16(log))
		i := n
		for ; i > 0 && sorted[i-1] > b; i-- {
			sorted[i] = sorted[i-1]
		}
		sorted[i] = b
		n++
	}
	distinct := 0
	for i, b := range sorted[:n] {
		if i == 0 || b != sorted[i-1] {
			distinct++
		}
	}
	dst = binary.AppendUvarint(append(dst, histV1), uint64(distinct))
	prev := -1
	for i := 0; i < n; {
		b, from := sorted[i], i
		for i < n && sorted[i] == b {
			i++
		}
		dst = appendCell(dst, int(b)-prev-1, uint64(i-from))
		prev = int(b)
	}
	return dst
}

const markWords = (numBuckets + 63) / 64

func appendRanked(dst, log []byte) []byte {
	var marks [markWords]uint64
	for rest := log; len(rest) > 0; rest = rest[2:] {
		b := binary.LittleEndian.Uint16(rest)
		marks[b>>6] |= 1 << (b & 63)
	}
	var below [markWords]uint8 // a log has at most maxLog buckets
	distinct := 0
	for i, m := range marks {
		below[i] = uint8(distinct)
		distinct += bits.OnesCount64(m)
	}
	var counts [maxLog]uint8
	for rest := log; len(rest) > 0; rest = rest[2:] {
		b := binary.LittleEndian.Uint16(rest)
		counts[int(below[b>>6])+bits.OnesCount64(marks[b>>6]&(1<<(b&63)-1))]++
	}
	dst = binary.AppendUvarint(append(dst, histV1), uint64(distinct))
	prev, rank := -1, 0
	for i, m := range marks {
		for ; m != 0; m &= m - 1 {
			b := i<<6 + bits.TrailingZeros64(m)
			dst = appendCell(dst, b-prev-1, uint64(counts[rank]))
			prev = b
			rank++
		}
	}
	return dst
}
