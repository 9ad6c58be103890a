package sketch

import (
	"encoding/binary"
	"math"
)

// padded widens a range of buckets so that the neighbours, which are likely to
// come next, need no new buffer.
func padded(lo, hi int) (int, int) {
	pad := 4 + (hi-lo)/8
	return max(lo-pad, 0), min(hi+pad, numBuckets-1)
}

// denseSize returns how many bytes the narrowest counters take for the
// buckets of a sparse h and those from lo to hi.
func (h *Hist) denseSize(lo, hi int) int {
	lo, hi = padded(h.span(lo, hi))
	return (hi - lo + 1) * 2
}

// toDense converts a sparse h to counters that also cover lo..hi.
func (h *Hist) toDense(lo, hi int) {
	old, width := h.buf, 2
	for i := 0; i < len(old); i += entrySize {
		if _, count := unpack(binary.LittleEndian.Uint32(old[i:])); count > math.MaxUint16 {
			width = 4
			break
		}
	}
	lo, hi = padded(h.span(lo, hi))
	size := (hi - lo + 1) * width
	if len(old) == 0 && size <= cap(old) {
		h.buf = old[:size]
		clear(h.buf)
	} else {
		h.buf = make([]byte, size)
	}
	h.base, h.width = uint16(lo), uint8(width)
	for i := 0; i < len(old); i += entrySize {
		b, count := unpack(binary.LittleEndian.Uint32(old[i:]))
		setCounter(h.buf, (b-lo)*width, width, count)
	}
}

// cover makes the counters of a dense h include lo..hi.
func (h *Hist) cover(lo, hi int) {
	w, from := int(h.width), int(h.base)
	to := from + len(h.buf)/w - 1
	if lo >= from && hi <= to {
		return
	}
	padLo, padHi := padded(min(lo, from), max(hi, to))
	first, last := from, to
	if lo < from {
		first = padLo
	}
	if hi > to {
		last = padHi
	}
	buf := make([]byte, (last-first+1)*w)
	copy(buf[(from-first)*w:], h.buf)
	h.buf, h.base = buf, uint16(first)
}

// addDense adds to the counter of bucket b, which must be covered, and widens
// all counters if the sum does not fit.
func (h *Hist) addDense(b int, weight uint64) {
	i, w := b-int(h.base), int(h.width)
	sum := addCounts(counter(h.buf, i*w, w), weight)
	if need := widthOf(sum); need > w {
		buf := make([]byte, len(h.buf)/w*need)
		for from, to := 0, 0; from < len(h.buf); from, to = from+w, to+need {
			setCounter(buf, to, need, counter(h.buf, from, w))
		}
		h.buf, h.width, w = buf, uint8(need), need
	}
	setCounter(h.buf, i*w, w, sum)
}

// mergeDense adds the counters of a dense o, which are zero outside lo..hi.
func (h *Hist) mergeDense(o *Hist, lo, hi int) {
	if h.width == 0 {
		h.toDense(lo, hi)
	} else {
		h.cover(lo, hi)
	}
	w, base := int(o.width), int(o.base)
	for b := lo; b <= hi; b++ {
		if count := counter(o.buf, (b-base)*w, w); count != 0 {
			h.AddBucket(Bucket(b), count)
		}
	}
}

func widthOf(count uint64) int {
	switch {
	case count <= math.MaxUint16:
		return 2
	case count <= math.MaxUint32:
		return 4
	}
	return 8
}
