package sketch

import (
	"math"
	"math/bits"
	"slices"
)

// A sparse entry is 32 bits: a 1, the 25-bit index, and 6 bits that count the
// leading zeros behind it plus one. The count is 0 unless the last 13 bits of
// the index are all zero, for otherwise these decide the register's value.
//
// The entries form an open-addressing table whose home slots ascend with the
// index, so that the table is nearly sorted already when it is encoded.
const (
	occupied   = 1 << 31
	rhoBits    = 6
	rhoMask    = 1<<rhoBits - 1
	lowBits    = sparsePrecision - precision
	lowMask    = 1<<lowBits - 1
	indexMask  = 1<<sparsePrecision - 1
	maxLowRho  = 64 - sparsePrecision + 1
	firstTable = 4
	fullTable  = 16   // tables up to this size are scanned, so may be full
	lastTable  = 1344 // holds MaxSparse entries at 3/4 load
)

func entryOf(hash uint64) uint32 {
	index := uint32(hash >> (64 - sparsePrecision))
	e := occupied | index<<rhoBits
	if index&lowMask == 0 {
		e |= uint32(bits.LeadingZeros64(hash<<sparsePrecision|1<<(sparsePrecision-1))) + 1
	}
	return e
}

// register returns which dense register the entry belongs to and its value.
func register(e uint32) (int, uint8) {
	index := e >> rhoBits & indexMask
	if low := index & lowMask; low != 0 {
		return int(index >> lowBits), uint8(bits.LeadingZeros32(low) - (32 - lowBits) + 1)
	}
	return int(index >> lowBits), uint8(lowBits + e&rhoMask)
}

// addEntry adds one sparse entry, whether h is sparse or dense.
func (h *HLL) addEntry(e uint32) {
	if h.dense != nil {
		i, rho := register(e)
		h.dense[i] = max(h.dense[i], rho)
		return
	}
	slot, found := h.find(e)
	switch {
	case found:
		h.table[slot] = max(h.table[slot], e)
	case h.n == MaxSparse:
		h.toDense()
		h.addEntry(e)
	default:
		if int(h.n) == loadOf(len(h.table)) {
			h.grow(int(h.n) + 1)
			slot, _ = h.find(e)
		}
		h.table[slot] = e
		h.n++
	}
}

// find returns the slot that holds the index of e, else the free slot where it
// belongs, which is meaningless if the table is full.
func (h *HLL) find(e uint32) (int, bool) {
	size := len(h.table)
	i := int(uint64(e>>rhoBits&indexMask) * uint64(size) >> sparsePrecision)
	for range size {
		old := h.table[i]
		if old == 0 {
			return i, false
		}
		if (old^e)>>rhoBits == 0 {
			return i, true
		}
		if i++; i == size {
			i = 0
		}
	}
	return 0, false
}

// loadOf returns how many entries a table of size slots may hold.
func loadOf(size int) int {
	switch {
	case size <= fullTable:
		return size
	case size == lastTable:
		return MaxSparse
	}
	return size / 4 * 3
}

// reserve makes room for n more entries, as far as h may hold them.
func (h *HLL) reserve(n int) {
	if need := min(int(h.n)+n, MaxSparse); h.dense == nil && need > loadOf(len(h.table)) {
		h.grow(need)
	}
}

// grow moves the entries to a table that holds need of them.
func (h *HLL) grow(need int) {
	size := max(len(h.table), firstTable)
	for loadOf(size) < need {
		size = min(size*2, lastTable)
	}
	if size <= cap(h.table) {
		h.growInPlace(size)
		return
	}
	old := h.table
	h.table = make([]uint32, size)
	h.rehash(old)
}

// growInPlace is grow into memory that Reset kept.
func (h *HLL) growInPlace(size int) {
	var scratch [MaxSparse]uint32
	old := h.gather(scratch[:0])
	h.table = h.table[:size]
	clear(h.table)
	h.rehash(old)
}

// rehash puts the entries of a table, or a list of them, into an empty table.
func (h *HLL) rehash(old []uint32) {
	for _, e := range old {
		if e != 0 {
			slot, _ := h.find(e)
			h.table[slot] = e
		}
	}
}

// gather appends the entries to dst in the order of the table.
func (h *HLL) gather(dst []uint32) []uint32 {
	for _, e := range h.table {
		if e != 0 {
			dst = append(dst, e)
		}
	}
	return dst
}

// sorted appends the entries to dst in the order of their indexes.
func (h *HLL) sorted(dst []uint32) []uint32 {
	dst = h.gather(dst)
	// Few entries are far from home, which insertion sorts fast; hashes that
	// were chosen to crowd the table are left to the library.
	for i, moves := 1, 0; i < len(dst); i++ {
		e, j := dst[i], i
		for ; j > 0 && dst[j-1] > e; j-- {
			dst[j] = dst[j-1]
		}
		dst[j] = e
		if moves += i - j; moves > 16*MaxSparse {
			slices.Sort(dst)
			break
		}
	}
	return dst
}

// toDense makes h dense; this loses nothing that registers need.
func (h *HLL) toDense() {
	if h.dense != nil {
		return
	}
	h.dense = new([registers]uint8)
	for _, e := range h.table {
		if e != 0 {
			i, rho := register(e)
			h.dense[i] = max(h.dense[i], rho)
		}
	}
	h.table, h.n = nil, 0
}

// estimateSparse is linear counting over the 2^25 indexes.
func estimateSparse(n int) uint64 {
	const m = 1 << sparsePrecision
	return uint64(math.Round(-m * math.Log1p(-float64(n)/m)))
}
