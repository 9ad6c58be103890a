package duckdb

import (
	"encoding/binary"
	mathbits "math/bits"
	"slices"
)

// A gram is a few characters in a row of a message, capital letters made small:
// four that are no digits, or six letters and digits with a digit among them.
// Whatever text a message contains, it has the grams of that text. Words repeat
// in logs, so that a block has some ten thousand of the first kind; the second
// tells numbers and ids apart, of which four digits are in every block. Only
// ASCII makes grams; other characters end a run.
const (
	wordGram   = 4
	numberGram = 6
	gramBits   = 20 // of the map of a whole block
)

// Classes of bytes in gramClass, above the byte's small form.
const (
	gramDigit = 1 << 8
	gramAlnum = 1 << 9
	gramOther = 1 << 10 // not ASCII
)

var gramClass = func() (t [256]uint16) {
	for i := range t {
		c := byte(i)
		switch {
		case c >= 0x80:
			t[i] = gramOther
		case c >= '0' && c <= '9':
			t[i] = uint16(c) | gramDigit | gramAlnum
		case c >= 'A' && c <= 'Z':
			t[i] = uint16(c+'a'-'A') | gramAlnum
		case c >= 'a' && c <= 'z':
			t[i] = uint16(c) | gramAlnum
		default:
			t[i] = uint16(c)
		}
	}
	return t
}()

// gramSet is the set of grams of a block, each a bit by its hash.
type gramSet struct {
	bits [1 << gramBits / 64]uint64
}

func wordHash(window uint64) uint32 {
	return uint32((window & 0xFFFFFFFF) * 0x9E3779B97F4A7C15 >> (64 - gramBits))
}

func numberHash(window uint64) uint32 {
	return uint32((window & 0xFFFFFFFFFFFF) * 0xC2B2AE3D27D4EB4F >> (64 - gramBits))
}

// add adds the grams of a message, those without digits only if words is true, and
// returns whether it is all ASCII. It runs for nearly every message that is not the
// same as one just before: one look-up in a table and two tests a byte.
func (s *gramSet) add(m []byte, words bool) (ascii bool) {
	var window uint64
	// Of the bytes before: which were digits, and how many in a row made a run, or
	// letters and digits.
	var digits uint32
	run, alnum, shortest := 0, 0, wordGram
	if !words {
		shortest = len(m) + 1
	}
	ascii = true
	for _, c := range m {
		k := gramClass[c]
		if k >= gramDigit {
			if k&gramOther != 0 {
				ascii, run, alnum = false, 0, 0
				continue
			}
			alnum++
			digits = digits<<1 | uint32(k>>8&1)
		} else {
			alnum = 0
			digits <<= 1
		}
		run++
		window = window<<8 | uint64(k&0xFF)
		if digits&(1<<wordGram-1) == 0 {
			if run >= shortest {
				h := wordHash(window)
				s.bits[h/64] |= 1 << (h % 64)
			}
		}
		if alnum >= numberGram && digits&(1<<numberGram-1) != 0 {
			h := numberHash(window)
			s.bits[h/64] |= 1 << (h % 64)
		}
	}
	return ascii
}

// gramsOf returns the hashes of the grams that every message has which contains
// text, whatever the case of its letters; with words false those that have digits
// only. None: nothing is known.
func gramsOf(text string, words bool) []uint32 {
	var s gramSet
	s.add([]byte(text), words)
	return s.hashes(nil)
}

func (s *gramSet) hashes(dst []uint32) []uint32 {
	for i, w := range s.bits {
		for ; w != 0; w &= w - 1 {
			dst = append(dst, uint32(i)*64+uint32(mathbits.TrailingZeros64(w)))
		}
	}
	return dst
}

// mostGrams is the share of bits, in 64ths, from which on a map is not worth
// keeping: it would hardly rule anything out.
const mostGrams = 56

// append appends the map for a block of rows rows: smaller ones have a smaller
// map, the larger one folded. Nothing if too many bits are set.
func (s *gramSet) append(dst []byte, rows int) []byte {
	words := slices.Clone(s.bits[:])
	for len(words) > 64 && rows*len(s.bits) <= len(words)/2*blockRows {
		half := len(words) / 2
		for i, w := range words[half:] {
			words[i] |= w
		}
		words = words[:half]
	}
	set := 0
	for _, w := range words {
		set += mathbits.OnesCount64(w)
	}
	if set > mostGrams*len(words) {
		return dst
	}
	for _, w := range words {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst
}
