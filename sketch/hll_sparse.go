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
// The entries are sorted by index and little-endian. Few of them are a list;
// more are a hash table by linear probing that keeps them sorted, for the home
// slots ascend with the index (Amble, Knuth, "Ordered hash tables", The
// Computer Journal 17(2), 1974): so a table is encoded and moved by walking
// it, without a sort. It never wraps around: behind the last home slot there
// are some to spare, and hashes that crowd past these, which chosen ones may,
// are kept as a list however long that gets.
const (
	occupied  = 1 << 31
	rhoBits   = 6
	rhoMask   = 1<<rhoBits - 1
	lowBits   = sparsePrecision - precision
	lowMask   = 1<<lowBits - 1
	indexMask = 1<<sparsePrecision - 1
	maxLowRho = 64 - sparsePrecision + 1

	hllEntry  = 4 // bytes
	shortList = 16
	lastTable = 1280 // slots that hold MaxSparse entries
)

// How an HLL keeps what it knows.
const (
	hllList  = iota // up to shortList sorted entries without gaps
	hllCrowd        // the same with no such limit, which is slow
	hllTable        // hash table
	hllDense        // registers, a byte each
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
	return binary.LittleEndian.Uint32(buf[i*hllEntry:])
}

func setEntry(buf []byte, i int, e uint32) {
	binary.LittleEndian.PutUint32(buf[i*hllEntry:], e)
}

// homesOf returns how many slots of a table are home slots.
func homesOf(slots int) int { return slots - min(24, slots/6) }

// loadOf returns how many entries a table may hold.
func loadOf(slots int) int {
	if slots == lastTable {
		return MaxSparse
	}
	return slots / 4 * 3
}

// nextTable returns the size of the table after one of so many slots: half as
// many again, in two steps to the next power of two.
func nextTable(slots int) int {
	switch {
	case slots < 2*shortList:
		return 2 * shortList
	case slots >= 1024:
		return lastTable
	case slots&(slots-1) == 0:
		return slots + slots/2
	}
	return slots / 3 * 4
}

// addEntry adds one sparse entry, whether h is sparse or dense.
func (h *HLL) addEntry(e uint32) {
	for {
		switch h.kind {
		case hllDense:
			i, rho := register(e)
			h.buf[i] = max(h.buf[i], rho)
			return
		case hllTable:
			added, fits := insert(h.buf, e, int(h.n) < loadOf(len(h.buf)/hllEntry))
			if added {
				h.n++
			}
			if fits {
				return
			}
		default:
			if h.listEntry(e) {
				return
			}
		}
		h.grow(int(h.n) + 1)
	}
}

// insert adds e to a table and reports whether it is a new entry there. If it
// would be but the table has no room for it, fits is false. room says whether
// the table may hold one more.
func insert(table []byte, e uint32, room bool) (added, fits bool) {
	slots := len(table) / hllEntry
	i := int(uint64(e>>rhoBits&indexMask) * uint64(homesOf(slots)) >> sparsePrecision)
	old := uint32(0)
	for ; i < slots; i++ {
		// Entries of the same index differ in the lowest bits only.
		if old = entryAt(table, i); old>>rhoBits >= e>>rhoBits || old == 0 {
			break
		}
	}
	if i < slots && (old^e)>>rhoBits == 0 {
		setEntry(table, i, max(old, e))
		return false, true
	}
	if !room || i == slots {
		return false, false
	}
	// Find the gap first, since there may be none.
	gap := i
	for entryAt(table, gap) != 0 {
		if gap++; gap == slots {
			return false, false
		}
	}
	copy(table[(i+1)*hllEntry:(gap+1)*hllEntry], table[i*hllEntry:gap*hllEntry])
	setEntry(table, i, e)
	return true, true
}

