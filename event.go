package millrace

import (
	"math"
	"strconv"
)

// Kind says what an event describes.
type Kind uint8

// The kinds of event. The zero value is KindLog.
const (
	KindLog Kind = iota
	KindAccess
	KindException
	KindMetric
	KindCost
)

var kindNames = [...]string{"log", "access", "exception", "metric", "cost"}

// String returns the name used in SQL, queries and filters.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// ParseKind is the inverse of Kind.String.
func ParseKind(s string) (Kind, bool) {
	for i, n := range kindNames {
		if n == s {
			return Kind(i), true
		}
	}
	return 0, false
}

// DefaultProject is the project of requests that name none.
const DefaultProject = "default"

// Names of attributes that decoders set and that pages, default rollups and
// documentation rely on. Durations are seconds, sizes bytes.
const (
	AttrURL          = "url"    // path without the query string
	AttrQuery        = "query"  // query string without '?'
	AttrMethod       = "method" // request method
	AttrStatus       = "status" // integer
	AttrBytes        = "bytes"  // integer, body bytes sent
	AttrRT           = "rt"     // request time, seconds
	AttrRTBackend    = "rt_backend"
	AttrClientIP     = "client_ip"
	AttrReferer      = "referer"
	AttrUserAgent    = "user_agent"
	AttrType         = "type"             // exception type
	AttrFingerprint  = "fingerprint"      // exception fingerprint
	AttrFrames       = "frames"           // JSON array of Frame; older rows have it instead of AttrReport
	AttrReport       = "exception_report" // the Report, as package exception writes it
	AttrUser         = "user"             // who was affected: an id, else a name or address
	AttrErrorClass   = "error_class"      // business or system (also absent), as rules say
	AttrTimeOriginal = "time_original"    // RFC 3339, when Time was set to arrival
)

// Event is one log line, request, crash, timing, metric or cost.
//
// Ownership: a decoder's strings point into the record's payload; whoever
// keeps one beyond the batch copies it.
type Event struct {
	Time    int64 // event time, ns
	Weight  int64 // occurrences this event stands for, at least 1
	Kind    Kind
	Ordinal int32 // index of its frame within the record

	Project, Source         string
	Service, Host           string
	Env, Release            string
	Level, TraceID, Message string
	Attrs                   []Attr
	// Report is what a decoder read of an exception whose frames came as data, not
	// as text; nil for all others. The pipeline makes attributes of it (type,
	// fingerprint, frames) and takes it away, before rules see the event.
	Report    *Report
	HasTime   bool // the payload carried a time; otherwise Time is the arrival
	MultiLine bool // Message has continuation lines, a stack trace perhaps
}

// Attr is one further field of an event. Keys are unique within an event.
type Attr struct {
	Key   string
	Value Value
}

// ValueKind is the JSON type of a Value.
type ValueKind uint8

// The kinds of value. ValueJSON holds a well-formed JSON object or array.
const (
	ValueString ValueKind = iota
	ValueInt
	ValueFloat
	ValueBool
	ValueJSON
)

// Value is a scalar or a raw JSON fragment, 32 bytes, without allocation.
type Value struct {
	str  string
	num  uint64
	kind ValueKind
}

// StringValue returns a string value; invalid UTF-8 must not be passed.
func StringValue(s string) Value { return Value{str: s} }

// IntValue returns an integer value.
func IntValue(i int64) Value { return Value{kind: ValueInt, num: uint64(i)} }

// FloatValue returns a float value; NaN and infinities become strings in JSON.
func FloatValue(f float64) Value { return Value{kind: ValueFloat, num: math.Float64bits(f)} }

// NumberValue returns a value that keeps the literal as written, so that 1.10
// stays 1.10 in storage while arithmetic uses the parsed number.
func NumberValue(f float64, literal string) Value {
	return Value{kind: ValueFloat, num: math.Float64bits(f), str: literal}
}

// BoolValue returns a boolean value.
func BoolValue(b bool) Value {
	v := Value{kind: ValueBool}
	if b {
		v.num = 1
	}
	return v
}

// JSONValue returns a nested value; raw must be well-formed JSON.
func JSONValue(raw string) Value { return Value{kind: ValueJSON, str: raw} }

// Kind returns the type of v.
func (v Value) Kind() ValueKind { return v.kind }

// Int returns v as an integer and whether it is one (or a float without
// fraction, or a string of digits).
func (v Value) Int() (int64, bool) {
	switch v.kind {
	case ValueInt, ValueBool:
		return int64(v.num), true
	case ValueFloat:
		f := math.Float64frombits(v.num)
		if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
			return int64(f), true
		}
	case ValueString:
		i, err := strconv.ParseInt(v.str, 10, 64)
		return i, err == nil
	}
	return 0, false
}

