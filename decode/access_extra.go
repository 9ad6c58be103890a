package decode

import (
	"bytes"
	"math"

	"github.com/millrace/millrace"
)

// What follows the request in an access line: status, bytes, referer, user
// agent, and extras, told apart by their shape because nothing names them:
//
//	0.123                    first request_time (rt), then upstream_response_time
//	                         (rt_backend); both in seconds; also quoted
//	0.001, 0.002 : 0.003     several upstreams: their sum is rt_backend
//	1234                     Apache %D: microseconds, rt
//	0/1234                   Apache %T/%D: rt from the microseconds
//	512 3041                 Apache %I %O: bytes_in, bytes_out
//	rt=0.1 urt="0.2" x=y     named: rt, request_time; urt, upstream_response_time;
//	                         host; others become attributes of that name
//	89 0.001 [up] [] ADDR 59 0.000 200 ID    ingress-nginx
//	12 "router" "url" 3ms    Traefik: request count, then rt
//	"1.2.3.4, 10.0.0.1"      X-Forwarded-For: x_forwarded_for
//	example.com              $host
//	10.0.0.5:8080            upstream_addr
//	.  p  -                  "-" and anything else is passed over; Message has it

const (
	attrBytesIn          = "bytes_in"
	attrBytesOut         = "bytes_out"
	attrUpstream         = "upstream"
	attrUpstreamAddr     = "upstream_addr"
	attrUpstreamStatus   = "upstream_status"
	attrUpstreamConnect  = "upstream_connect_time"
	attrUpstreamHeader   = "upstream_header_time"
	maxExtras            = 32 // more is no log format that someone wrote
	maxExtraKey          = 64
	microsecondsInSecond = 1e6
)

// accessTail fills what follows the request's closing quote. It reports whether
// the event's attributes are known to have distinct keys.
func accessTail(e *millrace.Event, b []byte, ssl bool) (distinct bool) {
	t := tail{e: e, b: b}
	if !ssl {
		if tok, _ := t.next(); len(tok) == 3 && isDigit(tok[0]) {
			e.Extend().SetInt(millrace.AttrStatus, smallInt(tok))
		}
	}
	tok, quoted := t.next()
	switch {
	case quoted:
		t.i = t.start // no bytes were logged
	case len(tok) > 0 && len(tok) < 19 && skipDigits(tok, 0) == len(tok):
		e.Extend().SetInt(millrace.AttrBytes, smallInt(tok))
	}
	if t.i >= len(b) {
		return true
	}
	if tok, quoted = t.next(); quoted {
		setText(e, millrace.AttrReferer, tok)
		if tok, quoted = t.next(); quoted {
			setText(e, millrace.AttrUserAgent, tok)
		} else {
			t.i = t.start
		}
	} else {
		t.i = t.start
	}
	if t.i < len(b) {
		t.extras()
	}
	return !t.repeats
}

// tail reads tokens: quoted, bracketed or bare.
type tail struct {
	e        *millrace.Event
	b        []byte
	i, start int
	bracket  bool // the last token was in brackets
	rt       bool // the slot of the first bare time is taken
	backend  bool
	ints     int // bare integers seen
	firstInt int64
	repeats  bool // a key may have been set twice
}

// next returns the next token without quotes or brackets, nil at the end, and
// whether it was quoted.
func (t *tail) next() (tok []byte, quoted bool) {
	for t.i < len(t.b) && t.b[t.i] == ' ' {
		t.i++
	}
	t.start, t.bracket = t.i, false
	if t.i >= len(t.b) {
		return nil, false
	}
	switch t.b[t.i] {
	case '"':
		return t.quoted(), true
	case '[':
		if n := bytes.IndexByte(t.b[t.i:], ']'); n > 0 {
			tok = t.b[t.i+1 : t.i+n]
			t.i += n + 1
			t.bracket = true
			return tok, false
		}
	}
	n := bytes.IndexByte(t.b[t.i:], ' ')
	if n < 0 {
		n = len(t.b) - t.i
	}
	tok = t.b[t.i : t.i+n]
	t.i += n
	// key="value with spaces"
	if k := bytes.IndexByte(tok, '"'); k > 0 && tok[k-1] == '=' {
		t.i = t.start + k
		t.quoted()
		tok = t.b[t.start:t.i]
	}
	return tok, false
}

