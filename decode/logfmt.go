package decode

import (
	"bytes"
	"unsafe"

	"github.com/millrace/millrace"
)

// logfmt: key=value pairs separated by spaces.
//
// Values are bare or quoted with JSON's escapes; a bare key is true. Bare
// numbers (as JSON writes them), true and false keep their type. Names mean what
// they mean in JSON (json_fields.go), so msg is the message and a line with a
// status and a path is an access log. Without msg the message is the line.
//
// In auto a line is logfmt if it starts with a pair, has at least two, and at
// most one bare word in four. A comma after a bare value ("a=1, b=2") is some
// other format there. The explicit format takes any line with a pair.

// parseLogfmt is for auto: it fills e from the line or returns false and leaves
// e as it is.
func (d *Decoder) parseLogfmt(e *millrace.Event, line []byte) bool {
	first := bytes.IndexByte(line, '=')
	if first <= 0 || !keyLike(line[:first]) {
		return false
	}
	if c, ok := d.logfmtFields(e, line, false); !ok || c.pairs < 2 || c.words*3 > c.pairs {
		d.undo(e)
		return false
	}
	return true
}

func (d *Decoder) parseLogfmtStrict(e *millrace.Event, line []byte) bool {
	if c, _ := d.logfmtFields(e, line, true); c.pairs == 0 {
		d.undo(e)
		return false
	}
	return true
}

// pairCount tells what a line is made of.
type pairCount struct{ pairs, words int }

// logfmtFields files the pairs as JSON's members would be, and counts them. If
// not strict it gives up at the first sign that the line is something else.
func (d *Decoder) logfmtFields(e *millrace.Event, line []byte, strict bool) (n pairCount, ok bool) {
	if d.pairs == nil {
		d.pairs = &keyCache{attrs: true}
	}
	d.js.begin(line, true)
	d.pairs.number++
	// What is readable beyond the line is read, see overread, but not taken.
	wide := line[:cap(line)]
	p, last := unsafe.Pointer(unsafe.SliceData(wide)), len(wide)-overread
	for i, k := 0, &d.pairs.entries[0]; i < len(line); {
		if c := line[i]; c == ' ' || c == '\t' {
			i++
			continue
		}
		prev := k
		k = &d.pairs.entries[k.next]
		if i <= last && k.differs(p, i) == 0 && (k.short() || k.tail(p, i)) {
			if end, comma := d.plainPair(e, k, line, wide, i); end > 0 {
				if comma && !strict {
					return n, false
				}
				i = end
				n.pairs++
				continue
			}
		}
		if k, i, ok = d.anyPair(e, line, i, prev, &n); !ok && !strict {
			return n, false
		}
	}
	d.finishAccess(e)
	if e.Message == "" {
		e.Message = borrow(line)
	}
	d.distinct = !d.js.repeats
	return n, true
}

// plainPair files the pair whose key k begins at i if its value is a string
// without escapes, a bare word or a plain number, and returns the index behind
// it, else -1. comma tells that it is bare and ends with one.
func (d *Decoder) plainPair(e *millrace.Event, k *cachedKey, line, wide []byte, i int) (end int, comma bool) {
	p := unsafe.Pointer(unsafe.SliceData(wide))
	v := i + int(k.n)
	if wide[v] == '"' {
		v++
		if end = plainEnd(wide, v); end >= len(line) || line[end] != '"' || !d.fileText(e, d.pairs, k, i, span(p, v, end)) {
			return -1, false
		}
		return end + 1, false
	}
	end = wordEnd(wide, v, len(line))
	if end <= v {
		return -1, false
	}
	switch c := line[v]; {
	case k.slot == slotMessage:
		// A quoted text has no line ends, but this may.
		if line[end-1] == '\r' || bytes.IndexByte(line[v:end], '\n') >= 0 {
			return -1, false
		}
	case k.class == classColumn, k.class == classText: // the text counts, of a number too
	case isDigit(c):
		if n := plainNumberEnd(p, v); n == end {
			return d.plainNumber(e, d.pairs, k, wide, v), false
		} else if n < 0 {
			return -1, false
		}
	case c == '-', c == 't' && end == v+4, c == 'f' && end == v+5: // perhaps a number, true or false
		return -1, false
	}
	if !d.fileText(e, d.pairs, k, i, span(p, v, end)) {
		return -1, false
	}
	return end, line[end-1] == ','
}

