package decode

import (
	"fmt"
	"unicode/utf8"
)

// Fields of LogRecord and of what is in it, by tag.
const (
	otlpTime         = 1<<3 | wireFixed64
	otlpSeverity     = 2<<3 | wireNumber
	otlpSeverityText = 3<<3 | wireBytes
	otlpBody         = 5<<3 | wireBytes
	otlpAttributes   = 6<<3 | wireBytes
	otlpDropped      = 7<<3 | wireNumber
	otlpFlags        = 8<<3 | wireFixed32
	otlpTraceID      = 9<<3 | wireBytes
	otlpSpanID       = 10<<3 | wireBytes
	otlpObserved     = 11<<3 | wireFixed64
	otlpEventName    = 12<<3 | wireBytes

	otlpKey   = 1<<3 | wireBytes // KeyValue
	otlpValue = 2<<3 | wireBytes

	otlpString = 1<<3 | wireBytes // AnyValue
	otlpBool   = 2<<3 | wireNumber
	otlpInt    = 3<<3 | wireNumber
	otlpDouble = 4<<3 | wireFixed64
	otlpArray  = 5<<3 | wireBytes
	otlpKVList = 6<<3 | wireBytes
	otlpBytes  = 7<<3 | wireBytes

	otlpValues = 1<<3 | wireBytes // ArrayValue, KeyValueList

	otlpResourceAttributes = 1<<3 | wireBytes // Resource
	otlpResourceDropped    = 2<<3 | wireNumber

	otlpScopeName       = 1<<3 | wireBytes // InstrumentationScope
	otlpScopeVersion    = 2<<3 | wireBytes
	otlpScopeAttributes = 3<<3 | wireBytes
	otlpScopeDropped    = 4<<3 | wireNumber
)

// otlpCheck checks a message before it is taken: that it is well-formed, that
// fields have their types, that texts are UTF-8. The first fault is kept.
type otlpCheck struct {
	whole      []byte
	reason     string
	what       string
	at         int
	attributes int
}

func (c *otlpCheck) fail(reason, what string, b []byte, i int) bool {
	c.reason, c.what, c.at = reason, what, max(0, offsetIn(c.whole, b))+i
	return false
}

func (c *otlpCheck) describe() string {
	if c.reason == ReasonBadUTF8 {
		return fmt.Sprintf("byte %d of %d: invalid UTF-8 in %s", c.at, len(c.whole), c.what)
	}
	return fmt.Sprintf("byte %d of %d: damaged, of another type or nested too deeply: %s", c.at, len(c.whole), c.what)
}

func (c *otlpCheck) detail(res *Pieces) string {
	if len(res.Refused) >= maxDetails {
		return ""
	}
	return c.describe()
}

// unknown is for a field at i that is none of the message's; one of the numbers
// up to known is in an encoding that is not its own.
func (c *otlpCheck) unknown(tag uint64, known uint64, what string, b []byte, i int) bool {
	if tag>>3 <= known {
		return c.fail(ReasonBadProtobuf, what, b, i)
	}
	return true
}

func (c *otlpCheck) text(s []byte, what string) bool {
	return utf8.Valid(s) || c.fail(ReasonBadUTF8, what, s, invalidUTF8(s))
}

func (c *otlpCheck) record(b []byte) (ok bool) {
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		if next < 0 {
			return c.fail(ReasonBadProtobuf, "LogRecord", b, i)
		}
		ok = true
		switch tag {
		case otlpAttributes:
			ok = c.keyValue(data, 0)
		case otlpBody:
			ok = c.value(data, 0)
		case otlpSeverityText:
			ok = c.text(data, "severity_text")
		case otlpEventName:
			ok = c.text(data, "event_name")
		case otlpTime, otlpSeverity, otlpDropped, otlpFlags, otlpTraceID, otlpSpanID, otlpObserved:
		default:
			ok = tag>>3 == 4 || c.unknown(tag, 12, "LogRecord", b, i) // 4 was a name before 1.0
		}
		if !ok {
			return false
		}
		i = next
	}
	return true
}

func (c *otlpCheck) keyValue(b []byte, depth int) (ok bool) {
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		if next < 0 {
			return c.fail(ReasonBadProtobuf, "KeyValue", b, i)
		}
		switch tag {
		case otlpKey:
			ok = c.text(data, "an attribute's key")
		case otlpValue:
			ok = c.value(data, depth)
		default:
			ok = c.unknown(tag, 2, "KeyValue", b, i)
		}
		if !ok {
			return false
		}
		i = next
	}
	return true
}

func (c *otlpCheck) value(b []byte, depth int) (ok bool) {
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		if next < 0 || depth > maxDepth {
			return c.fail(ReasonBadProtobuf, "AnyValue", b, i)
		}
		ok = true
		switch tag {
		case otlpString:
			ok = c.text(data, "a value")
		case otlpArray, otlpKVList:
			ok = c.values(data, tag, depth+1)
		case otlpBool, otlpInt, otlpDouble, otlpBytes:
		default:
			ok = c.unknown(tag, 7, "AnyValue", b, i)
		}
		if !ok {
			return false
		}
		i = next
	}
	return true
}

// values checks an ArrayValue or a KeyValueList.
func (c *otlpCheck) values(b []byte, of uint64, depth int) (ok bool) {
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		switch {
		case next < 0:
			return c.fail(ReasonBadProtobuf, "a list", b, i)
		case tag != otlpValues:
			ok = c.unknown(tag, 1, "a list", b, i)
		case of == otlpKVList:
			ok = c.keyValue(data, depth)
		default:
			ok = c.value(data, depth)
		}
		if !ok {
			return false
		}
		i = next
	}
	return true
}

func (c *otlpCheck) context(b []byte) (ok bool) {
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		if next < 0 {
			return c.fail(ReasonBadProtobuf, "the context", b, i)
		}
		switch tag {
		case otlpResource:
			ok = c.resource(data)
		case otlpContextScope:
			ok = c.scope(data)
		default:
			ok = c.text(data, "schema_url")
		}
		if !ok {
			return false
		}
		i = next
	}
	return true
}

func (c *otlpCheck) resource(b []byte) (ok bool) {
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		if next < 0 {
			return c.fail(ReasonBadProtobuf, "Resource", b, i)
		}
		ok = true
		switch tag {
		case otlpResourceAttributes:
			c.attributes++
			ok = c.keyValue(data, 0)
		case otlpResourceDropped:
		default:
			ok = c.unknown(tag, 2, "Resource", b, i)
		}
		if !ok {
			return false
		}
		i = next
	}
	return true
}

func (c *otlpCheck) scope(b []byte) (ok bool) {
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		if next < 0 {
			return c.fail(ReasonBadProtobuf, "InstrumentationScope", b, i)
		}
		ok = true
		switch tag {
		case otlpScopeName, otlpScopeVersion:
			ok = c.text(data, "the scope's name or version")
		case otlpScopeAttributes:
			c.attributes++
			ok = c.keyValue(data, 0)
		case otlpScopeDropped:
		default:
			ok = c.unknown(tag, 4, "InstrumentationScope", b, i)
		}
		if !ok {
			return false
		}
		i = next
	}
	return true
}
