package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// Access logs of nginx and Apache: common, combined, and what people add.
//
//	[VHOST[:PORT] ] CLIENT [IDENT] [USER] [TIME] "REQUEST" STATUS BYTES
//	    ["REFERER" "USER AGENT"] [EXTRAS…]
//	[TIME] CLIENT PROTOCOL CIPHER "REQUEST" BYTES         (Apache ssl_request_log)
//
// CLIENT may be a list "A, B, C", quoted or not, as from X-Forwarded-For: then
// client_ip is its first public address, else its first, and the list is kept
// in x_forwarded_for. For EXTRAS see access_extra.go.
//
// A line is taken for an access line if it has the bracketed time of the Common
// Log Format, the quoted request, and after it a status (three digits or "-").
// Everything else may be missing or malformed:
//   - the request may hold quotes, spaces and escapes; it ends at the first
//     quote that a status follows;
//   - without HTTP version the method and URL still count; a request that is no
//     "METHOD URL" at all is kept in the attribute request;
//   - an absolute URL (GET http://host/path) sets the host.
//
// Fields: url is the path as logged, not percent-decoded, query what follows
// '?'; status and bytes are integers; "-" means absent, also for bytes; the port
// of a vhost is dropped. Message is the whole line.
//
// Deviations from filebeat's nginx and apache modules: they percent-decode
// url.path, keep "-" as user name and referrer in Apache logs, and drop a vhost
// that is an address.

const (
	attrUser          = "user"
	attrIdent         = "ident"
	attrHTTPVersion   = "http_version"
	attrRequest       = "request"
	attrForwardedFor  = "x_forwarded_for"
	attrTLSProtocol   = "tls_protocol"
	attrTLSCipher     = "tls_cipher"
	attrRequestLength = "request_length"
	attrRequestID     = "request_id"
)

// parseAccess fills e from an access line, or returns false and leaves e as it is.
func (d *Decoder) parseAccess(e *millrace.Event, line []byte) bool {
	if headed(line) {
		return false
	}
	if d.plainAccess(e, line) {
		return true
	}
	open, ns, end, fits := clfTime(line)
	if open < 0 {
		return false
	}
	if fits {
		d.clf.learn(line[open+1:end-1], ns)
	}
	i := end
	var tls []byte
	if open == 0 { // ssl_request_log names the client after the time
		q := bytes.IndexByte(line[i:], '"')
		if q < 2 {
			return false
		}
		tls = line[i : i+q]
		i += q
	} else if i+1 >= len(line) || line[i] != ' ' || line[i+1] != '"' {
		return false
	} else {
		i++
	}
	quote := requestEnd(line, i+1, open == 0)
	if quote < 0 {
		return false
	}
	if open == 0 {
		if !sslHead(e, tls) {
			return false
		}
	} else {
		accessHead(e, line[:open])
	}
	e.Kind, e.Message = millrace.KindAccess, borrow(line)
	if fits {
		e.Time, e.HasTime = ns, true
	} else {
		text := line[open+1 : end-1]
		e.Extend().SetString(millrace.AttrTimeOriginal, borrow(text))
	}
	accessRequest(e, line[i+1:quote])
	d.distinct = accessTail(e, line[quote+1:], open == 0)
	return true
}

// parseAccessLog is parseAccess for the explicit formats, where a syslog header
// may stand before the line (nginx's access_log syslog:…).
func (d *Decoder) parseAccessLog(e *millrace.Event, line []byte) bool {
	if d.parseAccess(e, line) {
		return true
	}
	if headed(line) && d.parseSyslog(e, line) {
		if e.Kind == millrace.KindAccess {
			return true
		}
		d.undo(e)
	}
	return false
}

// headed reports whether the line starts with a syslog priority or a date, so
// that an access line, if there is one, stands behind a header.
func headed(line []byte) bool {
	switch c := line[0]; {
	case c == '<':
		return true
	case isDigit(c):
		return len(line) > 10 && line[4] == '-' && line[7] == '-'
	default:
		return len(line) > 3 && line[3] == ' ' && monthAt(line, 0) != 0
	}
}

// clfTime finds the bracketed time. open is the index of its bracket or -1, end
// the index after the closing one, fits whether ns can express it.
func clfTime(line []byte) (open int, ns int64, end int, fits bool) {
	for from := 0; ; {
		i := bytes.IndexByte(line[from:], '[')
		if i < 0 {
			return -1, 0, 0, false
		}
		open = from + i
		from = open + 1
		if len(line) < from+21 || line[from+2] != '/' || line[from+6] != '/' {
			continue
		}
		ns, n, ok := parseTime(line[from:], 0)
		if n > 0 && from+n < len(line) && line[from+n] == ']' && (open == 0 || line[open-1] == ' ') {
			return open, ns, from + n + 1, ok
		}
	}
}

