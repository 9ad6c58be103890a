package decode

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// OTLP/JSON (OTLP 1.x, "JSON Protobuf Encoding"): ids are hex, 64-bit integers
// are numbers or texts. An item is the text of a logRecord, a context
//
//	{"resource":…,"scope":…,"resourceSchemaUrl":…,"scopeSchemaUrl":…}
//
// without what is not there. Several objects may follow each other, as the
// collector's file exporter writes them.
//
// Deviations, all to the client's benefit: names as in the .proto files are taken
// like those in lowerCamelCase, severity numbers as names, and texts, numbers and
// booleans for an AnyValue; ids in base64, as a plain protojson writes them, are
// recognized by their length. A member of a record that is unknown or not of its
// type is kept as an attribute of its own name, unless it is null. Members of
// other objects that are unknown are not read.

// Fields of a record in JSON.
const (
	otlpJSONOther = iota
	otlpJSONTime
	otlpJSONObserved
	otlpJSONSeverity
	otlpJSONText
	otlpJSONBody
	otlpJSONAttributes
	otlpJSONDropped
	otlpJSONFlags
	otlpJSONTrace
	otlpJSONSpan
	otlpJSONEvent
)

func otlpJSONField(key string) uint {
	switch key {
	case "timeUnixNano", "time_unix_nano":
		return otlpJSONTime
	case "observedTimeUnixNano", "observed_time_unix_nano":
		return otlpJSONObserved
	case "severityNumber", "severity_number":
		return otlpJSONSeverity
	case "severityText", "severity_text":
		return otlpJSONText
	case "body":
		return otlpJSONBody
	case "attributes":
		return otlpJSONAttributes
	case "droppedAttributesCount", "dropped_attributes_count":
		return otlpJSONDropped
	case "flags":
		return otlpJSONFlags
	case "traceId", "trace_id":
		return otlpJSONTrace
	case "spanId", "span_id":
		return otlpJSONSpan
	case "eventName", "event_name":
		return otlpJSONEvent
	}
	return otlpJSONOther
}

// splitOTLPJSON is Split of "otlp-json".
func splitOTLPJSON(res *Pieces, _, body []byte, lim Limits) error {
	s := otlpJSONSplitter{otlpSplitter: otlpSplitter{res: res, lim: lim, body: body}, checkUTF8: !utf8.Valid(body)}
	for i := skipSpace(body, 0); i < len(body); i = skipSpace(body, i) {
		end := skipValue(body, i, 0)
		if body[i] != '{' || end < 0 {
			return millrace.Errorf(millrace.ErrInvalid, "body (OTLP, JSON): %s; nothing of this request was stored", describeJSON(body, badAt(i, end)))
		}
		o := readOTLPJSONObject(body, i, "", "resourceLogs", "resource_logs")
		s.each(o.list, "resourceLogs", s.resource)
		if s.err != nil {
			return s.err
		}
		i = end
	}
	return nil
}

func badAt(i, end int) int {
	if end < 0 {
		return ^end
	}
	return i
}

type otlpJSONSplitter struct {
	otlpSplitter
	checkUTF8 bool
	err       error
}

// otlpJSONObject is what matters of a ResourceLogs, say: the texts of what its
// elements share, and where they are.
type otlpJSONObject struct {
	part, schema []byte
	list         int // 0 for none
	end          int
}

// readOTLPJSONObject reads the object at b[i:], which is known to be well-formed.
func readOTLPJSONObject(b []byte, i int, part, list, other string) (o otlpJSONObject) {
	o.end = eachMember(b, i, func(key []byte, at int) int {
		end := skipValue(b, at, 1)
		if end < 0 {
			return end
		}
		switch string(key) {
		case part:
			o.part = b[at:end]
		case "schemaUrl", "schema_url":
			o.schema = b[at:end]
		case list, other:
			o.list = at
		}
		return end
	})
	return o
}

