package rollup

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// keyText is how many bytes of a text its key has. Nearly all values of
// dimensions are shorter, user agents of apps included.
const keyText = 32

// textKey is the first bytes of a text, padded with zeros: texts of up to
// keyText bytes are equal if and only if their keys and lengths are. It is
// compared and hashed without a call, a loop or a branch on the length.
type textKey [keyText / 8]uint64

// set makes k the key of a text.
func (k *textKey) set(s string) {
	var b [keyText]byte
	copy(b[:], s)
	for i := range k {
		k[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
}

func (k *textKey) equals(o *textKey) bool {
	return k[0]^o[0]|k[1]^o[1]|k[2]^o[2]|k[3]^o[3] == 0
}

// keys sets the keys of texts.
func keys(dst []textKey, texts []string) {
	if canGather && len(texts) > 0 {
		gather(&dst[:len(texts)][0], &texts[0], len(texts))
		return
	}
	for i, s := range texts {
		dst[i].set(s)
	}
}

// hasher hashes texts with seeds of its own, so that nobody can choose texts
// that collide.
type hasher struct {
	seed       maphash.Seed
	x, y, z, w uint64
}

func newHasher() hasher {
	seed := maphash.MakeSeed()
	of := func(s string) uint64 { return maphash.String(seed, s) }
	return hasher{seed: seed, x: of("x"), y: of("y"), z: of("z"), w: of("w")}
}

// hash mixes the key of a text of n bytes, at most keyText, as wyhash does (Wang
// Yi 2019): by the halves of products of 128 bits.
func (h *hasher) hash(k *textKey, n int) uint64 {
	hi, lo := bits.Mul64(k[0]^h.x, k[1]^h.y^uint64(n)<<56)
	hi2, lo2 := bits.Mul64(k[2]^h.z, k[3]^h.w)
	return hi ^ lo ^ bits.RotateLeft64(hi2^lo2, 32)
}

// long is hash for texts of more than keyText bytes.
func (h *hasher) long(s string) uint64 { return maphash.String(h.seed, s) }