// requestEnd returns the index of the quote that ends the request at i, or -1:
// the first quote that is not escaped and that a status follows. If there is
// none, escapes are ignored, for writers that do not escape backslashes.
func requestEnd(line []byte, i int, ssl bool) int {
	for _, escapes := range []bool{true, false} {
		for at := i; ; {
			q := bytes.IndexByte(line[at:], '"')
			if q < 0 {
				break
			}
			q += at
			at = q + 1
			if statusFollows(line[q+1:], ssl) && !(escapes && escapedAt(line, i, q)) {
				return q
			}
		}
	}
	return -1
}

// statusFollows reports whether b is " 200" or " -" and then a space or the
// end; for ssl_request_log it is the number of bytes that follows.
func statusFollows(b []byte, ssl bool) bool {
	if len(b) < 2 || b[0] != ' ' {
		return false
	}
	if b[1] == '-' {
		return len(b) == 2 || b[2] == ' '
	}
	n := 1
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	return (n == 4 || (ssl && n > 1)) && (n == len(b) || b[n] == ' ')
}

// escapedAt reports whether an odd number of backslashes is before q.
func escapedAt(line []byte, from, q int) bool {
	n := 0
	for q-1-n >= from && line[q-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// accessHead fills what is before the time: vhost, client, ident and user.
func accessHead(e *millrace.Event, head []byte) {
	// The common case: "CLIENT - USER ".
	if i := bytes.IndexByte(head, ' '); i > 0 && head[0] != '"' && head[i-1] != ',' &&
		len(head) > i+3 && head[i+1] == '-' && head[i+2] == ' ' {
		setText(e, millrace.AttrClientIP, head[:i])
		setText(e, attrUser, bytes.TrimRight(head[i+3:], " "))
		return
	}
	head = bytes.Trim(head, " ")
	list, rest := clientList(head)
	if len(list) == 0 || (len(rest) > 0 && clientLike(rest)) {
		vhost, after, _ := bytes.Cut(head, []byte(" "))
		if l, r := clientList(after); len(l) > 0 && len(vhost) > 0 && vhost[0] != '"' && vhost[len(vhost)-1] != ',' && clientLike(l) {
			if host := trimPort(vhost); string(host) != "-" {
				e.Host = borrow(host)
			}
			list, rest = l, r
		}
	}
	setClients(e, list)
	if len(rest) > 0 && clientLike(rest) { // the peer behind a quoted list
		_, rest, _ = bytes.Cut(rest, []byte(" "))
	}
	ident, user, two := bytes.Cut(rest, []byte(" "))
	if !two {
		ident, user = nil, ident
	}
	setText(e, attrIdent, ident)
	setText(e, attrUser, user)
}

// clientList cuts a list of clients off: "A, B, C", quoted or not; rest has no
// leading space.
func clientList(b []byte) (list, rest []byte) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] == '"' {
		if i := bytes.IndexByte(b[1:], '"'); i >= 0 {
			return b[1 : 1+i], bytes.TrimLeft(b[i+2:], " ")
		}
	}
	i := 0
	for {
		n := bytes.IndexByte(b[i:], ' ')
		if n < 0 {
			return b, nil
		}
		i += n
		if i == 0 || b[i-1] != ',' {
			return b[:i], b[i+1:]
		}
		i++
	}
}

// clientLike reports whether b starts with an address, a host name with a dot,
// "localhost" or "unix:", rather than with an ident or user.
func clientLike(b []byte) bool {
	word := b
	if i := bytes.IndexAny(b, " ,"); i >= 0 {
		word = b[:i]
	}
	switch string(word) {
	case "-", "":
		return false
	case "localhost", "unix:":
		return true
	}
	dots, colons, other := 0, 0, 0
	for _, c := range word {
		switch {
		case c == '.':
			dots++
		case c == ':':
			colons++
		case isDigit(c):
		default:
			other++
		}
	}
	return (dots == 3 && other == 0) || colons > 1 || (dots > 0 && bytes.IndexByte(word, '@') < 0)
}

// setClients sets client_ip from a list of addresses and keeps a list of several.
func setClients(e *millrace.Event, list []byte) {
	client, n := pickClient(list)
	setText(e, millrace.AttrClientIP, client)
	if n > 1 {
		setText(e, attrForwardedFor, list)
	}
}

// pickClient returns the first public address of a list, else its first entry,
// and the number of entries.
func pickClient(list []byte) (client []byte, n int) {
	public := false
	for rest := list; len(rest) > 0; n++ {
		var one []byte
		one, rest, _ = bytes.Cut(rest, []byte(","))
		one = bytes.TrimSpace(one)
		if n == 0 || (!public && publicIP(one)) {
			client, public = one, publicIP(one)
		}
	}
	return client, n
}

// sslHead fills client, protocol and cipher of ssl_request_log.
func sslHead(e *millrace.Event, b []byte) bool {
	f := bytes.Fields(b)
	if len(f) != 3 {
		return false
	}
	setText(e, millrace.AttrClientIP, f[0])
	setText(e, attrTLSProtocol, f[1])
	setText(e, attrTLSCipher, f[2])
	return true
}

// setText appends a string attribute unless it is absent ("-" or empty).
func setText(e *millrace.Event, key string, b []byte) {
	if len(b) == 0 || (len(b) == 1 && b[0] == '-') {
		return
	}
	e.Extend().SetString(key, borrow(b))
}