// anyPair files the pair or word at i, prev being the entry of the key before,
// and returns the entry of its key, the first if it has none, and the index
// behind it. It counts in n and returns false for what logfmt has not.
func (d *Decoder) anyPair(e *millrace.Event, line []byte, i int, prev *cachedKey, n *pairCount) (k *cachedKey, next int, ok bool) {
	at := i
	p, next := nextPair(line, i)
	k, ok = &d.pairs.entries[0], keyLike(p.key)
	switch {
	case ok && p.pair:
		n.pairs++
		ok = p.quoted || len(p.val) == 0 || p.val[len(p.val)-1] != ','
		k = d.pairs.learn(&prev.next, line[at:at+len(p.key)+1], p.key)
	case ok:
		n.words++
	case len(p.key) == 0:
		return k, next, !p.pair
	}
	v, tag, raw := d.pairValue(&p)
	if again := k.n > 0 && d.pairs.see(k); k.n > 0 && k.class == classAttr {
		d.js.repeats = d.js.repeats || again
		e.Extend().Set(k.name, v)
		return k, next, ok
	}
	d.js.repeats = true
	key, f := k.name, k.field
	if k.n == 0 {
		key = borrow(p.key)
		f = fieldOf(key)
	}
	d.member(e, f, key, at, v, tag, raw)
	return k, next, ok
}

// pair is one key with its value as written between the quotes.
type pair struct {
	key, val      []byte
	pair          bool // it has a '='
	quoted        bool
	valid, escape bool // a quoted value is a valid JSON string, and has escapes
}

// nextPair reads the pair at i and returns where the next one may start.
func nextPair(b []byte, i int) (p pair, next int) {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	start := i
	for i < len(b) && b[i] != '=' && b[i] != ' ' && b[i] != '\t' {
		i++
	}
	p.key = b[start:i]
	if i >= len(b) || b[i] != '=' {
		return p, i
	}
	p.pair = true
	i++
	if i < len(b) && b[i] == '"' {
		p.quoted = true
		end, escape := scanString(b, i+1)
		if p.valid = end > 0; p.valid {
			p.val, p.escape = b[i+1:end-1], escape
			return p, end
		}
		if q := closingQuote(b, i+1); q > 0 {
			p.val = b[i+1 : q]
			return p, q + 1
		}
		p.quoted = false
	}
	start = i
	for i < len(b) && b[i] != ' ' && b[i] != '\t' {
		i++
	}
	p.val = b[start:i]
	return p, i
}

// closingQuote returns the first quote from i that is not escaped, or -1.
func closingQuote(b []byte, i int) int {
	for from := i; ; {
		q := bytes.IndexByte(b[i:], '"')
		if q < 0 {
			return -1
		}
		if !escapedAt(b, from, i+q) {
			return i + q
		}
		i += q + 1
	}
}

// pairValue returns the value of a pair, the byte JSON would start it with, and
// its text if that is bare.
func (d *Decoder) pairValue(p *pair) (v millrace.Value, tag byte, raw []byte) {
	switch {
	case !p.pair:
		return millrace.BoolValue(true), 't', nil
	case p.quoted:
		return millrace.StringValue(d.jsonString(p.val, p.valid && p.escape)), '"', nil
	}
	v, tag = bareValue(p.val)
	return v, tag, p.val
}

// bareValue types an unquoted value; the tag is what JSON would start with.
func bareValue(b []byte) (millrace.Value, byte) {
	if len(b) > 0 && (isDigit(b[0]) || b[0] == '-') {
		if end, integer := scanNumber(b, 0); end == len(b) {
			return numberValue(b, integer), b[0]
		}
	}
	switch string(b) {
	case "true":
		return millrace.BoolValue(true), 't'
	case "false":
		return millrace.BoolValue(false), 'f'
	}
	return millrace.StringValue(borrow(b)), '"'
}
