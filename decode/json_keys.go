package decode

import "encoding/binary"

// The lines of a source have the same fields in the same order. So the scanner
// remembers what followed each key and compares the text at hand with it: one
// comparison stands for finding the key's end, checking it, and looking up what
// the field is for. What is guessed wrong costs a comparison.

// maxCachedKey is the longest key remembered, with its quotes and its colon:
// four words, which are compared without a call. Longer ones are rare.
const maxCachedKey = 32

// cachedKey is a key as it is written, `"status":`, and what its field is for.
type cachedKey struct {
	n     uint8 // length of text; 0 if the entry is free
	next  uint8 // entry of the key that followed it last time
	field field
	text  [maxCachedKey]byte
	words [2]uint64 // the first 16 bytes of text
	masks [2]uint64 // which of their bytes the text has
}

// field is what jsonField says of a key.
type field struct {
	slot  slot
	rank  uint8
	canon bool // the key is the canonical name of an access slot
}

func fieldOf(key string) field {
	s, rank := jsonField(key)
	return field{s, rank, s < slotCount && accessNames[s] == key}
}

// keyCache holds keys by a hash, two of them where two have the same; a third
// replaces one. That bounds its memory and its work whatever the lines contain.
// Entry 0 stands for the beginning of an object. The zero cache is ready.
type keyCache [256]cachedKey

// guess returns the entry of the key at b[i:] and where its value begins, if it
// is the one that followed entry prev last time; else next is negative.
func (c *keyCache) guess(b []byte, i int, prev uint8) (entry uint8, next int) {
	entry = c[prev].next
	k := &c[entry]
	end := i + int(k.n)
	if k.n == 0 {
		return 0, -1
	}
	if i+16 <= len(b) {
		p := b[i : i+16]
		differ := (binary.LittleEndian.Uint64(p)^k.words[0])&k.masks[0] | (binary.LittleEndian.Uint64(p[8:])^k.words[1])&k.masks[1]
		if differ != 0 {
			return 0, -1
		}
		if k.n <= 16 {
			return entry, end
		}
	}
	if end > len(b) || string(b[i:end]) != string(k.text[:k.n]) {
		return 0, -1
	}
	return entry, end
}

// learn remembers that a key followed entry prev and returns its entry. text is
// the key as written, with its quotes and its colon, and has no escapes. It
// returns 0 if the key is too long.
func (c *keyCache) learn(prev uint8, text []byte) uint8 {
	if len(text) > maxCachedKey {
		return 0
	}
	key := borrow(text[1 : len(text)-2])
	at := uint8(uint32(keyHash(key)) * 0x9E3779B1 >> 24)
	at |= bit(at < 2) << 1 // not 0, nor 1, its neighbour
	k := &c[at]
	if k.n > 0 && string(k.text[:k.n]) != string(text) {
		at ^= 1
		k = &c[at]
	}
	if string(k.text[:k.n]) != string(text) {
		k.n, k.next = uint8(len(text)), 0
		k.text = [maxCachedKey]byte{}
		copy(k.text[:], text)
		for w := range k.words {
			k.words[w] = binary.LittleEndian.Uint64(k.text[8*w:])
			k.masks[w] = ^uint64(0) >> (64 - 8*min(8, max(0, len(text)-8*w)))
		}
		k.field = fieldOf(key)
	}
	c[prev].next = at
	return at
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// check is checkJSON for lines of which many have the same fields.
func (c *keyCache) check(b []byte) (pos int, ok bool) {
	i, prev := 1, uint8(0)
	if len(b) < 2 || b[0] != '{' || b[1] != '"' {
		return checkJSON(b)
	}
	for {
		entry, next := c.guess(b, i, prev)
		if next < 0 {
			if entry, next = c.key(b, i, prev); next < 0 {
				return ^next, false
			}
		}
		i, prev = next, entry
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i < len(b) && b[i] == '"' {
			i, _ = scanString(b, i+1)
		} else {
			i = skipValue(b, i, 1)
		}
		if i < 0 {
			return ^i, false
		}
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

// key reads a key and its colon at i and learns it. next is the complement of
// where it goes wrong, or where the value or white space before it begins.
func (c *keyCache) key(b []byte, i int, prev uint8) (entry uint8, next int) {
	if i >= len(b) || b[i] != '"' {
		return 0, ^i
	}
	end, escaped := scanString(b, i+1)
	if end < 0 {
		return 0, end
	}
	if end < len(b) && b[end] == ':' {
		if !escaped {
			entry = c.learn(prev, b[i:end+1])
		}
		return entry, end + 1
	}
	if end = skipSpace(b, end); end >= len(b) || b[end] != ':' {
		return 0, ^end
	}
	return 0, end + 1
}
