package pipeline

import (
	"net/netip"
	"strings"
	"unsafe"

	"github.com/millrace/millrace"
)

// addressFields are the attributes, and the keys within nested ones, that hold
// addresses of clients, in lower case and with _ for -: what our decoders set,
// and what common formats, proxies, ECS, OpenTelemetry and Sentry call them.
var addressFields = map[string]bool{
	millrace.AttrClientIP: true, "clientip": true, "client": true, "client_addr": true, "client_address": true,
	"client.ip": true, "client.address": true, "http.client_ip": true, "http_client_ip": true,
	"remote_addr": true, "remote_ip": true, "remote_address": true, "remote_host": true, "remote.ip": true, "remote": true,
	"source.ip": true, "source.address": true, "source_ip": true, "source_address": true, "src_ip": true, "src": true,
	"ip": true, "ip_address": true, "ipaddress": true, "user_ip": true, "user.ip": true, "user.ip_address": true, "user.ip_addr": true,
	"net.peer.ip": true, "net.sock.peer.addr": true, "network.peer.address": true, "peer": true, "peer_ip": true, "peer.ip": true,
	"x_forwarded_for": true, "http_x_forwarded_for": true, "forwarded_for": true, "forwarded": true, "http_forwarded": true, "xff": true,
	"x_real_ip": true, "http_x_real_ip": true, "real_ip": true, "realip_remote_addr": true, "x_client_ip": true,
	"true_client_ip": true, "cf_connecting_ip": true, "fastly_client_ip": true, "x_cluster_client_ip": true, "fwd": true,
	"http.request.header.x_forwarded_for": true, "http.request.header.forwarded": true, "http.request.header.x_real_ip": true,
}

// longestAddressField bounds the keys that are looked up.
const longestAddressField = 40

// addresses truncates the addresses of clients in events, /24 of IPv4 and /48 of
// IPv6, before anything is stored or counted: an address becomes that of its
// network. It works on what rules have left, so that they see addresses whole.
//
// An address that stands in one of addressFields, or is the sender's and the
// event's host, is truncated wherever else it stands in the event: in the raw
// line, too. nil leaves all as it is. One per goroutine.
//
// It is worth some care: it runs for every event. Texts are written to the
// batch's memory, and keys are looked up only if their length and end fit one.
type addresses struct {
	b     *millrace.Batch // of the event; nil: texts get memory of their own
	found []replaced      // in this event
}

type replaced struct{ from, to string }

// mostFound bounds how many addresses of one event are looked for elsewhere.
const mostFound = 16

// event truncates the addresses in e, an event of b.
func (a *addresses) event(b *millrace.Batch, e *millrace.Event) {
	if a == nil {
		return
	}
	a.b, a.found = b, a.found[:0]
	if b.Record.Sender != "" && e.Host == b.Record.Sender {
		e.Host = a.value(e.Host)
	}
	for i := range e.Attrs {
		at := &e.Attrs[i]
		switch at.Value.Kind() {
		case millrace.ValueString:
			if isAddressField(at.Key) {
				setText(at, a.value(at.Value.String()))
			}
		case millrace.ValueJSON:
			setText(at, a.nested(at.Value.String(), isAddressField(at.Key)))
		}
	}
	if len(a.found) > 0 {
		a.elsewhere(e)
	}
	clear(a.found) // they point into the payload
	a.b = nil
}

// edit is a text that is being changed: nothing is copied before the first
// change.
type edit struct {
	text   string
	copied int    // bytes of text that are in out
	out    []byte // nil: nothing was changed
}

// replace puts other in the place of text[from:to], behind what was replaced.
func (a *addresses) replace(e *edit, from, to int, other string) {
	if e.out == nil {
		// Networks are hardly ever longer than addresses: if so append gets more.
		if n := len(e.text) + len(other); a.b != nil {
			e.out = a.b.Text(n)
		} else {
			e.out = make([]byte, 0, n)
		}
	}
	e.out = append(e.out, e.text[e.copied:from]...)
	e.out = append(e.out, other...)
	e.copied = to
}

// done returns the text as it is now.
func (e *edit) done() string {
	if e.out == nil {
		return e.text
	}
	e.out = append(e.out, e.text[e.copied:]...)
	return unsafe.String(unsafe.SliceData(e.out), len(e.out)) // nobody else writes there
}

// setText sets the text of a string or JSON attribute, if it is another.
func setText(at *millrace.Attr, text string) {
	if text == at.Value.String() {
		return
	}
	if at.Value.Kind() == millrace.ValueJSON {
		at.Value = millrace.JSONValue(text)
		return
	}
	at.Value = millrace.StringValue(text)
}

// fieldEnds has for each last letter, in lower case, the lengths of the fields
// that end in it, as bits.
var fieldEnds = func() (t [256]uint64) {
	for name := range addressFields {
		t[name[len(name)-1]|0x20] |= 1 << len(name)
	}
	return t
}()

// isAddressField looks a key up, whatever its case and hyphens.
func isAddressField(key string) bool {
	n := len(key)
	if n == 0 || n > longestAddressField || fieldEnds[key[n-1]|0x20]>>n&1 == 0 {
		return false
	}
	var buf [longestAddressField]byte
	for i := range len(key) {
		c := key[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case c == '-':
			c = '_'
		}
		buf[i] = c
	}
	return addressFields[string(buf[:len(key)])]
}

