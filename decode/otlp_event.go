package decode

import (
	"bytes"
	"encoding/hex"
	"math"

	"github.com/millrace/millrace"
)

// An OTLP record as an event:
//   - time: time_unix_nano, else observed_time_unix_nano; if both are there and
//     differ, the latter is the attribute observed_time_unix_nano, too.
//   - level: from severity_number, else from severity_text. The attributes
//     severity_number and severity_text keep what the level does not say.
//   - message: a body that is a text, or the text of any other scalar. A body
//     that is a map or a list is the attribute body, and the message the text of
//     a member such as message or msg, else the whole as JSON.
//     Without a body it is exception.message or event_name, else the record's
//     attributes as JSON.
//   - A text without time_unix_nano, severity and event_name is a line that a
//     collector read from a file: it is decoded as format auto decodes lines.
//   - trace_id: hex, in the column; span_id, trace_flags and event_name are
//     attributes. An id of zeros is none.
//   - service.name, host.name, deployment.environment.name (or without .name) and
//     service.version are the columns service, host, env and release: those of
//     the resource, else those of the record.
//   - All other attributes are attributes under their own names with their types:
//     bytes are base64, maps and lists JSON. One without a value is left out.
//     Of equal names the record's has it; the resource's becomes resource.NAME,
//     the scope's scope.NAME, one of our own otlp.NAME, and where a line has the
//     name the record's attributes.NAME.
//   - The scope's name and version are otel.scope.name and otel.scope.version.
//   - Attributes that make an access log are renamed as in format json
//     (json_fields.go): http.response.status_code is status.
//   - With exception.type, exception.message or exception.stacktrace the kind is
//     exception, and exception.type becomes type.

// Attributes of the decoder's own.
const (
	attrSpanID      = "span_id"
	attrTraceFlags  = "trace_flags"
	attrEventName   = "event_name"
	attrBody        = "body"
	attrObserved    = "observed_time_unix_nano"
	attrSevNumber   = "severity_number"
	attrSevText     = "severity_text"
	attrOTelDropped = "otel.dropped_attributes_count"
)

// otlpFields is what a record says besides its attributes.
type otlpFields struct {
	time, observed uint64
	severity       int64
	dropped, flags uint64
	text, event    string // severity_text, event_name
	trace, span    string // hex
	body           millrace.Value
	hasBody        bool
	// Of protobuf: where the attributes are.
	from, to int
}

// attribute notes where an attribute is.
func (f *otlpFields) attribute(i, next int) {
	if f.to == 0 {
		f.from = i
	}
	f.to = next
}

// otlpState is what a Decoder remembers of OTLP.
type otlpState struct {
	keys    keyCache   // of attributes
	prev    *cachedKey // the entry of the attribute before
	last    *otlpContext
	recent  [128]*otlpContext
	filter  uint64 // of the keys of the event at hand
	base    int    // attributes that the event had before the record's
	line    bool   // the body was decoded as a line
	repeats bool   // a key may have come twice
	// exception tells that the record has attributes of one, and its type.
	exception     bool
	exceptionType millrace.Value
}

func (d *Decoder) otlpBegin() *otlpState {
	if d.otlp == nil {
		d.otlp = &otlpState{keys: keyCache{attrs: true}}
	}
	s := d.otlp
	s.keys.number++
	s.prev = &s.keys.entries[0]
	s.filter, s.base, s.line, s.repeats = 0, 0, false, false
	s.exception, s.exceptionType = false, millrace.Value{}
	return s
}

// otlpPiece decodes a record in protobuf.
func (d *Decoder) otlpPiece(ordinal int32, context, item []byte) {
	s := d.otlpBegin()
	c := d.otlpContext(s, context, parseOTLPContext)
	var f otlpFields
	if c == nil || !d.otlpRecord(&f, item) {
		d.b.Reject(ordinal, ReasonNotOTLP, "expected a LogRecord of OTLP in protobuf", item)
		return
	}
	e := d.b.Add(ordinal)
	d.otlpOpen(e, c, &f)
	for i := f.from; i < f.to; {
		var data []byte
		if next := quickSkip(item, i); next > 0 {
			data, i = item[i+2:next:next], next
		} else {
			var tag uint64
			if tag, _, data, i = nextField(item, i); tag != otlpAttributes {
				continue
			}
		}
		key, value := otlpPair(data)
		if v, ok := d.otlpAny(value); ok {
			d.otlpAttr(e, key, v)
		}
	}
	d.otlpClose(e, c, &f)
}

