package rollup

import (
	"github.com/millrace/millrace"
)

// reader reads one field of events. It remembers where it found an attribute,
// for the lines of a source have their fields in the same order.
type reader struct {
	name    string
	column  func(*millrace.Event) string // of the columns that are texts
	isField bool                         // a column, not an attribute
	at      int                          // where the attribute was found last
	scratch []byte
}

func newReader(name string) reader {
	_, isField := new(millrace.Event).Field(name) // which has no attributes
	return reader{name: name, isField: isField, column: textColumn(name)}
}

// textColumn returns the accessor of a column, nil if name is none of them.
// They are the columns that are used as dimensions.
func textColumn(name string) func(*millrace.Event) string {
	switch name {
	case "project":
		return func(e *millrace.Event) string { return e.Project }
	case "source":
		return func(e *millrace.Event) string { return e.Source }
	case "service":
		return func(e *millrace.Event) string { return e.Service }
	case "host":
		return func(e *millrace.Event) string { return e.Host }
	case "env":
		return func(e *millrace.Event) string { return e.Env }
	case "release":
		return func(e *millrace.Event) string { return e.Release }
	case "level":
		return func(e *millrace.Event) string { return e.Level }
	}
	return nil
}

// value returns what Event.Field returns.
func (r *reader) value(e *millrace.Event) (v millrace.Value, ok bool) {
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
