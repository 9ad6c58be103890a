package pipeline

import (
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// attrHidden carries the text that a report was read from through the masks, and
// is gone behind them. Events that bring an attribute of that name lose it.
const attrHidden = "exception_text"

// beforeMasks puts the text that the report of e was read from where masks see it
// whatever else they, or steps before them, do to the event.
func (x *exceptions) beforeMasks(b *millrace.Batch, e *millrace.Event) {
	if !x.from.text {
		return
	}
	b.Grow(e, 1)
	e.Set(attrHidden, millrace.StringValue(x.from.from))
}

// afterMasks says of the exception only what the text still says that masks have
// left. Its type and its fingerprint stay if it says nothing: names of classes are
// no secrets, and a hash tells none.
func (x *exceptions) afterMasks(b *millrace.Batch, e *millrace.Event) {
	if !x.from.text {
		return
	}
	text := ""
	for i := range e.Attrs {
		if e.Attrs[i].Key == attrHidden {
			text = e.Attrs[i].Value.String()
			e.Attrs = slices.Delete(e.Attrs, i, i+1)
			break
		}
	}
	if text == x.from.from {
		return
	}
	x.b, x.e = b, e
	x.reread(text)
	x.b, x.e = nil, nil
}

// reread replaces what was said of an exception by what a text says. What a rule
// took away does not come back.
func (x *exceptions) reread(text string) {
	e := x.e
	r, ok := exception.Read(text)
	if x.from.crash {
		r, ok = exception.ReadCrash([]byte(text))
	}
	if !ok {
		e.Attrs = slices.DeleteFunc(e.Attrs, func(a millrace.Attr) bool {
			return a.Key == attrMessage || a.Key == attrCause || a.Key == millrace.AttrReport
		})
		return
	}
	k := x.known(&r, true)
	x.from.uncut = k.cut
	for i := range e.Attrs {
		switch at := &e.Attrs[i]; at.Key {
		case attrMessage:
			at.Value = millrace.StringValue(k.message)
		case attrCause:
			at.Value = millrace.StringValue(k.cause)
		case millrace.AttrReport:
			at.Value = millrace.JSONValue(k.report)
		case millrace.AttrType:
			if k.kind != "" && !x.from.typed {
				at.Value = millrace.StringValue(k.kind)
			}
		}
	}
}
