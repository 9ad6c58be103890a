package decode

import (
	"bytes"
	"math/bits"
	"slices"

	"github.com/millrace/millrace"
)

// Access logs written as JSON: the fields found along the way are renamed to
// the canonical attributes once it is known that the object is an access log.

// accessNames are the canonical names of the access slots.
var accessNames = [slotCount]string{
	slotURL: millrace.AttrURL, slotQuery: millrace.AttrQuery, slotMethod: millrace.AttrMethod,
	slotStatus: millrace.AttrStatus, slotBytes: millrace.AttrBytes, slotRT: millrace.AttrRT,
	slotBackend: millrace.AttrRTBackend, slotClient: millrace.AttrClientIP,
	slotReferer: millrace.AttrReferer, slotAgent: millrace.AttrUserAgent,
	slotVersion: attrHTTPVersion, slotRequest: attrRequest, slotUser: attrUser,
}

// accessMember appends a field as attribute and notes it for its slot.
func (d *Decoder) accessMember(e *millrace.Event, f field, key string, v millrace.Value) {
	if v.Kind() == millrace.ValueJSON { // ECS has an object agent, which is no browser
		e.Extend().Set(key, v)
		return
	}
	js, s, rank := &d.js, f.slot, f.rank
	had := js.rank[s]
	if had > 0 && js.attr[s] >= 0 && e.Attrs[js.attr[s]].Key == key { // a duplicate key
		e.Attrs[js.attr[s]].Value = v
		js.todo |= 1 << s
		return
	}
	if rank > had {
		js.note(f, len(e.Attrs), false)
	}
	e.Extend().Set(key, v)
}

// finishAccess makes the event an access event if it is one.
func (d *Decoder) finishAccess(e *millrace.Event) {
	js := &d.js
	switch {
	case js.rank[slotKind] > 0 && e.Kind != millrace.KindAccess:
		return
	case js.rank[slotKind] > 0:
	case js.rank[slotStatus] == 0 || (js.rank[slotURL] == 0 && js.rank[slotRequest] == 0):
		return
	case js.todo&(1<<slotStatus) > 0 && !validStatus(d.slotValue(e, slotStatus)):
		return
	case js.todo&(1<<slotURL) > 0 && d.slotValue(e, slotURL).Kind() != millrace.ValueString:
		return
	}
	e.Kind = millrace.KindAccess
	if js.rank[slotHost] > 0 {
		e.Host = borrow(trimPort(unborrow(e.Host)))
	}
	if js.rank[slotDuration] > 0 && js.rank[slotRT] == 0 {
		d.accessDuration(e)
	}
	js.todo &= 1<<slotDuration - 1
	if js.todo > 0 {
		d.accessSlots(e)
	}
}

// accessSlots gives the attributes of the access slots their canonical name and
// value. Most lines have them already, which js.todo tells.
func (d *Decoder) accessSlots(e *millrace.Event) {
	js, gone := &d.js, 0
	for todo := js.todo; todo > 0; todo &= todo - 1 {
		s := slot(bits.TrailingZeros32(todo))
		i := js.attr[s]
		v, act := d.accessValue(e, s, d.slotValue(e, s))
		switch {
		case i < 0 && act != actDrop:
			keepObject(e, accessNames[s])
			e.Extend().Set(accessNames[s], v)
			js.repeats = true
		case i < 0:
		case act == actDrop:
			js.gone[gone] = int(i)
			gone++
		default:
			if e.Attrs[i].Key != accessNames[s] {
				e.Attrs[i].Key = accessNames[s]
				js.repeats = true
			}
			if act == actReplace {
				e.Attrs[i].Value = v
			}
		}
	}
	if gone > 0 {
		removeAttrs(e, js.gone[:gone])
	}
}

// keepObject gives an object that has the name of a canonical attribute another
// one, unless the message is the whole line, which has it.
func keepObject(e *millrace.Event, name string) {
	var kept string
	switch {
	case e.Message == "":
		return
	case name == millrace.AttrURL:
		kept = "url_fields"
	case name == millrace.AttrUserAgent:
		kept = "user_agent_fields"
	default:
		return
	}
	for i := range e.Attrs {
		if a := &e.Attrs[i]; a.Key == name && a.Value.Kind() == millrace.ValueJSON {
			a.Key = kept
			return
		}
	}
}