// otlpRecord reads the fields of a record.
func (d *Decoder) otlpRecord(f *otlpFields, b []byte) bool {
	for i := 0; i < len(b); {
		if next := quickSkip(b, i); next > 0 {
			f.attribute(i, next)
			i = next
			continue
		}
		tag, n, data, next := nextField(b, i)
		if next < 0 {
			return false
		}
		switch tag {
		case otlpAttributes:
			f.attribute(i, next)
		case otlpTime:
			f.time = n
		case otlpObserved:
			f.observed = n
		case otlpSeverity:
			f.severity = int64(n)
		case otlpSeverityText:
			f.text = borrow(data)
		case otlpBody:
			f.body, f.hasBody = d.otlpAny(data)
		case otlpDropped:
			f.dropped = n
		case otlpFlags:
			f.flags = n
		case otlpTraceID:
			f.trace = d.hexID(data)
		case otlpSpanID:
			f.span = d.hexID(data)
		case otlpEventName:
			f.event = borrow(data)
		}
		i = next
	}
	return true
}

// hexID returns an id as hex, "" if it is all zeros.
func (d *Decoder) hexID(id []byte) string {
	text := d.b.Text(2 * len(id))
	var bits byte
	for _, c := range id {
		text = append(text, hexPairs[c][0], hexPairs[c][1])
		bits |= c
	}
	if bits == 0 {
		return ""
	}
	return borrow(text)
}

// hexPairs has the two digits of each byte: every record has two ids.
var hexPairs = func() (t [256][2]byte) {
	for i := range t {
		hex.Encode(t[i][:], []byte{byte(i)})
	}
	return t
}()

// otlpOpen sets the message and the columns of the resource.
func (d *Decoder) otlpOpen(e *millrace.Event, c *otlpContext, f *otlpFields) {
	s := d.otlp
	if f.hasBody {
		d.otlpBodyInto(e, f)
	}
	d.js.begin(nil, false)
	if len(e.Attrs) > 0 {
		s.see(e)
	}
	for i := range c.columns {
		if col := &c.columns[i]; col.value != "" && !d.otlpColumn(e, slotService+slot(i), col.value) {
			s.own(d, e, "resource.", col.key, millrace.StringValue(col.value))
		}
	}
	if e.Host != "" && c.columns[slotHost-slotService].value != "" {
		d.js.rank[slotHost] = 1 // one in a url is not it
	}
	s.base = len(e.Attrs)
}

// otlpBodyInto takes the body for the message.
func (d *Decoder) otlpBodyInto(e *millrace.Event, f *otlpFields) {
	switch f.body.Kind() {
	case millrace.ValueString:
		text := trimEnd(unborrow(f.body.String()))
		if f.time == 0 && f.severity == 0 && f.text == "" && f.event == "" && !blank(text) {
			d.anyLine(e, text)
			d.otlp.line, d.otlp.repeats = true, true
			return
		}
		e.Message = borrow(text)
		e.MultiLine = bytes.IndexByte(text, '\n') >= 0
	case millrace.ValueJSON:
		e.Extend().Set(attrBody, f.body)
		if e.Message = d.messageIn(unborrow(f.body.String())); e.Message == "" {
			e.Message = f.body.String()
		}
		e.MultiLine = bytes.IndexByte(unborrow(e.Message), '\n') >= 0
	default:
		e.Message = borrow(f.body.AppendText(d.b.Text(32)))
	}
}

// messageIn returns the member of a JSON object that is best known as message,
// if it is a text.
func (d *Decoder) messageIn(b []byte) (message string) {
	best := uint8(0)
	eachMember(b, 0, func(key []byte, at int) int {
		v, _, end := d.jsonValue(b, at)
		if end < 0 {
			return end
		}
		if s, rank := jsonField(borrow(key)); s == slotMessage && rank > best && v.Kind() == millrace.ValueString && v.String() != "" {
			message, best = v.String(), rank
		}
		return end
	})
	return message
}

