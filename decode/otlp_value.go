package decode

import (
	"encoding/base64"
	"math"

	"github.com/millrace/millrace"
)

// otlpPair reads a KeyValue.
func otlpPair(b []byte) (key, value []byte) {
	if key, value, ok := quickPair(b); ok {
		return key, value
	}
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		if next < 0 {
			return key, value
		}
		switch tag {
		case otlpKey:
			key = data
		case otlpValue:
			value = data
		}
		i = next
	}
	return key, value
}

// otlpAny returns an AnyValue; ok is false if it has none.
func (d *Decoder) otlpAny(b []byte) (v millrace.Value, ok bool) {
	if text, ok := quickText(b); ok {
		return millrace.StringValue(borrow(text)), true
	}
	if len(b) == 2 && b[0] == otlpInt && b[1] < 0x80 {
		return millrace.IntValue(int64(b[1])), true
	}
	for i := 0; i < len(b); {
		tag, n, data, next := nextField(b, i)
		if next < 0 {
			return v, ok
		}
		i = next
		switch tag {
		case otlpString:
			v = millrace.StringValue(borrow(data))
		case otlpBool:
			v = millrace.BoolValue(n != 0)
		case otlpInt:
			v = millrace.IntValue(int64(n))
		case otlpDouble:
			v = millrace.FloatValue(math.Float64frombits(n))
		case otlpArray, otlpKVList:
			v = d.otlpNested(data, tag)
		case otlpBytes:
			v = millrace.StringValue(borrow(base64.StdEncoding.AppendEncode(d.b.Text(base64.StdEncoding.EncodedLen(len(data))), data)))
		default:
			continue
		}
		ok = true
	}
	return v, ok
}

// otlpNested returns an ArrayValue or a KeyValueList as JSON.
func (d *Decoder) otlpNested(b []byte, tag uint64) millrace.Value {
	d.nestedText = appendOTLPList(d.nestedText[:0], b, tag, 0)
	return millrace.JSONValue(borrow(append(d.b.Text(len(d.nestedText)), d.nestedText...)))
}

// appendOTLPList appends the JSON of an ArrayValue or a KeyValueList.
func appendOTLPList(dst, b []byte, tag uint64, depth int) []byte {
	open, end := byte('['), byte(']')
	if tag == otlpKVList {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	first := true
	for i := 0; i < len(b) && depth <= maxDepth; {
		field, _, data, next := nextField(b, i)
		if next < 0 {
			break
		}
		if i = next; field != otlpValues {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if tag == otlpKVList {
			var key []byte
			key, data = otlpPair(data)
			dst = append(millrace.AppendJSONString(dst, borrow(key)), ':')
		}
		dst = appendOTLPValue(dst, data, depth+1)
	}
	return append(dst, end)
}

// appendOTLPValue appends the JSON of an AnyValue; one without a value is null.
func appendOTLPValue(dst, b []byte, depth int) []byte {
	from, empty := len(dst), true
	for i := 0; i < len(b); {
		tag, n, data, next := nextField(b, i)
		if next < 0 {
			break
		}
		i = next
		switch tag {
		case otlpString, otlpBool, otlpInt, otlpDouble, otlpArray, otlpKVList, otlpBytes:
			dst, empty = dst[:from], false // of several the last one counts
		}
		switch tag {
		case otlpString:
			dst = millrace.AppendJSONString(dst, borrow(data))
		case otlpBool:
			dst = millrace.BoolValue(n != 0).AppendJSON(dst)
		case otlpInt:
			dst = millrace.IntValue(int64(n)).AppendJSON(dst)
		case otlpDouble:
			dst = millrace.FloatValue(math.Float64frombits(n)).AppendJSON(dst)
		case otlpArray, otlpKVList:
			dst = appendOTLPList(dst, data, tag, depth)
		case otlpBytes:
			dst = append(base64.StdEncoding.AppendEncode(append(dst, '"'), data), '"')
		}
	}
	if empty {
		return append(dst, "null"...)
	}
	return dst
}

// named returns the entry of a key that has no quotes about it, or entry 0 if it
// has none: it is too long, or its entry is in use. prev is the entry of the key
// before, which mostly has the same one behind it.
func (c *keyCache) named(prev *cachedKey, key []byte) *cachedKey {
	if k := &c.entries[prev.next]; k.n > 0 && k.name == string(key) {
		return k
	}
	at := slotOf(key)
	for range 2 {
		if k := &c.entries[at]; k.n > 0 && k.name == string(key) {
			prev.next = at
			return k
		}
		at ^= 1
	}
	if len(key) == 0 {
		return &c.entries[0]
	}
	return c.learn(&prev.next, key, key)
}
