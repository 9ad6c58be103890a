package decode

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// The JSON form of Loki's push API, "loki-json":
//
//	{"streams":[{"stream":{"app":"x"},"values":[["1570818238000000000","line",{"trace_id":"1"}]]}]}
//
// An item is one element of values as sent, a context the object of labels. The
// form of Loki 0.x (POST /api/prom/push), which some clients still send, is read
// too: labels is the text {app="x"} and entries has objects {"ts":…,"line":…}.
//
// Deviations: values of labels and metadata need not be strings; a time may be a
// number, or RFC 3339 as in the old form.

// splitLokiJSON is Split of "loki-json".
func splitLokiJSON(res *Pieces, extra, body []byte, lim Limits) error {
	tenant, err := lokiTenant(extra)
	if err != nil {
		return err
	}
	s := lokiJSONSplitter{lokiSplitter{res: res, lim: lim, tenant: tenant}, body, !utf8.Valid(body)}
	if len(body) == 0 {
		return nil
	}
	i := skipSpace(body, 0)
	end := ^i
	if i < len(body) && body[i] == '{' {
		end = eachMember(body, i, func(key []byte, v int) int {
			if string(key) == "streams" && body[v] == '[' {
				return eachElement(body, v, s.stream)
			}
			return skipValue(body, v, 1)
		})
	}
	if end >= 0 {
		if i = skipSpace(body, end); i < len(body) {
			end = ^i
		}
	}
	if s.full() {
		return tooManyEvents(lim.MaxEvents)
	}
	if end < 0 {
		return millrace.Errorf(millrace.ErrInvalid, `body: %s; expected {"streams":[…]}; nothing was stored`, describeJSON(body, ^end))
	}
	return nil
}

type lokiJSONSplitter struct {
	lokiSplitter
	body  []byte
	check bool // the body is not all UTF-8
}

// maxLokiArrays is how many arrays of entries a stream may have: one, but nothing
// says that a key comes once.
const maxLokiArrays = 4

// stream splits the stream at i and returns its end. Its labels may stand behind
// its entries, which are therefore read in a second pass.
func (s *lokiJSONSplitter) stream(i int) int {
	b := s.body
	if s.full() {
		return ^i
	}
	if b[i] != '{' {
		return s.odd(i, "a stream is no object")
	}
	var labels []byte
	var arrays [maxLokiArrays]int
	n := 0
	end := eachMember(b, i, func(key []byte, v int) int {
		end := skipValue(b, v, 3)
		if end < 0 {
			return end
		}
		switch string(key) {
		case "stream", "labels":
			labels = b[v:end:end]
		case "values", "entries":
			if n < maxLokiArrays {
				arrays[n] = v
			}
			n++
		}
		return end
	})
	if end < 0 {
		return end
	}
	if n > maxLokiArrays {
		return s.odd(i, fmt.Sprintf("a stream with %d arrays of entries", n))
	}
	if detail := s.badLabels(labels); detail != "" {
		s.index++
		s.refuse(ReasonBadLabels, detail, b[i:end])
		return end
	}
	labels = s.withTenant(labels)
	for _, at := range arrays[:n] {
		if b[at] != '[' {
			s.odd(at, "the entries of a stream are no array")
			continue
		}
		eachElement(b, at, func(v int) int {
			end := skipValue(b, v, 4)
			if end >= 0 {
				s.entry(labels, b[v:end:end])
			}
			if s.full() {
				return ^v
			}
			return end
		})
		if s.full() {
			return ^at
		}
	}
	return end
}

// odd refuses the value at i and returns its end.
func (s *lokiJSONSplitter) odd(i int, detail string) int {
	end := skipValue(s.body, i, 2)
	if end >= 0 {
		s.index++
		s.refuse(ReasonBadJSON, detail, s.body[i:end])
	}
	return end
}

