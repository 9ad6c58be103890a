package sketch

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// A sparse entry is 32 bits: a 1, the 25-bit index, and 6 bits that count the
// leading zeros behind it plus one. The count is 0 unless the last 13 bits of
// the index are all zero, for otherwise these decide the register's value.
//
// A sparse HLL is a list of little-endian entries: first some that are sorted
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

func entryAt(buf []byte, i int) uint32 {
	return binary.LittleEndian.Uint32(buf[i*entryBytes:])
}

func setEntry(buf []byte, i int, e uint32) {
	binary.LittleEndian.PutUint32(buf[i*entryBytes:], e)
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
	buf := h.buf[:(n+len(hashes))*entryBytes]
	for _, x := range hashes {
		setEntry(buf, n, entryOf(x))
		// A 0 is overwritten by the next.
		n += int((x | -x) >> 63)
	}
	h.buf = buf[:n*entryBytes]
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
		buf := h.buf[:(n+len(part))*entryBytes]
		for _, x := range part {
			e := entryOf(x)
			seen := &recent[e>>rhoBits&mask]
			setEntry(buf, n, e)
			n += int((x|-x)>>63) & differ(*seen, e)
			*seen = e
		}
		h.buf = buf[:n*entryBytes]
		hashes = hashes[len(part):]
	}
	return hashes
}

// differ returns 1 if a and b differ, else 0, without a branch.
func differ(a, b uint32) int { return int((uint64(a^b) + math.MaxUint32) >> 32) }

// addEntries adds a list of entries to a sparse h, as long as it is sparse, and
// returns the rest.
func (h *HLL) addEntries(list []byte) []byte {
	for len(list) > 0 {
		k := min(len(list), batch*entryBytes)
		if (len(h.buf)+k)/entryBytes > h.limit() {
			if h.makeRoom(k / entryBytes); h.dense {
				break
			}
		}
		h.buf = append(h.buf, list[:k]...)
		list = list[k:]
	}
	return list
}

// makeRoom makes room for k more entries, at most batch, in a sparse h: by
// dropping repetitions, by moving the list, or by making h dense.
func (h *HLL) makeRoom(k int) {
	n := len(h.buf) / entryBytes
	if n <= fewEntries {
		h.move(h.buf, max(n+k, 2*n, 8))
		return
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	list := s.distinct(h)
	n = len(list) / entryBytes
	if n > MaxSparse {
		h.toDense()
		return
	}
	h.move(list, max(n+k, min(2*n, maxEntries)))
	h.sorted = uint16(n)
}

// move makes list, which may be its own, that of h, with room for size entries.
func (h *HLL) move(list []byte, size int) {
	if size <= h.limit() {
		h.buf = h.buf[:cap(h.buf)]
		h.buf = h.buf[:copy(h.buf, list)]
		return
	}
	old := h.block
	h.block = old.take(size * entryBytes)
	h.buf = h.buf[:copy(h.buf, list)]
	old.drop()
}

// mergeList adds the list of a sparse o to a sparse h.
func (h *HLL) mergeList(o *HLL) {
	if n := len(o.buf); n == int(o.sorted)*entryBytes && n > fewEntries*entryBytes && 2*n >= len(h.buf) {
		h.mergeSorted(o.buf)
		return
	}
	if rest := h.addEntries(o.buf); len(rest) > 0 {
		raiseEntries(h.buf, rest)
	}
}

// mergeSorted adds a long list of sorted entries to a sparse h, in one pass.
func (h *HLL) mergeSorted(list []byte) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if int(h.sorted)*entryBytes < len(h.buf) {
		own := s.distinct(h)
		h.sorted = uint16(len(own) / entryBytes)
		h.buf = h.buf[:copy(h.buf, own)]
	}
	if len(h.buf)+len(list) > maxEntries*entryBytes {
		// Too many for scratch, unless they are the same.
		if rest := h.addEntries(list); len(rest) > 0 {
			raiseEntries(h.buf, rest)
		}
		return
	}
	entries := s.sorted[:len(list)/entryBytes]
	for i := range entries {
		entries[i] = entryAt(list, i)
	}
	merged := s.merge(h.buf, entries)
	n := len(merged) / entryBytes
	if n > MaxSparse {
		h.toDense()
		raiseEntries(h.buf, list)
		return
	}
	h.move(merged, n)
	h.sorted = uint16(n)
}

// toDense makes h dense; this loses nothing that registers need.
func (h *HLL) toDense() {
	if h.dense {
		return
	}
	old := h.block
	h.block, h.dense, h.sorted = old.take(registers), true, 0
	clear(h.buf)
	raiseEntries(h.buf, old.buf)
	old.drop()
}

// raiseEntries adds sparse entries to registers.
func raiseEntries(regs, entries []byte) {
	for ; len(entries) > 0; entries = entries[entryBytes:] {
		i, rho := register(binary.LittleEndian.Uint32(entries))
		regs[i] = max(regs[i], rho)
	}
}

// estimateSparse is linear counting over the 2^25 indexes.
func estimateSparse(n int) uint64 {
	const m = 1 << sparsePrecision
	return uint64(math.Round(-m * math.Log1p(-float64(n)/m)))
}
