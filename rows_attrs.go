package millrace

import (
	"math"
	"slices"
	"strconv"
)

// AttrColumns holds the well-known attributes of many events in a column each.
// A value that fits its column is there and nowhere else; what does not fit
// (another type, a spelling that could not be given back) stays in
// EventRows.Attrs, and InAttrs says so. Either way nothing is lost: AppendAttrs
// of EventRows gives back each value as it was written.
//
// Most bytes of an access log's attributes are these, and a store keeps, skips
// and compares columns at a fraction of what JSON text costs.
type AttrColumns struct {
	Method        []uint8   // index in Methods; 0 is no method
	Status        []int32   // -1: none
	BodyBytes     []int64   // -1: none
	RT, RTBackend []Decimal // seconds; NoDecimal: none
	ClientIP      []uint32  // IPv4 in host order; 0: none
	URL           Strings   // "": none
	UserAgent     Strings   // "": none
	InAttrs       []AttrSet // the columns that do not tell: look into Attrs
}

// AttrSet is a set of the columns of AttrColumns.
type AttrSet uint8

// The members of an AttrSet.
const (
	InMethod AttrSet = 1 << iota
	InURL
	InStatus
	InBytes
	InRT
	InRTBackend
	InClientIP
	InUserAgent
)

// Methods are the request methods that AttrColumns has numbers for. Stores keep
// the numbers: names are only ever added at the end, with a new version of
// what is stored.
var Methods = [...]string{
	"", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
	"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE",
}

// methodNumber returns the index in Methods, 0 if there is none.
func methodNumber(s string) uint8 {
	switch s { // nearly all
	case "GET":
		return 1
	case "POST":
		return 3
	}
	return uint8(max(0, slices.Index(Methods[:], s)))
}

// attrRow gathers the columns of one event.
type attrRow struct {
	bytes       int64
	rt, backend Decimal
	url, agent  string
	status      int32
	ip          uint32
	method      uint8
	in          AttrSet
}

// take puts an attribute into its column and reports whether it went there. It
// runs for every attribute of every event, so that it finds the column by a
// switch and looks at the value's fields, not at what its methods return.
func (r *attrRow) take(a *Attr) bool {
	v := &a.Value
	switch a.Key {
	case AttrURL:
		if v.kind == ValueString && v.str != "" {
			r.url = v.str
			return true
		}
		r.in |= InURL
	case AttrMethod:
		if v.kind == ValueString {
			r.method = methodNumber(v.str)
		}
		if r.method != 0 {
			return true
		}
		r.in |= InMethod
	case AttrStatus:
		if v.kind == ValueInt && v.num <= math.MaxInt32 {
			r.status = int32(v.num)
			return true
		}
		r.in |= InStatus
	case AttrBytes:
		if v.kind == ValueInt && v.num <= math.MaxInt64 {
			r.bytes = int64(v.num)
			return true
		}
		r.in |= InBytes
	case AttrRT:
		if r.rt = v.decimal(); r.rt != NoDecimal {
			return true
		}
		r.in |= InRT
	case AttrRTBackend:
		if r.backend = v.decimal(); r.backend != NoDecimal {
			return true
		}
		r.in |= InRTBackend
	case AttrClientIP:
		if v.kind == ValueString {
			r.ip = ParseIPv4(v.str)
		}
		if r.ip != 0 {
			return true
		}
		r.in |= InClientIP
	case AttrUserAgent:
		if v.kind == ValueString && v.str != "" {
			r.agent = v.str
			return true
		}
		r.in |= InUserAgent
	}
	return false
}

// append adds the attributes of one event: what take takes to the columns, the
// others to rest as one JSON object.
func (c *AttrColumns) append(rest []byte, attrs []Attr) []byte {
	r := attrRow{status: -1, bytes: -1, rt: NoDecimal, backend: NoDecimal}
	rest = append(rest, '{')
	first := len(rest)
	for i := range attrs {
		if a := &attrs[i]; !r.take(a) {
			if len(rest) > first {
				rest = append(rest, ',')
			}
			rest = appendAttr(rest, a)
		}
	}
	c.Method = append(c.Method, r.method)
	c.Status = append(c.Status, r.status)
	c.BodyBytes = append(c.BodyBytes, r.bytes)
	c.RT = append(c.RT, r.rt)
	c.RTBackend = append(c.RTBackend, r.backend)
	c.ClientIP = append(c.ClientIP, r.ip)
	c.URL.Append(r.url)
	c.UserAgent.Append(r.agent)
	c.InAttrs = append(c.InAttrs, r.in)
	return append(rest, '}')
}

