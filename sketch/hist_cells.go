package sketch

import "encoding/binary"

// cells walks the non-empty buckets of a Hist in ascending order. Callers must
// not change the Hist meanwhile.
type cells struct {
	h     *Hist
	pos   int // byte position in h.buf
	zeros uint64
}

func (h *Hist) cells() cells {
	return cells{h: h, zeros: h.zeros}
}

// next returns the next bucket and its count; a count of 0 is the end.
func (c *cells) next() (Bucket, uint64) {
	pos, b, count := c.peek()
	if c.zeros > 0 && (count == 0 || b > zeroBucket) {
		count, c.zeros = c.zeros, 0
		return zeroBucket, count
	}
	c.pos = pos
	return b, count
}

// peek finds the next cell in the buffer, where the zero bucket never is, and
// the position behind it.
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
	n := 0
	if h.zeros > 0 {
		n++
	}
	if h.width == 0 {
		return n + len(h.buf)/entrySize
	}
	for pos, w := 0, int(h.width); pos < len(h.buf); pos += w {
		if counter(h.buf, pos, w) != 0 {
			n++
		}
	}
	return n
}

// bounds returns the first and last non-empty bucket other than zero, and
// whether there is any.
func (h *Hist) bounds() (lo, hi int, ok bool) {
	if len(h.buf) == 0 {
		return 0, 0, false
	}
	if h.width == 0 {
		lo, _ = unpack(binary.LittleEndian.Uint32(h.buf))
		hi, _ = unpack(binary.LittleEndian.Uint32(h.buf[len(h.buf)-entrySize:]))
		return lo, hi, true
	}
	// A buffer is made only for a count above zero, so there is one to find.
	w, from, to := int(h.width), 0, len(h.buf)
	for counter(h.buf, from, w) == 0 {
		from += w
	}
	for counter(h.buf, to-w, w) == 0 {
		to -= w
	}
	return int(h.base) + from/w, int(h.base) + to/w - 1, true
}

// counter reads the counter of w bytes at pos.
func counter(buf []byte, pos, w int) uint64 {
	switch w {
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
	case 2:
		binary.LittleEndian.PutUint16(buf[pos:], uint16(count))
	case 4:
		binary.LittleEndian.PutUint32(buf[pos:], uint32(count))
	default:
		binary.LittleEndian.PutUint64(buf[pos:], count)
	}
}
