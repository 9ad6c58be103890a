package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Loki's push API (POST /loki/api/v1/push, Loki 2.0 to 3.x; grafana/loki,
// pkg/push/push.proto): streams, each with labels and entries of a time, a line
// and structured metadata. "loki" is the protobuf message after snappy, of which
// an item is one EntryAdapter as sent and a context the text of the labels;
// "loki-json" (loki_json.go) is the JSON form.
//
// The line is decoded as format auto decodes a line, so that its fields are
// searchable, too. Then:
//   - the entry's time wins over one in the line, which, if the line is not kept
//     as message, is the attribute time_extracted where they differ;
//   - labels and structured metadata become columns and attributes by their names
//     (loki_labels.go);
//   - a field of the line that has the name of a label and another value is named
//     as in Loki, NAME_extracted.
//
// extra is a JSON object whose member tenant is X-Scope-OrgID; it becomes the
// label __tenant_id__, as Loki's queries over several tenants show it.
//
// Limits: an entry lim.MaxEvent bytes. Nothing is asked of the number, names or
// order of labels, nor of the order of times.
// Deviations: an entry that is refused (a time out of range, invalid UTF-8) does
// not spoil its stream; streams without labels are taken; the hash of a stream is
// ignored.

// Reasons why entries and streams are refused.
const (
	ReasonBadProtobuf = "bad_protobuf"
	ReasonBadTime     = "bad_time"
	ReasonBadLabels   = "bad_labels"
	ReasonTooLarge    = "event_too_large"
)

// Fields of the messages, by number.
const (
	lokiStreams  = 1 // PushRequest
	lokiLabels   = 1 // StreamAdapter
	lokiEntries  = 2
	lokiTime     = 1 // EntryAdapter
	lokiLine     = 2
	lokiMetadata = 3
	lokiParsed   = 4
	lokiSeconds  = 1 // google.protobuf.Timestamp
	lokiNanos    = 2
	lokiName     = 1 // LabelPairAdapter
	lokiValue    = 2
)

// wireField is one field of a protobuf message: bytes of a length-delimited one,
// the number of any other.
type wireField struct {
	num  uint64
	n    uint64
	data []byte
	text bool // it is length-delimited
}

// nextWire reads the field at i and returns where the next one begins, negative
// if there is none that is well-formed. Groups are not.
func nextWire(b []byte, i int) (f wireField, next int) {
	tag, i := wireVarint(b, i)
	if i < 0 || tag>>3 == 0 {
		return f, -1
	}
	f.num = tag >> 3
	switch tag & 7 {
	case 0:
		f.n, i = wireVarint(b, i)
		return f, i
	case 1:
		i += 8
	case 5:
		i += 4
	case 2:
		var size uint64
		if size, i = wireVarint(b, i); i < 0 || size > uint64(len(b)-i) {
			return f, -1
		}
		end := i + int(size)
		f.data, f.text = b[i:end:end], true
		return f, end
	default:
		return f, -1
	}
	if i > len(b) {
		return f, -1
	}
	return f, i
}

func wireVarint(b []byte, i int) (v uint64, next int) {
	if i < len(b) && b[i] < 0x80 { // nearly all
		return uint64(b[i]), i + 1
	}
	for shift := uint(0); i < len(b) && shift < 64; i, shift = i+1, shift+7 {
		c := b[i]
		v |= uint64(c&0x7F) << shift
		if c < 0x80 {
			if shift == 63 && c > 1 {
				return 0, -1
			}
			return v, i + 1
		}
	}
	return 0, -1
}

// splitLoki is Split of "loki".
func splitLoki(res *Pieces, extra, body []byte, lim Limits) error {
	tenant, err := lokiTenant(extra)
	if err != nil {
		return err
	}
	s := lokiSplitter{res: res, lim: lim, tenant: tenant}
	for i := 0; i < len(body); {
		f, next := nextWire(body, i)
		if next < 0 || f.num == lokiStreams && !f.text {
			return millrace.Errorf(millrace.ErrInvalid,
				"body: byte %d of %d is no field of Loki's PushRequest; is it snappy-compressed protobuf? nothing was stored", i, len(body))
		}
		if f.num == lokiStreams {
			if s.stream(f.data); s.full() {
				return tooManyEvents(lim.MaxEvents)
			}
		}
		i = next
	}
	return nil
}