// Float returns v as a finite number and whether it is one.
func (v Value) Float() (float64, bool) {
	switch v.kind {
	case ValueInt:
		return float64(int64(v.num)), true
	case ValueFloat:
		f := math.Float64frombits(v.num)
		return f, !math.IsNaN(f) && !math.IsInf(f, 0)
	case ValueString:
		f, err := strconv.ParseFloat(v.str, 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

// Literal returns how a float was written, "" if that is not known.
func (v Value) Literal() string {
	if v.kind != ValueFloat {
		return ""
	}
	return v.str
}

// String returns v as text: numbers in their shortest or original form, JSON
// fragments as they are. It allocates for numbers.
func (v Value) String() string {
	if v.kind == ValueString || v.kind == ValueJSON {
		return v.str
	}
	return string(v.AppendText(nil))
}

// AppendText appends what String returns.
func (v Value) AppendText(dst []byte) []byte {
	switch v.kind {
	case ValueInt:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case ValueFloat:
		if v.str != "" {
			return append(dst, v.str...)
		}
		return strconv.AppendFloat(dst, math.Float64frombits(v.num), 'g', -1, 64)
	case ValueBool:
		return strconv.AppendBool(dst, v.num == 1)
	}
	return append(dst, v.str...)
}

// AppendJSON appends v as JSON.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case ValueString:
		return AppendJSONString(dst, v.str)
	case ValueFloat:
		f := math.Float64frombits(v.num)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return AppendJSONString(dst, strconv.FormatFloat(f, 'g', -1, 64))
		}
	}
	return v.AppendText(dst)
}

// Extend appends an attribute and returns it for the caller to set: until then
// it holds anything. The pointer is valid until the next one is appended.
//
// Decoders use it and the setters below instead of append: an Attr built aside
// is written in words and copied in double words, and a load that waits for two
// stores costs more than all the rest of filing a field.
func (e *Event) Extend() *Attr {
	n := len(e.Attrs)
	if n == cap(e.Attrs) {
		e.Attrs = append(e.Attrs, Attr{})
	} else {
		e.Attrs = e.Attrs[:n+1]
	}
	return &e.Attrs[n]
}

// SetString is Set with StringValue.
func (a *Attr) SetString(key, s string) {
	a.Key = key
	a.Value.str, a.Value.num, a.Value.kind = s, 0, ValueString
}

// SetInt is Set with IntValue.
func (a *Attr) SetInt(key string, i int64) {
	a.Key = key
	a.Value.str, a.Value.num, a.Value.kind = "", uint64(i), ValueInt
}

// SetNumber is Set with NumberValue.
func (a *Attr) SetNumber(key string, f float64, literal string) {
	a.Key = key
	a.Value.str, a.Value.num, a.Value.kind = literal, math.Float64bits(f), ValueFloat
}

// Set sets key and value.
func (a *Attr) Set(key string, v Value) {
	a.Key = key
	a.Value.str, a.Value.num, a.Value.kind = v.str, v.num, v.kind
}

// Attr returns the attribute's value and whether the event has it.
func (e *Event) Attr(key string) (Value, bool) {
	for i := range e.Attrs {
		if e.Attrs[i].Key == key {
			return e.Attrs[i].Value, true
		}
	}
	return Value{}, false
}

// Set replaces or appends an attribute.
func (e *Event) Set(key string, v Value) {
	for i := range e.Attrs {
		if e.Attrs[i].Key == key {
			e.Attrs[i].Value = v
			return
		}
	}
	e.Attrs = append(e.Attrs, Attr{key, v})
}

// Field returns a column or an attribute by the name that queries use.
// Columns win over attributes of the same name.
func (e *Event) Field(name string) (Value, bool) {
	switch name {
	case "project":
		return StringValue(e.Project), true
	case "source":
		return StringValue(e.Source), true
	case "kind":
		return StringValue(e.Kind.String()), true
	case "service":
		return StringValue(e.Service), true
	case "host":
		return StringValue(e.Host), true
	case "env":
		return StringValue(e.Env), true
	case "release":
		return StringValue(e.Release), true
	case "level":
		return StringValue(e.Level), true
	case "trace_id":
		return StringValue(e.TraceID), true
	case "message":
		return StringValue(e.Message), true
	case "weight":
		return IntValue(e.Weight), true
	}
	return e.Attr(name)
}
