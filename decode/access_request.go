package decode

import (
	"bytes"
	"net/netip"

	"github.com/millrace/millrace"
)

// accessRequest fills method, url, query and http_version from a request line,
// or keeps it in the attribute request if it is none.
func accessRequest(e *millrace.Event, req []byte) {
	if req = bytes.TrimLeft(req, " "); len(req) == 0 || (len(req) == 1 && req[0] == '-') {
		return
	}
	method, rest := req, []byte(nil)
	if i := bytes.IndexByte(req, ' '); i >= 0 {
		method, rest = req[:i], req[i+1:]
	}
	var version []byte
	if i := bytes.LastIndexByte(rest, ' '); i >= 0 || hasPrefix(rest, "HTTP/") {
		if tail := rest[i+1:]; hasPrefix(tail, "HTTP/") {
			version, rest = tail[len("HTTP/"):], rest[:max(i, 0)]
		}
	}
	url := bytes.Trim(rest, " ")
	switch {
	case methodLike(method) && (len(url) > 0 || version != nil):
		e.Extend().SetString(millrace.AttrMethod, borrow(method))
	case method[0] == '/': // a bare path, spaces and all
		url = bytes.Trim(req[:len(req)-trailing(req, version)], " ")
	default:
		setText(e, attrRequest, req)
		return
	}
	setURL(e, url)
	setText(e, attrHTTPVersion, version)
}

// trailing returns the length of " HTTP/version" at the end of req.
func trailing(req, version []byte) int {
	if version == nil {
		return 0
	}
	return min(len(req), len(" HTTP/")+len(version))
}

// methodLike reports whether b can be a request method. Any word will do: what
// clients send is theirs to choose, and a status says what the server thought.
func methodLike(b []byte) bool {
	if len(b) == 0 || len(b) > 20 {
		return false
	}
	for _, c := range b {
		if !(c|0x20 >= 'a' && c|0x20 <= 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// setURL sets url and query, and for an absolute URL the host.
func setURL(e *millrace.Event, url []byte) {
	url, host := splitAbsolute(url)
	if len(host) > 0 {
		e.Host = borrow(host)
	}
	var query []byte
	if i := bytes.IndexByte(url, '?'); i >= 0 {
		url, query = url[:i], url[i+1:]
	}
	setText(e, millrace.AttrURL, url)
	setText(e, millrace.AttrQuery, query)
}

// splitAbsolute splits an absolute URL (http, https, ws, wss) into what starts
// with the path, "/" if it has none, and the host without user and port. Other
// URLs are returned as they are.
func splitAbsolute(url []byte) (path, host []byte) {
	if len(url) < 8 || url[0] == '/' {
		return url, nil
	}
	i := bytes.Index(url[:8], []byte("://"))
	if i < 2 {
		return url, nil
	}
	switch string(url[:i]) {
	case "http", "https", "ws", "wss", "HTTP", "HTTPS":
	default:
		return url, nil
	}
	rest := url[i+3:]
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host = rest[:end]
	if at := bytes.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
	}
	if path = rest[end:]; len(path) == 0 {
		path = rootPath
	}
	return path, trimPort(host)
}

var rootPath = []byte("/")

// trimPort removes ":PORT" from a host, and the brackets of an IPv6 address.
func trimPort(host []byte) []byte {
	if len(host) > 0 && host[0] == '[' {
		if i := bytes.IndexByte(host, ']'); i > 0 {
			return host[1:i]
		}
		return host
	}
	i := bytes.IndexByte(host, ':')
	if i < 0 || bytes.IndexByte(host[i+1:], ':') >= 0 || skipDigits(host, i+1) != len(host) {
		return host
	}
	return host[:i]
}

// publicIP reports whether b is an address outside of the private, loopback and
// link-local ranges.
func publicIP(b []byte) bool {
	if len(b) > 45 {
		return false
	}
	ip, err := netip.ParseAddr(borrow(b))
	return err == nil && ip.IsGlobalUnicast() && !ip.IsPrivate()
}
