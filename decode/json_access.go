package decode

import (
	"bytes"
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
func (d *Decoder) accessMember(e *millrace.Event, s slot, rank uint8, key string, v millrace.Value) {
	js := &d.js
	had := js.rank[s]
	if had > 0 && js.attr[s] >= 0 && e.Attrs[js.attr[s]].Key == key { // a duplicate key
		e.Attrs[js.attr[s]].Value, js.val[s] = v, v
		return
	}
	if rank > had {
		js.rank[s], js.attr[s], js.val[s] = rank, len(e.Attrs), v
	}
	e.Attrs = append(e.Attrs, millrace.Attr{Key: key, Value: v})
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
	case !validStatus(js.val[slotStatus]):
		return
	case js.rank[slotURL] > 0 && js.val[slotURL].Kind() != millrace.ValueString:
		return
	}
	e.Kind = millrace.KindAccess
	if js.rank[slotHost] > 0 {
		e.Host = borrow(trimPort(unborrow(e.Host)))
	}
	d.accessDuration(e)
	gone := 0
	for s := slotURL; s < slotDuration; s++ {
		if js.rank[s] == 0 {
			continue
		}
		v, keep := d.accessValue(e, s)
		switch i := js.attr[s]; {
		case i >= 0 && keep:
			e.Attrs[i] = millrace.Attr{Key: accessNames[s], Value: v}
		case i >= 0:
			js.gone[gone] = i
			gone++
		case keep:
			e.Attrs = append(e.Attrs, millrace.Attr{Key: accessNames[s], Value: v})
		}
	}
	if gone > 0 {
		removeAttrs(e, js.gone[:gone])
	}
}

// accessDuration adds rt from a duration whose unit is known: Caddy logs
// seconds, Envoy milliseconds, Traefik nanoseconds. The field itself stays.
func (d *Decoder) accessDuration(e *millrace.Event) {
	js := &d.js
	if js.rank[slotDuration] == 0 || js.rank[slotRT] > 0 {
		return
	}
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
	if f, ok := js.val[slotDuration].Float(); ok && unit > 0 {
		e.Attrs = append(e.Attrs, millrace.Attr{Key: millrace.AttrRT, Value: millrace.FloatValue(f / unit)})
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
	e.Attrs = out
}

func validStatus(v millrace.Value) bool {
	if v.Kind() == millrace.ValueBool || v.Kind() == millrace.ValueJSON {
		return false
	}
	n, ok := v.Int()
	return ok && n >= 0 && n <= 999
}

// accessValue returns the canonical value of a slot and whether to keep it. It
// may append further attributes: the query of a url, the parts of a request.
func (d *Decoder) accessValue(e *millrace.Event, s slot) (v millrace.Value, keep bool) {
	js := &d.js
	v = js.val[s]
	text := []byte(nil)
	if v.Kind() == millrace.ValueString {
		text = unborrow(v.String())
		if len(text) == 0 || (len(text) == 1 && text[0] == '-') {
			return v, false
		}
	}
	if text == nil {
		if f, ok := v.Float(); ok && s == slotStatus && v.Kind() == millrace.ValueFloat {
			return millrace.IntValue(int64(f)), true
		}
		return v, true
	}
	switch s {
	case slotURL:
		return d.accessURL(e, text), true
	case slotRequest:
		if js.rank[slotURL] > 0 || bytes.IndexByte(text, ' ') < 0 {
			return v, true
		}
		n := len(e.Attrs)
		accessRequest(e, text)
		if len(e.Attrs) == n+1 && e.Attrs[n].Key == attrRequest {
			e.Attrs = e.Attrs[:n]
			return v, true
		}
		return v, false
	case slotStatus, slotBytes:
		if n, ok := v.Int(); ok {
			return millrace.IntValue(n), true
		}
	case slotRT, slotBackend:
		if f, ok := decimal(text); ok {
			return literalValue(f, text), true
		}
		if f, ok := sumTimes(text); ok {
			return millrace.FloatValue(f), true
		}
	case slotClient:
		return clientValue(e, text), true
	case slotVersion:
		if hasPrefix(text, "HTTP/") {
			return millrace.StringValue(borrow(text[len("HTTP/"):])), true
		}
	}
	return v, true
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