// lokiTenant returns the tenant that a request names, "" for none.
func lokiTenant(extra []byte) (string, error) {
	if len(extra) == 0 {
		return "", nil
	}
	var x struct {
		Tenant string `json:"tenant"`
	}
	if err := json.Unmarshal(extra, &x); err != nil {
		return "", millrace.Errorf(millrace.ErrInvalid, "extra: %v", err)
	}
	return x.Tenant, nil
}

// lokiSplitter is the state of one call of Split.
type lokiSplitter struct {
	res    *Pieces
	lim    Limits
	tenant string
	index  int // of the entry before
}

// full reports whether there are more entries than a body may have.
func (s *lokiSplitter) full() bool { return s.lim.MaxEvents > 0 && s.index > s.lim.MaxEvents }

// stream splits one StreamAdapter. Its labels may stand behind its entries.
func (s *lokiSplitter) stream(b []byte) {
	var labels []byte
	entries := 0
	for i := 0; i < len(b); {
		f, next := nextWire(b, i)
		if next < 0 {
			s.index++
			s.refuse(ReasonBadProtobuf, fmt.Sprintf("a stream is damaged at byte %d of %d", i, len(b)), b)
			return
		}
		switch {
		case f.num == lokiLabels && f.text:
			labels = f.data
		case f.num == lokiEntries && f.text:
			entries++
		}
		i = next
	}
	if at := checkLokiLabels(labels); at >= 0 {
		s.refuseStream(labels, at, entries)
		return
	}
	labels = s.withTenant(labels)
	for i := 0; i < len(b); {
		var f wireField
		if f, i = nextWire(b, i); f.num == lokiEntries && f.text {
			if s.entry(labels, f.data); s.full() {
				return
			}
		}
	}
}

// refuseStream refuses the entries of a stream whose labels are wrong at at.
func (s *lokiSplitter) refuseStream(labels []byte, at, entries int) {
	for range max(1, entries) {
		if s.index++; s.full() {
			return
		}
		detail := ""
		if len(s.res.Refused) < maxDetails {
			detail = fmt.Sprintf("labels %s: column %d: expected name=\"value\" pairs in braces, of valid UTF-8", millrace.Example(labels), at+1)
		}
		s.refuse(ReasonBadLabels, detail, labels)
	}
}

func (s *lokiSplitter) entry(labels, item []byte) {
	s.index++
	var en lokiEntry
	switch reason, detail := en.read(item, true); {
	case reason != "":
		s.refuse(reason, detail, item)
	case len(item) > int(s.lim.MaxEvent):
		s.refuse(ReasonTooLarge, tooLargeDetail(len(item), s.lim), item)
	default:
		s.res.Events = append(s.res.Events, Piece{Context: labels, Item: item, Index: s.index})
	}
}

func tooLargeDetail(n int, lim Limits) string {
	return millrace.Bytes(n).String() + "; the limit is " + lim.MaxEvent.String()
}

func (s *lokiSplitter) refuse(reason, detail string, part []byte) {
	s.res.refuse(s.index, reason, detail, part)
}

// withTenant adds the tenant to the text of labels.
func (s *lokiSplitter) withTenant(labels []byte) []byte {
	if s.tenant == "" {
		return labels
	}
	labels = bytes.TrimRight(labels, " \t\r\n")
	inner := bytes.TrimRight(bytes.TrimSuffix(labels, []byte("}")), " \t\r\n,")
	out := append(s.res.Text(len(inner)+len(s.tenant)+24), inner...)
	switch {
	case len(inner) == 0:
		out = append(out, '{')
	case inner[len(inner)-1] != '{':
		out = append(out, ',')
	}
	out = append(out, lokiTenantLabel+`="`...)
	out = append(out, s.tenant...) // which has nothing to escape
	return append(out, `"}`...)
}

const lokiTenantLabel = "__tenant_id__"

// lokiEntry is an entry as sent.
type lokiEntry struct {
	ns       int64
	timed    bool
	metadata bool // it has some
	line     []byte
}

