package sketch

import (
	"math/bits"
	"slices"
	"sync"
	"unsafe"
)

// recentEntries is how many entries addRepeated remembers: a few times as many
// as a sparse HLL holds.
const recentEntries = 4 * MaxSparse

// scratch is what sorting, merging and decoding sparse entries work in.
type scratch struct {
	sorted  [maxGathered]uint32
	starts  [maxStarts]uint16
	merged  [maxEntries]uint32
	decoded [MaxSparse]uint32
	regs    [registers]byte
	recent  [recentEntries]uint32
	// of a union
	loose     [maxGathered]uint32
	unions    [maxUnions]uint32
	condensed [MaxSparse]uint32
}

// scratches spares each HLL, or each call, the memory of a scratch. What it
// holds does not matter.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

// words returns the entries in a buffer. Lists are read and written as numbers
// of the machine, which takes half the time of assembling them of bytes; nobody
// else sees them. Blocks and rows are aligned as numbers are.
func words(buf []byte) []uint32 {
	if len(buf) == 0 {
		return nil
	}
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(buf))), len(buf)/entryBytes)
}

// distinct returns the entries of a sparse h, sorted, each index once with its
// longest run of zeros. They are in s, or those of h.
func (s *scratch) distinct(h *HLL) []uint32 {
	list, cut := words(h.buf), int(h.sorted)
	if cut == len(list) {
		return list
	}
	n := merge(s.merged[:len(list)], list[:cut], s.sort(list[cut:]))
	return s.merged[:n]
}

// maxStarts is how many first bits sort tells apart, at most.
const maxStarts = 2048

// sort returns a log in order, repetitions included. Since hashes are uniform,
// counting by their first bits leaves hardly anything to do for insertion.
func (s *scratch) sort(log []uint32) []uint32 {
	n := len(log)
	out := s.sorted[:n]
	if n <= 16 {
		copy(out, log)
		insertionSort(out)
		return out
	}
	width := min(bits.Len(uint(n)), bits.Len(maxStarts)-1) // 2^width in n+1..2n, or maxStarts
	shift, mask := (31-width)&31, uint32(1)<<width-1
	starts := s.starts[:1<<width]
	clear(starts)
	for _, e := range log {
		starts[e>>shift&mask]++
	}
	sum := uint16(0)
	for i, c := range starts {
		starts[i] = sum
		sum += c
	}
	for _, e := range log {
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

// merge writes the union of two sorted lists, whose indexes may repeat, to out,
// which has room for both, and returns how many entries that is: each index once
// with its longest run of zeros. Which comes next and whether it repeats the
// index before varies at random, so neither is a branch: the next entry takes
// the place of its predecessor or the one behind.
func merge(out, a, b []uint32) int {
	n, prev := 0, uint32(0)
	i, j := uint(0), uint(0)
	for i < uint(len(a)) && j < uint(len(b)) {
		x, y := a[i], b[j]
		later := uint((uint64(y) - uint64(x)) >> 63) // 1 if y < x
		e := min(x, y)
		j += later
		i += 1 - later
		n += differ(prev, e)
		out[n-1] = e
		prev = e
	}
	for _, e := range a[min(i, uint(len(a))):] {
		n += differ(prev, e)
		out[n-1] = e
		prev = e
	}
	for _, e := range b[min(j, uint(len(b))):] {
		n += differ(prev, e)
		out[n-1] = e
		prev = e
	}
	return n
}

// differ returns 1 if the indexes of a and b differ, else 0, without a branch.
func differ(a, b uint32) int { return int((uint64((a^b)>>rhoBits) + 1<<32 - 1) >> 32) }

// sortFew writes to dst, which may be list, the entries of a short list, sorted
// and each index once, and returns how many these are.
func sortFew(dst, list []uint32) int {
	n := 0
	for _, e := range list {
		at := n
		for at > 0 && dst[at-1] > e {
			at--
		}
		switch {
		case at > 0 && differ(dst[at-1], e) == 0:
			dst[at-1] = e
			continue
		case at < n && differ(dst[at], e) == 0:
			continue // with a shorter run of zeros
		}
		copy(dst[at+1:n+1], dst[at:n])
		dst[at] = e
		n++
	}
	return n
}

// registersOf returns the registers of a sparse h.
func (s *scratch) registersOf(h *HLL) []byte {
	clear(s.regs[:])
	raiseEntries(s.regs[:], words(h.buf))
	return s.regs[:]
}
