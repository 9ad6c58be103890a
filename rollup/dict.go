package rollup

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Other is the value that stands for all values beyond a dimension's cap, and
// for all combinations beyond a set's.
const Other = "(other)"

// MaxValue bounds a dimension's value in bytes; longer ones are cut. URLs
// beyond it are attacks or data in the wrong place, and a cell's key is copied
// into every Store.
const MaxValue = 2048

// dict maps a dimension's values to codes. Code 0 is Other. Which values are
// admitted depends on the stream and on what was restored only, not on when a
// drain happened, or a replay would fold other values than the first run did;
// values that age leave at a drain, with the position that is committed then.
//
// A lookup happens per event and dimension, so that it must not cost more than
// the two cache lines it reads: a slot, which has the hash, and a value's key. It
// probes linearly, half full at most.
type dict struct {
	name      string
	limit     int
	hasher    hasher
	slots     []dictSlot // a power of two
	values    []string   // by code
	keys      []textKey  // by code
	ints      []uint32   // by value, code + 1: of the small integers among the values
	free      []uint32   // codes of retired values
	seen      []int64    // by code: when an event with the value arrived last, ns
	fresh     []string   // admitted since the last drain
	folded    int64      // weight counted under Other since the last drain
	textBytes int        // bytes of values
}

// dictSlot is empty if next is 0.
type dictSlot struct {
	hash uint64
	next uint32 // code + 1
	n    uint32 // length of the text
}

const (
	// unseen marks a value that was restored and has not been seen since.
	unseen = -1 << 63
	// never marks the code of a retired value.
	never         = 1<<63 - 1
	dictSlotBytes = 16
	// dictValueBytes is what a value takes apart from its text and slots.
	dictValueBytes = 16 + 8 + keyText
	// smallInts is where integers are no longer looked up by themselves: status
	// codes are.
	smallInts = 1000
)

func newDict(name string, limit int) *dict {
	d := &dict{name: name, limit: limit, hasher: newHasher(), slots: make([]dictSlot, minSlots)}
	d.admit(Other)
	return d
}

// code returns the code of s, admitting it if there is room. s is copied when
// kept.
func (d *dict) code(s string, weight int64) uint32 {
	var k textKey
	k.set(s)
	return d.codeOf(&k, s, weight)
}

// codeOf is code for a text whose key is known.
func (d *dict) codeOf(k *textKey, s string, weight int64) uint32 {
	if c, ok := d.lookup(k, s); ok {
		return c
	}
	return d.miss(s, weight)
}

// lookup returns the code of s, whose key is k.
func (d *dict) lookup(k *textKey, s string) (uint32, bool) {
	if len(s) > keyText {
		return d.lookupLong(s)
	}
	h, slots := d.hasher.hash(k, len(s)), d.slots
	for i := h; ; i++ {
		slot := &slots[i&uint64(len(slots)-1)]
		if slot.hash == h && slot.next != 0 && slot.n == uint32(len(s)) && k.equals(&d.keys[slot.next-1]) {
			return slot.next - 1, true
		}
		if slot.next == 0 {
			return 0, false
		}
	}
}

// lookupLong is lookup for texts that are longer than their key.
func (d *dict) lookupLong(s string) (uint32, bool) {
	h, mask := d.hasher.long(s), uint64(len(d.slots)-1)
	for i := h; ; i++ {
		slot := &d.slots[i&mask]
		if slot.hash == h && slot.next != 0 && d.values[slot.next-1] == s {
			return slot.next - 1, true
		}
		if slot.next == 0 {
			return 0, false
		}
	}
}

// small returns the code of the decimal digits of n, if n is small and the value
// is known.
func (d *dict) small(n int64) (uint32, bool) {
	if uint64(n) >= uint64(len(d.ints)) || d.ints[n] == 0 {
		return 0, false
	}
	return d.ints[n] - 1, true
}

