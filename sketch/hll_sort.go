package sketch

import (
	"math/bits"
	"slices"
	"sync"
)

// recentEntries is how many entries addRepeated remembers: a few times as many
// as a sparse HLL holds.
const recentEntries = 4 * MaxSparse

// scratch is what sorting, merging and decoding sparse entries work in.
type scratch struct {
	sorted  [maxEntries]uint32
	starts  [2048]uint16
	merged  [maxEntries * entryBytes]byte
	decoded [MaxSparse * entryBytes]byte
	regs    [registers]byte
	recent  [recentEntries]uint32
}

// scratches spares each HLL, or each call, the memory of a scratch. What it
// holds does not matter.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

// distinct returns the entries of a sparse h, sorted, each index once with its
// longest run of zeros. They are in s, or those of h.
func (s *scratch) distinct(h *HLL) []byte {
	cut := int(h.sorted) * entryBytes
	if cut == len(h.buf) {
		return h.buf
	}
	return s.merge(h.buf[:cut], s.sort(h.buf[cut:]))
}

// sort returns a log in order, repetitions included. Since hashes are uniform,
// counting by their first bits leaves hardly anything to do for insertion.
func (s *scratch) sort(log []byte) []uint32 {
	n := len(log) / entryBytes
	out := s.sorted[:n]
	if n <= 16 {
		for i := range out {
			out[i] = entryAt(log, i)
		}
		insertionSort(out)
		return out
	}
	width := bits.Len(uint(n)) // 2^width in n+1..2n
	shift, mask := (31-width)&31, uint32(1)<<width-1
	starts := s.starts[:1<<width]
	clear(starts)
	for i := range out {
		starts[entryAt(log, i)>>shift&mask]++
	}
	sum := uint16(0)
	for i, c := range starts {
		starts[i] = sum
		sum += c
	}
	for i := range out {
		e := entryAt(log, i)
		p := &starts[e>>shift&mask]
		out[*p] = e
		*p++
	}
	insertionSort(out)
	return out
}

// insertionSort sorts what is nearly sorted or short, and leaves to the library
// what is neither, such as hashes that were chosen to have the same first bits.
func insertionSort(list []uint32) {
	for i, moves := 1, 0; i < len(list); i++ {
		e, j := list[i], i
		for ; j > 0 && list[j-1] > e; j-- {
			list[j] = list[j-1]
		}
		list[j] = e
		if moves += i - j; moves > 16*len(list) {
			slices.Sort(list)
			return
		}
	}
}

// merge returns the union of sorted entries and a sorted log. Which comes next
// and whether it repeats the index before varies at random, so neither is a
// branch: the next entry takes the place of its predecessor or the one behind.
func (s *scratch) merge(sorted []byte, log []uint32) []byte {
	out, n, prev := s.merged[:], 0, uint32(0)
	i, j, size := 0, 0, len(sorted)/entryBytes
	for i < size && j < len(log) {
		a, b := entryAt(sorted, i), log[j]
		later := int((uint64(b) - uint64(a)) >> 63) // 1 if b < a
		e := min(a, b)
		j += later
		i += 1 - later
		n += differ(prev>>rhoBits, e>>rhoBits)
		setEntry(out, n-1, e)
		prev = e
	}
	for ; i < size; i++ {
		e := entryAt(sorted, i)
		n += differ(prev>>rhoBits, e>>rhoBits)
		setEntry(out, n-1, e)
		prev = e
	}
	for _, e := range log[j:] {
		n += differ(prev>>rhoBits, e>>rhoBits)
		setEntry(out, n-1, e)
		prev = e
	}
	return out[:n*entryBytes]
}

// sortFew writes to dst, sorted and each index once, the entries of a short
// list, and returns them.
func sortFew(dst, list []byte) []byte {
	n := 0
	for i := range len(list) / entryBytes {
		e, at := entryAt(list, i), n
		for at > 0 && entryAt(dst, at-1) > e {
			at--
		}
		switch {
		case at > 0 && (entryAt(dst, at-1)^e)>>rhoBits == 0:
			setEntry(dst, at-1, e)
			continue
		case at < n && (entryAt(dst, at)^e)>>rhoBits == 0:
			continue // with a shorter run of zeros
		}
		copy(dst[(at+1)*entryBytes:], dst[at*entryBytes:n*entryBytes])
		setEntry(dst, at, e)
		n++
	}
	return dst[:n*entryBytes]
}

// registersOf returns the registers of a sparse h.
func (s *scratch) registersOf(h *HLL) []byte {
	clear(s.regs[:])
	raiseEntries(s.regs[:], h.buf)
	return s.regs[:]
}