// badLabels says what is wrong with the labels of a stream, "" for nothing.
func (s *lokiJSONSplitter) badLabels(b []byte) string {
	switch {
	case s.check && !utf8.Valid(b):
		return "labels: invalid UTF-8"
	case len(b) == 0 || b[0] == '{' || string(b) == "null":
		return ""
	case b[0] != '"':
		return "labels: expected an object"
	}
	if text, ok := plainJSON(b); !ok || checkLokiLabels(text) >= 0 {
		return "labels: expected name=\"value\" pairs in braces"
	}
	return ""
}

// plainJSON returns the text of a well-formed JSON string in its quotes.
func plainJSON(b []byte) ([]byte, bool) {
	end, escaped := scanString(b, 1)
	if end != len(b) {
		return nil, false
	}
	if !escaped {
		return b[1 : end-1], true
	}
	return unescape(make([]byte, 0, len(b)), b[1:end-1]), true
}

func (s *lokiJSONSplitter) entry(labels, item []byte) {
	s.index++
	var en lokiJSONEntry
	switch reason, detail := en.read(item); {
	case reason != "":
		s.refuse(reason, detail, item)
	case len(item) > int(s.lim.MaxEvent):
		s.refuse(ReasonTooLarge, tooLargeDetail(len(item), s.lim), item)
	case s.check && !utf8.Valid(item):
		s.refuse(ReasonBadUTF8, fmt.Sprintf("byte %d of the entry: invalid UTF-8", 1+invalidUTF8(item)), item)
	default:
		s.res.Events = append(s.res.Events, Piece{Context: labels, Item: item, Index: s.index})
	}
}

// withTenant adds the tenant to the labels, be they an object or a text.
func (s *lokiJSONSplitter) withTenant(labels []byte) []byte {
	if s.tenant == "" {
		return labels
	}
	if len(labels) > 0 && labels[0] == '"' {
		text, _ := plainJSON(labels)
		text = s.lokiSplitter.withTenant(text)
		return millrace.AppendJSONString(s.res.Text(6 * len(text))[:0], string(text))
	}
	inner := bytes.TrimRight(bytes.TrimSuffix(labels, []byte("}")), " \t\r\n")
	if len(inner) == 0 || inner[0] != '{' {
		inner = []byte("{")
	}
	out := append(s.res.Text(len(inner)+len(s.tenant)+24), inner...)
	if len(inner) > 1 {
		out = append(out, ',')
	}
	out = append(out, `"`+lokiTenantLabel+`":"`...)
	out = append(out, s.tenant...) // which has nothing to escape
	return append(out, `"}`...)
}

// lokiJSONEntry is an entry as sent. It is well-formed JSON.
type lokiJSONEntry struct {
	lokiEntry
	escaped bool   // line has escapes
	pairs   []byte // the object of structured metadata
}

const lokiEntryShape = `expected ["nanoseconds","line",{metadata}]`

// read reads the array of an entry, or the object of the old form; reason is not
// "" if it is to be refused.
func (en *lokiJSONEntry) read(b []byte) (reason, detail string) {
	if len(b) > 0 && b[0] == '{' {
		return en.readOld(b)
	}
	if len(b) < 2 || b[0] != '[' {
		return ReasonBadJSON, lokiEntryShape
	}
	i := skipSpace(b, 1)
	for k := 0; b[i] != ']'; k++ {
		end := skipValue(b, i, 1)
		if end < 0 {
			return ReasonBadJSON, lokiEntryShape
		}
		v := b[i:end]
		switch {
		case k == 0:
			if !en.time(v) {
				return ReasonBadTime, "time " + millrace.Example(v) + ": expected nanoseconds since 1970 in a string"
			}
		case k == 1 && v[0] == '"':
			en.line, en.escaped = v[1:len(v)-1], bytes.IndexByte(v, '\\') >= 0
		case k == 2 && v[0] == '{':
			en.pairs, en.metadata = v, true
		case k == 2 && string(v) == "null":
		default:
			return ReasonBadJSON, lokiEntryShape
		}
		if i = skipSpace(b, end); i < len(b) && b[i] == ',' {
			i = skipSpace(b, i+1)
		}
		if i >= len(b) {
			return ReasonBadJSON, lokiEntryShape
		}
	}
	if en.line == nil {
		return ReasonBadJSON, lokiEntryShape
	}
	return "", ""
}

