package auth

import (
	"net/http"
	"net/url"

	"github.com/millrace/millrace"
)

// Without keys, whoever reaches the port may do everything. On loopback these
// are the programs of this machine, and, through a browser that runs on it, any
// web page the user has open. Three checks keep such pages out; programs send
// none of the headers looked at and pass.
//
//   - Host must be a loopback name, whatever the method: a page of evil.example
//     whose name was re-bound to 127.0.0.1 still sends Host: evil.example.
//   - A request that changes something and comes from a page must come from our
//     own (http.CrossOriginProtection: Sec-Fetch-Site, else Origin).
//   - Ingest may be called by pages of other origins, as a site in development
//     on http://localhost:3000 does, and by GET. Origin, or Referer where the
//     browser sends no Origin, must then be a loopback name. Pages of other
//     sites need an ingest key, which proves that someone wanted it.

// checkHost guards against DNS rebinding. HTTP/1.0 clients send no Host;
// browsers always do.
func checkHost(r *http.Request) error {
	if r.Host == "" || loopbackName(hostOnly(r.Host)) {
		return nil
	}
	return &millrace.Error{
		Code:    millrace.ErrForbidden,
		Message: "without keys this server answers only to localhost, not to the Host of this request; with a key it answers to any name",
		Hint:    "behind a proxy set auth.require to always",
	}
}

// checkOrigin guards requests whose authority is ambient (no key needed, or a
// cookie) against pages of other sites.
func (g *Guard) checkOrigin(r *http.Request, scope millrace.Scope, ambient bool) error {
	if scope == millrace.ScopeIngest && !ambient {
		return checkIngestOrigin(r)
	}
	if g.crossOrigin.Check(r) != nil {
		return &millrace.Error{Code: millrace.ErrForbidden, Message: "this request was sent by a page of another site"}
	}
	return nil
}

func checkIngestOrigin(r *http.Request) error {
	from := r.Header.Get("Origin")
	if from == "" && r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		from = r.Header.Get("Referer")
		if from == "" {
			from = "null" // a page that hides where it is from
		}
	}
	if from == "" {
		return nil
	}
	if u, err := url.Parse(from); err == nil && u.Host != "" && loopbackName(u.Hostname()) {
		return nil
	}
	return &millrace.Error{
		Code:    millrace.ErrForbidden,
		Message: "pages of other sites need an ingest key to send to a server on loopback",
		Hint:    "create one with: millrace keys create",
	}
}
