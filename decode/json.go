package decode

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// JSON lines: one object per line.
//
// Well-known fields become columns (json_fields.go lists the names): time,
// message, level, service, host, env, release, trace_id, kind, weight. Of two
// candidates for a column the better known name wins. Everything else goes to
// attrs with its type; what was displaced, too. null means absent, and so does
// an empty string for a column.
//   - Time is RFC 3339, any layout of time.go, or a number whose unit follows
//     from its magnitude; {"$date": …} (MongoDB) is looked into. A time that
//     cannot be read stays an attribute; one that nanoseconds cannot express is
//     kept in time_original.
//   - A numeric level is bunyan's and pino's (10 trace to 60 fatal), below 8
//     syslog's severity.
//   - Message is the message field; without one it is the whole line. So a line
//     with a message is stored as message and attrs, from which it can be
//     rebuilt but for white space, key order and displaced duplicates.
//   - Of a duplicate key the last value wins.
//   - Nested objects and arrays are kept as JSON text and not flattened, but the
//     well-known fields of ECS, Caddy and the like are read from them:
//     {"http":{"response":{"status_code":200}}} gives a status. In an access log
//     an object named url or user_agent gives way to the text found in it; if the
//     message is not the whole line, it is kept as url_fields, user_agent_fields.
//   - JSON or an access line within "log", as Docker wraps it, is decoded too.
//   - A stack trace (stack_trace, error.stack, exc_info, …) stays in attrs and
//     sets MultiLine, so that the pipeline parses it.
//   - Numbers keep their literal: 1.10 stays 1.10; integers above 64 bits are
//     floats with their literal; one beyond the range of float64 is a string.
//
// An access log is an object with a status and a url or a request line. Its
// fields get the canonical names (url without query, method, status, bytes, rt,
// …), numbers in strings become numbers, "-" means absent. An explicit kind
// wins: {"kind":"log"} keeps the fields as they are.
//
// Deviations: nesting deeper than maxDepth is refused; \u0000 is kept; lone
// surrogates become U+FFFD.

// jsonEvent is the decoder's state for one object. What is at a slot is valid
// where its rank is not zero.
type jsonEvent struct {
	line  []byte // the object, or the pairs of a logfmt line
	pairs bool   // line is logfmt
	rank  [slotCount]uint8
	// For columns: where in line the key begins that fills the slot, or -1 if it
	// is within a nested object, which is kept as a whole anyway.
	at [slotCount]int32
	// For access slots: the index of the attribute, or -1 if nested; only then
	// val is set.
	attr [slotCount]int32
	val  [slotCount]millrace.Value
	todo uint32 // access slots whose name or value may not be the canonical one
	gone [slotCount]int
	// repeats tells that a key may have come twice: else the attributes are
	// distinct, which spares finish the check.
	repeats bool
}

// begin makes js ready for an object, or a line of pairs.
func (js *jsonEvent) begin(line []byte, pairs bool) {
	js.line, js.pairs = line, pairs
	js.rank = [slotCount]uint8{}
	js.todo, js.repeats = 0, false
}

// note notes that an attribute fills an access slot.
func (js *jsonEvent) note(f field, attr int, canonical bool) {
	js.rank[f.slot], js.attr[f.slot] = f.rank, int32(attr)
	if !f.canon || !canonical {
		js.todo |= 1 << f.slot
	}
}

// rankLog is the rank of the field log as message, and of no other.
const rankLog = 6

// parseJSON fills e from an object, or returns false and leaves e as it is.
func (d *Decoder) parseJSON(e *millrace.Event, line []byte) bool {
	d.js.begin(line, false)
	if !d.members(e, line) {
		d.undo(e)
		return false
	}
	if d.js.rank[slotMessage] == rankLog {
		d.wrapped(e)
	}
	d.finishAccess(e)
	if e.Message == "" {
		e.Message = borrow(line)
	}
	d.distinct = !d.js.repeats
	return true
}

// wrapped decodes the line that Docker's json-file driver and Fluent Bit wrap
// as log: JSON or an access line. Its fields win over the wrapper's.
func (d *Decoder) wrapped(e *millrace.Event) {
	msg := unborrow(e.Message)
	d.js.repeats = true
	if msg[0] != '{' {
		d.parseAccess(e, msg)
		return
	}
	if _, ok := checkJSON(msg); ok {
		d.js.begin(msg, false)
		e.Message = ""
		d.members(e, msg)
		d.js.repeats = true
		if e.Message == "" {
			e.Message = borrow(msg)
		}
	}
}

