package rollup

import (
	"strings"
	"unsafe"

	"github.com/millrace/millrace"
)

// reader reads one field of events. It remembers where it found an attribute,
// for the lines of a source have their fields in the same order.
type reader struct {
	name    string
	where   func(*millrace.Event) bool   // nil, or which events have the field
	column  func(*millrace.Event) string // of the columns that are texts
	isField bool                         // a column, not an attribute
	at      int                          // where the attribute was found last
	scratch []byte
}

func newReader(name string) reader {
	if field, where, ok := strings.Cut(name, whereMark); ok {
		r := reader{name: field}
		if field != "" {
			r = newReader(field)
		}
		test, err := compileWhere(where)
		if err != nil {
			panic("BUG: rollup: a condition that was checked: " + err.Error())
		}
		r.where = test
		return r
	}
	_, isField := new(millrace.Event).Field(name) // which has no attributes
	return reader{name: name, isField: isField, column: textColumn(name)}
}

// whereMark lies between a field and a condition in the name of a conditional
// field. No field of an event has it in its name: decoders make no such keys.
const whereMark = "\x00where "

// conditional names the field that events have if they meet a condition, and
// that is 1 without a field: the input of metrics such as
// count() where status >= 500.
func conditional(field, where string) string {
	if where == "" {
		return field
	}
	return field + whereMark + where
}

// textColumn returns the accessor of a column, nil if name is none of those that
// textOffset knows.
func textColumn(name string) func(*millrace.Event) string {
	offset, ok := textOffset(name)
	if !ok {
		return nil
	}
	return func(e *millrace.Event) string { return *(*string)(unsafe.Add(unsafe.Pointer(e), offset)) }
}

// value returns what Event.Field returns.
func (r *reader) value(e *millrace.Event) (v millrace.Value, ok bool) {
	if r.where != nil {
		if !r.where(e) {
			return v, false
		}
		if r.name == "" {
			return millrace.IntValue(1), true
		}
	}
	if r.isField {
		return e.Field(r.name)
	}
	if r.at < len(e.Attrs) && e.Attrs[r.at].Key == r.name {
		return e.Attrs[r.at].Value, true
	}
	for i := range e.Attrs {
		if e.Attrs[i].Key == r.name {
			r.at = i
			return e.Attrs[i].Value, true
		}
	}
	return v, false
}

// text returns the field as text, "" if there is none. Numbers are written to
// r's memory: the text is valid until the next call.
func (r *reader) text(e *millrace.Event) string {
	if r.where != nil && !r.where(e) {
		return ""
	}
	if r.column != nil {
		return r.column(e)
	}
	v, ok := r.value(e)
	switch {
	case !ok:
		return ""
	case v.Kind() == millrace.ValueString:
		return v.String()
	}
	r.scratch = v.AppendText(r.scratch[:0])
	return borrow(r.scratch)
}
