package transform

import (
	"math"
	"strconv"

	"github.com/millrace/millrace"
)

// kind is the type of a value within a program.
type kind uint8

const (
	null kind = iota // no such field
	text
	integer
	float
	boolean
	fragment // JSON
	failure  // s says why
)

// value is what expressions compute and extractors find: like millrace.Value,
// with nothing and failure besides, passed in registers.
type value struct {
	s string
	n uint64
	k kind
}

func textValue(s string) value   { return value{s: s, k: text} }
func intValue(i int64) value     { return value{n: uint64(i), k: integer} }
func floatValue(f float64) value { return value{n: math.Float64bits(f), k: float} }
func fail(why string) value      { return value{s: why, k: failure} }

func boolValue(b bool) value {
	if b {
		return value{n: 1, k: boolean}
	}
	return value{k: boolean}
}

func fromValue(v *millrace.Value) value {
	switch v.Kind() {
	case millrace.ValueString:
		return value{s: v.String(), k: text}
	case millrace.ValueInt:
		i, _ := v.Int()
		return intValue(i)
	case millrace.ValueFloat:
		f, ok := v.Float()
		if !ok {
			return value{}
		}
		return value{s: v.Literal(), n: math.Float64bits(f), k: float}
	case millrace.ValueBool:
		i, _ := v.Int()
		return value{n: uint64(i), k: boolean}
	}
	return value{s: v.String(), k: fragment}
}

// out is the inverse of fromValue for values that may be stored.
func (v value) out() millrace.Value {
	switch v.k {
	case integer:
		return millrace.IntValue(int64(v.n))
	case float:
		f := math.Float64frombits(v.n)
		if v.s != "" {
			return millrace.NumberValue(f, v.s)
		}
		return millrace.FloatValue(f)
	case boolean:
		return millrace.BoolValue(v.n == 1)
	case fragment:
		return millrace.JSONValue(v.s)
	}
	return millrace.StringValue(v.s)
}

// number returns v as a number: text counts if it is one. Booleans do not.
func (v value) number() (float64, bool) {
	switch v.k {
	case integer:
		return float64(int64(v.n)), true
	case float:
		return math.Float64frombits(v.n), true
	case text:
		return parseFloat(v.s)
	}
	return 0, false
}

// parseFloat is strconv.ParseFloat for finite decimal numbers. What starts with
// a letter is not tried: an error costs an allocation.
func parseFloat(s string) (float64, bool) {
	if s == "" || len(s) > 64 {
		return 0, false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
		default:
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsInf(f, 0)
}

// render returns v as text; what is not text costs memory of the batch.
func (s *Scratch) render(v value) (string, bool) {
	switch v.k {
	case null:
		return "", true
	case text, fragment:
		return v.s, true
	case failure:
		return "", false
	case float:
		if v.s != "" {
			return v.s, true
		}
	}
	var buf [32]byte
	return s.keep(v.out().AppendText(buf[:0]))
}

// equal compares as rollup filters do: nothing equals the empty text, numbers
// and text that is a number compare by value, everything else as text.
func (v value) equal(w value) bool {
	if v.k == null || w.k == null {
		return (v.k == null || v.k == text && v.s == "") && (w.k == null || w.k == text && w.s == "")
	}
	if v.k == text && w.k == text {
		return v.s == w.s
	}
	if v.k == boolean || w.k == boolean {
		if v.k == w.k {
			return v.n == w.n
		}
		return v.k == text && v.s == boolText(w) || w.k == text && w.s == boolText(v)
	}
	if v.k == integer && w.k == integer {
		return v.n == w.n
	}
	a, ok := v.number()
	b, ok2 := w.number()
	if ok && ok2 {
		return a == b
	}
	return v.k == w.k && v.s == w.s && !ok && !ok2
}

func boolText(v value) string {
	if v.n == 1 {
		return "true"
	}
	return "false"
}

// compare orders numbers, else texts byte by byte; ok is false for anything else.
func (v value) compare(w value) (order int, ok bool) {
	if v.k == integer && w.k == integer {
		return cmp(int64(v.n), int64(w.n)), true
	}
	a, ok1 := v.number()
	b, ok2 := w.number()
	if ok1 && ok2 {
		return cmp(a, b), true
	}
	if v.k == text && w.k == text {
		return cmp(v.s, w.s), true
	}
	return 0, false
}

func cmp[T int64 | float64 | string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
