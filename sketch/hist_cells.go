package sketch

import (
	"encoding/binary"
	"math/bits"
)

// cells walks the non-empty buckets of a Hist in ascending order. Callers must
// not change the Hist meanwhile.
type cells struct {
	h     *Hist
	pos   int // byte position in h.buf
	zeros uint64
}

func (h *Hist) cells() cells {
	return cells{h: h, zeros: uint64(h.zeros)}
}

// next returns the next bucket and its count; a count of 0 is the end.
func (c *cells) next() (Bucket, uint64) {
	pos, b, count := c.peek()
	if c.zeros > 0 && (count == 0 || b >= zeroBucket) {
		zeros := c.zeros
		c.zeros = 0
		if count == 0 || b > zeroBucket {
			return zeroBucket, zeros
		}
		count = addCounts(count, zeros)
	}
	c.pos = pos
	return b, count
}

// peek finds the next cell in the buffer and the position behind it.
func (c *cells) peek() (int, Bucket, uint64) {
	h := c.h
	if h.width == 0 {
		if c.pos >= len(h.buf) {
			return c.pos, 0, 0
		}
		b, count := unpack(binary.LittleEndian.Uint32(h.buf[c.pos:]))
		return c.pos + entrySize, Bucket(b), count
	}
	w := int(h.width)
	for pos := c.pos; pos < len(h.buf); pos += w {
		if count := counter(h.buf, pos, w); count != 0 {
			// Remember the gap, so that a pending zero does not rescan it.
			c.pos = pos
			return pos + w, Bucket(int(h.base) + pos/w), count
		}
	}
	c.pos = len(h.buf)
	return c.pos, 0, 0
}

// size returns the number of non-empty buckets.
func (h *Hist) size() int {
	if h.width == 0 {
		return len(h.buf) / entrySize
	}
	w := int(h.width)
	n := usedCounters(h.buf, w)
	if h.zeros > 0 {
		at := (int(zeroBucket) - int(h.base)) * w
		if uint(at) >= uint(len(h.buf)) || counter(h.buf, at, w) == 0 {
			n++
		}
	}
	return n
}

// usedCounters returns how many counters of w bytes are not 0.
func usedCounters(buf []byte, w int) int {
	n := 0
	for ; len(buf) >= 8; buf = buf[8:] {
		n += bits.OnesCount64(nonZero(binary.LittleEndian.Uint64(buf), w))
	}
	for ; len(buf) > 0; buf = buf[w:] {
		if counter(buf, 0, w) != 0 {
			n++
		}
	}
	return n
}

// highBits has the highest bit of each counter of w bytes in a word, at w.
var highBits = [9]uint64{
	1: 0x8080808080808080,
	2: 0x8000800080008000,
	4: 0x8000000080000000,
	8: 0x8000000000000000,
}

// nonZero sets the highest bit of each counter of w bytes in v that is not 0,
// and clears all other bits.
func nonZero(v uint64, w int) uint64 {
	high := highBits[w]
	return (v | (v&^high + ^high)) & high
}

// bounds returns the first and last non-empty bucket, and whether there is
// any. The zero bucket counts only where it has a counter like all others.
func (h *Hist) bounds() (lo, hi int, ok bool) {
	if h.width == 0 {
		return h.sparseBounds()
	}
	w, from, to := int(h.width), 0, len(h.buf)
	for from < to && counter(h.buf, from, w) == 0 {
		from += w
	}
	if from == to {
		return 0, 0, false
	}
	for counter(h.buf, to-w, w) == 0 {
		to -= w
	}
	return int(h.base) + from/w, int(h.base) + to/w - 1, true
}

// counter reads the counter of w bytes at pos.
func counter(buf []byte, pos, w int) uint64 {
	switch w {
	case 1:
		return uint64(buf[pos])
	case 2:
		return uint64(binary.LittleEndian.Uint16(buf[pos:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(buf[pos:]))
	}
	return binary.LittleEndian.Uint64(buf[pos:])
}

// setCounter writes the counter of w bytes at pos; count must fit.
func setCounter(buf []byte, pos, w int, count uint64) {
	switch w {
	case 1:
		buf[pos] = uint8(count)
	case 2:
		binary.LittleEndian.PutUint16(buf[pos:], uint16(count))
	case 4:
		binary.LittleEndian.PutUint32(buf[pos:], uint32(count))
	default:
		binary.LittleEndian.PutUint64(buf[pos:], count)
	}
}
