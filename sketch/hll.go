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
// and ready to use. It takes 48 bytes plus, while sparse, 4 to 8 per distinct
// hash, then 4 KiB. It is not safe for use while another goroutine changes it.
type HLL struct {
	block         // sparse entries, see hll_sparse.go, or registers
	sorted uint16 // how many entries come sorted, before the log
	dense  bool
}

// AddHash adds one hash. It allocates only while h is sparse and grows.
func (h *HLL) AddHash(hash uint64) {
	if h.dense {
		raise(h.buf, hash)
		return
	}
	n := len(h.buf) / entryBytes
	if n == h.limit() {
		if h.makeRoom(1); h.dense {
			raise(h.buf, hash)
			return
		}
		n = len(h.buf) / entryBytes
	}
	h.buf = h.buf[:(n+1)*entryBytes]
	words(h.buf)[n] = entryOf(hash)
}

// raise adds a hash to registers.
func raise(regs []byte, hash uint64) {
	// The bit set below the hash ends the run of zeros at maxRho.
	rho := uint8(bits.LeadingZeros64(hash<<precision|1<<(precision-1))) + 1
	if r := &regs[hash>>(64-precision)]; *r < rho {
		*r = rho
	}
}

// Merge adds all that was added to o, which stays as it is; h and o may be the
// same.
func (h *HLL) Merge(o *HLL) {
	switch {
	case h == o || o.Empty():
	case o.dense:
		h.toDense()
		maxRegisters(h.buf, o.buf)
	default:
		h.mergeList(words(o.buf), int(o.sorted))
	}
}

// Empty reports whether no hash was added, at no cost.
func (h *HLL) Empty() bool { return len(h.buf) == 0 }

// Estimate returns the number of distinct hashes added, rounded: below
// MaxSparse within a few units at worst, above it with a standard error of at
// most 1.625%.
func (h *HLL) Estimate() uint64 {
	if h.dense {
		return estimateRegisters(h.buf)
	}
	switch n := len(h.buf) / entryBytes; {
	case n == int(h.sorted):
		return estimateSparse(n)
	case n <= fewEntries:
		var few [fewEntries]uint32
		return estimateSparse(sortFew(few[:], words(h.buf)))
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if n := len(s.distinct(h)); n <= MaxSparse {
		return estimateSparse(n)
	}
	return estimateRegisters(s.registersOf(h))
}

// Reset empties h and keeps its memory for what is added next. Assign HLL{} to
// give the memory back instead.
func (h *HLL) Reset() {
	*h = HLL{block: block{buf: h.buf[:0]}}
}
