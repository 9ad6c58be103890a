package sketch

import (
	"encoding/binary"
	"math/bits"
)

// uvarint reads a little-endian base-128 integer from b at i and returns it
// with the position behind it. Unlike encoding/binary it rejects encodings
// that are longer than needed, since each value must have one spelling; a
// position of -1 reports these, truncation and overflow of 64 bits.
func uvarint(b []byte, i int) (uint64, int) {
	if uint(i) < uint(len(b)) && b[i] < 0x80 {
		return uint64(b[i]), i + 1
	}
	return uvarintMid(b, i)
}

// uvarintMid decodes up to four bytes without a branch on their number, which
// varies at random.
func uvarintMid(b []byte, i int) (uint64, int) {
	if uint(i)+4 > uint(len(b)) {
		return uvarintLong(b, i)
	}
	x := binary.LittleEndian.Uint32(b[i:])
	end := ^x & 0x80808080
	if end == 0 {
		return uvarintLong(b, i)
	}
	x &= end ^ (end - 1)
	v := x&0x7f | x>>1&0x3f80 | x>>2&0x1fc000 | x>>3&0xfe00000
	size := bits.TrailingZeros32(end)/8 + 1
	if v>>(7*(size-1)) == 0 {
		return 0, -1
	}
	return uint64(v), i + size
}

func uvarintLong(b []byte, i int) (uint64, int) {
	var v uint64
	for shift := uint(0); uint(i) < uint(len(b)) && shift < 64; shift += 7 {
		c := b[i]
		i++
		if c >= 0x80 {
			v |= uint64(c&0x7f) << shift
			continue
		}
		if shift == 63 && c > 1 || shift > 0 && c == 0 {
			return 0, -1
		}
		return v | uint64(c)<<shift, i
	}
	return 0, -1
}

// spread28 returns the bytes of v < 2^28 as a uvarint, the first one lowest,
// and their number.
func spread28(v uint32) (uint32, int) {
	more := spreads[bits.Len32(v)&31]
	v = v&0x3fff | v&0xfffc000<<2
	v = v&0x7f007f | v&0x3f803f80<<1
	return v | uint32(more), int(more >> 32)
}

// spreads has, by the bits of a number, the bits in a uvarint that say that more
// follows, and above them the bytes.
var spreads = func() (table [32]uint64) {
	for n := range 29 {
		size := max(1, (n+6)/7)
		table[n] = uint64(size)<<32 | 0x808080&(1<<(8*(size-1))-1)
	}
	return table
}()
