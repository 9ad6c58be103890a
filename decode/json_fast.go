package decode

import (
	"bytes"
	"unsafe"

	"github.com/millrace/millrace"
)

// The fast path of JSON lines: keys that were expected, strings without escapes
// and plain numbers, each filed as it is read. It knows no errors: what is not
// of this kind is left to anyMember, which starts over at the key.

// members reads the object that b is.
func (d *Decoder) members(e *millrace.Event, b []byte) bool {
	d.keys.number++
	d.keys.attrs = true
	d.keys.marks.set(b, len(b))
	k := &d.keys.entries[0]
	filed, i, whole := d.follow(e, b)
	switch {
	case whole:
		return true
	case filed > 0:
		k = &d.keys.entries[d.shape.steps[filed-1].entry]
		i = afterMember(b, i)
	default:
		if i = skipSpace(b, 0); i >= len(b) || b[i] != '{' {
			return false
		}
		if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
			return skipSpace(b, i+1) == len(b)
		}
	}
	if i < 0 || i > 0 && !d.rest(e, b, i, k) {
		return false
	}
	if !d.shape.learned || d.shape.misses >= maxMisses {
		d.learnShape(b)
	}
	return true
}

// rest reads the members of the object b from i on, where a key begins, k being
// the entry of the key before.
func (d *Decoder) rest(e *millrace.Event, b []byte, i int, k *cachedKey) bool {
	// What is readable beyond b is read, see overread, but not taken.
	wide := b[:cap(b)]
	p, last := unsafe.Pointer(unsafe.SliceData(wide)), len(wide)-overread
	for {
		prev := k
		k = &d.keys.entries[k.next]
		end := -1
		if i <= last && k.differs(p, i) == 0 && (k.short() || k.tail(p, i)) {
			v := i + int(k.n)
			c := byteAt(p, v)
			if c == ' ' {
				v++
				c = byteAt(p, v)
			}
			if c == '"' {
				v++
				if end = d.keys.marks.end(v); end < 0 {
					end = plainEnd(wide, v)
				}
				if end < len(b) && byteAt(p, end) == '"' && d.fileText(e, &d.keys, k, i, span(p, v, end)) {
					end++
				} else {
					end = -1
				}
			} else if isDigit(c) {
				end = d.plainNumber(e, &d.keys, k, wide, v)
			}
		}
		if end < 0 {
			if k, end = d.anyMember(e, b, i, prev); end < 0 {
				return false
			}
		}
		if i = afterMember(b, end); i <= 0 {
			return i == 0
		}
	}
}

// afterMember returns where the key begins that follows the value before i, 0 if
// the value is the last of the object b, or a negative number if b is none.
func afterMember(b []byte, i int) int {
	if i+1 < len(b) && b[i] == ',' && b[i+1] > ' ' {
		return i + 1
	}
	if i = skipSpace(b, i); i >= len(b) {
		return -1
	}
	if b[i] == ',' {
		return skipSpace(b, i+1)
	}
	if b[i] == '}' && skipSpace(b, i+1) == len(b) {
		return 0
	}
	return -1
}

// fileText files the member of key k, which begins at at, whose value is the string
// s, unless what it is for is not plain.
func (d *Decoder) fileText(e *millrace.Event, c *keyCache, k *cachedKey, at int, s string) bool {
	switch k.class {
	case classAttr:
	case classText:
		if d.js.rank[k.slot] > 0 || s == "" || k.wary && (isDigit(s[0]) || len(s) > 2*maxLevel) {
			return false
		}
		*(*string)(unsafe.Add(unsafe.Pointer(e), k.column)) = s
		d.js.rank[k.slot], d.js.at[k.slot] = k.rank, int32(at)
		d.js.repeats = c.see(k) || d.js.repeats
		return true
	case classAccess:
		if d.js.rank[k.slot] > 0 {
			return false
		}
		d.js.note(k.field, len(e.Attrs), canonicalText(k.slot, s))
	case classColumn:
		return d.textColumn(e, c, k, at, s)
	default:
		return false
	}
	d.js.repeats = c.see(k) || d.js.repeats
	e.Extend().SetString(k.name, s)
	return true
}

// textColumn sets a column that is no text and that nothing has filled yet, or
// returns false.
func (d *Decoder) textColumn(e *millrace.Event, c *keyCache, k *cachedKey, at int, s string) bool {
	js := &d.js
	if js.rank[k.slot] > 0 || s == "" {
		return false
	}
	switch k.slot {
	case slotTime:
		ns, ok := d.minute.parse(unborrow(s))
		if !ok {
			return false
		}
		e.Time, e.HasTime = ns, true
	case slotKind:
		kind, ok := millrace.ParseKind(s)
		if !ok {
			return false
		}
		e.Kind = kind
	default:
		return false
	}
	js.rank[k.slot], js.at[k.slot] = k.rank, int32(at)
	js.repeats = c.see(k) || js.repeats
	return true
}

