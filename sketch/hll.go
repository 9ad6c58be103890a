package sketch

import "math/bits"

const (
	// precision is p: 4,096 registers, standard error 1.04/√4096 = 1.625%.
	precision = 12
	registers = 1 << precision
	// sparsePrecision is p', the index bits kept while few are seen.
	sparsePrecision = 25
	// maxRho is the largest register: all 64-p bits behind the index zero.
	maxRho = 64 - precision + 1
)

// MaxSparse is the number of distinct 25-bit indexes up to which an HLL is
// sparse, and so nearly exact. At this size the sparse encoding grows past the
// dense one and linear counting on the registers is good to about 1%.
const MaxSparse = 1024

// HLL estimates how many distinct 64-bit hashes it was given (HyperLogLog++;
// Heule, Nunkesser, Hall 2013; p = 12, p' = 25).
//
// The hash must mix all of its bits well, as xxhash does; every HLL that may
// be merged must use the same hash function and seed. The zero HLL is empty
// and ready to use. It takes 40 bytes plus, while sparse, 4 to 8 per distinct
// hash, then 4 KiB. It is not safe for use while another goroutine changes it.
type HLL struct {
	table []uint32 // sparse entries, see hll_sparse.go
	dense *[registers]uint8
	n     uint16 // entries in table
}

// AddHash adds one hash. It allocates only while h is sparse and grows.
func (h *HLL) AddHash(hash uint64) {
	if h.dense != nil {
		// The bit set below the hash ends the run of zeros at maxRho.
		rho := uint8(bits.LeadingZeros64(hash<<precision|1<<(precision-1))) + 1
		if r := &h.dense[hash>>(64-precision)]; *r < rho {
			*r = rho
		}
		return
	}
	h.addEntry(entryOf(hash))
}

// Merge adds all that was added to o, which stays as it is; h and o may be the
// same.
func (h *HLL) Merge(o *HLL) {
	switch {
	case h == o:
	case o.dense != nil:
		h.toDense()
		maxRegisters(h.dense, o.dense)
	default:
		h.reserve(int(o.n))
		for _, e := range o.table {
			if e != 0 {
				h.addEntry(e)
			}
		}
	}
}

// Empty reports whether no hash was added, at no cost.
func (h *HLL) Empty() bool {
	return h.dense == nil && h.n == 0
}

// Estimate returns the number of distinct hashes added, rounded: below
// MaxSparse within a few units at worst, above it with a standard error of at
// most 1.625%.
func (h *HLL) Estimate() uint64 {
	if h.dense == nil {
		return estimateSparse(int(h.n))
	}
	var counts histogram
	for _, r := range h.dense {
		counts[r&63]++
	}
	return counts.estimate()
}

// Reset empties h. It keeps sparse memory for what is added next and releases
// dense memory.
func (h *HLL) Reset() {
	*h = HLL{table: h.table[:0]}
}