// AppendRow adds row i of src.
func (c *AttrColumns) AppendRow(src *AttrColumns, i int) {
	c.Method = append(c.Method, src.Method[i])
	c.Status = append(c.Status, src.Status[i])
	c.BodyBytes = append(c.BodyBytes, src.BodyBytes[i])
	c.RT = append(c.RT, src.RT[i])
	c.RTBackend = append(c.RTBackend, src.RTBackend[i])
	c.ClientIP = append(c.ClientIP, src.ClientIP[i])
	c.URL.Append(string(src.URL.At(i)))
	c.UserAgent.Append(string(src.UserAgent.At(i)))
	c.InAttrs = append(c.InAttrs, src.InAttrs[i])
}

func (c *AttrColumns) remove(at []int32) {
	c.Method, c.Status, c.BodyBytes = without(c.Method, at), without(c.Status, at), without(c.BodyBytes, at)
	c.RT, c.RTBackend, c.ClientIP = without(c.RT, at), without(c.RTBackend, at), without(c.ClientIP, at)
	c.URL.remove(at)
	c.UserAgent.remove(at)
	c.InAttrs = without(c.InAttrs, at)
}

func (c *AttrColumns) reset() {
	c.Method, c.Status, c.BodyBytes = c.Method[:0], c.Status[:0], c.BodyBytes[:0]
	c.RT, c.RTBackend, c.ClientIP = c.RT[:0], c.RTBackend[:0], c.ClientIP[:0]
	c.URL.Reset()
	c.UserAgent.Reset()
	c.InAttrs = c.InAttrs[:0]
}

// AppendAttrs appends all attributes of row i as one JSON object. It is what
// readers of a Store see.
func (r *EventRows) AppendAttrs(dst []byte, i int) []byte {
	return r.AppendObject(dst, i, r.Attrs.At(i))
}

// AppendObject appends a JSON object: the attributes that row i has in columns,
// then the members of rest, which is an object with those that have none.
func (c *AttrColumns) AppendObject(dst []byte, i int, rest []byte) []byte {
	dst = append(dst, '{')
	key := func(name string) {
		dst = append(append(append(dst, '"'), name...), '"', ':')
	}
	text := func(name string, value []byte) {
		key(name)
		dst = append(AppendJSONString(dst, string(value)), ',')
	}
	if m := c.Method[i]; m != 0 {
		text(AttrMethod, []byte(Methods[m]))
	}
	if u := c.URL.At(i); len(u) > 0 {
		text(AttrURL, u)
	}
	if s := c.Status[i]; s >= 0 {
		key(AttrStatus)
		dst = append(strconv.AppendInt(dst, int64(s), 10), ',')
	}
	if n := c.BodyBytes[i]; n >= 0 {
		key(AttrBytes)
		dst = append(strconv.AppendInt(dst, n, 10), ',')
	}
	if d := c.RT[i]; d != NoDecimal {
		key(AttrRT)
		dst = append(d.Append(dst), ',')
	}
	if d := c.RTBackend[i]; d != NoDecimal {
		key(AttrRTBackend)
		dst = append(d.Append(dst), ',')
	}
	if ip := c.ClientIP[i]; ip != 0 {
		text(AttrClientIP, appendIPv4(nil, ip))
	}
	if ua := c.UserAgent.At(i); len(ua) > 0 {
		text(AttrUserAgent, ua)
	}
	if len(rest) == len("{}") && dst[len(dst)-1] == ',' {
		dst = dst[:len(dst)-1]
	}
	return append(dst, rest[1:]...)
}

// ParseIPv4 returns the address in s, or 0 if s is not one as appendIPv4 writes
// it: four numbers below 256 without leading zeros, and not 0.0.0.0.
func ParseIPv4(s string) uint32 {
	if len(s) > len("255.255.255.255") {
		return 0
	}
	var ip, part uint32
	digits, dots := 0, 0
	for i := range len(s) {
		d := uint32(s[i]) - '0'
		switch {
		case d <= 9 && (digits == 0 || part > 0):
			part = part*10 + d
			digits++
		case s[i] == '.' && digits > 0 && part <= 255:
			ip = ip<<8 | part
			part, digits = 0, 0
			dots++
		default:
			return 0
		}
	}
	if dots != 3 || digits == 0 || part > 255 {
		return 0
	}
	return ip<<8 | part
}

func appendIPv4(dst []byte, ip uint32) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		dst = strconv.AppendUint(dst, uint64(ip>>shift&0xFF), 10)
		if shift > 0 {
			dst = append(dst, '.')
		}
	}
	return dst
}