// each calls f for the elements of the list at i, 0 being none; f returns where
// the element ends.
func (s *otlpJSONSplitter) each(i int, name string, f func(i int) int) {
	b := s.body
	if i == 0 || b[i] == 'n' {
		return
	}
	if b[i] != '[' {
		if s.err == nil {
			s.err = millrace.Errorf(millrace.ErrInvalid, "body (OTLP, JSON): column %d: %s is no list; nothing of this request was stored", i+1, name)
		}
		return
	}
	eachElement(b, i, func(at int) int {
		if s.err != nil {
			return -1
		}
		return f(at)
	})
}

func (s *otlpJSONSplitter) resource(i int) int {
	r := readOTLPJSONObject(s.body, i, "resource", "scopeLogs", "scope_logs")
	s.each(r.list, "scopeLogs", func(i int) int {
		o := readOTLPJSONObject(s.body, i, "scope", "logRecords", "log_records")
		s.scope(o.list, [4][]byte{r.part, o.part, r.schema, o.schema})
		return o.end
	})
	return r.end
}

var otlpJSONParts = [4]string{"resource", "scope", "resourceSchemaUrl", "scopeSchemaUrl"}

// scope splits the list of records at i.
func (s *otlpJSONSplitter) scope(i int, parts [4][]byte) {
	var context []byte
	var reason, detail string
	read := false
	s.each(i, "logRecords", func(i int) int {
		if !read { // scopes without records need none
			context, reason, detail = s.context(parts)
			read = true
		}
		end := skipValue(s.body, i, 1)
		if end > 0 && s.err == nil {
			s.record(context, s.body[i:end:end], reason, detail)
		}
		return end
	})
}

func (s *otlpJSONSplitter) record(context, item []byte, reason, detail string) {
	s.index++
	switch {
	case s.lim.MaxEvents > 0 && s.index > s.lim.MaxEvents:
		s.err = tooManyEvents(s.lim.MaxEvents)
	case reason != "":
		s.res.refuse(s.index, reason, detail, item)
	case item[0] != '{':
		s.res.refuse(s.index, ReasonNotOTLP, "a record is an object", item)
	case len(item) > int(s.lim.MaxEvent):
		s.res.refuse(s.index, ReasonTooLarge, tooLargeDetail(len(item), s.lim), item)
	case s.checkUTF8 && !utf8.Valid(item):
		s.res.refuse(s.index, ReasonBadUTF8, "byte "+strconv.Itoa(invalidUTF8(item))+" of the record: invalid UTF-8", item)
	default:
		s.res.Events = append(s.res.Events, Piece{Context: context, Item: item, Index: s.index})
	}
}

// context makes the context of a scope's records, or says why they are refused.
func (s *otlpJSONSplitter) context(parts [4][]byte) (context []byte, reason, detail string) {
	size := 2
	for i, part := range parts {
		size += len(otlpJSONParts[i]) + len(part) + 4
	}
	if size > maxOTLPContext {
		return nil, ReasonContextTooLarge, contextDetail(millrace.Bytes(size).String(), millrace.Bytes(maxOTLPContext).String())
	}
	if s.err = s.share(size); s.err != nil {
		return nil, "", ""
	}
	context = append(s.res.Text(size), '{')
	for i, part := range parts {
		if len(part) == 0 {
			continue
		}
		if len(context) > 1 {
			context = append(context, ',')
		}
		context = append(append(append(append(context, '"'), otlpJSONParts[i]...), `":`...), part...)
	}
	context = append(context, '}')
	if s.checkUTF8 && !utf8.Valid(context) {
		return nil, ReasonBadUTF8, "resource and scope: invalid UTF-8"
	}
	attributes := 0
	for _, part := range parts[:2] {
		o := readOTLPJSONObject(part, 0, "", "attributes", "attributes")
		eachElement(part, o.list, func(at int) int {
			attributes++
			return skipValue(part, at, 1)
		})
	}
	if attributes > maxOTLPShared {
		return nil, ReasonContextTooLarge, contextDetail(strconv.Itoa(attributes)+" attributes", strconv.Itoa(maxOTLPShared))
	}
	return context[:len(context):len(context)], "", ""
}

