package clickhouse

import (
	"net"
	"net/url"
	"regexp"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/millrace/millrace"
)

// address is what Options.Address says.
type address struct {
	hosts          []string // host:port
	user, password string
	database       string
	cluster        string // empty: one server
	http, secure   bool
	statistics     bool // servers collect statistics of columns by themselves
}

// plainName is what names of clusters, policies and volumes may be: they stand in
// statements without quotes.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// databaseName may also be quoted, so that it is a little wider.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// parseAddress reads an address. Errors are ErrInvalid and never repeat the
// password.
func parseAddress(s string) (*address, error) {
	bad := func(format string, args ...any) error {
		e := millrace.Errorf(millrace.ErrInvalid, format, args...)
		e.Hint = "write clickhouse://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?cluster=NAME"
		return e
	}
	rest, ok := strings.CutPrefix(s, "clickhouse://")
	if !ok {
		return nil, bad("the address of ClickHouse does not begin with clickhouse://")
	}
	// net/url takes one host only.
	authority, tail, _ := strings.Cut(rest, "/")
	if i := strings.IndexByte(authority, '?'); i >= 0 {
		authority, tail = authority[:i], authority[i:]
	}
	var who *url.Userinfo
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		u, err := url.Parse("x://" + authority[:i] + "@h")
		if err != nil {
			return nil, bad("the user or password in the address of ClickHouse has a character that must be percent-encoded")
		}
		who, authority = u.User, authority[i+1:]
	}
	u, err := url.Parse("x://h/" + tail)
	if err != nil {
		return nil, bad("what follows the hosts in the address of ClickHouse cannot be read")
	}
	a := &address{user: "default", database: "default"}
	if who.Username() != "" {
		a.user = who.Username()
	}
	a.password, _ = who.Password()
	if db := strings.Trim(u.Path, "/"); db != "" {
		a.database = db
	}
	if !databaseName.MatchString(a.database) {
		return nil, bad("database %.80q of the address of ClickHouse: must be a name of letters, digits, _ and -", a.database)
	}
	if err := a.parameters(u.Query(), bad); err != nil {
		return nil, err
	}
	for host := range strings.SplitSeq(authority, ",") {
		h, err := a.hostPort(host)
		if err != nil {
			return nil, bad("host %.80q of the address of ClickHouse: must be HOST or HOST:PORT", host)
		}
		a.hosts = append(a.hosts, h)
	}
	return a, nil
}

func (a *address) parameters(q url.Values, bad func(string, ...any) error) error {
	for name, values := range q {
		value := values[len(values)-1]
		switch name {
		case "cluster":
			if !plainName.MatchString(value) {
				return bad("cluster %.80q of the address of ClickHouse: must be a name of letters, digits, _ and -", value)
			}
			a.cluster = value
		case "protocol":
			if value != "http" && value != "native" {
				return bad("protocol %.80q of the address of ClickHouse: must be native or http", value)
			}
			a.http = value == "http"
		case "secure":
			if value != "true" && value != "false" {
				return bad("secure=%.80q in the address of ClickHouse: must be true or false", value)
			}
			a.secure = value == "true"
		default:
			return bad("the address of ClickHouse has an unknown parameter %.80q; there are cluster, protocol and secure", name)
		}
	}
	return nil
}

// hostPort adds the usual port.
func (a *address) hostPort(s string) (string, error) {
	port := map[bool]map[bool]string{false: {false: "9000", true: "9440"}, true: {false: "8123", true: "8443"}}[a.http][a.secure]
	host := s
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	} else if strings.Count(s, ":") == 1 {
		return "", err
	}
	host = strings.Trim(host, "[]")
	if host == "" || port == "" || strings.ContainsAny(host, " /@?#") {
		return "", millrace.Errorf(millrace.ErrInvalid, "bad host")
	}
	return net.JoinHostPort(host, port), nil
}

// compression of what goes to servers and comes from them. On one machine it costs
// more than it saves.
func (a *address) compression() ch.CompressionMethod {
	for _, h := range a.hosts {
		host, _, err := net.SplitHostPort(h)
		if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return ch.CompressionLZ4
		}
	}
	return ch.CompressionNone
}
