package decode

import (
	"bytes"
	"math"

	"github.com/millrace/millrace"
)

// Values and attributes of OTLP in JSON: AnyValue and KeyValue.

// otlpJSONAttrs calls f for the attributes that have a value, of the list at i.
func (d *Decoder) otlpJSONAttrs(b []byte, i int, f func(key []byte, v millrace.Value)) int {
	return eachElement(b, i, func(at int) int {
		var name string
		var v millrace.Value
		has := false
		end := eachMember(b, at, func(key []byte, at int) (end int) {
			switch string(key) {
			case "key":
				name, end = d.textAt(b, at)
			case "value":
				v, has, end = d.otlpJSONAny(b, at)
			default:
				end = skipValue(b, at, 1)
			}
			return end
		})
		if end > 0 && has {
			f(unborrow(name), v)
		}
		return end
	})
}

// otlpJSONAny reads the AnyValue at b[i:]; ok is false if it has no value.
func (d *Decoder) otlpJSONAny(b []byte, i int) (v millrace.Value, ok bool, end int) {
	switch b[i] {
	case 'n':
		return v, false, skipValue(b, i, 1)
	case '{':
	default: // not in an AnyValue: taken as what it is
		v, _, end = d.jsonValue(b, i)
		return v, end > 0, end
	}
	members, known := 0, false
	end = eachMember(b, i, func(key []byte, at int) int {
		members++
		one, fits, end := d.otlpJSONOneOf(borrow(key), b, at)
		if fits {
			v, known = one, true
		}
		return end
	})
	if end > 0 && !known && members > 0 && !emptyValue(b[i:end]) { // an object of something else
		return millrace.JSONValue(borrow(b[i:end])), true, end
	}
	return v, known, end
}

// emptyValue reports whether an AnyValue only has members that are null.
func emptyValue(b []byte) bool {
	empty := true
	eachMember(b, 0, func(_ []byte, at int) int {
		empty = empty && b[at] == 'n'
		return skipValue(b, at, 1)
	})
	return empty
}

// otlpJSONOneOf reads a member of an AnyValue.
func (d *Decoder) otlpJSONOneOf(key string, b []byte, at int) (v millrace.Value, ok bool, end int) {
	tag := b[at]
	switch key {
	case "stringValue", "string_value", "bytesValue", "bytes_value":
		v, _, end = d.jsonValue(b, at)
		return v, tag == '"', end
	case "boolValue", "bool_value":
		v, _, end = d.jsonValue(b, at)
		return v, tag == 't' || tag == 'f', end
	case "intValue", "int_value", "doubleValue", "double_value":
		if v, _, end = d.jsonValue(b, at); tag != '"' {
			return v, tag == '-' || isDigit(tag), end
		}
		return textNumber(v.String()), v.String() != "", end
	case "arrayValue", "array_value", "kvlistValue", "kvlist_value":
		if tag != '{' {
			return v, false, skipValue(b, at, 1)
		}
		d.nestedText, end = appendOTLPJSONList(d.nestedText[:0], b, at, key[0] == 'k')
		if end < 0 {
			return v, false, end
		}
		return millrace.JSONValue(borrow(append(d.b.Text(len(d.nestedText)), d.nestedText...))), true, end
	}
	return v, false, skipValue(b, at, 1)
}

// textNumber returns the value of a number that is a text.
func textNumber(s string) millrace.Value {
	switch s {
	case "NaN":
		return millrace.FloatValue(math.NaN())
	case "Infinity":
		return millrace.FloatValue(math.Inf(1))
	case "-Infinity":
		return millrace.FloatValue(math.Inf(-1))
	}
	if end, integer := scanNumber(unborrow(s), 0); end == len(s) {
		return numberValue(unborrow(s), integer)
	}
	return millrace.StringValue(s)
}

// appendOTLPJSONList appends the plain JSON of an ArrayValue or KeyValueList.
func appendOTLPJSONList(dst, b []byte, i int, object bool) ([]byte, int) {
	open, closing := byte('['), byte(']')
	if object {
		open, closing = '{', '}'
	}
	dst = append(dst, open)
	first := true
	end := eachMember(b, i, func(key []byte, at int) int {
		if string(key) != "values" {
			return skipValue(b, at, 1)
		}
		return eachElement(b, at, func(at int) (end int) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			if object {
				dst, end = appendOTLPJSONPair(dst, b, at)
			} else {
				dst, end = appendOTLPJSONAny(dst, b, at)
			}
			return end
		})
	})
	return append(dst, closing), end
}

func appendOTLPJSONPair(dst, b []byte, i int) ([]byte, int) {
	name, value := []byte(`""`), -1
	end := eachMember(b, i, func(key []byte, at int) int {
		end := skipValue(b, at, 1)
		switch {
		case end < 0:
		case string(key) == "key" && b[at] == '"':
			name = b[at:end]
		case string(key) == "value":
			value = at
		}
		return end
	})
	dst = append(append(dst, name...), ':')
	if value < 0 || end < 0 {
		return append(dst, "null"...), end
	}
	dst, _ = appendOTLPJSONAny(dst, b, value)
	return dst, end
}

// appendOTLPJSONAny appends the plain JSON of the AnyValue at b[i:].
func appendOTLPJSONAny(dst, b []byte, i int) ([]byte, int) {
	if b[i] != '{' {
		end := skipValue(b, i, 1)
		if end < 0 {
			return dst, end
		}
		return append(dst, b[i:end]...), end
	}
	from, known := len(dst), false
	end := eachMember(b, i, func(key []byte, at int) int {
		end := skipValue(b, at, 1)
		if end < 0 || b[at] == 'n' {
			return end
		}
		switch string(key) {
		case "stringValue", "string_value", "bytesValue", "bytes_value", "boolValue", "bool_value":
			dst = append(dst[:from], b[at:end]...)
		case "intValue", "int_value", "doubleValue", "double_value":
			dst = dst[:from]
			if v := textNumber(borrow(bytes.Trim(b[at:end], `"`))); v.Kind() != millrace.ValueString {
				dst = v.AppendJSON(dst)
			} else {
				dst = append(dst, b[at:end]...)
			}
		case "arrayValue", "array_value", "kvlistValue", "kvlist_value":
			if b[at] != '{' {
				return end
			}
			dst, _ = appendOTLPJSONList(dst[:from], b, at, key[0] == 'k')
		default:
			return end
		}
		known = true
		return end
	})
	if !known && end > 0 {
		if emptyValue(b[i:end]) {
			return append(dst, "null"...), end
		}
		return append(dst, b[i:end]...), end
	}
	return dst, end
}