// nested truncates addresses in JSON: in a text that follows the name of an
// address field, as its value or, in a list of pairs, behind it; in a list that
// follows one all of them. inside: the whole is the value of one.
func (a *addresses) nested(text string, inside bool) string {
	out := edit{text: text}
	named, depth := inside, 0 // depth of lists that are values of a field
	if inside {
		depth = -1 // for ever
	}
scan:
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '[':
			if named && depth >= 0 {
				depth++
			}
			continue
		case ']':
			if depth > 0 {
				depth--
				named = depth > 0
			}
			continue
		case '"':
		default:
			continue
		}
		end := endOfString(text, i)
		if end < 0 {
			break scan
		}
		token := text[i+1 : end-1]
		key := isKey(text, end)
		switch {
		case named && !key:
			if short := a.value(token); short != token {
				a.replace(&out, i+1, end-1, short)
			}
			named = depth != 0
		default:
			named = depth != 0 || isAddressField(token)
		}
		i = end - 1
	}
	return out.done()
}

// endOfString returns the place after the JSON string that begins at i, -1 if
// there is none.
func endOfString(text string, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// isKey reports whether a colon follows at i.
func isKey(text string, i int) bool {
	for ; i < len(text); i++ {
		switch text[i] {
		case ' ', '\t', '\n', '\r':
		default:
			return text[i] == ':'
		}
	}
	return false
}

// value truncates all addresses in a text and notes them.
func (a *addresses) value(text string) string { return a.scan(text, true) }

// example truncates what looks like an address in a text of which nothing is
// known. It may be none: then an example of something refused is a little less
// exact.
func (a *addresses) example(text string) string {
	if a == nil {
		return text
	}
	return a.scan(text, false)
}

// addressByte has what addresses consist of.
var addressByte = func() (t [256]bool) {
	for _, c := range "0123456789abcdefABCDEF:." {
		t[c] = true
	}
	return t
}()

func (a *addresses) scan(text string, note bool) string {
	out := edit{text: text}
	for i := 0; i < len(text); i++ {
		if !addressByte[text[i]] {
			continue
		}
		end := i
		for end < len(text) && addressByte[text[end]] {
			end++
		}
		from, to := i, end
		i = end
		addr, ok := parseAddress(text, &from, &to)
		if !ok {
			if !note && end == len(text) && strings.Count(text[from:end], ":") > 2 {
				a.replace(&out, from, end, "") // an example's end, perhaps in the middle of an address
			}
			continue
		}
		short := a.short(addr)
		if short == text[from:to] {
			continue
		}
		if note && len(a.found) < mostFound {
			a.found = append(a.found, replaced{text[from:to], short})
		}
		a.replace(&out, from, to, short)
	}
	return out.done()
}

// parseAddress finds the address in a run of the bytes of addresses: all of it,
// or what is left without a port or the dots and colons around it.
func parseAddress(text string, from, to *int) (netip.Addr, bool) {
	run := text[*from:*to]
	if len(run) < len("::1") || strings.IndexByte(run, '.') < 0 && strings.Count(run, ":") < 2 {
		return netip.Addr{}, false
	}
	if addr, err := netip.ParseAddr(run); err == nil {
		return addr, true
	}
	if i := strings.IndexByte(run, ':'); i > 0 && strings.IndexByte(run, '.') < i && i == strings.LastIndexByte(run, ':') {
		*to = *from + i // a port
	}
	for *to > *from && (text[*to-1] == '.' || text[*to-1] == ':') {
		*to--
	}
	for *from < *to && (text[*from] == '.' || text[*from] == ':') {
		*from++
	}
	addr, err := netip.ParseAddr(text[*from:*to])
	return addr, err == nil
}

// short is the address of addr's network.
func (a *addresses) short(addr netip.Addr) string {
	bits := 48
	switch {
	case addr.Is4():
		bits = 24
	case addr.Is4In6():
		bits = 96 + 24
	}
	p, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		panic("BUG: the network of an address: " + err.Error())
	}
	const longest = len("1111:2222:3333::")
	if a.b == nil {
		return p.Addr().String()
	}
	text := p.Addr().AppendTo(a.b.Text(longest))
	return unsafe.String(unsafe.SliceData(text), len(text)) // nobody else writes there
}

// elsewhere replaces the addresses that were found in the other texts of e.
func (a *addresses) elsewhere(e *millrace.Event) {
	for _, r := range a.found {
		for _, c := range [...]*string{&e.Message, &e.Host, &e.Service, &e.TraceID} {
			*c = a.replaceAll(*c, r)
		}
		for i := range e.Attrs {
			at := &e.Attrs[i]
			if k := at.Value.Kind(); k == millrace.ValueString || k == millrace.ValueJSON {
				setText(at, a.replaceAll(at.Value.String(), r))
			}
		}
	}
}

// replaceAll replaces an address where it is not a part of a longer one.
func (a *addresses) replaceAll(text string, r replaced) string {
	if len(text) < len(r.from) {
		return text
	}
	out := edit{text: text}
	for at := 0; ; {
		i := strings.Index(text[at:], r.from)
		if i < 0 {
			return out.done()
		}
		from, to := at+i, at+i+len(r.from)
		if !continues(text, from-1, -1) && !continues(text, to, 1) {
			a.replace(&out, from, to, r.to)
		}
		at = to
	}
}

// continues reports whether an address goes on at i, in the direction of step: a
// digit does, and a dot or a colon that leads to one; but not a port.
func continues(text string, i, step int) bool {
	if i < 0 || i >= len(text) {
		return false
	}
	c := text[i]
	if c == '.' || c == ':' && step < 0 {
		i += step
		return i >= 0 && i < len(text) && isHexDigit(text[i]) && c == '.'
	}
	return isHexDigit(c)
}

func isHexDigit(c byte) bool { return addressByte[c] && c != '.' && c != ':' }
