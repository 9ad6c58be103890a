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
				h.toDense(at, at)
				return false
			}
			binary.LittleEndian.PutUint32(p, pack(at, count+weight))
			return true
		}
	}
	if weight > maxEntryCount || !h.roomFor(int(b)) {
		h.toDense(int(b), int(b))
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
	h.buf = append(make([]byte, 0, size*entrySize), h.buf...)
	return true
}

// reserve prepares for n buckets from lo to hi about to be added, so that a
// merge allocates at most once.
func (h *Hist) reserve(lo, hi, n int) {
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
		h.toDense(lo, hi)
	case need*entrySize > cap(h.buf):
		h.buf = append(make([]byte, 0, size*entrySize), h.buf...)
	}
}

// span widens lo..hi to the buckets of a sparse Hist.
func (h *Hist) span(lo, hi int) (int, int) {
	if first, last, ok := h.bounds(); ok {
		return min(lo, first), max(hi, last)
	}
	return lo, hi
}

// mergeSparse adds the entries of a sparse o, which run from lo to hi.
func (h *Hist) mergeSparse(o *Hist, lo, hi int) {
	h.reserve(lo, hi, len(o.buf)/entrySize)
	for i := 0; i < len(o.buf); i += entrySize {
		b, count := unpack(binary.LittleEndian.Uint32(o.buf[i:]))
		h.AddBucket(Bucket(b), count)
	}
}
