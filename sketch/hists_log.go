package sketch

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// bucketsOf returns the buckets in a buffer. As those of words, they are numbers
// of the machine that nobody else sees.
func bucketsOf(buf []byte) []Bucket {
	if len(buf) == 0 {
		return nil
	}
	return unsafe.Slice((*Bucket)(unsafe.Pointer(unsafe.SliceData(buf))), len(buf)/2)
}

// logRun appends buckets to the log of a row, or returns false, with nothing
// done, if it is time for counters.
func (c *Hists) logRun(r *histRow, buckets []Bucket) bool {
	need := int(r.n) + len(buckets)
	log := c.room(r)
	if need > len(log) {
		if need > maxLog {
			return false
		}
		if log = c.growLog(r, buckets, need); log == nil {
			return false
		}
	}
	pos := int(r.n)
	for _, b := range buckets {
		log[pos] = b
		// What is no bucket is overwritten by the next.
		pos += int((uint(b) - numBuckets) >> (bits.UintSize - 1))
	}
	r.n = uint16(pos)
	return true
}

// growLog moves a log to a block for at least need values, which it returns, or
// returns nil if counters of its values and buckets take no more.
func (c *Hists) growLog(r *histRow, buckets []Bucket, need int) []Bucket {
	size := minBlock
	for size < 2*need {
		size *= 2
	}
	old := c.log(r)
	if lo, hi, ok := widen(spanOf(buckets), old); ok {
		lo, hi = padded(lo, hi)
		if hi-lo+1 <= size {
			return nil
		}
	}
	off, buf := c.mem.alloc(size)
	log := bucketsOf(buf)
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
func widen(s span, log []Bucket) (lo, hi int, ok bool) {
	for _, b := range log {
		if b != zeroBucket {
			s = span{min(s.lo, b), max(s.hi, b)}
		}
	}
	return int(s.lo), int(s.hi), s.lo <= s.hi
}

// leaveLog turns the log of a row, to which buckets will be added, into
// counters or, if these would take too much memory, sorted entries.
func (c *Hists) leaveLog(row int, buckets []Bucket) {
	r := &c.rows[row]
	var scratch [maxLog]Bucket
	log := scratch[:copy(scratch[:], c.log(r))]
	c.dropLog(r)
	h := Hist{block: block{in: &c.mem}}
	lo, hi, ok := widen(spanOf(buckets), log)
	if lo, hi = padded(lo, hi); ok && hi-lo+1 <= maxRange(len(log)+len(buckets)) {
		h.makeDense(lo, hi, 1)
	}
	h.addLog(log)
	c.put(row, &h)
}

// maxRange returns how many counters of one byte may be made for n values at
// once.
func maxRange(n int) int { return max(512, 8*min(n, numBuckets)) }

// addLog adds the values of a log to h.
func (h *Hist) addLog(log []Bucket) {
	for _, b := range log {
		h.AddBucket(b, 1)
	}
}

// fewValues are sorted by insertion to be encoded.
const fewValues = 6

// appendLog appends the encoding of the values of a log.
func appendLog(dst []byte, log []Bucket) []byte {
	if len(log) > fewValues {
		return appendRanked(dst, log)
	}
	var sorted [fewValues]Bucket
	distinct := 0
	for n, b := range log {
		i, repeated := n, 0
		for ; i > 0 && sorted[i-1] >= b; i-- {
			if sorted[i-1] == b {
				repeated = 1
			}
			sorted[i] = sorted[i-1]
		}
		sorted[i] = b
		distinct += 1 - repeated
	}
	dst = append(dst, histV1, uint8(distinct))
	prev, count := -1, uint64(0)
	for i, b := range sorted[:len(log)] {
		count++
		if i+1 == len(log) || sorted[i+1] != b {
			dst = appendCell(dst, int(b)-prev-1, count)
			prev, count = int(b), 0
		}
	}
	return dst
}

const markWords = (numBuckets + 63) / 64

// appendRanked encodes a log without sorting it: it marks the buckets in use,
// whose ranks are then sums of bits, and counts by rank.
func appendRanked(dst []byte, log []Bucket) []byte {
	lo, hi := log[0], log[0]
	for _, b := range log {
		lo, hi = min(lo, b), max(hi, b)
	}
	var marks [markWords]uint64
	for _, b := range log {
		marks[b>>6] |= 1 << (b & 63)
	}
	var below [markWords]uint8 // a log has at most maxLog buckets
	distinct := 0
	for i := lo >> 6; i <= hi>>6; i++ {
		below[i] = uint8(distinct)
		distinct += bits.OnesCount64(marks[i])
	}
	var counts [maxLog]uint8
	for _, b := range log {
		counts[int(below[b>>6])+bits.OnesCount64(marks[b>>6]&(1<<(b&63)-1))]++
	}
	dst = binary.AppendUvarint(append(dst, histV1), uint64(distinct))
	prev, rank := -1, 0
	for i := lo >> 6; i <= hi>>6; i++ {
		for m := marks[i]; m != 0; m &= m - 1 {
			b := int(i)<<6 + bits.TrailingZeros64(m)
			dst = appendCell(dst, b-prev-1, uint64(counts[rank]))
			prev = b
			rank++
		}
	}
	return dst
}
