package decode

import (
	"bytes"
	"unsafe"

	"github.com/millrace/millrace"
)

// The fast path of access lines: CLIENT - USER [TIME] "METHOD /URL HTTP/VERSION"
// STATUS BYTES "REFERER" "AGENT" without escapes, of the minute of the line
// before. It gives what parseAccess gives, and what is not of this shape is left
// to that.

// plainHead are the places in a line that plainAccess finds before it files
// anything.
type plainHead struct {
	client, user   int // where they end; the user begins three behind the client
	ns             int64
	request, quote int // where the request begins, and the quote behind it
	method, url    int // where they end
}

// plainAccess fills e from a plain access line, or returns false and leaves e as
// it is.
func (d *Decoder) plainAccess(e *millrace.Event, line []byte) bool {
	h, ok := d.plainHead(line)
	if !ok {
		return false
	}
	p := unsafe.Pointer(unsafe.SliceData(line))
	e.Kind, e.Message = millrace.KindAccess, borrow(line)
	e.Time, e.HasTime = h.ns, true
	addText(e, millrace.AttrClientIP, span(p, 0, h.client))
	addText(e, attrUser, span(p, h.client+3, h.user))
	e.Extend().SetString(millrace.AttrMethod, span(p, h.request, h.method))
	url := span(p, h.method+1, h.url)
	if i := bytes.IndexByte(unborrow(url), '?'); i >= 0 {
		e.Extend().SetString(millrace.AttrURL, url[:i])
		addText(e, millrace.AttrQuery, url[i+1:])
	} else {
		e.Extend().SetString(millrace.AttrURL, url)
	}
	addText(e, attrHTTPVersion, span(p, h.url+1+len("HTTP/"), h.quote))
	d.distinct = d.plainTail(e, line, h.quote+1)
	return true
}

// plainHead finds what is before the status, and the status.
func (d *Decoder) plainHead(line []byte) (h plainHead, ok bool) {
	n := len(line)
	p := unsafe.Pointer(unsafe.SliceData(line))
	h.client = wordEnd(line, 0, n)
	if h.client == 0 || n < h.client+70 || line[0] == '"' || line[0] == '[' || line[h.client-1] == ',' ||
		string(line[h.client:h.client+3]) != " - " {
		return h, false
	}
	open := h.client + 5 // the usual user is "-"
	if line[open] != '[' || line[open-2] != '-' {
		if open = bytes.IndexByte(line, '['); open < h.client+4 || n < open+65 {
			return h, false
		}
	}
	if h.user = open - 1; line[h.user] != ' ' {
		return h, false
	}
	for h.user > h.client+3 && line[h.user-1] == ' ' {
		h.user--
	}
	const length = len("05/Mar/2026:11:59:58 +0000")
	if h.ns, ok = d.clf.parse(p, open+1); !ok {
		return h, false
	}
	if h.request = open + length + 4; string(line[h.request-3:h.request]) != `] "` {
		return h, false
	}
	h.quote = quoteAt(line, h.request)
	if h.quote+5 > n || !statusFollows(line[h.quote+1:], false) || line[h.quote+2] == '-' {
		return h, false
	}
	h.method = wordEnd(line, h.request, h.quote)
	h.url = wordEnd(line, min(h.method+1, h.quote), h.quote)
	return h, h.url < h.quote && line[h.method] == ' ' && line[h.method+1] == '/' && line[h.url] == ' ' &&
		methodLike(line[h.request:h.method]) && hasPrefix(line[h.url+1:h.quote], "HTTP/") && wordEnd(line, h.url+1, h.quote) == h.quote
}

// plainTail files what is behind the request's quote, where a space and three
// digits of status are. It reports whether the attributes have distinct keys.
func (d *Decoder) plainTail(e *millrace.Event, line []byte, i int) (distinct bool) {
	n := len(line)
	if i+24 > n {
		return accessTail(e, line[i:], false)
	}
	p := unsafe.Pointer(unsafe.SliceData(line))
	bytes, digits := digits8(load(p, i+5))
	size := i + 5 + digits
	if digits == 0 && line[size] == '-' {
		size++
	}
	referer := quoteAt(line, size+2)
	agent := quoteAt(line, min(referer+3, n))
	if digits == 8 || string(line[size:size+2]) != ` "` || agent >= n || string(line[referer:referer+3]) != `" "` ||
		agent+1 < n && line[agent+1] != ' ' {
		return accessTail(e, line[i:], false)
	}
	e.Extend().SetInt(millrace.AttrStatus, smallInt(line[i+1:i+4]))
	if digits > 0 {
		e.Extend().SetInt(millrace.AttrBytes, int64(bytes))
	}
	addText(e, millrace.AttrReferer, span(p, size+2, referer))
	addText(e, millrace.AttrUserAgent, span(p, referer+3, agent))
	if agent+1 >= n {
		return true
	}
	t := tail{e: e, b: line[i:], i: agent + 1 - i}
	t.extras()
	return !t.repeats
}

// quoteAt returns the index of the first quote of b from i on, or len(b), also if
// a backslash is before it.
func quoteAt(b []byte, i int) int {
	q := bytes.IndexByte(b[i:], '"')
	if q < 0 || q > 0 && b[i+q-1] == '\\' {
		return len(b)
	}
	return i + q
}

// addText is setText for a string.
func addText(e *millrace.Event, key, s string) {
	if len(s) > 1 || len(s) == 1 && s[0] != '-' {
		e.Extend().SetString(key, s)
	}
}
