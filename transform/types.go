package transform

import (
	"math"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// valueType is what a text is turned into.
type valueType uint8

const (
	typeString valueType = iota + 1
	typeInt
	typeFloat
	typeBool
	typeDuration
	typeMillis
	typeMicros
	typeNanos
	typeBytes
	typeJSON
)

// typeNames are the types of rules. Durations become seconds, as everywhere in
// millrace.
var typeNames = map[string]valueType{
	"string": typeString, "int": typeInt, "float": typeFloat, "bool": typeBool,
	"duration": typeDuration, "milliseconds": typeMillis, "microseconds": typeMicros,
	"nanoseconds": typeNanos, "bytes": typeBytes, "json": typeJSON,
}

const typeList = "string, int, float, bool, duration, milliseconds, microseconds, nanoseconds, bytes, json"

// convert returns v as the type, or a failure. Nothing stays nothing.
func (t valueType) convert(s *Scratch, v value) value {
	if v.k == null || v.k == failure {
		return v
	}
	switch t {
	case typeString:
		x, ok := s.render(v)
		if !ok {
			return fail(s.full())
		}
		return textValue(x)
	case typeInt:
		return toInt(v)
	case typeFloat:
		return toFloat(v)
	case typeBool:
		return toBool(v)
	case typeDuration:
		return toSeconds(v)
	case typeMillis:
		return scaled(v, 1e3)
	case typeMicros:
		return scaled(v, 1e6)
	case typeNanos:
		return scaled(v, 1e9)
	case typeBytes:
		return toBytes(v)
	case typeJSON:
		if v.k == text && (scanJSON(v.s) != len(v.s) || v.s == "" || v.s[0] != '{' && v.s[0] != '[') {
			return fail("not a JSON object or array")
		}
		return value{s: v.s, k: fragment}
	}
	return v
}

func toInt(v value) value {
	switch v.k {
	case integer:
		return v
	case text:
		if i, ok := parseInt(v.s); ok {
			return intValue(i)
		}
	case boolean:
		return intValue(int64(v.n))
	}
	if f, ok := v.number(); ok && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return intValue(int64(f))
	}
	return fail("not a whole number")
}

// toFloat keeps how a text spells the number.
func toFloat(v value) value {
	f, ok := v.number()
	if !ok {
		return fail("not a number")
	}
	if v.k == float {
		return v
	}
	out := floatValue(f)
	if v.k == text && jsonNumber(v.s) {
		out.s = v.s
	}
	return out
}

// jsonNumber reports whether s is spelled as JSON allows, so that it can be
// stored as it is: no plus sign, no leading zeros, digits on both sides of a point.
func jsonNumber(s string) bool {
	n := scanNumber(s, 0)
	return n == len(s)
}

func toBool(v value) value {
	switch v.k {
	case boolean:
		return v
	case integer:
		if v.n <= 1 {
			return boolValue(v.n == 1)
		}
	case text:
		switch v.s {
		case "true", "True", "TRUE", "yes", "on", "1", "t", "T", "Yes", "YES", "ON":
			return boolValue(true)
		case "false", "False", "FALSE", "no", "off", "0", "f", "F", "No", "NO", "OFF":
			return boolValue(false)
		}
	}
	return fail("neither true nor false")
}

// toSeconds reads 250ms, 1m30s, 2d, "1.5 s" and plain numbers, which are seconds.
func toSeconds(v value) value {
	if v.k == integer || v.k == float {
		return toFloat(v)
	}
	if v.k != text {
		return fail("not a duration")
	}
	if _, ok := parseFloat(v.s); ok {
		return toFloat(v)
	}
	if len(v.s) > 64 || v.s == "" {
		return fail("not a duration")
	}
	t := v.s
	if i := strings.IndexByte(t, ' '); i >= 0 {
		t = strings.ReplaceAll(t, " ", "")
	}
	d, err := millrace.ParseDuration(t)
	if err != nil {
		return fail("not a duration such as 250ms")
	}
	return floatValue(float64(d) / float64(time.Second))
}

func scaled(v value, unit float64) value {
	f, ok := v.number()
	if !ok {
		return fail("not a number")
	}
	return floatValue(f / unit)
}

// byteUnits are the suffixes of sizes, without "b" and "ib", in lower case.
const byteUnits = "kmgtp"

// toBytes reads 512, 4KiB, 4kB, 4K: all prefixes stand for powers of 1024.
func toBytes(v value) value {
	if v.k != text {
		return toInt(v)
	}
	t := strings.TrimSpace(v.s)
	if i, ok := parseInt(t); ok && i >= 0 {
		return intValue(i)
	}
	end := len(t)
	for end > 0 && (t[end-1] < '0' || t[end-1] > '9') {
		end--
	}
	f, ok := parseFloat(t[:end])
	if !ok || f < 0 {
		return fail("not a size such as 4KiB")
	}
	unit, ok := byteUnit(strings.TrimSpace(t[end:]))
	if !ok || f*unit >= 1<<63 {
		return fail("not a size such as 4KiB")
	}
	return intValue(int64(math.Round(f * unit)))
}

func byteUnit(s string) (float64, bool) {
	if len(s) > 5 {
		return 0, false
	}
	switch strings.ToLower(s) {
	case "", "b", "byte", "bytes":
		return 1, true
	}
	i := strings.IndexByte(byteUnits, s[0]|0x20)
	if i < 0 {
		return 0, false
	}
	switch strings.ToLower(s[1:]) {
	case "", "b", "ib":
		return math.Pow(1024, float64(i+1)), true
	}
	return 0, false
}
