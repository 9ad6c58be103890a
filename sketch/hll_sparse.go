package sketch

import (
	"math"
	"math/bits"
)

// A sparse entry is 32 bits: a 1, the 25-bit index, and 6 bits that count the
// leading zeros behind it plus one. The count is 0 unless the last 13 bits of
// the index are all zero, for otherwise these decide the register's value.
//
// A sparse HLL is a list of entries: first some that are sorted
// and distinct, then a log of others as they came. When the list is full the
// log is sorted and merged. Unlike a hash table this takes no branch that
// depends on a hash, reads memory in order, wastes little of it, and leaves
// the entries as they are encoded.
const (
	occupied  = 1 << 31
	rhoBits   = 6
	rhoMask   = 1<<rhoBits - 1
	lowBits   = sparsePrecision - precision
	lowMask   = 1<<lowBits - 1
	indexMask = 1<<sparsePrecision - 1
	maxLowRho = 64 - sparsePrecision + 1

	entryBytes = 4
	// maxEntries is the longest list, with room for a log of some length
	// behind MaxSparse distinct entries.
	maxEntries = 1280
	// fewEntries are kept as they came, since the row of a list that short
	// may see nothing further.
	fewEntries = 16
	batch      = 64 // hashes for which room is made at a time
	// maxGathered is how many entries of several lists are sorted at a time.
	maxGathered = 4096
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

// limit returns how many entries the list of a sparse h has room for.
func (h *HLL) limit() int { return min(cap(h.buf)/entryBytes, maxEntries) }

// addHashes adds hashes other than 0 to a sparse h, as long as it is sparse,
// and returns the rest. There may be up to batch of them.
func (h *HLL) addHashes(hashes []uint64) []uint64 {
	n := len(h.buf) / entryBytes
	if n+len(hashes) > h.limit() {
		if h.makeRoom(len(hashes)); h.dense {
			return hashes
		}
		n = len(h.buf) / entryBytes
	}
	list := words(h.buf[:(n+len(hashes))*entryBytes])
	for _, x := range hashes {
		list[n] = entryOf(x)
		// A 0 is overwritten by the next.
		n += int((x | -x) >> 63)
	}
	h.buf = h.buf[:n*entryBytes]
	return nil
}

// addRepeated is addHashes for any number of hashes, many of which may be
// repetitions: it leaves out those it still finds in a table of recent ones.
func (h *HLL) addRepeated(hashes []uint64) []uint64 {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	mask := uint32(1)<<bits.Len(uint(min(len(hashes), recentEntries/2))) - 1
	recent := s.recent[:mask+1]
	clear(recent)
	for len(hashes) > 0 {
		part := hashes[:min(len(hashes), batch)]
		n := len(h.buf) / entryBytes
		if n+len(part) > h.limit() {
			if h.makeRoom(len(part)); h.dense {
				break
			}
			n = len(h.buf) / entryBytes
		}
		list := words(h.buf[:(n+len(part))*entryBytes])
		for _, x := range part {
			e := entryOf(x)
			seen := &recent[e>>rhoBits&mask]
			list[n] = e
			n += int((x|-x)>>63) & int((uint64(*seen^e)+math.MaxUint32)>>32)
			*seen = e
		}
		h.buf = h.buf[:n*entryBytes]
		hashes = hashes[len(part):]
	}
	return hashes
}

// addEntries adds a list of entries to a sparse h, as long as it is sparse, and
// returns the rest.
func (h *HLL) addEntries(list []uint32) []uint32 {
	for len(list) > 0 {
		k, n := min(len(list), batch), len(h.buf)/entryBytes
		if n+k > h.limit() {
			if h.makeRoom(k); h.dense {
				break
			}
			n = len(h.buf) / entryBytes
		}
		h.buf = h.buf[:(n+k)*entryBytes]
		copy(words(h.buf)[n:], list[:k])
		list = list[k:]
	}
	return list
}

// makeRoom makes room for k more entries, at most batch, in a sparse h: by
// dropping repetitions, by moving the list, or by making h dense.
func (h *HLL) makeRoom(k int) {
	n := len(h.buf) / entryBytes
	if n <= fewEntries {
		h.move(words(h.buf), max(n+k, 2*n, 8))
		return
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	list := s.distinct(h)
	n = len(list)
	if n > MaxSparse {
		h.toDense()
		return
	}
	h.move(list, max(n+k, min(2*n, maxEntries)))
	h.sorted = uint16(n)
}

// move makes list, which may be its own, that of h, with room for size entries.
func (h *HLL) move(list []uint32, size int) {
	old, moves := h.block, size > h.limit()
	if moves {
		h.block = old.take(size * entryBytes)
	}
	h.buf = h.buf[:len(list)*entryBytes]
	copy(words(h.buf), list)
	if moves {
		old.drop()
	}
}

// mergeList adds a list of entries, the first of which are sorted, to h.
func (h *HLL) mergeList(list []uint32, sorted int) {
	if n := len(list); !h.dense && n == sorted && n > fewEntries && 2*n >= len(h.buf)/entryBytes {
		h.mergeSorted(list)
		return
	}
	if !h.dense {
		list = h.addEntries(list)
	}
	if h.dense {
		raiseEntries(h.buf, list)
	}
}

// mergeSorted adds a long list of sorted entries to a sparse h, in one pass.
func (h *HLL) mergeSorted(list []uint32) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	merged := s.unions[:len(h.buf)/entryBytes+len(list)]
	merged = merged[:merge(merged, s.distinct(h), list)]
	if len(merged) > MaxSparse {
		h.toDense()
		raiseEntries(h.buf, list)
		return
	}
	h.move(merged, len(merged))
	h.sorted = uint16(len(merged))
}

// toDense makes h dense; this loses nothing that registers need.
func (h *HLL) toDense() {
	if h.dense {
		return
	}
	old := h.block
	h.block, h.dense, h.sorted = old.take(registers), true, 0
	clear(h.buf)
	raiseEntries(h.buf, words(old.buf))
	old.drop()
}

// raiseEntries adds sparse entries to registers.
func raiseEntries(regs []byte, entries []uint32) {
	regs = regs[:registers]
	for _, e := range entries {
		i, rho := register(e)
		regs[i] = max(regs[i], rho)
	}
}

// estimateSparse is linear counting over the 2^25 indexes.
func estimateSparse(n int) uint64 {
	const m = 1 << sparsePrecision
	return uint64(math.Round(-m * math.Log1p(-float64(n)/m)))
}