// asSmall returns the small integer that s is the text of.
func asSmall(s string) (n int, ok bool) {
	if len(s) == 0 || len(s) > 3 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, true
}

// miss is code for a value that is not admitted, as it is.
func (d *dict) miss(s string, weight int64) uint32 {
	if len(s) > MaxValue {
		s = cutValue(s)
		if c, ok := d.find(s); ok {
			return c
		}
	}
	if d.size() >= d.limit {
		d.folded = addSat(d.folded, weight)
		return 0
	}
	c := d.admit(s)
	d.fresh = append(d.fresh, d.values[c])
	return c
}

// size returns how many values are admitted.
func (d *dict) size() int { return len(d.values) - 1 - len(d.free) }

// cutValue cuts a text to at most MaxValue bytes, before a character.
func cutValue(s string) string {
	s = s[:MaxValue]
	for !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s[:len(s)-1]
}

// find returns the code of s.
func (d *dict) find(s string) (uint32, bool) {
	var k textKey
	k.set(s)
	return d.lookup(&k, s)
}

// admit returns the code of s, which it copies if it is new.
func (d *dict) admit(s string) uint32 {
	if c, ok := d.find(s); ok {
		return c
	}
	s = strings.Clone(s)
	d.textBytes += len(s)
	var c uint32
	if n := len(d.free); n > 0 {
		c, d.free = d.free[n-1], d.free[:n-1]
		d.values[c], d.seen[c] = s, unseen
	} else {
		c = uint32(len(d.values))
		d.values, d.keys, d.seen = append(d.values, s), append(d.keys, textKey{}), append(d.seen, unseen)
	}
	d.keys[c].set(s)
	if n, ok := asSmall(s); ok {
		d.ints = sized(d.ints, smallInts)
		d.ints[n] = c + 1
	}
	if 2*len(d.values) > len(d.slots) {
		d.rehash(2 * len(d.slots))
	} else {
		d.place(c)
	}
	return c
}

// place enters a code whose value has no slot yet.
func (d *dict) place(c uint32) {
	s := d.values[c]
	h := d.hasher.hash(&d.keys[c], len(s))
	if len(s) > keyText {
		h = d.hasher.long(s)
	}
	mask := uint64(len(d.slots) - 1)
	i := h
	for d.slots[i&mask].next != 0 {
		i++
	}
	d.slots[i&mask] = dictSlot{hash: h, next: c + 1, n: uint32(len(s))}
}

// rehash enters all values into n slots.
func (d *dict) rehash(n int) {
	if n == len(d.slots) {
		clear(d.slots)
	} else {
		d.slots = make([]dictSlot, n)
	}
	for c, seen := range d.seen {
		if seen != never {
			d.place(uint32(c))
		}
	}
}

// retire forgets the values that no event had for as long as age before now, and
// returns them. Their codes are used again: no cell may hold one. Restored
// values, of which nobody knows when they were seen, count as seen at the first
// call: records arrived over a wide span of time may be folded until then.
func (d *dict) retire(now int64, age time.Duration) []string {
	var out []string
	for c := 1; c < len(d.values); c++ {
		switch seen := d.seen[c]; {
		case seen == unseen:
			d.seen[c] = now
		case seen != never && now-seen > int64(age):
			out = append(out, d.values[c])
			if n, ok := asSmall(d.values[c]); ok {
				d.ints[n] = 0
			}
			d.textBytes -= len(d.values[c])
			d.free = append(d.free, uint32(c))
			d.values[c], d.seen[c] = "", never
		}
	}
	if len(out) > 0 {
		d.rehash(len(d.slots))
	}
	return out
}

// bytes returns how much memory the dictionary holds.
func (d *dict) bytes() int {
	return dictSlotBytes*cap(d.slots) + dictValueBytes*cap(d.values) + 4*(cap(d.free)+cap(d.ints)) + 16*cap(d.fresh) + d.textBytes
}