// accessDuration adds rt from a duration whose unit is known: Caddy logs
// seconds, Envoy milliseconds, Traefik nanoseconds. The field itself stays.
func (d *Decoder) accessDuration(e *millrace.Event) {
	js := &d.js
	js.repeats = true
	name := ""
	if i := js.attr[slotStatus]; js.rank[slotStatus] > 0 && i >= 0 {
		name = e.Attrs[i].Key
	}
	unit := 0.0
	switch {
	case name == "DownstreamStatus":
		unit = 1e9
	case name == "response_code":
		unit = 1e3
	case js.rank[slotURL] > 0 && js.attr[slotURL] < 0:
		unit = 1
	}
	if f, ok := d.slotValue(e, slotDuration).Float(); ok && unit > 0 {
		e.Extend().Set(millrace.AttrRT, millrace.FloatValue(f/unit))
	}
}

// removeAttrs removes the attributes of these indexes.
func removeAttrs(e *millrace.Event, gone []int) {
	out := e.Attrs[:0]
	for i, a := range e.Attrs {
		if !slices.Contains(gone, i) {
			out = append(out, a)
		}
	}
	clear(e.Attrs[len(out):])
	e.Attrs = out
}

func validStatus(v millrace.Value) bool {
	if v.Kind() == millrace.ValueBool || v.Kind() == millrace.ValueJSON {
		return false
	}
	n, ok := v.Int()
	return ok && n >= 0 && n <= 999
}

// slotValue returns the value of a filled access slot.
func (d *Decoder) slotValue(e *millrace.Event, s slot) millrace.Value {
	if i := d.js.attr[s]; i >= 0 {
		return e.Attrs[i].Value
	}
	return d.js.val[s]
}

// action tells what becomes of the value of an access slot.
type action uint8

const (
	actKeep action = iota
	actReplace
	actDrop
)

// accessValue returns the canonical value of a slot. It may append further
// attributes: the query of a url, the parts of a request.
func (d *Decoder) accessValue(e *millrace.Event, s slot, v millrace.Value) (millrace.Value, action) {
	if v.Kind() != millrace.ValueString {
		if f, ok := v.Float(); ok && s == slotStatus && v.Kind() == millrace.ValueFloat {
			return millrace.IntValue(int64(f)), actReplace
		}
		return v, actKeep
	}
	text := unborrow(v.String())
	if len(text) == 0 || (len(text) == 1 && text[0] == '-') {
		return v, actDrop
	}
	switch s {
	case slotURL:
		return d.accessURL(e, text), actReplace
	case slotRequest:
		return v, d.accessRequestLine(e, text)
	case slotStatus, slotBytes:
		if n, ok := v.Int(); ok {
			return millrace.IntValue(n), actReplace
		}
	case slotRT, slotBackend:
		if f, ok := decimal(text); ok {
			return literalValue(f, text), actReplace
		}
		if f, ok := sumTimes(text); ok {
			return millrace.FloatValue(f), actReplace
		}
	case slotClient:
		return clientValue(e, text), actReplace
	case slotVersion:
		if hasPrefix(text, "HTTP/") {
			return millrace.StringValue(borrow(text[len("HTTP/"):])), actReplace
		}
	}
	return v, actKeep
}

// accessRequestLine adds what a request line says, unless the object has a url,
// and then drops the line.
func (d *Decoder) accessRequestLine(e *millrace.Event, text []byte) action {
	if d.js.rank[slotURL] > 0 || bytes.IndexByte(text, ' ') < 0 {
		return actKeep
	}
	n := len(e.Attrs)
	accessRequest(e, text)
	if len(e.Attrs) == n+1 && e.Attrs[n].Key == attrRequest { // it is none
		e.Attrs = e.Attrs[:n]
		return actKeep
	}
	return actDrop
}

// accessURL splits a url: the query becomes an attribute unless the object has
// one, and an absolute url sets the host unless the object names one.
func (d *Decoder) accessURL(e *millrace.Event, text []byte) millrace.Value {
	path, host := splitAbsolute(text)
	if len(host) > 0 && d.js.rank[slotHost] == 0 {
		e.Host = borrow(host)
	}
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		if d.js.rank[slotQuery] == 0 {
			setText(e, millrace.AttrQuery, path[i+1:])
		}
		path = path[:i]
	}
	return millrace.StringValue(borrow(path))
}

// clientValue reduces a list of addresses to one and drops a port.
func clientValue(e *millrace.Event, text []byte) millrace.Value {
	if bytes.IndexByte(text, ',') < 0 {
		return millrace.StringValue(borrow(trimPort(text)))
	}
	client, n := pickClient(text)
	if n > 1 {
		setText(e, attrForwardedFor, text)
	}
	return millrace.StringValue(borrow(client))
}