func (en *lokiJSONEntry) readOld(b []byte) (reason, detail string) {
	end := eachMember(b, 0, func(key []byte, v int) int {
		end := skipValue(b, v, 1)
		if end < 0 {
			return end
		}
		switch value := b[v:end]; string(key) {
		case "ts", "timestamp":
			if !en.time(value) {
				reason, detail = ReasonBadTime, "time "+millrace.Example(value)+": expected RFC 3339"
			}
		case "line":
			if value[0] == '"' {
				en.line, en.escaped = value[1:len(value)-1], bytes.IndexByte(value, '\\') >= 0
			}
		case "structuredMetadata":
			if value[0] == '{' {
				en.pairs, en.metadata = value, true
			}
		}
		return end
	})
	if reason == "" && (end < 0 || en.line == nil) {
		return ReasonBadJSON, `expected {"ts":…,"line":…}`
	}
	return reason, detail
}

// time reads the value of a time; 0 is none, as for protobuf.
func (en *lokiJSONEntry) time(v []byte) bool {
	if v[0] == '"' {
		v = v[1 : len(v)-1]
	}
	ns, ok := lokiStringTime(v)
	en.ns, en.timed = ns, ok && ns != 0
	return ok
}

// lokiJSONPiece decodes one entry.
func (d *Decoder) lokiJSONPiece(ordinal int32, context, item []byte) {
	var en lokiJSONEntry
	reason, detail := ReasonBadJSON, lokiEntryShape
	if skipValue(item, 0, 0) == len(item) {
		reason, detail = en.read(item)
	}
	if reason != "" {
		d.b.Reject(ordinal, reason, detail, item)
		return
	}
	if !d.loki.loadJSON(d, context) {
		d.b.Reject(ordinal, ReasonBadLabels, "the stream's labels cannot be read", context)
		return
	}
	d.loki.entry()
	if en.metadata {
		d.loki.addJSON(d, en.pairs)
	}
	e := d.b.Add(ordinal)
	en.line = unborrow(d.jsonString(en.line, en.escaped))
	d.lokiEvent(e, &en.lokiEntry)
}

// loadJSON is load for labels in JSON. Unescaped ones lie in memory of the batch,
// which lives as long as the payload does.
func (s *lokiStream) loadJSON(d *Decoder, context []byte) bool {
	if len(context) > 0 && context[0] == '"' {
		text, ok := plainJSON(context)
		if !ok || checkLokiLabels(text) >= 0 {
			return false
		}
		s.forget()
		return s.load(bytes.Clone(text))
	}
	if s.loaded && sameText(borrow(context), s.context) {
		return true
	}
	if !s.begin(context) || string(context) == "null" {
		return true
	}
	if skipValue(context, 0, 0) != len(context) || !s.addJSON(d, context) {
		s.forget()
		return false
	}
	s.end()
	return true
}

// addJSON adds the members of a well-formed object.
func (s *lokiStream) addJSON(d *Decoder, object []byte) bool {
	if object[0] != '{' {
		return false
	}
	i := skipSpace(object, 1)
	for i < len(object) && object[i] != '}' {
		key, v := d.jsonKey(object, i)
		if v < 0 {
			return false
		}
		value, raw, end := d.jsonValue(object, v)
		if end < 0 {
			return false
		}
		if raw[0] != 'n' { // null is absent
			s.add(key, value)
		}
		if i = skipSpace(object, end); i < len(object) && object[i] == ',' {
			i = skipSpace(object, i+1)
		}
	}
	return true
}
