package sketch

import "encoding/binary"

// A sparse Hist keeps sorted 4-byte little-endian entries: the bucket in the
// upper 12 bits, its count in the lower 20.
const (
	entrySize     = 4
	countBits     = 20
	maxEntryCount = 1<<countBits - 1
	firstEntries  = 4
	// maxSparse is how many entries are kept before counters take over
	// whatever their range, for a search and an insertion cost more with
	// every entry.
	maxSparse = 128
)

func pack(b int, count uint64) uint32 {
	return uint32(b)<<countBits | uint32(count)
}

func unpack(e uint32) (b int, count uint64) {
	return int(e >> countBits), uint64(e & maxEntryCount)
}

// search returns the position of the first entry at or above bucket b. It
// compares by arithmetic, since a branch would be mispredicted half the time,
// and counts the last few entries instead of waiting for each comparison.
func (h *Hist) search(b Bucket) int {
	key := uint64(b) << countBits
	below := func(i int) int {
		return int((uint64(binary.LittleEndian.Uint32(h.buf[i*entrySize:])) - key) >> 63)
	}
	lo, n := 0, len(h.buf)/entrySize
	for n > 12 {
		half := n / 2
		lo += half & -below(lo+half-1)
		n -= half
	}
	pos := lo
	for i := range n {
		pos += below(lo + i)
	}
	return pos * entrySize
}

// addSparse adds to the entry of b, or inserts it. If counters should take
// over, it converts h instead and returns false, with nothing added.
func (h *Hist) addSparse(b Bucket, weight uint64) bool {
	pos := h.search(b)
	if pos < len(h.buf) {
		p := h.buf[pos : pos+entrySize]
		if at, count := unpack(binary.LittleEndian.Uint32(p)); at == int(b) {
			if weight > maxEntryCount-count {
				h.toDense(at, at, 1)
				return false
			}
			binary.LittleEndian.PutUint32(p, pack(at, count+weight))
			return true
		}
	}
	if weight > maxEntryCount || !h.roomFor(int(b)) {
		h.toDense(int(b), int(b), 1)
		return false
	}
	n := len(h.buf)
	h.buf = h.buf[:n+entrySize]
	copy(h.buf[pos+entrySize:], h.buf[pos:n])
	binary.LittleEndian.PutUint32(h.buf[pos:], pack(int(b), weight))
	return true
}

// roomFor makes room for one more entry, for bucket b, and returns false if
// counters would be no larger than the grown buffer.
func (h *Hist) roomFor(b int) bool {
	n := len(h.buf) / entrySize
	if n >= maxSparse {
		return false
	}
	if len(h.buf)+entrySize <= cap(h.buf) {
		return true
	}
	size := max(2*n, firstEntries)
	if n > 0 && h.denseSize(b, b) <= size*entrySize {
		return false
	}
	h.resize(size)
	return true
}

// reserve prepares for n buckets from lo to hi about to be added, with counts
// of up to w bytes, so that a merge into an empty h allocates once.
func (h *Hist) reserve(lo, hi, n, w int) {
	if h.width != 0 {
		h.cover(lo, hi)
		return
	}
	need := len(h.buf)/entrySize + n
	size := firstEntries
	for size < need {
		size *= 2
	}
	switch {
	case need > maxSparse || need > firstEntries && h.denseSize(lo, hi) <= size*entrySize:
		h.toDense(lo, hi, w)
	case need*entrySize > cap(h.buf):
		h.resize(size)
	}
}

// resize moves the entries to a buffer for size of them.
func (h *Hist) resize(size int) {
	old, n := h.block, len(h.buf)
	h.block = h.take(size * entrySize)
	h.buf = h.buf[:n]
	copy(h.buf, old.buf)
	old.drop()
}

// sparseBounds is bounds for a sparse h.
func (h *Hist) sparseBounds() (lo, hi int, ok bool) {
	at := func(i int) int {
		b, _ := unpack(binary.LittleEndian.Uint32(h.buf[i:]))
		return b
	}
	from, to := 0, len(h.buf)
	if to > from && at(from) == int(zeroBucket) {
		from += entrySize
	}
	if to > from && at(to-entrySize) == int(zeroBucket) {
		to -= entrySize
	}
	if from == to {
		return 0, 0, false
	}
	return at(from), at(to - entrySize), true
}

// span widens lo..hi to the buckets of a sparse h. The zero bucket, alone, is
// no reason to widen anything.
func (h *Hist) span(lo, hi int) (int, int) {
	first, last, ok := h.bounds()
	switch {
	case !ok:
		return lo, hi
	case lo == int(zeroBucket) && hi == lo:
		return first, last
	}
	return min(lo, first), max(hi, last)
}

// mergeSparse adds the entries of a sparse o, which run from lo to hi but for
// that of the zero bucket.
func (h *Hist) mergeSparse(o *Hist, lo, hi int) {
	if n := len(o.buf) / entrySize; n > 1 {
		h.reserve(lo, hi, n, 1)
	}
	for i := 0; i < len(o.buf); i += entrySize {
		b, count := unpack(binary.LittleEndian.Uint32(o.buf[i:]))
		h.AddBucket(Bucket(b), count)
	}
}
