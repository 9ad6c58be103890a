package rollup

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"unsafe"
)

// words is a text in a form that is compared and hashed without a call: texts
// of up to shortText bytes are equal if and only if their words and lengths
// are, since the two loads cover them; of longer texts a is a hash.
type words struct {
	a, b uint64
	n    uint32
}

// shortText is what two words hold. Most values of dimensions are shorter.
const shortText = 16

// hasher hashes texts with seeds of its own, so that nobody can choose texts
// that collide.
type hasher struct {
	seed maphash.Seed
	x, y uint64
}

func newHasher() hasher {
	seed := maphash.MakeSeed()
	return hasher{seed: seed, x: maphash.String(seed, "x"), y: maphash.String(seed, "y")}
}

// wordsOf returns the words of a text. Overlapping loads spare the loop over
// the bytes (as in wyhash, Wang Yi 2019).
func (h *hasher) wordsOf(s string) words {
	b := unsafe.Slice(unsafe.StringData(s), len(s)) // read only
	n := len(b)
	switch {
	case n > shortText:
		return words{maphash.String(h.seed, s), 0, uint32(n)}
	case n >= 8:
		return words{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:]), uint32(n)}
	case n >= 4:
		return words{uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:])), uint32(n)}
	case n > 0:
		return words{uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16, 0, uint32(n)}
	}
	return words{}
}

// hash mixes words as wyhash does: the halves of a product of 128 bits.
func (h *hasher) hash(w words) uint64 {
	hi, lo := bits.Mul64(w.a^h.x, w.b^h.y^uint64(w.n)<<56)
	return hi ^ lo
}
