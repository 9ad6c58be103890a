package rollup

import (
	"math"
	"unique"
	"unsafe"

	"github.com/millrace/millrace"
)

// dimension reads one dimension of events and turns it into codes.
type dimension struct {
	reader
	*dict
	index  int     // in the rollup's dimensions
	isText bool    // it is a column that is text,
	offset uintptr // here in an Event
	// key is that of the attribute, if it is one: decoders use the same copy, so
	// that a comparison of pointers tells most.
	key unique.Handle[string]
}

func newDimension(name string, d *dict, index int) dimension {
	out := dimension{reader: newReader(name), dict: d, index: index}
	if out.where == nil {
		out.offset, out.isText = textOffset(name)
	}
	if out.where == nil && !out.isField {
		out.key = unique.Make(name)
		out.reader.name = out.key.Value()
	}
	return out
}

// textOffset returns where a column that is used as a dimension is in an Event.
func textOffset(name string) (offset uintptr, ok bool) {
	var e millrace.Event
	switch name {
	case "project":
		return unsafe.Offsetof(e.Project), true
	case "source":
		return unsafe.Offsetof(e.Source), true
	case "service":
		return unsafe.Offsetof(e.Service), true
	case "host":
		return unsafe.Offsetof(e.Host), true
	case "env":
		return unsafe.Offsetof(e.Env), true
	case "release":
		return unsafe.Offsetof(e.Release), true
	case "level":
		return unsafe.Offsetof(e.Level), true
	}
	return 0, false
}

// unread marks an event whose code is not known yet.
const unread = math.MaxUint32

// encode sets the codes of the picked events. A loop for each thing that is done to
// them lets the processor have several in work, and its cache misses overlap.
// Values are admitted in the order of the events.
func (d *dimension) encode(e *encoder, dst []uint32, events []millrace.Event, picked []int32) {
	texts, keysOf := e.read[:len(picked)], e.keys[:len(picked)]
	dst = dst[:len(picked)]
	if d.isText {
		for i, at := range picked {
			texts[i], dst[i] = *(*string)(unsafe.Add(unsafe.Pointer(&events[at]), d.offset)), unread
		}
	} else {
		d.attributes(e, dst, events, picked)
	}
	keys(keysOf, texts)
	for i, s := range texts {
		if dst[i] != unread {
			continue
		}
		if c, ok := d.lookup(&keysOf[i], s); ok {
			dst[i] = c
		} else {
			dst[i] = d.miss(s, events[picked[i]].Weight)
		}
	}
}

// attributes reads what is no text column: it sets the codes of small integers,
// and the texts of all else.
func (d *dimension) attributes(e *encoder, dst []uint32, events []millrace.Event, picked []int32) {
	texts := e.read[:len(picked)]
	e.digits = e.digits[:0]
	key, n := unsafe.StringData(d.reader.name), len(d.reader.name)
	if d.key == (unique.Handle[string]{}) {
		key = nil
	}
	for i, at := range picked {
		ev := &events[at]
		texts[i], dst[i] = "", unread
		v := &none
		if attrs, at := ev.Attrs, d.reader.at; at < len(attrs) && unsafe.StringData(attrs[at].Key) == key && len(attrs[at].Key) == n {
			v = &attrs[at].Value
		} else if got, ok := d.value(ev); ok {
			e.value = got
			v = &e.value
		}
		if v.Kind() == millrace.ValueString {
			texts[i] = v.String()
			continue
		}
		if small, ok := v.Int(); ok && v.Kind() == millrace.ValueInt {
			if c, ok := d.small(small); ok {
				dst[i] = c
				continue
			}
		}
		from := len(e.digits)
		e.digits = v.AppendText(e.digits)
		texts[i] = borrow(e.digits[from:])
	}
}

// none is the value of an attribute that an event has not.
var none millrace.Value
