package decode

import (
	"encoding/binary"
	"unique"
	"unsafe"

	"github.com/millrace/millrace"
)

// The lines of a source have the same fields in the same order. So the scanner
// remembers what followed each key and compares the text at hand with it: one
// comparison stands for finding the key's end, checking it, and looking up what
// the field is for. What is guessed wrong costs a comparison.

// maxCachedKey is the longest key remembered, with its quotes and its colon:
// four words, which are compared without a call. Longer ones are rare.
const maxCachedKey = 32

// cachedKey is a key as it is written, `"status":`, and what its field is for.
type cachedKey struct {
	// The first 16 bytes of text as words, the masks telling which of them it has.
	words, masks [2]uint64
	name         string                // its own copy; dotted if the key is that of a nested object
	handle       unique.Handle[string] // of the name, if that becomes an attribute's
	n            uint8                 // length of text; 0 if the entry is free
	next, child  uint8                 // entries of the keys that followed it, and began its object, last time
	field
	seen uint32 // the number of the last object that has the key
	text [maxCachedKey]byte
}

// field is what jsonField says of a key.
type field struct {
	slot   slot
	rank   uint8
	canon  bool // the key is the canonical name of an access slot
	class  class
	column uint16 // of classText: where in an Event the text goes
	wary   bool   // of classText: a text that starts with a digit, or is long, may not fit
}

// class sorts the slots by what is done with them.
type class uint8

const (
	classAttr   class = iota // no slot
	classText                // a column that takes most texts as they are
	classColumn              // any other column
	classAccess
	classOther // a stack trace, or an object to look into
)

func fieldOf(key string) field {
	f := field{class: classOther}
	f.slot, f.rank = jsonField(key)
	switch {
	case f.slot == slotNone:
		f.class = classAttr
	case f.slot < slotURL:
		f.class = classColumn
		if c, ok := textColumns[f.slot]; ok {
			f.class, f.column, f.wary = classText, uint16(c), f.slot == slotService || f.slot == slotLevel
		}
	case f.slot < slotCount:
		f.class = classAccess
		f.canon = accessNames[f.slot] == key
	}
	return f
}

// textColumns are the columns that take texts, where they are in an Event.
var textColumns = map[slot]uintptr{
	slotMessage: unsafe.Offsetof(millrace.Event{}.Message), // without escapes it has neither line ends nor breaks
	slotLevel:   unsafe.Offsetof(millrace.Event{}.Level),
	slotService: unsafe.Offsetof(millrace.Event{}.Service),
	slotHost:    unsafe.Offsetof(millrace.Event{}.Host),
	slotEnv:     unsafe.Offsetof(millrace.Event{}.Env),
	slotRelease: unsafe.Offsetof(millrace.Event{}.Release),
	slotTrace:   unsafe.Offsetof(millrace.Event{}.TraceID),
}

// keyCache holds keys by a hash, two of them where two have the same; a third
// replaces one that has not been used for a while. That bounds its memory and
// its work whatever the lines contain, and keeps lines with new keys each from
// costing a copy per key. Entry 0 stands for the beginning of an object. The zero
// cache is ready.
//
// No key is at two entries: the first of two stays what it is, and both are
// asked before the second is replaced.
type keyCache struct {
	entries [256]cachedKey
	number  uint32 // of the object that is being read
	// attrs tells that names become those of attributes: then they are unique.Make's,
	// so that whoever looks for one finds it by comparing pointers.
	attrs bool
	marks marks // of the object that is being read
}

// keepFor is for how many objects a key is kept though none has it.
const keepFor = 4096

// differs is not zero if the text at p does not start with the first 16 bytes of
// the key at i, of which maxCachedKey bytes from i on can be read. It is small
// enough to be inlined; the key is there if it is zero and either the key ends
// within, or tail agrees.
func (k *cachedKey) differs(p unsafe.Pointer, i int) uint64 {
	return (load(p, i)^k.words[0])&k.masks[0] | (load(p, i+8)^k.words[1])&k.masks[1]
}

// short reports whether the key is within the first 16 bytes. A free entry's is
// not.
func (k *cachedKey) short() bool { return k.n-1 < 16 }

// tail compares what is beyond the first 16 bytes.
func (k *cachedKey) tail(p unsafe.Pointer, i int) bool {
	return k.n > 0 && string(unsafe.Slice((*byte)(unsafe.Add(p, i+16)), k.n-16)) == string(k.text[16:k.n])
}

// expect returns entry at and where the value begins of the key at b[i:], if it
// is that entry's; else next is negative.
func (c *keyCache) expect(b []byte, i int, at uint8) (k *cachedKey, next int) {
	k = &c.entries[at]
	end := i + int(k.n)
	if k.n == 0 || end > len(b) || string(b[i:end]) != string(k.text[:k.n]) {
		return &c.entries[0], -1
	}
	return k, end
}

// within reports whether k, whose text was found in the object of this dotted
// name, is the entry of a key of that object.
func (k *cachedKey) within(name string) bool {
	n := len(name)
	return len(k.name) == n+1+int(k.n)-len(`"":`) && k.name[:n] == name
}

