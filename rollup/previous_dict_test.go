package rollup

import (
	"hash/maphash"
	"strings"
	"unicode/utf8"
)

// dict maps a dimension's values to codes. Code 0 is Other. Codes are valid for
// the life of the engine: which values are admitted must not depend on when a
// drain happened, or a replay would fold other values than the first run did.
//
// It hashes with open addressing and a seed of its own, half full at most; a
// slot holds part of the hash, so that a lookup touches the one value it finds.
type prevDict struct {
	name   string
	limit  int
	seed   maphash.Seed
	slots  []prevSlot // a power of two
	values []string
	fresh  []string // admitted since the last drain
	folded int64    // weight counted under Other since the last drain
	last   string   // the value looked up last and its code: lines come in runs
	lastAt uint32
}

// dictSlot is empty if next is 0.
type prevSlot struct {
	tag  uint32 // upper half of the hash
	next uint32 // code + 1
}

func newPrevDict(name string, limit int) *prevDict {
	d := &prevDict{name: name, limit: limit, seed: maphash.MakeSeed(), slots: make([]prevSlot, minSlots), last: Other}
	d.admit(Other)
	return d
}

// code returns the code of s, admitting it if there is room. s is copied when kept.
func (d *prevDict) code(s string, weight int64) uint32 {
	if s == d.last {
		if d.lastAt == 0 {
			d.folded += weight
		}
		return d.lastAt
	}
	if len(s) > MaxValue {
		s = s[:MaxValue]
		for !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		s = s[:len(s)-1]
	}
	c, ok := d.find(s)
	switch {
	case ok && c > 0:
	case len(d.values) > d.limit:
		d.folded += weight
		return 0
	case !ok:
		c = d.admit(s)
		d.fresh = append(d.fresh, d.values[c])
	}
	d.last, d.lastAt = d.values[c], c
	return c
}

func (d *prevDict) find(s string) (uint32, bool) {
	h := maphash.String(d.seed, s)
	mask := uint64(len(d.slots) - 1)
	for i := h; ; i++ {
		slot := &d.slots[i&mask]
		if slot.next == 0 {
			return 0, false
		}
		if slot.tag == uint32(h>>32) && d.values[slot.next-1] == s {
			return slot.next - 1, true
		}
	}
}

// admit returns the code of s, which it copies if it is new.
func (d *prevDict) admit(s string) uint32 {
	if c, ok := d.find(s); ok {
		return c
	}
	c := uint32(len(d.values))
	d.values = append(d.values, strings.Clone(s))
	if 2*len(d.values) > len(d.slots) {
		d.slots = make([]prevSlot, 2*len(d.slots))
		for code := range d.values[:c] {
			d.place(uint32(code))
		}
	}
	d.place(c)
	return c
}

// place enters a code whose value has no slot yet.
func (d *prevDict) place(c uint32) {
	h := maphash.String(d.seed, d.values[c])
	mask := uint64(len(d.slots) - 1)
	i := h
	for d.slots[i&mask].next != 0 {
		i++
	}
	d.slots[i&mask] = prevSlot{uint32(h >> 32), c + 1}
}