// plainNumber files the member of key k whose value is the number at i, and
// returns the index behind it; negative if the number or what it is for is not
// plain. Up to 25 bytes from i on must be readable.
func (d *Decoder) plainNumber(e *millrace.Event, c *keyCache, k *cachedKey, b []byte, i int) (end int) {
	if k.class != classAttr && (k.class != classAccess || d.js.rank[k.slot] > 0) {
		return -1
	}
	a := e.Extend()
	end, small := setNumber(a, k.name, unsafe.Pointer(unsafe.SliceData(b)), i)
	if end < 0 {
		e.Attrs = e.Attrs[:len(e.Attrs)-1]
		return -1
	}
	if c.see(k) {
		d.js.repeats = true
	}
	if k.class == classAccess {
		d.js.note(k.field, len(e.Attrs)-1, k.canonicalNumber(small))
	}
	return end
}

// canonicalNumber is canonicalText for a number; small tells that it is an integer
// below 1,000.
func (f *field) canonicalNumber(small bool) bool {
	return f.slot > slotStatus || f.slot == slotStatus && small
}

// setNumber sets an attribute from the number at i. It returns the index behind
// it, negative if the number is not plain, and whether it is an integer below
// 1,000. Up to 25 bytes from i on must be readable.
func setNumber(a *millrace.Attr, name string, p unsafe.Pointer, i int) (end int, small bool) {
	digits, n := digits8(load(p, i))
	if n == 8 {
		more, m := digits8(load(p, i+8))
		digits = digits*tens[m&7] + more
		if n += m; n == 16 {
			return -1, false
		}
	}
	end = i + n
	c := byteAt(p, end)
	if n == 0 || n > 1 && byteAt(p, i) == '0' || c|0x20 == 'e' {
		return -1, false
	}
	if c != '.' {
		a.SetInt(name, int64(digits))
		return end, digits < 1000
	}
	part, m := digits8(load(p, end+1))
	end += 1 + m
	if m == 0 || m == 8 || n+m > 15 || byteAt(p, end)|0x20 == 'e' {
		return -1, false
	}
	// At most 15 digits: exact, see decimal.
	f := float64(digits*tens[m]+part) / pow10[m]
	a.SetNumber(name, f, span(p, i, end))
	return end, false
}

// tens are the powers of ten for a fraction of up to seven digits.
var tens = [8]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}

// canonicalText reports whether finishAccess would keep s as it is under the
// canonical name of the slot.
func canonicalText(slot slot, s string) bool {
	if len(s) < 2 {
		return s == "/" && slot == slotURL
	}
	switch slot {
	case slotMethod, slotReferer, slotAgent, slotQuery, slotUser:
		return true
	case slotURL:
		return s[0] == '/' && bytes.IndexByte(unborrow(s), '?') < 0
	case slotClient:
		return ipv4Like(s)
	case slotVersion:
		return s[0] != 'H'
	}
	return false
}

// ipv4Like reports whether s is of the length of an IPv4 address and has digits,
// dots and slashes only, so that it is neither a list nor has a port.
func ipv4Like(s string) bool {
	if len(s) < 8 || len(s) > 15 {
		return false
	}
	p := unsafe.Pointer(unsafe.StringData(s))
	x, y := load(p, 0), load(p, len(s)-8)
	const above, below = (0x80 - '9' - 1) * ones, '.' * ones
	outside := x | (x + above) | ^((x | highs) - below) | y | (y + above) | ^((y | highs) - below)
	return outside&highs == 0
}

// anyMember reads the member whose key begins at i, prev being the entry of the
// key before. It returns the entry of its key, the first if it has none, and the
// index behind its value, negative if there is no member.
func (d *Decoder) anyMember(e *millrace.Event, b []byte, i int, prev *cachedKey) (k *cachedKey, end int) {
	at := i
	k, key, next := d.memberKey(b, i, prev)
	if next < 0 {
		return k, -1
	}
	val, raw, end := d.markedValue(&d.keys.marks, b, next)
	if end < 0 || raw[0] == 'n' {
		return k, end
	}
	f := k.field
	if k.n == 0 {
		f = fieldOf(key)
	} else if again := d.keys.see(k); k.class == classAttr {
		d.js.repeats = d.js.repeats || again
		e.Extend().Set(key, val)
		return k, end
	}
	d.js.repeats = true
	if raw[0] == '{' && isParent(f.slot, key) {
		e.Extend().Set(key, val)
		d.nested(e, k, key, raw, 1)
		return k, end
	}
	d.member(e, f, key, at, val, raw[0], raw)
	return k, end
}

// memberKey reads a key of the outermost object and its colon at i; next is
// where the value begins. k is the key's entry, the first if it has none.
func (d *Decoder) memberKey(b []byte, i int, prev *cachedKey) (k *cachedKey, key string, next int) {
	if k, next = d.keys.expect(b, i, prev.next); next >= 0 {
		if next < len(b) && b[next] <= ' ' {
			next = skipSpace(b, next)
		}
		return k, k.name, next
	}
	none := &d.keys.entries[0]
	if key, next = d.jsonKey(b, i); next < 0 {
		return none, "", -1
	}
	// With escapes or white space the key is longer than its text and the colon.
	if n := i + len(key) + 3; n <= next && b[n-1] == ':' && b[n-2] == '"' && string(b[i+1:n-2]) == key {
		if k = d.keys.learn(&prev.next, b[i:n], b[i+1:n-2]); k.n > 0 {
			return k, k.name, next
		}
	}
	return none, key, next
}
