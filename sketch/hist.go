package sketch

import (
	"encoding/binary"
	"math"
)

// maxCount is where counts saturate: the largest value of a signed 64-bit
// column. Saturating addition keeps merging commutative and associative.
const maxCount = math.MaxInt64

// Hist summarises the distribution of weighted float64 values and answers any
// quantile within RelativeError (DDSketch; Masson, Rim, Lee 2019). Values keep
// whatever unit the caller gives them.
//
// The zero Hist is empty and ready to use. A Hist takes 48 bytes plus 4 per
// distinct bucket while it has few, then 1 to 8 per bucket of the range in
// use; it never holds more than 2,881 buckets and never collapses any. It is
// not safe for use while another goroutine changes it.
type Hist struct {
	// The buffer holds sorted entries (see hist_sparse.go) if width is 0, else
	// counters of width bytes for the buckets from base on.
	block
	// zeros is what a dense Hist counts of the zero bucket while that is
	// outside its counters, for zero is common and far from all other buckets.
	zeros uint32
	base  uint16
	width uint8
}

// Add counts weight occurrences of v. A weight of 0 and a v of NaN change
// nothing. BucketOf tells how v is clamped. Counts saturate at 2^63-1.
//
// Add allocates only when v falls outside the buckets held so far, or when a
// counter must widen.
func (h *Hist) Add(v float64, weight uint64) {
	h.AddBucket(BucketOf(v), weight)
}

// AddBucket is Add for a value that BucketOf has already mapped.
func (h *Hist) AddBucket(b Bucket, weight uint64) {
	switch h.width {
	case 1:
		i := int(b) - int(h.base)
		if uint(i) < uint(len(h.buf)) && weight <= math.MaxUint8-uint64(h.buf[i]) {
			h.buf[i] += uint8(weight)
			return
		}
	case 2:
		i := (int(b) - int(h.base)) * 2
		if uint(i) < uint(len(h.buf)) {
			p := h.buf[i : i+2]
			c := uint64(binary.LittleEndian.Uint16(p))
			if weight <= math.MaxUint16-c {
				binary.LittleEndian.PutUint16(p, uint16(c+weight))
				return
			}
		}
	case 4:
		i := (int(b) - int(h.base)) * 4
		if uint(i) < uint(len(h.buf)) {
			p := h.buf[i : i+4]
			c := uint64(binary.LittleEndian.Uint32(p))
			if weight <= math.MaxUint32-c {
				binary.LittleEndian.PutUint32(p, uint32(c+weight))
				return
			}
		}
	}
	h.addSlow(b, weight)
}

// addSlow adds where AddBucket's fast path does not apply.
func (h *Hist) addSlow(b Bucket, weight uint64) {
	if weight == 0 || b >= numBuckets {
		return
	}
	weight = min(weight, maxCount)
	if h.width == 0 && h.addSparse(b, weight) {
		return
	}
	if b == zeroBucket && !h.covers(int(b)) && weight <= math.MaxUint32-uint64(h.zeros) {
		h.zeros += uint32(weight)
		return
	}
	h.cover(int(b), int(b))
	h.addDense(int(b), weight)
}

// Merge adds all of o to h and leaves o alone, unless both are the same Hist,
// whose counts then double.
func (h *Hist) Merge(o *Hist) {
	if h == o {
		dup := *h
		dup.block = block{buf: append([]byte(nil), h.buf...)}
		o = &dup
	}
	lo, hi, ok := o.bounds()
	switch {
	case o.width == 0:
		h.mergeSparse(o, lo, hi)
	case ok:
		h.mergeDense(o, lo, hi)
	}
	if o.zeros > 0 {
		h.AddBucket(zeroBucket, uint64(o.zeros))
	}
}

// Count returns the sum of all weights, saturated at 2^63-1.
func (h *Hist) Count() uint64 {
	total := uint64(0)
	for c := h.cells(); ; {
		_, count := c.next()
		if count == 0 {
			return total
		}
		total = addCounts(total, count)
	}
}

// Empty reports whether Count is 0, at no cost.
func (h *Hist) Empty() bool {
	// A buffer is made only for a count above zero.
	return len(h.buf) == 0
}

// Quantile returns the q-quantile: an estimate, within RelativeError, of the
// value at zero-based rank floor(q*(Count()-1)) in ascending order, each value
// repeated by its weight. A value that counts as zero is answered by 0, and no
// answer's magnitude exceeds MaxValue. It returns NaN if h is empty or q is
// not in [0, 1].
func (h *Hist) Quantile(q float64) float64 {
	total := h.Count()
	if total == 0 || !(q >= 0 && q <= 1) {
		return math.NaN()
	}
	rank, seen := rankOf(q, total), uint64(0)
	for c := h.cells(); ; {
		b, count := c.next()
		// This ends: the last sum is total, and rank is below it.
		if seen = addCounts(seen, count); seen > rank {
			return b.value()
		}
	}
}

// Reset empties h and keeps its buffer for what is added next. Assign Hist{}
// to give the memory back instead.
func (h *Hist) Reset() {
	*h = Hist{block: block{buf: h.buf[:0]}}
}

// rankOf returns floor(q*(total-1)) for q in [0, 1] and total > 0.
func rankOf(q float64, total uint64) uint64 {
	last := total - 1
	r := q * float64(last)
	if r >= float64(last) {
		return last
	}
	return uint64(r)
}

// addCounts adds two counts, neither above maxCount, and saturates.
func addCounts(a, b uint64) uint64 {
	return min(a+b, maxCount)
}
