package sketch

import (
	"encoding/binary"
	"math"
	"math/bits"
)

const histV1 = 0x11

// AppendTo appends the canonical encoding of h (FORMAT.md) to dst and returns
// the extended slice, which shares nothing with h. It allocates only if dst
// lacks capacity.
func (h *Hist) AppendTo(dst []byte) []byte {
	dst = append(dst, histV1)
	dst = binary.AppendUvarint(dst, uint64(h.size()))
	prev := -1
	switch {
	case h.width == 0:
		for buf := h.buf; len(buf) >= entrySize; buf = buf[entrySize:] {
			b, count := unpack(binary.LittleEndian.Uint32(buf))
			dst = appendCell(dst, b-prev-1, count)
			prev = b
		}
		return dst
	case h.zeros == 0 || !h.covers(int(zeroBucket)):
		return h.appendDense(dst)
	}
	for c := h.cells(); ; {
		b, count := c.next()
		if count == 0 {
			return dst
		}
		dst = appendCell(dst, int(b)-prev-1, count)
		prev = int(b)
	}
}

// appendDense appends the cells of a dense h that counts zeros either among
// its counters or beside them, but not both.
func (h *Hist) appendDense(dst []byte) []byte {
	prev := -1
	zeroFirst := h.zeros > 0 && h.base > uint16(zeroBucket)
	if zeroFirst {
		dst = appendCell(dst, int(zeroBucket), uint64(h.zeros))
		prev = int(zeroBucket)
	}
	w, base, buf := int(h.width), int(h.base), h.buf
	mask, lanes := uint64(math.MaxUint64)>>(64-8*w), 8/w
	laneBits := (bits.Len(uint(w)) + 2) & 63 // 8*w is a power of two
	out, pos := dst[:cap(dst)], len(dst)
	for ; len(buf) >= 8; buf, base = buf[8:], base+lanes {
		v := binary.LittleEndian.Uint64(buf)
		for at := nonZero(v, w); at != 0; at &= at - 1 {
			lane := bits.TrailingZeros64(at) >> laneBits
			count := v >> ((lane << laneBits) & 63) & mask
			gap := base + lane - prev - 1
			prev = base + lane
			// As appendCell, with nothing but a position to keep.
			more := uint64(gap-1)>>63 ^ 1
			token := (count-1)<<1 | more
			if token >= 0x80 || gap > 0x80 || pos+2 > len(out) {
				dst = appendCell(out[:pos], gap, count)
				out, pos = dst[:cap(dst)], len(dst)
				continue
			}
			out[pos] = uint8(token)
			out[pos+1] = uint8(gap - 1)
			pos += 1 + int(more)
		}
	}
	dst = out[:pos]
	for ; len(buf) > 0; buf, base = buf[w:], base+1 {
		if count := counter(buf, 0, w); count != 0 {
			dst = appendCell(dst, base-prev-1, count)
			prev = base
		}
	}
	if h.zeros > 0 && !zeroFirst {
		dst = appendCell(dst, int(zeroBucket)-prev-1, uint64(h.zeros))
	}
	return dst
}

// appendCell appends the count of a bucket that follows gap empty ones. It
// does not branch on whether there is a gap, which varies at random.
func appendCell(dst []byte, gap int, count uint64) []byte {
	n, more := len(dst), uint64(gap-1)>>63^1
	token := (count-1)<<1 | more
	if token < 0x80 && gap <= 0x80 && n+2 <= cap(dst) {
		dst = dst[:n+2]
		dst[n] = uint8(token)
		dst[n+1] = uint8(gap - 1)
		return dst[:n+1+int(more)]
	}
	dst = binary.AppendUvarint(dst, token)
	if gap > 0 {
		dst = binary.AppendUvarint(dst, uint64(gap-1))
	}
	return dst
}

// Decode replaces the contents of h by the sketch encoded in b, which must be
// exactly one canonical encoding; empty input is an error. It keeps no
// reference to b. On error, which wraps ErrCorrupt or ErrFormat, h is
// unchanged.
func (h *Hist) Decode(b []byte) error {
	s, err := summarize(b)
	if err != nil {
		return err
	}
	h.Reset()
	h.mergeValid(b, s)
	return nil
}

// MergeEncoded adds the sketch encoded in b to h without building it first.
// Its errors are those of Decode, and on error h is unchanged.
func (h *Hist) MergeEncoded(b []byte) error {
	s, err := summarize(b)
	if err != nil {
		return err
	}
	h.mergeValid(b, s)
	return nil
}

func (h *Hist) mergeValid(b []byte, s summary) {
	if s.buckets > 0 {
		h.reserve(s.lo, s.hi, s.buckets, widthOf(s.largest))
	}
	for r, _ := readHist(b); r.left > 0; {
		bucket, count, _ := r.next()
		h.AddBucket(bucket, count)
	}
}

// summary is what a first pass over an encoded Hist finds out: its total
// count, and of its buckets other than zero the number, range and largest
// count.
type summary struct {
	total, largest  uint64
	lo, hi, buckets int
}

// summarize checks all of b.
func summarize(b []byte) (summary, error) {
	var s summary
	r, err := readHist(b)
	if err != nil {
		return s, err
	}
	for r.left > 0 {
		bucket, count, err := r.next()
		if err != nil {
			return s, err
		}
		s.total = addCounts(s.total, count)
		if bucket == zeroBucket {
			continue
		}
		if s.buckets == 0 {
			s.lo = int(bucket)
		}
		s.hi = int(bucket)
		s.largest = max(s.largest, count)
		s.buckets++
	}
	if r.pos != len(b) {
		return s, corrupt("%d bytes after the last bucket", len(b)-r.pos)
	}
	return s, nil
}

// histReader walks the buckets of an encoded Hist.
type histReader struct {
	b    []byte
	pos  int
	left uint64 // buckets to come
	prev int    // bucket before
}

func readHist(b []byte) (histReader, error) {
	if len(b) == 0 {
		return histReader{}, corrupt("no bytes")
	}
	if b[0] != histV1 {
		return histReader{}, badHeader(b[0], "a histogram of version 1")
	}
	n, pos := uvarint(b, 1)
	if pos < 0 || n > numBuckets {
		return histReader{}, corrupt("bad number of buckets")
	}
	return histReader{b: b, pos: pos, left: n, prev: -1}, nil
}

func (r *histReader) next() (Bucket, uint64, error) {
	token, pos := uvarint(r.b, r.pos)
	if pos < 0 || token>>1 >= maxCount {
		return 0, 0, corrupt("bad count at byte %d", r.pos)
	}
	bucket := r.prev + 1
	if token&1 != 0 {
		var gap uint64
		gap, pos = uvarint(r.b, pos)
		if pos < 0 || gap > math.MaxUint16 {
			return 0, 0, corrupt("bad gap after byte %d", r.pos)
		}
		bucket += int(gap) + 1
	}
	if bucket >= numBuckets {
		return 0, 0, corrupt("bucket %d of %d", bucket, numBuckets)
	}
	r.pos, r.prev = pos, bucket
	r.left--
	return Bucket(bucket), token>>1 + 1, nil
}