// read reads an EntryAdapter; reason is not "" if it is to be refused. check
// tells whether texts are to be checked, as Split does once.
func (en *lokiEntry) read(b []byte, check bool) (reason, detail string) {
	for i := 0; i < len(b); {
		f, next := nextWire(b, i)
		if next < 0 {
			return ReasonBadProtobuf, fmt.Sprintf("the entry is damaged at byte %d of %d", i, len(b))
		}
		i = next
		switch {
		case !f.text:
		case f.num == lokiTime:
			if !en.time(f.data) {
				return ReasonBadTime, "the entry's time is not between the years 1677 and 2262"
			}
		case f.num == lokiLine:
			en.line = f.data
		case f.num == lokiMetadata, f.num == lokiParsed:
			en.metadata = true
			if check && !validLokiPair(f.data) {
				return ReasonBadProtobuf, "structured metadata is no pair of UTF-8 texts"
			}
		}
	}
	if check && !utf8.Valid(en.line) {
		return ReasonBadUTF8, fmt.Sprintf("byte %d of the line: invalid UTF-8", 1+invalidUTF8(en.line))
	}
	return "", ""
}

// time reads a Timestamp and reports whether it can be expressed. That of 1970,
// which is what is left of a time that was not set, is none.
func (en *lokiEntry) time(b []byte) bool {
	var sec, nsec int64
	for i := 0; i < len(b); {
		f, next := nextWire(b, i)
		if next < 0 {
			return false
		}
		switch i = next; f.num {
		case lokiSeconds:
			sec = int64(f.n)
		case lokiNanos:
			nsec = int64(f.n)
		}
	}
	if nsec < 0 || nsec >= 1e9 {
		return false
	}
	ns, ok := nanos(sec, nsec)
	en.ns, en.timed = ns, ok && ns != 0
	return ok
}

// lokiPair reads a LabelPairAdapter.
func lokiPair(b []byte) (name, value []byte, ok bool) {
	for i := 0; i < len(b); {
		f, next := nextWire(b, i)
		if next < 0 {
			return nil, nil, false
		}
		switch i = next; {
		case f.num == lokiName && f.text:
			name = f.data
		case f.num == lokiValue && f.text:
			value = f.data
		}
	}
	return name, value, true
}

func validLokiPair(b []byte) bool {
	name, value, ok := lokiPair(b)
	return ok && utf8.Valid(name) && utf8.Valid(value)
}

// lokiPiece decodes one entry.
func (d *Decoder) lokiPiece(ordinal int32, context, item []byte) {
	var en lokiEntry
	if reason, detail := en.read(item, false); reason != "" {
		d.b.Reject(ordinal, reason, detail, item)
		return
	}
	if !d.loki.load(context) {
		d.b.Reject(ordinal, ReasonBadLabels, "the stream's labels cannot be read", context)
		return
	}
	d.loki.entry()
	if en.metadata {
		for i := 0; i < len(item); {
			var f wireField
			if f, i = nextWire(item, i); f.text && (f.num == lokiMetadata || f.num == lokiParsed) {
				name, value, _ := lokiPair(f.data)
				d.loki.add(borrow(name), millrace.StringValue(borrow(value)))
			}
		}
	}
	d.lokiEvent(d.b.Add(ordinal), &en)
}

// emptyLine is the message of an entry without a line: an event has one.
const emptyLine = "(empty)"

// lokiEvent makes the event of an entry whose labels and metadata are loaded.
func (d *Decoder) lokiEvent(e *millrace.Event, en *lokiEntry) {
	line := trimEnd(en.line)
	if !blank(line) {
		d.anyLine(e, line)
	} else {
		e.Message = emptyLine
	}
	if en.timed {
		d.entryTime(e, line, en.ns)
	}
	d.loki.apply(d, e)
}

// entryTime sets the time that the entry has. One that the line had is kept if
// it differs and the line is not.
func (d *Decoder) entryTime(e *millrace.Event, line []byte, ns int64) {
	if e.HasTime && e.Time != ns && !sameText(e.Message, line) {
		text := appendTime(d.b.Text(len("2006-01-02T15:04:05.999999999Z")), e.Time)
		e.Extend().SetString("time"+lokiExtracted, borrow(text))
	}
	e.Time, e.HasTime = ns, true
}

// lokiStringTime reads the text of a time: nanoseconds since 1970, or any time
// with a date as older clients send it.
func lokiStringTime(text []byte) (ns int64, ok bool) {
	if len(text) > 0 && skipDigits(text, 0) == len(text) {
		n, err := strconv.ParseInt(borrow(text), 10, 64)
		return n, err == nil
	}
	ns, n, ok := parseTime(text, 0)
	return ns, ok && n > 0 && n == len(text)
}
