package ingest

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
)

// defaultSource is the source of requests that name none.
const defaultSource = "default"

// maxField bounds service, host, env and release, in bytes: they become
// dimensions of rollups, and no real name is longer.
const maxField = 256

// params is what a request says about its events besides the body.
type params struct {
	project, source             string
	format                      string
	rules                       int64 // version, as of the append
	service, host, env, release string
	sender                      string
	formField                   string // the body is a form, of which this field counts
	client                      string // empty if it gave none
	seq                         int64

	// What a protocol says in other ways than by parameters.
	defaultSource string // of requests that name none
	pathProject   string // the project that the path names
}

// parse validates the parameters and headers. Errors are ErrInvalid, and
// ErrForbidden for a project that is not the key's.
func (q *params) parse(r *http.Request, p *auth.Principal, o *Options) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return millrace.Errorf(millrace.ErrInvalid, "query string: %v", err)
	}
	asked := values.Get("project")
	if asked == "" {
		asked = q.pathProject
	}
	if q.project, err = p.Project(asked); err != nil {
		return err
	}
	source := values.Get("source")
	if source == "" {
		source = q.defaultSource
	}
	if source == "" {
		source = defaultSource
	}
	if !auth.ValidName(source) {
		return millrace.Errorf(millrace.ErrInvalid, "source %q: must be 1 to 128 of A-Z a-z 0-9 . _ -", millrace.Example([]byte(source)))
	}
	q.source = source
	if q.format = values.Get("format"); q.format == "" {
		q.format = "auto"
	}
	for _, f := range []struct {
		name string
		into *string
	}{{"service", &q.service}, {"host", &q.host}, {"env", &q.env}, {"release", &q.release}} {
		if *f.into, err = field(f.name, values.Get(f.name)); err != nil {
			return err
		}
	}
	if r.Method == http.MethodPost { // a beacon may have a parameter of that name
		if q.formField, err = field("field", values.Get("field")); err != nil {
			return err
		}
	}
	q.sender = sender(r, o.ForwardedFor)
	return q.sequence(r.Header)
}

func field(name, value string) (string, error) {
	if len(value) > maxField || !utf8.ValidString(value) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7F }) {
		return "", millrace.Errorf(millrace.ErrInvalid, "%s: at most %d bytes of UTF-8 without control characters", name, maxField)
	}
	return value, nil
}

// sequence reads the headers that name the request within its client's stream.
func (q *params) sequence(h http.Header) error {
	client, seq := h.Get("X-Millrace-Client"), h.Get("X-Millrace-Seq")
	if client == "" && seq == "" {
		return nil
	}
	if len(client) < 8 || len(client) > 64 || !clientChars(client) {
		return millrace.Errorf(millrace.ErrInvalid, "X-Millrace-Client: must be 8 to 64 of A-Z a-z 0-9 _ -, and comes with X-Millrace-Seq")
	}
	n, err := strconv.ParseUint(seq, 10, 63)
	if err != nil {
		return millrace.Errorf(millrace.ErrInvalid, "X-Millrace-Seq: must be a decimal number from 0 to 2^63-1, and comes with X-Millrace-Client")
	}
	q.client, q.seq = client, int64(n)
	return nil
}

func clientChars(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// sender returns the address the request came from, without the port.
func sender(r *http.Request, forwarded bool) string {
	if forwarded {
		// The last entry was written by the proxy next to us; those before it
		// by whoever it talked to.
		all := r.Header.Values("X-Forwarded-For")
		if len(all) > 0 {
			last := all[len(all)-1]
			if ip := net.ParseIP(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])); ip != nil {
				return ip.String()
			}
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