// parseOTLPJSONContext reads a context.
func parseOTLPJSONContext(d *Decoder, c *otlpContext, b []byte) bool {
	return eachMember(b, 0, func(key []byte, at int) int {
		switch string(key) {
		case "resource":
			return c.jsonObject(d, b, at, "resource.")
		case "scope":
			return c.jsonObject(d, b, at, "scope.")
		case "resourceSchemaUrl", "scopeSchemaUrl":
			text, end := d.textAt(b, at)
			c.schema(string(key[:len(key)-len("SchemaUrl")])+".", text)
			return end
		}
		return skipValue(b, at, 1)
	}) > 0
}

// jsonObject reads a resource or a scope.
func (c *otlpContext) jsonObject(d *Decoder, b []byte, i int, prefix string) int {
	return eachMember(b, i, func(key []byte, at int) int {
		switch string(key) {
		case "attributes":
			return d.otlpJSONAttrs(b, at, func(key []byte, v millrace.Value) { c.set(prefix, borrow(key), v) })
		case "droppedAttributesCount", "dropped_attributes_count":
			n, ok, end := d.otlpJSONInt(b, at)
			if ok && n > 0 {
				c.dropped(prefix, uint64(n))
			}
			return end
		case "name", "version":
			if prefix == "scope." {
				text, end := d.textAt(b, at)
				c.scope(string(key), text)
				return end
			}
		}
		return skipValue(b, at, 1)
	})
}

// otlpJSONPiece decodes a record in JSON.
func (d *Decoder) otlpJSONPiece(ordinal int32, context, item []byte) {
	s := d.otlpBegin()
	c := d.otlpContext(s, context, parseOTLPJSONContext)
	var f otlpFields
	var misfits uint
	ok := c != nil && len(item) > 0 && item[0] == '{' && eachMember(item, 0, func(key []byte, at int) int {
		field := otlpJSONField(d.keyText(key))
		fits, end := d.otlpJSONMember(&f, field, item, at)
		if fits {
			misfits &^= 1 << field
		} else {
			misfits |= 1 << field
		}
		return end
	}) == len(item)
	if !ok {
		d.b.Reject(ordinal, ReasonNotOTLP, "expected a logRecord of OTLP in JSON", item)
		return
	}
	e := d.b.Add(ordinal)
	d.otlpOpen(e, c, &f)
	eachMember(item, 0, func(key []byte, at int) int {
		name := d.keyText(key)
		field := otlpJSONField(name)
		switch {
		case field == otlpJSONAttributes && item[at] == '[':
			return d.otlpJSONAttrs(item, at, func(key []byte, v millrace.Value) { d.otlpAttr(e, key, v) })
		case field == otlpJSONOther || misfits&(1<<field) != 0:
			v, raw, end := d.jsonValue(item, at)
			if end > 0 && raw[0] != 'n' {
				d.otlpAttr(e, unborrow(name), v)
			}
			return end
		}
		return skipValue(item, at, 1)
	})
	s.repeats = true // members and attributes may have the same names
	d.otlpClose(e, c, &f)
}