// jsonKey reads a key and its colon at i; next is the start of the value.
func (d *Decoder) jsonKey(b []byte, i int) (key string, next int) {
	if i >= len(b) || b[i] != '"' {
		return "", -1
	}
	end, escaped := scanString(b, i+1)
	if end < 0 {
		return "", -1
	}
	key = d.jsonString(b[i+1:end-1], escaped)
	if end >= len(b) || b[end] != ':' {
		if end = skipSpace(b, end); end >= len(b) || b[end] != ':' {
			return "", -1
		}
	}
	end++
	if end < len(b) && b[end] <= ' ' {
		end = skipSpace(b, end)
	}
	return key, end
}

// jsonValue reads the value at i; raw is its text, end negative on an error.
func (d *Decoder) jsonValue(b []byte, i int) (v millrace.Value, raw []byte, end int) {
	return d.markedValue(&noMarks, b, i)
}

// markedValue is jsonValue for b, whose marks are m.
func (d *Decoder) markedValue(m *marks, b []byte, i int) (v millrace.Value, raw []byte, end int) {
	if i >= len(b) {
		return v, nil, -1
	}
	switch c := b[i]; c {
	case '"':
		var escaped bool
		if end, escaped = m.scanString(b, i+1); end < 0 {
			return v, nil, -1
		}
		return millrace.StringValue(d.jsonString(b[i+1:end-1], escaped)), b[i:end], end
	case '{', '[':
		if end = m.skipValue(b, i, 1); end < 0 {
			return v, nil, -1
		}
		return millrace.JSONValue(borrow(b[i:end])), b[i:end], end
	case 't', 'f', 'n':
		if end = skipValue(b, i, 1); end < 0 {
			return v, nil, -1
		}
		return millrace.BoolValue(c == 't'), b[i:end], end
	}
	if v, end = usualNumber(b, i); end > 0 {
		return v, b[i:end], end
	}
	end, integer := scanNumber(b, i)
	if end < 0 {
		return v, nil, -1
	}
	return numberValue(b[i:end], integer), b[i:end], end
}

// usualNumber reads and parses the usual numbers in one pass: digits, perhaps
// with a fraction, few enough that the result is exact (see decimal). end is
// negative if the number is none of them.
func usualNumber(b []byte, i int) (v millrace.Value, end int) {
	start, digits := i, int64(0)
	for i < len(b) && isDigit(b[i]) {
		digits = digits*10 + int64(b[i]-'0')
		i++
	}
	if n := i - start; n == 0 || n > 18 || (n > 1 && b[start] == '0') || i == len(b) {
		return v, -1
	}
	if b[i] != '.' {
		if b[i]|0x20 == 'e' {
			return v, -1
		}
		return millrace.IntValue(digits), i
	}
	point := i
	for i++; i < len(b) && isDigit(b[i]); i++ {
		digits = digits*10 + int64(b[i]-'0')
	}
	if i == point+1 || i-start > 16 || i == len(b) || b[i]|0x20 == 'e' {
		return v, -1
	}
	return millrace.NumberValue(float64(digits)/pow10[i-point-1], borrow(b[start:i])), i
}

// numberValue returns the value of a JSON number.
func numberValue(lit []byte, integer bool) millrace.Value {
	if integer {
		if len(lit) <= 18 && lit[0] != '-' {
			return millrace.IntValue(smallInt(lit))
		}
		if n, err := strconv.ParseInt(borrow(lit), 10, 64); err == nil && (n != 0 || lit[0] != '-') {
			return millrace.IntValue(n)
		}
	} else if f, ok := decimal(lit); ok {
		return millrace.NumberValue(f, borrow(lit))
	}
	f, _ := strconv.ParseFloat(borrow(lit), 64)
	if math.IsInf(f, 0) {
		return millrace.StringValue(borrow(lit))
	}
	return millrace.NumberValue(f, borrow(lit))
}

// member files one field of the outermost object; its key begins at at. tag is
// the first byte of the value as JSON, raw its text, which matters for numbers
// and objects only.
func (d *Decoder) member(e *millrace.Event, f field, key string, at int, v millrace.Value, tag byte, raw []byte) {
	s := f.slot
	switch {
	case s == slotNone:
	case s == slotStack:
		e.MultiLine = e.MultiLine || stackLike(v, tag)
	case s < slotURL:
		if d.column(e, f, key, at, v, tag, raw) {
			return
		}
	case s < slotCount:
		d.accessMember(e, f, key, v)
		return
	}
	e.Extend().Set(key, v)
}

// stackLike reports whether a value can hold a stack trace.
func stackLike(v millrace.Value, tag byte) bool {
	return tag == '{' || tag == '[' || (tag == '"' && v.String() != "")
}