// see notes that the object has a key and reports whether it had it before. When
// number has gone round a key may seem to come twice.
func (c *keyCache) see(k *cachedKey) (again bool) {
	again = k.seen == c.number
	k.seen = c.number
	return again
}

// learn remembers a key and notes its entry at link, the next or child of an
// entry, where it is expected. text is the key as written and has no escapes,
// name what it means. It returns entry 0 if the key is too long, or if there is
// no entry for it now.
func (c *keyCache) learn(link *uint8, text, name []byte) *cachedKey {
	if len(text) > maxCachedKey {
		return &c.entries[0]
	}
	at := slotOf(name)
	k := &c.entries[at]
	if k.n > 0 && !k.is(text, name) {
		at ^= 1
		k = &c.entries[at]
	}
	if !k.is(text, name) {
		if k.n > 0 && c.number-k.seen < keepFor {
			return &c.entries[0]
		}
		k.fill(text, name, c.attrs)
		k.seen = c.number - 1
	}
	*link = at
	return k
}

// find returns the entry of a key of the outermost object, or 0.
func (c *keyCache) find(name []byte) uint8 {
	at := slotOf(name)
	for range 2 {
		if k := &c.entries[at]; k.n > 0 && k.name == string(name) && int(k.n) == len(name)+len(`"":`) {
			return at
		}
		at ^= 1
	}
	return 0
}

// slotOf returns one of the two entries that a key may have.
func slotOf(name []byte) uint8 {
	at := uint8(uint32(keyHash(borrow(name))) * 0x9E3779B1 >> 24)
	return at | bit(at < 2)<<1 // not 0, nor 1, its neighbour
}

func (k *cachedKey) is(text, name []byte) bool {
	return string(k.text[:k.n]) == string(text) && k.name == string(name)
}

// fill makes k the entry of another key; attr tells that its name may become that
// of attributes.
func (k *cachedKey) fill(text, name []byte, attr bool) {
	*k = cachedKey{n: uint8(len(text))}
	if attr {
		k.handle = unique.Make(borrow(name))
		k.name = k.handle.Value()
	} else {
		k.name = string(name)
	}
	copy(k.text[:], text)
	for w := range k.words {
		k.words[w] = binary.LittleEndian.Uint64(k.text[8*w:])
		k.masks[w] = ^uint64(0) >> (64 - 8*min(8, max(0, len(text)-8*w)))
	}
	k.field = fieldOf(k.name)
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// check is checkJSON for lines of which many have the same fields.
func (c *keyCache) check(b []byte) (pos int, ok bool) {
	if len(b) < 2 || b[0] != '{' || b[1] != '"' {
		return checkJSON(b)
	}
	c.number++
	c.marks.set(b, len(b))
	wide := b[:cap(b)] // see overread
	p, last := unsafe.Pointer(unsafe.SliceData(wide)), len(wide)-overread
	i := 1
	for k := &c.entries[0]; ; {
		prev := k
		k = &c.entries[k.next]
		end := -1
		if i <= last && k.differs(p, i) == 0 && (k.short() || k.tail(p, i)) {
			v := i + int(k.n)
			if wide[v] == ' ' {
				v++
			}
			if tag := wide[v]; tag == '"' {
				v++
				if end = c.marks.end(v); end < 0 {
					end = plainEnd(wide, v)
				}
				if end++; end <= len(b) && b[end-1] != '"' {
					end = -1
				}
			} else if isDigit(tag) {
				end = plainNumberEnd(p, v)
			}
		}
		if end < 0 || end > len(b) {
			if k, end = c.checkMember(b, i, prev); end < 0 {
				return ^end, false
			}
		}
		i = end
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i >= len(b) || b[i] != ',' {
			break
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
	}
	if i >= len(b) || b[i] != '}' {
		return i, false
	}
	i = skipSpace(b, i+1)
	return i, i == len(b)
}

// checkMember checks the member whose key begins at i, prev being the entry of
// the key before. It returns the entry of its key, the first if it has none, and
// the index behind its value, or the complement of where it goes wrong.
func (c *keyCache) checkMember(b []byte, i int, prev *cachedKey) (k *cachedKey, end int) {
	k, next := c.expect(b, i, prev.next)
	if next < 0 {
		if k, next = c.key(b, i, prev); next < 0 {
			return k, next
		}
	}
	if next < len(b) && b[next] <= ' ' {
		next = skipSpace(b, next)
	}
	c.see(k)
	return k, c.marks.skipValue(b, next, 1)
}

// key reads a key and its colon at i and learns it. next is the complement of
// where it goes wrong, or where the value or white space before it begins.
func (c *keyCache) key(b []byte, i int, prev *cachedKey) (k *cachedKey, next int) {
	k = &c.entries[0]
	if i >= len(b) || b[i] != '"' {
		return k, ^i
	}
	end, escaped := scanString(b, i+1)
	if end < 0 {
		return k, end
	}
	if end < len(b) && b[end] == ':' {
		if !escaped {
			k = c.learn(&prev.next, b[i:end+1], b[i+1:end-1])
		}
		return k, end + 1
	}
	if end = skipSpace(b, end); end >= len(b) || b[end] != ':' {
		return k, ^end
	}
	return k, end + 1
}
