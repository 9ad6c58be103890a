package sketch

import (
	"encoding/binary"
	"math/bits"
)

// An arena hands out blocks of memory for the sketches of one column. It holds
// no pointers but those to its chunks, so that the garbage collector has
// nothing to scan; it grows by whole chunks, so that nothing large is copied;
// and it is emptied at no cost.
//
// Sizes of blocks come in classes, four to each power of two. A block that is
// given back is kept in the list of its class, linked through its first bytes.
type arena struct {
	chunks [][]byte
	used   int                // chunks in use
	pos    int                // bytes in use of the last of them
	free   [numClasses]uint32 // first free block of each class plus 1, or 0
}

const (
	// chunkSize holds at least two of the largest blocks (23 KiB) and is small
	// beside what a column of many rows needs. The first chunk starts smaller
	// and doubles, since most columns have few rows.
	chunkSize  = 1 << 16
	firstChunk = 1 << 9
	chunkHead  = 24 // bytes of a slice header

	// Blocks are named by their place in units, so that 32 bits reach 32 GiB.
	unitBits  = 3
	chunkBits = 16 - unitBits
	maxChunks = 1 << (32 - chunkBits)

	minBlock   = 32
	numClasses = 41 // up to 32 KiB
)

// classOf returns the least class whose blocks have n bytes.
func classOf(n int) int {
	if n <= minBlock {
		return 0
	}
	// The highest three bits of n-1 plus one, in 5..8, are the size in steps.
	shift := bits.Len(uint(n-1)) - 3
	return (shift-3)*4 + (n-1)>>shift + 1 - 4
}

// classSize returns the size of the blocks of a class in bytes.
func classSize(class int) int {
	return (4 + class&3) << (3 + class>>2)
}

// at returns the block of a class at off.
func (a *arena) at(off uint32, class int) []byte {
	chunk, i := a.chunks[off>>chunkBits], int(off&(1<<chunkBits-1))<<unitBits
	end := i + classSize(class)
	return chunk[i:end:end]
}

// alloc returns a block of n bytes, with any content, whose capacity is its
// class. It may move the first chunk: slices got before still show what they
// showed then, but must not be written to any more.
func (a *arena) alloc(n int) (uint32, []byte) {
	class := classOf(n)
	if f := a.free[class]; f != 0 {
		b := a.at(f-1, class)
		a.free[class] = binary.LittleEndian.Uint32(b)
		return f - 1, b[:n]
	}
	size := classSize(class)
	if a.used == 0 || a.pos+size > len(a.chunks[a.used-1]) {
		a.more(size)
	}
	off := uint32(a.used-1)<<chunkBits | uint32(a.pos>>unitBits)
	a.pos += size
	return off, a.at(off, class)[:n]
}

// more makes room for a block of size bytes in the last chunk.
func (a *arena) more(size int) {
	if a.used == 1 && len(a.chunks[0]) < chunkSize {
		grown := make([]byte, chunkLen(a.pos+size))
		copy(grown, a.chunks[0][:a.pos])
		a.chunks[0] = grown
		return
	}
	if a.used == maxChunks {
		panic("sketch: a column holds more than 32 GiB")
	}
	if a.used == len(a.chunks) {
		need := chunkSize
		if a.used == 0 {
			need = chunkLen(size)
		}
		a.chunks = append(a.chunks, make([]byte, need))
	}
	a.used++
	a.pos = 0
	if size > len(a.chunks[a.used-1]) {
		a.more(size) // a first chunk kept by reset may be too small
	}
}

// chunkLen returns the length of a first chunk that holds n bytes.
func chunkLen(n int) int {
	size := firstChunk
	for size < n {
		size *= 2
	}
	return min(size, chunkSize)
}

// release gives a block back.
func (a *arena) release(off uint32, class int) {
	binary.LittleEndian.PutUint32(a.at(off, class), a.free[class])
	a.free[class] = off + 1
}

// reset gives all blocks back and keeps the memory.
func (a *arena) reset() {
	a.used, a.pos = 0, 0
	clear(a.free[:])
}

// trim releases chunks until at most max bytes are held; a must be reset.
func (a *arena) trim(limit int) {
	n := len(a.chunks)
	for n > 0 && a.bytes() > limit {
		n--
		a.chunks[n] = nil
		a.chunks = a.chunks[:n]
	}
	if n == 0 {
		a.chunks = nil
	}
}

// bytes returns the memory held.
func (a *arena) bytes() int {
	n := cap(a.chunks) * chunkHead
	if k := len(a.chunks); k > 0 {
		n += len(a.chunks[0]) + (k-1)*chunkSize
	}
	return n
}

// block is the memory of one sketch: of an arena or, without one, the heap.
// Its buffer's capacity is that of the block.
type block struct {
	buf []byte
	in  *arena
	off uint32
}

// take returns a block of n bytes, with any content, from where b is from. On
// the heap, that is b itself if it is empty and large enough.
func (b *block) take(n int) block {
	if b.in == nil {
		if len(b.buf) == 0 && n <= cap(b.buf) {
			return block{buf: b.buf[:n]}
		}
		return block{buf: make([]byte, n)}
	}
	off, buf := b.in.alloc(n)
	return block{buf: buf, in: b.in, off: off}
}

// drop gives b back. Buffers below the least size are not of the arena but
// inside a row.
func (b *block) drop() {
	if b.in != nil && cap(b.buf) >= minBlock {
		b.in.release(b.off, classOf(cap(b.buf)))
	}
}

// size returns how many bytes a block for n bytes will have.
func (b *block) size(n int) int {
	if b.in == nil {
		return n
	}
	return classSize(classOf(n))
}