// column sets a column and returns true, or returns false if the value does not
// fit or a better field filled it. What it displaces becomes an attribute.
func (d *Decoder) column(e *millrace.Event, f field, key string, at int, v millrace.Value, tag byte, raw []byte) bool {
	if tag == '"' && v.String() == "" {
		return true // says nothing: absent
	}
	js, s := &d.js, f.slot
	had := js.rank[s]
	if had > f.rank {
		return false
	}
	var before millrace.Attr // what filled the slot
	if had > 0 && js.at[s] >= 0 {
		before = d.filed(int(js.at[s]))
	}
	if had == f.rank && before.Key != key || !d.setColumn(e, s, v, tag, raw) {
		return false
	}
	if before.Key != "" && before.Key != key {
		e.Attrs = append(e.Attrs, before)
	}
	js.rank[s], js.at[s] = f.rank, int32(at)
	return true
}

// filed reads again what is filed as a column: the key and value at i. Few
// lines displace a column, and remembering its value would cost all of them.
func (d *Decoder) filed(i int) millrace.Attr {
	b := d.js.line
	if d.js.pairs {
		p, _ := nextPair(b, i)
		v, _, _ := d.pairValue(&p)
		return millrace.Attr{Key: borrow(p.key), Value: v}
	}
	key, next := d.jsonKey(b, i)
	v, _, _ := d.jsonValue(b, next)
	return millrace.Attr{Key: key, Value: v}
}

// setColumn sets a column from a value, if it fits.
func (d *Decoder) setColumn(e *millrace.Event, s slot, v millrace.Value, tag byte, raw []byte) bool {
	switch s {
	case slotTime:
		return d.setTime(e, v, tag, raw)
	case slotWeight:
		n, ok := v.Int()
		if !ok || n < 1 || v.Kind() == millrace.ValueBool {
			return false
		}
		e.Weight = n
		return true
	case slotLevel:
		return setLevel(e, scalar(v, tag, raw))
	case slotKind:
		kind, ok := millrace.ParseKind(scalar(v, tag, raw))
		if ok {
			e.Kind = kind
		}
		return ok
	case slotMessage:
		if tag != '"' {
			return false
		}
		e.Message = strings.TrimRight(v.String(), "\r\n") // Docker keeps the line end
		if e.Message == "" {
			return false
		}
		e.MultiLine = e.MultiLine || bytes.IndexByte(unborrow(e.Message), '\n') >= 0
		return true
	}
	text := scalar(v, tag, raw)
	if text == "" {
		return false
	}
	switch s {
	case slotService:
		if isDigit(text[0]) && strings.HasSuffix(text, "ms") { // Heroku's router
			return false
		}
		e.Service = text
	case slotHost:
		e.Host = text
	case slotEnv:
		e.Env = text
	case slotRelease:
		e.Release = text
	case slotTrace:
		e.TraceID = text
	}
	return true
}

// scalar returns a string's or a number's text, "" for anything else.
func scalar(v millrace.Value, tag byte, raw []byte) string {
	switch {
	case tag == '"':
		return v.String()
	case tag == '-' || isDigit(tag):
		return borrow(raw)
	}
	return ""
}

// setLevel takes a name or a number for the level.
func setLevel(e *millrace.Event, text string) bool {
	if text == "" || len(text) > 2*maxLevel {
		return false
	}
	if isDigit(text[0]) {
		text = numericLevel(text)
	}
	if text == "" {
		return false
	}
	e.Level = text
	return true
}

// numericLevel names the levels of bunyan and pino (tens), and syslog's
// severities (below 8).
func numericLevel(s string) string {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || n > 99:
		return ""
	case n < 8:
		return severityNames[n]
	case n < 20:
		return levelTrace
	case n < 30:
		return levelDebug
	case n < 40:
		return levelInfo
	case n < 50:
		return levelWarn
	case n < 60:
		return levelError
	}
	return levelFatal
}

// setTime takes a string, a number or {"$date": …} for the time.
func (d *Decoder) setTime(e *millrace.Event, v millrace.Value, tag byte, raw []byte) bool {
	if tag == '{' {
		i := skipSpace(raw, 1)
		key, next := d.jsonKey(raw, i)
		if next < 0 || key != "$date" {
			return false
		}
		if v, raw, next = d.jsonValue(raw, next); next < 0 || raw[0] == '{' {
			return false
		}
		tag = raw[0]
	}
	text := unborrow(scalar(v, tag, raw))
	if len(text) == 0 {
		return false
	}
	ns, known, ok := d.jsonTime(text, tag == '"')
	switch {
	case ok:
		e.Time, e.HasTime = ns, true
	case known:
		e.HasTime = false
		e.Set(millrace.AttrTimeOriginal, millrace.StringValue(borrow(text)))
	}
	return known
}

