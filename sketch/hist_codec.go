package sketch

import (
	"encoding/binary"
	"math"
)

const histV1 = 0x11

// AppendTo appends the canonical encoding of h (FORMAT.md) to dst and returns
// the extended slice, which shares nothing with h. It allocates only if dst
// lacks capacity.
func (h *Hist) AppendTo(dst []byte) []byte {
	dst = append(dst, histV1)
	dst = binary.AppendUvarint(dst, uint64(h.size()))
	prev := -1
	for c := h.cells(); ; {
		b, count := c.next()
		if count == 0 {
			return dst
		}
		gap := int(b) - prev - 1
		prev = int(b)
		if gap == 0 {
			dst = binary.AppendUvarint(dst, (count-1)<<1)
			continue
		}
		dst = binary.AppendUvarint(dst, (count-1)<<1|1)
		dst = binary.AppendUvarint(dst, uint64(gap-1))
	}
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
		h.reserve(s.lo, s.hi, s.buckets)
	}
	for r, _ := readHist(b); r.left > 0; {
		bucket, count, _ := r.next()
		h.AddBucket(bucket, count)
	}
}

// summary is what a first pass over an encoded Hist finds out: its total
// count, and the number and range of its buckets other than zero.
type summary struct {
	total           uint64
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