// listEntry adds e to a list, or returns false if that is full.
func (h *HLL) listEntry(e uint32) bool {
	n := int(h.n)
	i := 0
	for step := n; n-i > shortList; {
		// Only crowded indexes get here.
		if step = (n - i) / 2; entryAt(h.buf, i+step)>>rhoBits >= e>>rhoBits {
			n = i + step
			continue
		}
		i += step + 1
	}
	for i < n && entryAt(h.buf, i)>>rhoBits < e>>rhoBits {
		i++
	}
	n = int(h.n)
	if i < n {
		if old := entryAt(h.buf, i); (old^e)>>rhoBits == 0 {
			setEntry(h.buf, i, max(old, e))
			return true
		}
	}
	if (n+1)*hllEntry > cap(h.buf) || n == shortList && h.kind == hllList || n == MaxSparse {
		return false
	}
	h.buf = h.buf[:(n+1)*hllEntry]
	copy(h.buf[(i+1)*hllEntry:], h.buf[i*hllEntry:n*hllEntry])
	setEntry(h.buf, i, e)
	h.n++
	return true
}

// reserve makes room for need entries in all, as far as h may hold them.
func (h *HLL) reserve(need int) {
	need = min(need, MaxSparse)
	room := MaxSparse
	switch h.kind {
	case hllList:
		room = min(shortList, cap(h.buf)/hllEntry)
	case hllTable:
		room = loadOf(len(h.buf) / hllEntry)
	}
	if need > room {
		h.grow(need)
	}
}

// grow moves the entries to a larger list or table for need of them, or to
// registers.
func (h *HLL) grow(need int) {
	if need > MaxSparse {
		h.toDense()
		return
	}
	old := *h
	if need <= shortList && h.kind == hllList {
		size := 8
		if need > size {
			size = shortList
		}
		h.block = old.take(size * hllEntry)
		h.buf = h.buf[:copy(h.buf, old.buf)]
		old.drop()
		return
	}
	slots := 0
	if h.kind == hllTable {
		slots = len(h.buf) / hllEntry
	}
	for slots < lastTable {
		slots = nextTable(slots)
		if loadOf(slots) >= need && h.toTable(&old, slots) {
			return
		}
	}
	h.toCrowd(&old)
}

// toTable moves the entries of old to a table, or returns false, with h as it
// was, if they crowd past its end.
func (h *HLL) toTable(old *HLL, slots int) bool {
	to := old.take(slots * hllEntry)
	clear(to.buf)
	homes, pos := homesOf(slots), -1
	for buf := old.buf; len(buf) > 0; buf = buf[hllEntry:] {
		e := binary.LittleEndian.Uint32(buf)
		if e == 0 {
			continue
		}
		home := int(uint64(e>>rhoBits&indexMask) * uint64(homes) >> sparsePrecision)
		if pos = max(pos+1, home); pos >= slots {
			to.drop()
			return false
		}
		setEntry(to.buf, pos, e)
	}
	h.block, h.kind = to, hllTable
	old.drop()
	return true
}

// toCrowd moves the entries of old to a list that holds as many as there may be.
func (h *HLL) toCrowd(old *HLL) {
	h.block = old.take(MaxSparse * hllEntry)
	n := 0
	for buf := old.buf; len(buf) > 0; buf = buf[hllEntry:] {
		if e := binary.LittleEndian.Uint32(buf); e != 0 {
			setEntry(h.buf, n, e)
			n++
		}
	}
	h.buf, h.kind = h.buf[:n*hllEntry], hllCrowd
	old.drop()
}

// toDense makes h dense; this loses nothing that registers need.
func (h *HLL) toDense() {
	if h.kind == hllDense {
		return
	}
	old := h.block
	h.block, h.kind, h.n = old.take(registers), hllDense, 0
	clear(h.buf)
	maxEntries(h.buf, old.buf)
	old.drop()
}

// maxEntries raises registers to those of sparse entries, among which empty
// slots may be.
func maxEntries(regs, entries []byte) {
	for ; len(entries) > 0; entries = entries[hllEntry:] {
		if e := binary.LittleEndian.Uint32(entries); e != 0 {
			i, rho := register(e)
			regs[i] = max(regs[i], rho)
		}
	}
}

// estimateSparse is linear counting over the 2^25 indexes.
func estimateSparse(n int) uint64 {
	const m = 1 << sparsePrecision
	return uint64(math.Round(-m * math.Log1p(-float64(n)/m)))
}
