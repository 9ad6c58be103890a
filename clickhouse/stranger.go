package clickhouse

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/millrace/millrace"
)

// onlyClickHouse lets answers through that a ClickHouse gave. The driver takes
// any answer with status 200 to an insertion for success, also the login page of a
// proxy in between: the rows would be committed and nowhere. And it follows
// redirections, to which it would show the password.
type onlyClickHouse struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (o onlyClickHouse) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := o.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for name := range resp.Header {
		// Each answer of a server has several: the query's id, the time zone, the
		// exception's code.
		if strings.HasPrefix(name, "X-Clickhouse-") && resp.StatusCode/100 != 3 {
			return resp, nil
		}
	}
	_ = resp.Body.Close() // whatever it says, and however long
	return nil, &stranger{
		host: r.URL.Host, status: resp.Status, kind: resp.Header.Get("Content-Type"),
		server: resp.Header.Get("Server"), location: resp.Header.Get("Location"),
	}
}

// stranger is an answer that is not ClickHouse's. Its texts are from outside.
type stranger struct{ host, status, kind, server, location string }

func (s *stranger) Error() string {
	text := fmt.Sprintf("%s answers %.60q without the headers of ClickHouse", s.host, s.status)
	for _, part := range []struct{ what, value string }{{"content type", s.kind}, {"server", s.server}, {"redirected to", s.location}} {
		if part.value != "" {
			text += fmt.Sprintf(", %s %.100q", part.what, part.value)
		}
	}
	return text
}

// misled completes e if what answers is not ClickHouse, or is not known to be, and
// reports whether that is so.
func misled(e *millrace.Error, err error) bool {
	_, isStranger := errors.AsType[*stranger](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	_, notTrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, otherHost := errors.AsType[x509.HostnameError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	switch {
	case isStranger:
		e.Message = "something else than ClickHouse answers"
		e.Hint = "is there a proxy or a login page in between? Name the HTTP port of ClickHouse itself (8123, with TLS 8443) in the store's address; " +
			"nothing is lost: rows count only once ClickHouse has confirmed them"
	case isRecord, strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Message = "ClickHouse does not speak TLS on this port"
		e.Hint = "leave secure=true out of the store's address, or name a port with TLS (9440 is native, 8443 is HTTP)"
	case notTrusted, otherHost, alert:
		e.Message = "the certificate of ClickHouse, or ours, is not trusted"
		e.Hint = "set clickhouse.tls.ca to the certificate of its authority, tls.server_name to the name it is for, and tls.cert and tls.key if it asks for one"
	default:
		return false
	}
	e.Code = millrace.ErrUnavailable
	return true
}
