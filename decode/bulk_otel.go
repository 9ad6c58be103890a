package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// Documents of the OpenTelemetry Collector's elasticsearch exporter in its mapping
// mode otel, which is its default (collector-contrib 0.122 to 0.149,
// internal/serializer/otelserializer; before that internal/encoder/log/otel.go):
// a log record in plain JSON.
//
//	{"@timestamp":"1721314113467.654123","observed_timestamp":…,
//	 "data_stream":{"type":"logs","dataset":"generic.otel","namespace":"default"},
//	 "severity_text":"WARN","severity_number":13,"trace_id":…,"span_id":…,
//	 "attributes":{…},"resource":{"attributes":{…}},"scope":{"name":…},
//	 "body":{"text":"order placed"}}
//
// They become what the record would have become by OTLP (otlp_event.go), so that
// it does not matter by which exporter it comes. Times are milliseconds with a
// fraction, or RFC 3339; without one the exporter repeats observed_timestamp.
// Members that OTLP does not have are attributes under their names, those of a
// resource or a scope behind "resource." or "scope.".
//
// Its other modes are JSON as any: ecs, none and raw have names that jsonField
// knows, bodymap is the body alone.

// otelNames are the members by which a document is known: the exporter writes them
// always, and a message never.
var otelNames = [...]string{"observed_timestamp", "resource", "scope"}

// isOTelDocument reports whether e, which parseJSON made of item, is such a document.
func isOTelDocument(e *millrace.Event, item []byte) bool {
	if len(e.Message) != len(item) { // it has a message
		return false
	}
	for _, name := range otelNames {
		v, ok := e.Attr(name)
		if !ok || (v.Kind() == millrace.ValueJSON) != (name != otelNames[0]) {
			return false
		}
	}
	return true
}

// bulkOTel makes e, which is as Batch.Add returned it, of a document that is JSON.
func (d *Decoder) bulkOTel(e *millrace.Event, item []byte) {
	s := d.otlpBegin()
	var f otlpFields
	var misfits uint // fields that are of another type than their own
	resource, scope := noObject, noObject
	eachMember(item, 0, func(key []byte, at int) int {
		field := otelField(key)
		fits, end := d.otelMember(&f, field, item, at)
		if fits {
			misfits &^= 1 << field
		} else {
			misfits |= 1 << field
		}
		switch field {
		case otelResource:
			resource = item[at:end]
		case otelScope:
			scope = item[at:end]
		}
		return end
	})
	if f.time == f.observed {
		f.time = 0 // the record has none
	}
	context := append(append(d.nestedText[:0], `{"resource":`...), resource...)
	context = append(append(append(context, `,"scope":`...), scope...), '}')
	d.nestedText = context
	c := d.otlpContext(s, context, parseOTelContext)
	d.otlpOpen(e, c, &f)
	eachMember(item, 0, func(key []byte, at int) int {
		field := otelField(key)
		switch {
		case field == otlpJSONAttributes && item[at] == '{':
			return d.otelAttrs(item, at, func(key string, v millrace.Value) { d.otlpAttr(e, unborrow(key), v) })
		case field == otlpJSONOther || misfits&(1<<field) != 0:
			v, raw, end := d.jsonValue(item, at)
			if raw[0] != 'n' {
				d.otlpAttr(e, unborrow(d.keyText(key)), v)
			}
			return end
		}
		return skipValue(item, at, 1)
	})
	s.repeats = true // members and attributes may have the same names
	d.otlpClose(e, c, &f)
}

// Fields of a document beside those of a record.
const (
	otelResource = otlpJSONEvent + 1 + iota
	otelScope
)

var noObject = []byte("{}")

// otelField returns what a member is.
func otelField(key []byte) uint {
	switch string(key) {
	case "@timestamp":
		return otlpJSONTime
	case "observed_timestamp":
		return otlpJSONObserved
	case "resource":
		return otelResource
	case "scope":
		return otelScope
	case "severity_number", "severity_text", "body", "attributes", "dropped_attributes_count", "trace_id", "span_id", "event_name":
		return otlpJSONField(borrow(key))
	}
	return otlpJSONOther
}

// otelMember reads a field of a document; fits is false if it is not of its type.
func (d *Decoder) otelMember(f *otlpFields, field uint, b []byte, at int) (fits bool, end int) {
	switch field {
	case otlpJSONTime:
		f.time, fits, end = d.otelTime(b, at)
		return fits, end
	case otlpJSONObserved:
		f.observed, fits, end = d.otelTime(b, at)
		return fits, end
	case otlpJSONBody:
		return d.otelBody(f, b, at)
	case otlpJSONAttributes, otelResource, otelScope:
		return b[at] == '{' || b[at] == 'n', skipValue(b, at, 1)
	}
	return d.otlpJSONMember(f, field, b, at)
}

// otelTime reads a time, 0 being none.
func (d *Decoder) otelTime(b []byte, at int) (ns uint64, ok bool, end int) {
	text, end := d.textAt(b, at)
	if len(text) == 0 {
		return 0, b[at] == '"' || b[at] == 'n', end
	}
	n, ok := epochNumber(unborrow(text))
	if !ok {
		n, _, ok = d.jsonTime(unborrow(text), true)
	}
	return uint64(max(0, n)), ok && n >= 0, end
}

// otelBody reads a body: {"text": …}, or an object or a list as structured or, in
// older versions, flattened.
func (d *Decoder) otelBody(f *otlpFields, b []byte, at int) (fits bool, end int) {
	if b[at] == 'n' {
		return true, skipValue(b, at, 1)
	}
	members := 0
	end = eachMember(b, at, func(key []byte, at int) int {
		members++
		v, raw, end := d.jsonValue(b, at)
		switch string(key) {
		case "text":
			fits = raw[0] != 'n' && v.Kind() != millrace.ValueJSON
		case "structured", "flattened":
			fits = v.Kind() == millrace.ValueJSON
		}
		f.body = v
		return end
	})
	fits = fits && members == 1
	f.hasBody = fits
	return fits, end
}

// otelAttrs calls f for the members of the object at i that have a value.
func (d *Decoder) otelAttrs(b []byte, i int, f func(key string, v millrace.Value)) int {
	return eachMember(b, i, func(key []byte, at int) int {
		v, raw, end := d.jsonValue(b, at)
		if end > 0 && raw[0] != 'n' {
			f(d.keyText(key), v)
		}
		return end
	})
}

// parseOTelContext reads the resource and the scope of a document.
func parseOTelContext(d *Decoder, c *otlpContext, b []byte) bool {
	return eachMember(b, 0, func(key []byte, at int) int {
		prefix := string(append(bytes.Clone(key), '.'))
		return eachMember(b, at, func(key []byte, at int) int {
			if string(key) == "attributes" && b[at] == '{' {
				return d.otelAttrs(b, at, func(key string, v millrace.Value) { c.set(prefix, key, v) })
			}
			v, raw, end := d.jsonValue(b, at)
			if raw[0] == 'n' {
				return end
			}
			n, _ := v.Int()
			switch text := v.String(); {
			case string(key) == "schema_url" && raw[0] == '"':
				c.schema(prefix, text)
			case (string(key) == "name" || string(key) == "version") && raw[0] == '"' && prefix == "scope.":
				c.scope(string(key), text)
			case string(key) == "dropped_attributes_count" && n >= 0 && isDigit(raw[0]):
				c.dropped(prefix, uint64(n))
			default:
				c.set(prefix, prefix+d.keyText(key), v)
			}
			return end
		})
	}) > 0
}