// jsonTime reads a whole string or number. known tells that it is a time, ok
// that it can be expressed.
func (d *Decoder) jsonTime(text []byte, quoted bool) (ns int64, known, ok bool) {
	if !quoted {
		// 0.003 under "time" is a duration.
		if bytes.IndexByte(text, '.') >= 0 && bytes.IndexByte(text, '.') < 7 {
			return 0, false, false
		}
		ns, ok = epochNumber(text)
		return ns, true, ok
	}
	if ns, ok = d.minute.parse(text); ok {
		return ns, true, true
	}
	text = bytes.Trim(text, " []")
	if len(text) > 0 && skipDigits(text, 0) == len(text) && len(text) > 8 && len(text) != 14 {
		ns, ok = epochNumber(text)
		return ns, true, ok
	}
	ns, n, ok := parseTime(text, d.b.Record.Arrived)
	if ok && n == len(text) {
		d.minute.learn(text, ns)
	}
	// What follows the time must be no more than a zone that nobody knows.
	return ns, n > 0 && len(text)-n <= 8, ok
}

// nested reads the well-known fields of an object that is kept as a whole. name
// is its dotted name, parent the entry of its key, the first if it has none.
func (d *Decoder) nested(e *millrace.Event, parent *cachedKey, name string, raw []byte, depth int) {
	link := &parent.child
	for i := skipSpace(raw, 1); i < len(raw) && raw[i] == '"'; i = skipSpace(raw, i+1) {
		k, f, next := d.nestedKey(raw, i, parent, link, name)
		if next < 0 {
			return
		}
		var end int
		if f.slot == slotNone {
			end = skipValue(raw, next, 1)
		} else {
			var v millrace.Value
			var val []byte
			if v, val, end = d.jsonValue(raw, next); end > 0 && val[0] != 'n' {
				d.nestedField(e, f, k, name, v, val, depth)
			}
		}
		if end < 0 {
			return
		}
		if link = &k.next; k.n == 0 {
			link = &parent.child
		}
		if i = skipSpace(raw, end); i >= len(raw) || raw[i] != ',' {
			return
		}
	}
}

// nestedKey reads a key and its colon at i, in the object of the dotted name,
// with what its field is for; next is where the value begins. link is where the
// entry is noted that is expected here. A name too long is that of no field.
//
// If k is the first entry, the dotted name of the key is in d.key.
func (d *Decoder) nestedKey(b []byte, i int, parent *cachedKey, link *uint8, name string) (k *cachedKey, f field, next int) {
	if d.inner == nil {
		d.inner = new(keyCache)
	}
	d.inner.number = d.keys.number
	// The key in the text may be that of another object.
	if k, next = d.inner.expect(b, i, *link); next >= 0 && k.within(name) && parent.n > 0 {
		d.inner.see(k)
		return k, k.field, skipSpace(b, next)
	}
	k = &d.inner.entries[0]
	key, next := d.jsonKey(b, i)
	if next < 0 || len(name)+1+len(key) > maxExtraKey {
		d.key = d.key[:0]
		return k, f, next
	}
	d.key = append(append(append(d.key[:0], name...), '.'), key...)
	if n := i + len(key) + 3; parent.n > 0 && n <= next && b[n-1] == ':' && b[n-2] == '"' {
		k = d.inner.learn(link, b[i:n], d.key)
	}
	if k.n > 0 {
		return k, k.field, next
	}
	return k, fieldOf(borrow(d.key)), next
}

// nestedField files a field of the object of the dotted name, whose key has the
// entry k.
func (d *Decoder) nestedField(e *millrace.Event, f field, k *cachedKey, name string, v millrace.Value, raw []byte, depth int) {
	s, rank, js := f.slot, f.rank, &d.js
	switch {
	case s == slotNone:
	case s == slotParent:
		if raw[0] == '{' && depth < 4 {
			if full := k.name; k.n > 0 {
				d.nested(e, k, full, raw, depth+1)
			} else {
				d.nested(e, k, borrow(d.key), raw, depth+1)
				d.key = d.key[:len(name)]
			}
		}
	case s == slotStack:
		e.MultiLine = e.MultiLine || stackLike(v, raw[0])
	case raw[0] == '{' || raw[0] == '[':
	case s < slotURL:
		if js.rank[s] < rank && d.setColumn(e, s, v, raw[0], raw) {
			if js.rank[s] > 0 && js.at[s] >= 0 {
				e.Attrs = append(e.Attrs, d.filed(int(js.at[s])))
			}
			js.rank[s], js.at[s] = rank, -1
		}
	case s < slotCount:
		if js.rank[s] < rank {
			js.rank[s], js.attr[s], js.val[s] = rank, -1, v
			js.todo |= 1 << s
		}
	}
}