// otlpJSONMember reads a field of a record; fits is false if it is not of its
// type. null is what is not there.
func (d *Decoder) otlpJSONMember(f *otlpFields, field uint, b []byte, at int) (fits bool, end int) {
	if b[at] == 'n' {
		return true, skipValue(b, at, 1)
	}
	var n int64
	switch field {
	case otlpJSONTime:
		f.time, fits, end = d.otlpJSONTime(b, at)
	case otlpJSONObserved:
		f.observed, fits, end = d.otlpJSONTime(b, at)
	case otlpJSONSeverity:
		if at+1 < len(b) && b[at] == '"' && b[at+1] == 'S' {
			var name string
			name, end = d.textAt(b, at)
			f.severity, fits = severityNumber(name)
			return fits, end
		}
		f.severity, fits, end = d.otlpJSONInt(b, at)
	case otlpJSONDropped:
		n, fits, end = d.otlpJSONInt(b, at)
		f.dropped = uint64(n)
	case otlpJSONFlags:
		n, fits, end = d.otlpJSONInt(b, at)
		f.flags = uint64(n)
	case otlpJSONText, otlpJSONEvent, otlpJSONTrace, otlpJSONSpan:
		if b[at] != '"' {
			return false, skipValue(b, at, 1)
		}
		return true, d.otlpJSONText(f, field, b, at)
	case otlpJSONBody:
		f.body, f.hasBody, end = d.otlpJSONAny(b, at)
		fits = true
	case otlpJSONAttributes:
		fits, end = b[at] == '[', skipValue(b, at, 1)
	default:
		return false, skipValue(b, at, 1)
	}
	return fits, end
}

// otlpJSONText reads a field that is a text.
func (d *Decoder) otlpJSONText(f *otlpFields, field uint, b []byte, at int) (end int) {
	switch field {
	case otlpJSONText:
		f.text, end = d.textAt(b, at)
	case otlpJSONEvent:
		f.event, end = d.textAt(b, at)
	case otlpJSONTrace:
		f.trace, end = d.otlpJSONID(b, at, 16)
	case otlpJSONSpan:
		f.span, end = d.otlpJSONID(b, at, 8)
	}
	return end
}

// otlpJSONInt reads an integer that may be a text.
func (d *Decoder) otlpJSONInt(b []byte, i int) (n int64, ok bool, end int) {
	v, raw, end := d.jsonValue(b, i)
	if end < 0 || raw[0] == 't' || raw[0] == 'f' || raw[0] == 'n' {
		return 0, false, end
	}
	n, ok = v.Int()
	return n, ok, end
}

// otlpJSONTime reads nanoseconds.
func (d *Decoder) otlpJSONTime(b []byte, i int) (ns uint64, ok bool, end int) {
	text, end := d.textAt(b, i)
	if text == "" {
		return 0, end > 0 && b[i] == '"', end
	}
	ns, err := strconv.ParseUint(text, 10, 64)
	if err != nil { // 1.5e18
		n, whole, _ := d.otlpJSONInt(b, i)
		return uint64(max(0, n)), whole && n >= 0, end
	}
	return ns, true, end
}

func severityNumber(name string) (int64, bool) {
	const prefix = "SEVERITY_NUMBER_"
	if len(name) < len(prefix) || name[:len(prefix)] != prefix {
		return 0, false
	}
	name = name[len(prefix):]
	offset := int64(0)
	if n := len(name); n > 0 && name[n-1] >= '2' && name[n-1] <= '4' {
		offset, name = int64(name[n-1]-'1'), name[:n-1]
	}
	for i, level := range [...]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"} {
		if level == name {
			return int64(4*i+1) + offset, true
		}
	}
	return 0, name == "UNSPECIFIED" && offset == 0
}

// otlpJSONID reads an id of n bytes: hex in lower case; base64 of that length
// becomes hex, anything else stays as it is. One of zeros is none.
func (d *Decoder) otlpJSONID(b []byte, i, n int) (id string, end int) {
	id, end = d.textAt(b, i)
	text := unborrow(id)
	if len(text) == base64.StdEncoding.EncodedLen(n) && text[len(text)-1] == '=' {
		out := d.b.Text(n + 2)
		if raw, err := base64.StdEncoding.AppendDecode(out, text); err == nil && len(raw) == n {
			return d.hexID(raw), end
		}
	}
	zeros, upper := true, false
	for _, c := range text {
		zeros = zeros && c == '0'
		upper = upper || c >= 'A' && c <= 'F'
	}
	if zeros {
		return "", end
	}
	if upper && len(text) == hex.EncodedLen(n) {
		id = borrow(append(d.b.Text(len(text)), bytes.ToLower(text)...))
	}
	return id, end
}
