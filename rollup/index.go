package rollup

import "hash/maphash"

// index maps integers to numbers from 0 up: keys of cells to rows. It stands
// where a map would, because a lookup per event and set was a third of folding:
// open addressing with linear probing, at most half full, one cache line per
// lookup. The hash is a multiplication by a random odd number, so that nobody
// can choose values that collide (Dietzfelbinger et al. 1997). The zero index
// is empty; it is not safe for concurrent use.
type index struct {
	slots []indexSlot // a power of two
	n     int
	mul   uint64
	shift uint8
}

// indexSlot is empty if next is 0.
type indexSlot struct {
	key  uint64
	next uint32 // value + 1
}

const minSlots = 16

// find returns the value of a key.
func (x *index) find(key uint64) (uint32, bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(x.slots) - 1)
	for i := key * x.mul >> x.shift; ; i++ {
		s := &x.slots[i&mask]
		if s.key == key && s.next != 0 {
			return s.next - 1, true
		}
		if s.next == 0 {
			return 0, false
		}
	}
}

// put adds a key that find did not find.
func (x *index) put(key uint64, value uint32) {
	if 2*(x.n+1) > len(x.slots) {
		x.grow()
	}
	x.n++
	mask := uint64(len(x.slots) - 1)
	i := key * x.mul >> x.shift
	for x.slots[i&mask].next != 0 {
		i++
	}
	x.slots[i&mask] = indexSlot{key, value + 1}
}

func (x *index) grow() {
	old := x.slots
	if len(old) == 0 {
		x.mul = maphash.String(maphash.MakeSeed(), "index") | 1
		x.shift = 64 - 3
	}
	x.slots = make([]indexSlot, max(minSlots, 2*len(old)))
	x.shift--
	x.n = 0
	for _, s := range old {
		if s.next != 0 {
			x.put(s.key, s.next-1)
		}
	}
}

// reset forgets all keys and keeps the memory.
func (x *index) reset() {
	if x.n > 0 {
		clear(x.slots)
		x.n = 0
	}
}