// quoted reads a quoted token at t.i. Its end is a quote that is not escaped
// and that a space or the end follows, so that quotes inside do not end it; if
// there is none, the first quote, and if none the end of the line.
func (t *tail) quoted() []byte {
	from := t.i + 1
	first := -1
	for at := from; ; {
		q := bytes.IndexByte(t.b[at:], '"')
		if q < 0 {
			break
		}
		q += at
		at = q + 1
		if escapedAt(t.b, from, q) {
			continue
		}
		if at == len(t.b) || t.b[at] == ' ' {
			t.i = at
			return t.b[from:q]
		}
		if first < 0 {
			first = q
		}
	}
	if first >= 0 {
		t.i = first + 1
		return t.b[from:first]
	}
	t.i = len(t.b)
	return t.b[from:]
}

// extras reads what is left.
func (t *tail) extras() {
	mark := t.i
	first, quoted := t.next()
	if !quoted && len(first) > 0 && skipDigits(first, 0) == len(first) {
		// Both start with an integer, and only they have their shape.
		if t.ingress(first) {
			return
		}
		t.i = mark
		t.next()
		if t.traefik() {
			return
		}
	}
	t.i = mark
	for range maxExtras {
		tok, _ := t.next()
		if tok == nil {
			break
		}
		if !t.bracket {
			t.extra(tok)
		}
	}
	// One integer is %D, two are %I %O.
	if t.ints == 1 && !t.rt {
		t.set(millrace.AttrRT, millrace.FloatValue(float64(t.firstInt)/microsecondsInSecond))
	}
}

// extra interprets one token by its shape.
func (t *tail) extra(tok []byte) {
	if len(tok) == 0 {
		return
	}
	switch c := tok[0]; {
	case len(tok) == 1 && c == '-':
		// "-" stands for a time that there is none of, once rt is known.
		t.backend = t.backend || t.rt
	case isDigit(c):
		t.numeric(tok)
	default:
		if i := bytes.IndexByte(tok, '='); i > 0 && i <= maxExtraKey {
			t.named(tok[:i], tok[i+1:])
			return
		}
		switch {
		case bytes.IndexByte(tok, ',') > 0 && clientLike(tok):
			t.text(attrForwardedFor, tok)
		case hostLike(tok):
			t.e.Host = borrow(trimPort(tok))
		}
	}
}

// numeric interprets a token that starts with a digit.
func (t *tail) numeric(tok []byte) {
	if f, ok := decimal(tok); ok {
		if bytes.IndexByte(tok, '.') < 0 {
			t.integer(int64(f))
		} else {
			t.seconds(literalValue(f, tok))
		}
		return
	}
	if i := bytes.IndexByte(tok, '/'); i > 0 { // %T/%D
		if us, ok := decimal(tok[i+1:]); ok && skipDigits(tok, 0) == i && !t.rt {
			t.rt = true
			t.set(millrace.AttrRT, millrace.FloatValue(us/microsecondsInSecond))
			return
		}
	}
	if sum, ok := t.sum(tok); ok {
		t.seconds(millrace.FloatValue(sum))
		return
	}
	switch {
	case clientLike(tok) && bytes.IndexByte(tok, ':') > 0 && bytes.IndexByte(tok, ',') < 0 && bytes.Count(tok, []byte(":")) == 1:
		t.text(attrUpstreamAddr, tok)
	case clientLike(tok) && bytes.IndexByte(tok, '/') < 0:
		t.text(attrForwardedFor, tok)
	case hostLike(tok):
		t.e.Host = borrow(trimPort(tok))
	}
}

// integer counts bare integers: %D alone, %I and %O together.
func (t *tail) integer(v int64) {
	t.ints++
	switch t.ints {
	case 1:
		t.firstInt = v
	case 2:
		t.set(attrBytesIn, millrace.IntValue(t.firstInt))
		t.set(attrBytesOut, millrace.IntValue(v))
	}
}

// seconds sets the next of rt and rt_backend.
func (t *tail) seconds(v millrace.Value) {
	switch {
	case !t.rt:
		t.rt = true
		t.set(millrace.AttrRT, v)
	case !t.backend:
		t.backend = true
		t.set(millrace.AttrRTBackend, v)
	}
}

// sum adds up "0.001, 0.002 : 0.003" whose first part is tok; the rest is read
// from the line as far as separators tell that it belongs to the list.
func (t *tail) sum(tok []byte) (seconds float64, ok bool) {
	if bytes.IndexByte(tok, ',') < 0 {
		return 0, false
	}
	total, ok := sumNanos(tok)
	if !ok {
		return 0, false
	}
	for tok[len(tok)-1] == ',' {
		mark := t.i
		next, quoted := t.next()
		part, ok := sumNanos(next)
		if quoted || !ok {
			t.i = mark
			break
		}
		total += part
		tok = next
	}
	return float64(total) / 1e9, true
}

// sumTimes adds up times in seconds.
func sumTimes(b []byte) (seconds float64, ok bool) {
	total, ok := sumNanos(b)
	return float64(total) / 1e9, ok
}

