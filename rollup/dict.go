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
// the cache line it reads: a slot holds a short value itself (see words), and a
// longer one's hash, for which the value is compared. It probes linearly, half
// full at most. The value looked up last is remembered: lines come in runs.
type dict struct {
	name      string
	limit     int
	hasher    hasher
	slots     []dictSlot // a power of two
	values    []string   // by code
	free      []uint32   // codes of retired values
	seen      []int64    // by code: when an event with the value arrived last, ns
	fresh     []string   // admitted since the last drain
	folded    int64      // weight counted under Other since the last drain
	textBytes int        // bytes of values
	last      words      // the value looked up last,
	lastAt    uint32     // and its code
}

// dictSlot is empty if next is 0. It is half a cache line.
type dictSlot struct {
	key  words
	next uint32 // code + 1
	_    uint32
}

const (
	// unseen marks a value that was restored and has not been seen since.
	unseen = -1 << 63
	// never marks the code of a retired value.
	never         = 1<<63 - 1
	dictSlotBytes = 32
	// dictValueBytes is what a value takes apart from its text and slots.
	dictValueBytes = 16 + 8
)

func newDict(name string, limit int) *dict {
	d := &dict{name: name, limit: limit, hasher: newHasher(), slots: make([]dictSlot, minSlots)}
	d.admit(Other)
	d.last = d.hasher.wordsOf(Other)
	return d
}

// code returns the code of s, admitting it if there is room. s is copied when
// kept.
func (d *dict) code(s string, weight int64) uint32 {
	w := d.hasher.wordsOf(s)
	// Equal hashes of longer texts are not proof enough.
	if w == d.last && w.n <= shortText {
		return d.lastAt
	}
	mask := uint64(len(d.slots) - 1)
	for i := d.hasher.hash(w); ; i++ {
		slot := &d.slots[i&mask]
		if slot.key == w && slot.next != 0 && (w.n <= shortText || d.values[slot.next-1] == s) {
			d.last, d.lastAt = w, slot.next-1
			return slot.next - 1
		}
		if slot.next == 0 {
			return d.miss(s, weight)
		}
	}
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
	w := d.hasher.wordsOf(s)
	mask := uint64(len(d.slots) - 1)
	for i := d.hasher.hash(w); ; i++ {
		slot := &d.slots[i&mask]
		if slot.next == 0 {
			return 0, false
		}
		if slot.key == w && d.values[slot.next-1] == s {
			return slot.next - 1, true
		}
	}
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
		d.values, d.seen = append(d.values, s), append(d.seen, unseen)
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
	w := d.hasher.wordsOf(d.values[c])
	mask := uint64(len(d.slots) - 1)
	i := d.hasher.hash(w)
	for d.slots[i&mask].next != 0 {
		i++
	}
	d.slots[i&mask] = dictSlot{key: w, next: c + 1}
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
			d.textBytes -= len(d.values[c])
			d.free = append(d.free, uint32(c))
			d.values[c], d.seen[c] = "", never
		}
	}
	if len(out) > 0 {
		d.last, d.lastAt = d.hasher.wordsOf(Other), 0
		d.rehash(len(d.slots))
	}
	return out
}

// bytes returns how much memory the dictionary holds.
func (d *dict) bytes() int {
	return dictSlotBytes*cap(d.slots) + dictValueBytes*cap(d.values) + 4*cap(d.free) + 16*cap(d.fresh) + d.textBytes
}
