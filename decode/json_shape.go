package decode

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/millrace/millrace"
)

// Most lines of a source differ in their values only: fields, order and white
// space are those of the line before. So the decoder keeps a line's shape, the
// text between the values and what each value is for, and follows it: a
// comparison of words finds the next value and vouches for all that the line
// before was checked for, distinct keys and slots included. Where a line departs
// from the shape the members that are filed are noted, and the rest is read
// member by member.

// maxSteps is how many members a shape has at most, and maxLiteral how long the
// text between two values may be; the rest of a line is read as any.
const (
	maxSteps   = 64
	maxLiteral = 32
)

// op says how the value of a step is read and filed.
type op uint8

const (
	opAttr   op = iota // a string
	opAccess           // that of an access slot
	opText             // a column that is text
	opTime
	opKind
	opNumber
	opAccessNumber
)

// literal is the text before a value, from the end of the value before.
type literal struct {
	words, masks [maxLiteral / 8]uint64
	n            uint8
	long         bool // longer than two words
}

func (l *literal) set(text []byte) {
	var buf [maxLiteral]byte
	copy(buf[:], text)
	for w := range l.words {
		l.words[w] = binary.LittleEndian.Uint64(buf[8*w:])
		l.masks[w] = ^uint64(0) >> (64 - 8*min(8, max(0, len(text)-8*w)))
	}
	l.n, l.long = uint8(len(text)), len(text) > 16
}

// differs is not zero if the text at i does not start with the first two words of
// l, rest if it does not go on with the others. maxLiteral bytes must be readable.
func (l *literal) differs(p unsafe.Pointer, i int) uint64 {
	return (load(p, i)^l.words[0])&l.masks[0] | (load(p, i+8)^l.words[1])&l.masks[1]
}

func (l *literal) rest(p unsafe.Pointer, i int) uint64 {
	return (load(p, i+16)^l.words[2])&l.masks[2] | (load(p, i+24)^l.words[3])&l.masks[3]
}

// step is a member of a shape.
type step struct {
	literal
	op    op
	field        // what the key is for
	entry uint8  // that of the key in the cache
	key   uint8  // where in the literal the key begins
	attr  uint16 // the index of its attribute,
	byte  uint16 // and where that begins behind the first one
	name  string
}

// shape is what lines of one kind have in common. The zero shape is that of no
// line.
type shape struct {
	steps   []step
	end     literal // behind the last value
	whole   bool    // the steps are all members; else the others are read one by one
	learned bool
	attrs   int
	rank    [slotCount]uint8 // as jsonEvent has them at the end of the steps
	attr    [slotCount]int32
	misses  int // how many more lines departed from the shape than followed it
}

// maxMisses is when another shape is learned: to learn costs as much as to decode
// a few lines.
const maxMisses = 16

// follow reads b, an object, as far as it has the shape, and files its members.
// It returns how many those are and where the value of the last one ends; whole
// tells that nothing is left.
func (d *Decoder) follow(e *millrace.Event, b []byte) (filed, i int, whole bool) {
	sh := &d.shape
	room := e.Attrs[:cap(e.Attrs)]
	if len(e.Attrs) > 0 || len(room) < sh.attrs || len(sh.steps) == 0 {
		return 0, 0, false
	}
	wide := b[:cap(b)] // see overread
	p, last := unsafe.Pointer(unsafe.SliceData(wide)), len(wide)-overread
	if len(b) > maxMarked {
		last = min(last, maxMarked-overread)
	}
	marked, attrs := unsafe.Pointer(&d.keys.marks.bits), unsafe.Pointer(unsafe.SliceData(room))
	todo := uint32(0)
	st := &sh.steps[0]
	for {
		if i > last || st.differs(p, i) != 0 || st.long && st.rest(p, i) != 0 {
			break
		}
		v := i + int(st.n)
		var end int
		if st.op < opNumber {
			if x := load(marked, v>>3) >> (uint(v) & 7); x != 0 {
				end = v + bits.TrailingZeros64(x)
			} else {
				end = plainEnd(b, v)
			}
			if end >= len(b) || byteAt(p, end) != '"' {
				break
			}
			s := span(p, v, end)
			switch st.op {
			case opAccess:
				if !(st.canon && canonicalText(st.slot, s)) {
					todo |= 1 << st.slot
				}
				fallthrough
			case opAttr:
				(*millrace.Attr)(unsafe.Add(attrs, st.byte)).SetString(st.name, s)
			default:
				if !d.stepColumn(e, st, s) {
					goto departed
				}
				d.js.at[st.slot] = int32(i + int(st.key))
			}
			end++
		} else {
			var small bool
			if end, small = setNumber((*millrace.Attr)(unsafe.Add(attrs, st.byte)), st.name, p, v); end < 0 || end >= len(b) {
				break
			}
			if st.op == opAccessNumber && !(st.canon && st.canonicalNumber(small)) {
				todo |= 1 << st.slot
			}
		}
		i = end
		if filed++; filed == len(sh.steps) {
			break
		}
		st = (*step)(unsafe.Add(unsafe.Pointer(st), unsafe.Sizeof(step{})))
	}
departed:
	d.js.todo = todo
	if filed == len(sh.steps) && sh.whole && i <= last && sh.end.differs(p, i) == 0 && (!sh.end.long || sh.end.rest(p, i) == 0) && i+int(sh.end.n) == len(b) {
		e.Attrs = room[:sh.attrs]
		d.js.rank, d.js.attr = sh.rank, sh.attr
		sh.misses -= int(bit(sh.misses > 0))
		return filed, i, true
	}
	d.depart(e, filed)
	return filed, i, false
}

