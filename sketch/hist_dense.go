package sketch

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// padded widens a range of buckets so that the neighbours, which are likely to
// come next, need no new buffer.
func padded(lo, hi int) (int, int) {
	pad := 4 + (hi-lo)/8
	return max(lo-pad, 0), min(hi+pad, numBuckets-1)
}

// fitted widens a range of buckets upwards to what a block for counters of w
// bytes has room for anyway.
func (h *Hist) fitted(lo, hi, w int) (int, int) {
	room := h.block.size((hi-lo+1)*w) / w
	return lo, min(lo+room-1, numBuckets-1)
}

// denseSize returns how many bytes the narrowest counters take for the
// buckets of a sparse h and those from lo to hi.
func (h *Hist) denseSize(lo, hi int) int {
	lo, hi = padded(h.span(lo, hi))
	return hi - lo + 1
}

// makeDense gives h, whose buffer the caller looks after, empty counters of w
// bytes that cover lo..hi.
func (h *Hist) makeDense(lo, hi, w int) {
	lo, hi = h.fitted(lo, hi, w)
	h.block = h.take((hi - lo + 1) * w)
	clear(h.buf)
	h.base, h.width = uint16(lo), uint8(w)
}

// toDense converts a sparse h to counters of at least w bytes that also cover
// lo..hi.
func (h *Hist) toDense(lo, hi, w int) {
	old := h.block
	for i := 0; i < len(old.buf); i += entrySize {
		_, count := unpack(binary.LittleEndian.Uint32(old.buf[i:]))
		w = max(w, widthOf(count))
	}
	lo, hi = padded(h.span(lo, hi))
	h.makeDense(lo, hi, w)
	for i := 0; i < len(old.buf); i += entrySize {
		b, count := unpack(binary.LittleEndian.Uint32(old.buf[i:]))
		h.AddBucket(Bucket(b), count)
	}
	old.drop()
}

// covers reports whether a dense h has a counter for bucket b.
func (h *Hist) covers(b int) bool {
	return uint(b-int(h.base))*uint(h.width) < uint(len(h.buf))
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
	first, last = h.fitted(first, last, w)
	old, start := h.block, (from-first)*w
	h.block, h.base = h.take((last-first+1)*w), uint16(first)
	clear(h.buf[:start])
	clear(h.buf[start+copy(h.buf[start:], old.buf):])
	old.drop()
}

// addDense adds to the counter of bucket b, which must be covered, and widens
// all counters if the sum does not fit.
func (h *Hist) addDense(b int, weight uint64) {
	i, w := b-int(h.base), int(h.width)
	sum := addCounts(counter(h.buf, i*w, w), weight)
	if need := widthOf(sum); need > w {
		h.widen(need)
		w = need
	}
	setCounter(h.buf, i*w, w, sum)
}

// widen gives a dense h counters of w bytes, more than it has.
func (h *Hist) widen(w int) {
	old, from, n := h.block, int(h.width), len(h.buf)/int(h.width)
	lo, hi := h.fitted(int(h.base), int(h.base)+n-1, w)
	h.block, h.width = h.take((hi-lo+1)*w), uint8(w)
	for i := range n {
		setCounter(h.buf, i*w, w, counter(old.buf, i*from, from))
	}
	clear(h.buf[n*w:])
	old.drop()
}

// mergeDense adds the counters of a dense o, which are zero outside lo..hi.
func (h *Hist) mergeDense(o *Hist, lo, hi int) {
	from := int(o.width)
	if h.width == 0 {
		h.toDense(lo, hi, from)
	} else {
		h.cover(lo, hi)
	}
	if int(h.width) < from {
		h.widen(from)
	}
	src := o.buf[(lo-int(o.base))*from : (hi-int(o.base)+1)*from]
	for n := 0; len(src) > 0; {
		w := int(h.width)
		k := sumCounters(h.buf[(lo+n-int(h.base))*w:], w, src, from)
		n += k
		if src = src[k*from:]; len(src) > 0 {
			// The next sum needs a wider counter.
			h.AddBucket(Bucket(lo+n), counter(src, 0, from))
			n++
			src = src[from:]
		}
	}
}

// sumCounters adds the counters of fw bytes in src to those of w >= fw bytes
// in dst, which are no fewer. It returns how many it added: all, or those
// before a sum that needs more than w bytes or saturates.
func sumCounters(dst []byte, w int, src []byte, fw int) int {
	n := 0
	switch {
	case w == fw:
		n = sumWords(dst, src, w)
	case w == 2:
		n = sumSpread(dst, src)
	}
	limit := uint64(math.MaxUint64) >> (64 - 8*w) >> (w / 8) // for counters of 8 bytes, 2^63-1
	for total := len(src) / fw; n < total; n++ {
		add := counter(src, n*fw, fw)
		if add == 0 {
			continue
		}
		c := counter(dst, n*w, w)
		if add > limit-c {
			break
		}
		setCounter(dst, n*w, w, c+add)
	}
	return n
}

// sumWords is sumCounters for counters of one width, a word at a time. It
// stops at the last whole word or before one in which a sum overflows.
func sumWords(dst, src []byte, w int) int {
	high := highBits[w]
	i := 0
	for ; i+8 <= len(src) && i+8 <= len(dst); i += 8 {
		a, b := binary.LittleEndian.Uint64(dst[i:]), binary.LittleEndian.Uint64(src[i:])
		// Add all but the highest bits, which cannot carry over, then these.
		sum := (a&^high + b&^high) ^ (a^b)&high
		carry := (a&b | (a|b)&^sum) & high
		if w == 8 {
			carry = sum & high
		}
		if carry != 0 {
			break
		}
		binary.LittleEndian.PutUint64(dst[i:], sum)
	}
	return i / w
}

// sumSpread is sumWords from counters of one byte to counters of two.
func sumSpread(dst, src []byte) int {
	high := highBits[2]
	i := 0
	for ; i+4 <= len(src) && 2*i+8 <= len(dst); i += 4 {
		b := uint64(binary.LittleEndian.Uint32(src[i:]))
		b = (b | b<<16) & 0x0000ffff0000ffff
		b = (b | b<<8) & 0x00ff00ff00ff00ff
		a := binary.LittleEndian.Uint64(dst[2*i:])
		sum := (a&^high + b) ^ a&high
		if a&^sum&high != 0 {
			break
		}
		binary.LittleEndian.PutUint64(dst[2*i:], sum)
	}
	return i
}

// widthOf returns how many bytes a counter needs for count.
func widthOf(count uint64) int {
	switch n := bits.Len64(count); {
	case n <= 8:
		return 1
	case n <= 16:
		return 2
	case n <= 32:
		return 4
	}
	return 8
}