// otlpColumn sets a column that nothing more specific has set, and reports
// whether it has the value.
func (d *Decoder) otlpColumn(e *millrace.Event, s slot, value string) bool {
	r := d.b.Record
	into, request := &e.Service, r.Service
	switch s {
	case slotHost:
		into, request = &e.Host, r.Host
	case slotEnv:
		into, request = &e.Env, r.Env
	case slotRelease:
		into, request = &e.Release, r.Release
	}
	if *into == request { // what the request says is for events that do not
		*into = value
	}
	return *into == value
}

// otlpSlot returns the column that an attribute is for, slotNone for none, and
// its rank among those for the same one.
func otlpSlot(key string) (slot, uint8) {
	switch key {
	case "service.name":
		return slotService, 1
	case "host.name":
		return slotHost, 1
	case "deployment.environment":
		return slotEnv, 1
	case "deployment.environment.name":
		return slotEnv, 2
	case "service.version":
		return slotRelease, 1
	}
	return slotNone, 0
}

// otlpAttr files an attribute of the record.
func (d *Decoder) otlpAttr(e *millrace.Event, key []byte, v millrace.Value) {
	s := d.otlp
	k := s.keys.named(s.prev, key)
	s.prev = k
	name, f := k.name, k.field
	if k.n == 0 {
		name, f = borrow(key), fieldOf(borrow(key))
		s.repeats = true // it may come twice
	} else if s.keys.see(k) {
		s.repeats = true
	}
	if s.base > 0 && s.filter&keyBit(name) != 0 && hasKey(e.Attrs[:s.base], name) {
		e.Extend().Set(d.free(e, "attributes.", name), v)
		return
	}
	s.filter |= keyBit(name)
	switch f.class {
	case classAccess:
		d.accessMember(e, f, name, v)
		return
	case classText, classColumn:
		if col, _ := otlpSlot(name); col != slotNone && v.Kind() == millrace.ValueString && v.String() != "" {
			if e.Kind == millrace.KindLog && d.otlpColumnFree(e, col) {
				d.otlpColumn(e, col, v.String())
				return
			}
		}
	case classOther:
		if f.slot == slotStack && stackLike(v, tagOf(v)) {
			e.MultiLine = true
		}
	}
	if len(name) > len("exception.") && name[0] == 'e' && name[:len("exception.")] == "exception." {
		d.otlpExceptionAttr(e, name, v)
		return
	}
	e.Extend().Set(name, v)
}

// otlpColumnFree reports whether nothing but the request has set a column.
func (d *Decoder) otlpColumnFree(e *millrace.Event, s slot) bool {
	r := d.b.Record
	switch s {
	case slotService:
		return e.Service == r.Service
	case slotHost:
		return e.Host == r.Host
	case slotEnv:
		return e.Env == r.Env
	}
	return e.Release == r.Release
}

// tagOf returns a first byte as the JSON of v has it, as far as stackLike asks.
func tagOf(v millrace.Value) byte {
	switch v.Kind() {
	case millrace.ValueString:
		return '"'
	case millrace.ValueJSON:
		return '{'
	}
	return '0'
}

// otlpExceptionAttr files an attribute of an exception.
func (d *Decoder) otlpExceptionAttr(e *millrace.Event, name string, v millrace.Value) {
	if v.Kind() == millrace.ValueString && v.String() != "" {
		switch name {
		case "exception.type":
			d.otlp.exception, d.otlp.exceptionType = true, v
			return
		case "exception.message", "exception.stacktrace":
			d.otlp.exception = true
		}
	}
	e.Extend().Set(name, v)
}