// stepColumn sets a column from a string if it is one that it takes as it is.
func (d *Decoder) stepColumn(e *millrace.Event, st *step, s string) bool {
	switch st.op {
	case opText:
		if s == "" || st.wary && (isDigit(s[0]) || len(s) > 2*maxLevel) {
			return false
		}
		*(*string)(unsafe.Add(unsafe.Pointer(e), st.column)) = s
	case opTime:
		ns, ok := d.minute.parse(unborrow(s))
		if !ok {
			return false
		}
		e.Time, e.HasTime = ns, true
	case opKind:
		kind, ok := millrace.ParseKind(s)
		if !ok {
			return false
		}
		e.Kind = kind
	}
	return true
}

// depart notes what follow has filed of a line that goes on differently, as if
// it had been read member by member.
func (d *Decoder) depart(e *millrace.Event, filed int) {
	sh, js := &d.shape, &d.js
	attrs := 0
	for j := range filed {
		st := &sh.steps[j]
		k := &d.keys.entries[st.entry]
		if k.name != st.name || d.keys.see(k) {
			js.repeats = true // the key has lost its entry: it may come again unnoticed
		}
		switch st.class {
		case classText, classColumn:
			js.rank[st.slot] = st.rank
			continue
		case classAccess:
			js.rank[st.slot], js.attr[st.slot] = st.rank, int32(st.attr)
		}
		attrs++
	}
	// What was tried beyond them must not keep a payload.
	e.Attrs = e.Attrs[:sh.attrs]
	clear(e.Attrs[attrs:])
	e.Attrs = e.Attrs[:attrs]
	if filed < len(sh.steps) || filed == 0 || sh.whole {
		sh.misses++
	} else {
		sh.misses -= int(bit(sh.misses > 0))
	}
}

// learnShape makes the shape that of b, an object that has just been read.
func (d *Decoder) learnShape(b []byte) {
	sh := &d.shape
	*sh = shape{steps: sh.steps[:0], learned: true}
	from := 0 // where the literal begins
	for i := skipSpace(b, skipSpace(b, 0)+1); len(sh.steps) < maxSteps; {
		key := i
		if b[i] != '"' { // the object is empty
			return
		}
		end, escaped := scanString(b, i+1)
		name := b[i+1 : end-1]
		v := skipSpace(b, end) + 1
		v = skipSpace(b, v)
		after := skipValue(b, v, 1)
		if escaped || after < 0 {
			return
		}
		literal := b[from:v]
		if b[v] == '"' {
			literal = b[from : v+1]
		}
		if len(literal) > maxLiteral || !d.learnStep(literal, key-from, name, b[v]) {
			return
		}
		from = after
		if i = skipSpace(b, after); b[i] != ',' {
			break
		}
		i = skipSpace(b, i+1)
	}
	if rest := b[from:]; len(rest) <= maxLiteral && skipSpace(b, from) < len(b) && b[skipSpace(b, from)] == '}' {
		sh.end.set(rest)
		sh.whole = true
	}
}

// learnStep adds a step for a value that begins with tag. It returns false if
// members of the kind are not for follow, or if there is one already.
func (d *Decoder) learnStep(text []byte, key int, name []byte, tag byte) bool {
	sh := &d.shape
	at := d.keys.find(name)
	k := &d.keys.entries[at]
	if at == 0 || k.class == classOther || k.class != classAttr && sh.rank[k.slot] > 0 {
		return false
	}
	for i := range sh.steps {
		if sh.steps[i].entry == at {
			return false
		}
	}
	st := step{field: k.field, entry: at, key: uint8(key), attr: uint16(sh.attrs), byte: uint16(sh.attrs * int(unsafe.Sizeof(millrace.Attr{}))), name: k.name}
	switch {
	case tag == '"' && k.class == classAttr:
		st.op = opAttr
	case tag == '"' && k.class == classAccess:
		st.op = opAccess
	case tag == '"' && k.class == classText:
		st.op = opText
	case tag == '"' && k.slot == slotTime:
		st.op = opTime
	case tag == '"' && k.slot == slotKind:
		st.op = opKind
	case isDigit(tag) && k.class == classAttr:
		st.op = opNumber
	case isDigit(tag) && k.class == classAccess:
		st.op = opAccessNumber
	default:
		return false
	}
	if k.class != classAttr {
		sh.rank[k.slot], sh.attr[k.slot] = k.rank, int32(sh.attrs)
	}
	if k.class == classAttr || k.class == classAccess {
		sh.attrs++
	}
	st.set(text)
	sh.steps = append(sh.steps, st)
	return true
}