// sumNanos adds up times in seconds, separated by commas, colons and spaces;
// "-" counts as none. It returns nanoseconds, in which 0.1 and 0.004 have an
// exact sum. ok is false if there is anything else, or no time at all.
func sumNanos(b []byte) (ns int64, ok bool) {
	for len(b) > 0 {
		i := bytes.IndexAny(b, ", :")
		if i < 0 {
			i = len(b)
		}
		if one := b[:i]; len(one) > 0 && (len(one) > 1 || one[0] != '-') {
			f, valid := decimal(one)
			if !valid || f > 1e8 {
				return 0, false
			}
			ns += int64(math.Round(f * 1e9))
			ok = true
		}
		b = b[min(i+1, len(b)):]
	}
	return ns, ok
}

func (t *tail) set(key string, v millrace.Value) {
	t.e.Extend().Set(key, v)
}

// text sets what a line may have more than once.
func (t *tail) text(key string, b []byte) {
	t.repeats = true
	setText(t.e, key, b)
}

// named interprets key=value.
func (t *tail) named(key, val []byte) {
	t.repeats = true
	if len(val) >= 2 && val[0] == '"' && val[len(val)-1] == '"' {
		val = val[1 : len(val)-1]
	}
	if len(val) == 0 || (len(val) == 1 && val[0] == '-') || !keyLike(key) {
		return
	}
	name := borrow(key)
	switch name {
	case "rt", "request_time":
		t.rt = t.time(millrace.AttrRT, val) || t.rt
		return
	case "urt", "upstream_response_time", "rt_backend", "upstream_time":
		t.backend = t.time(millrace.AttrRTBackend, val) || t.backend
		return
	case "uct":
		name = attrUpstreamConnect
	case "uht":
		name = attrUpstreamHeader
	case "host", "vhost", "http_host", "server_name":
		t.e.Host = borrow(trimPort(val))
		return
	}
	if f, ok := decimal(val); ok {
		t.set(name, literalValue(f, val))
		return
	}
	t.set(name, millrace.StringValue(borrow(val)))
}

// time sets a named time, the sum if there are several.
func (t *tail) time(key string, val []byte) bool {
	if f, ok := decimal(val); ok {
		t.set(key, literalValue(f, val))
		return true
	}
	f, ok := sumTimes(val)
	if ok {
		t.set(key, millrace.FloatValue(f))
	}
	return ok
}

// ingress reads the extras of ingress-nginx:
//
//	$request_length $request_time [$proxy_upstream_name] [$alternative] $upstream_addr
//	$upstream_response_length $upstream_response_time $upstream_status $req_id
//
// length has been read.
func (t *tail) ingress(length []byte) bool {
	rt, _ := t.next()
	seconds, ok := decimal(rt)
	if !ok || len(length) > 18 {
		return false
	}
	upstream, _ := t.next()
	if !t.bracket {
		return false
	}
	t.set(attrRequestLength, millrace.IntValue(smallInt(length)))
	t.set(millrace.AttrRT, literalValue(seconds, rt))
	setText(t.e, attrUpstream, upstream)
	t.next() // the alternative upstream, mostly empty
	addr := t.list()
	t.list() // lengths
	times := t.list()
	status := t.list()
	id, _ := t.next()
	setText(t.e, attrUpstreamAddr, addr)
	t.time(millrace.AttrRTBackend, times)
	setText(t.e, attrUpstreamStatus, status)
	setText(t.e, attrRequestID, id)
	return true
}

// list reads a bare token with what belongs to it by ", " or " : ".
func (t *tail) list() []byte {
	tok, _ := t.next()
	start, end := t.start, t.i
	for len(tok) > 0 && (tok[len(tok)-1] == ',' || bytes.HasPrefix(t.b[t.i:], []byte(" : "))) {
		if tok, _ = t.next(); len(tok) == 1 && tok[0] == ':' {
			tok, _ = t.next()
		}
		end = t.i
	}
	return t.b[start:end]
}

// traefik reads: request count (read already), "router", "server url", duration
// in ms.
func (t *tail) traefik() bool {
	router, q1 := t.next()
	server, q2 := t.next()
	took, _ := t.next()
	n := len(took) - len("ms")
	if !q1 || !q2 || n < 1 || string(took[n:]) != "ms" {
		return false
	}
	ms, ok := decimal(took[:n])
	if !ok {
		return false
	}
	setText(t.e, "router", router)
	setText(t.e, attrUpstreamAddr, server)
	t.set(millrace.AttrRT, millrace.FloatValue(ms/1000))
	return true
}