// otlpClose sets what the attributes do not matter for, and what records share.
func (d *Decoder) otlpClose(e *millrace.Event, c *otlpContext, f *otlpFields) {
	s := d.otlp
	if s.exception {
		d.otlpException(e)
	} else if !s.line {
		if d.finishAccess(e); e.Kind == millrace.KindAccess {
			s.see(e) // names changed
		}
		s.repeats = s.repeats || d.js.repeats
	}
	if e.Message == "" {
		d.otlpMessage(e, f)
	}
	if f.trace != "" {
		e.TraceID = f.trace
	}
	d.otlpTime(e, f)
	d.otlpLevel(e, f)
	if f.span != "" {
		s.own(d, e, "otlp.", attrSpanID, millrace.StringValue(f.span))
	}
	if f.flags != 0 {
		s.own(d, e, "otlp.", attrTraceFlags, millrace.IntValue(int64(f.flags)))
	}
	if f.event != "" {
		s.own(d, e, "otlp.", attrEventName, millrace.StringValue(f.event))
	}
	if f.dropped != 0 {
		s.own(d, e, "otlp.", attrOTelDropped, millrace.IntValue(int64(f.dropped)))
	}
	c.apply(d, e)
	d.distinct = !s.repeats
}

// otlpMessage gives an event without a body a message: every event has one.
func (d *Decoder) otlpMessage(e *millrace.Event, f *otlpFields) {
	if e.Message = f.event; e.Message == "" {
		d.nestedText = millrace.AppendAttrs(d.nestedText[:0], e.Attrs)
		e.Message = borrow(append(d.b.Text(len(d.nestedText)), d.nestedText...))
	}
}

// otlpException makes the event an exception. The pipeline reads its stack.
func (d *Decoder) otlpException(e *millrace.Event) {
	s := d.otlp
	e.Kind = millrace.KindException
	if e.Message == "" {
		v, _ := e.Attr("exception.message")
		if e.Message = v.String(); e.Message == "" {
			e.Message = s.exceptionType.String()
		}
	}
	if s.exceptionType.String() == "" {
		return
	}
	for i := range e.Attrs {
		if e.Attrs[i].Key == millrace.AttrType { // the record's own
			e.Attrs[i].Key = "attributes." + millrace.AttrType
			s.repeats = true
		}
	}
	s.own(d, e, "otlp.", millrace.AttrType, s.exceptionType)
	s.see(e)
}

// otlpTime sets the event's time.
func (d *Decoder) otlpTime(e *millrace.Event, f *otlpFields) {
	ns := f.time
	if ns == 0 {
		if ns = f.observed; e.HasTime { // the line's own
			ns = 0
		}
	}
	if f.observed != 0 && f.observed != ns {
		d.otlp.own(d, e, "otlp.", attrObserved, uintValue(f.observed))
	}
	switch {
	case ns > math.MaxInt64:
		e.HasTime = false
		d.otlp.own(d, e, "otlp.", millrace.AttrTimeOriginal, uintValue(ns))
	case ns != 0:
		e.Time, e.HasTime = int64(ns), true
	}
}

func uintValue(n uint64) millrace.Value {
	if n > math.MaxInt64 {
		return millrace.FloatValue(float64(n))
	}
	return millrace.IntValue(int64(n))
}

var (
	otlpLevels = [6]string{levelTrace, levelDebug, levelInfo, levelWarn, levelError, levelFatal}
	// otlpLevelTexts are what the data model calls the first number of each, and
	// most senders all of them.
	otlpLevelTexts = [6]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}
)

// otlpLevel sets the level. Four numbers share one, of which the first says no
// more than the level.
func (d *Decoder) otlpLevel(e *millrace.Event, f *otlpFields) {
	level, text := "", ""
	if f.severity >= 1 && f.severity <= 24 {
		level, text = otlpLevels[(f.severity-1)/4], otlpLevelTexts[(f.severity-1)/4]
		e.Level = level
	}
	switch {
	case f.text == "" || f.text == level || f.text == text:
	case level == "":
		if !setLevel(e, f.text) {
			d.otlp.own(d, e, "otlp.", attrSevText, millrace.StringValue(f.text))
		}
	default:
		if name, lossy, ok := normalLevel(f.text); !ok || lossy || name != level {
			d.otlp.own(d, e, "otlp.", attrSevText, millrace.StringValue(f.text))
		}
	}
	if f.severity != 0 && (level == "" || f.severity%4 != 1) {
		d.otlp.own(d, e, "otlp.", attrSevNumber, millrace.IntValue(f.severity))
	}
}
