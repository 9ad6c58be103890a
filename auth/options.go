package auth

import (
	"net"
	"net/netip"
	"strings"

	"github.com/millrace/millrace"
)

// Options configures who must show a key.
type Options struct {
	Require string `yaml:"require" default:"auto" doc:"When keys are required: auto (unless the server listens on loopback only) or always (also on loopback; use it behind a reverse proxy on the same machine)." example:"always"`
}

// The values of Options.Require.
const (
	RequireAuto   = "auto"
	RequireAlways = "always"
)

// Validate reports what is wrong with o.
func (o *Options) Validate(path string, v *millrace.Violations) {
	if o.Require != RequireAuto && o.Require != RequireAlways {
		v.Add(path+".require", o.Require, "auto or always")
	}
}

// Loopback reports whether a listen address (HOST:PORT or HOST) is reachable
// from this machine only. An empty host listens everywhere.
func Loopback(addr string) bool {
	return loopbackName(hostOnly(addr))
}

// hostOnly strips the port and the brackets of an IPv6 address.
func hostOnly(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
}

// loopbackName accepts what browsers and resolvers are bound to keep on the
// machine: loopback addresses, localhost and (RFC 6761) all names under it.
func loopbackName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
