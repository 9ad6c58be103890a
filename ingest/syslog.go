package ingest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/decode"
)

// Syslog over UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425). What a message
// looks like, by RFC 3164 and RFC 5424, is decode's affair (decode/syslog.go).
//
// UDP: a datagram is a message, up to 64 KiB, line ends within it included.
// TCP and TLS: a frame is counted ("LENGTH MESSAGE") or ends in a newline, which
// is told for each frame by how it begins; see syslog_stream.go.
//
// A message that is no UTF-8 is taken for ISO 8859-1 where it is not. One that
// is longer than ingest.max_line is dropped and counted.
//
// Who may send: everybody where this port and that of HTTP are on loopback;
// else who is in the list allow, or shows a client certificate (TLS), or puts a
// key into structured data of RFC 5424: [millrace@0 key="mr_ingest_…"], with any
// number behind the @. That element is removed before anything is stored; a key
// that is given must be right. Others are dropped, counted as unauthorized, and
// a connection is closed, so that a sender with a queue keeps what it has.
//
// Syslog has no answers, so nothing can be promised to a sender:
//   - UDP: what the network loses, what the kernel drops because the socket is
//     full (counted: listener_socket_full), what comes while the queue does not
//     take it (counted: listener_queue_full), and at a kill what was read within
//     the last 50 ms and is not appended yet, at most 8 MiB.
//   - TCP, TLS: nothing is dropped for want of room; what cannot be appended is
//     not read. At a kill of the server the sender has written off what is in
//     the buffers of both sockets and what was read since the last append, at
//     most 1 MiB. At a graceful stop what arrives within half a second is read
//     and appended.
//   - A message is doubled only if the queue had it on disk and the append
//     failed all the same (its answer was lost), when the listener tries again,
//     or if its sender sends again what it was sending when the connection broke.

// Syslog is a port of syslog. Create it with Handler.Syslog.
type Syslog struct {
	h     *Handler
	o     SyslogOptions
	name  string // in metrics
	open  bool   // everybody may send
	allow []netip.Prefix
	l     ListenOptions

	mu      sync.Mutex
	senders map[netip.Addr]string // as text, which every message needs
}

// Syslog returns what serves a port with these options, which must be valid.
func (h *Handler) Syslog(o SyslogOptions, all ListenOptions) (*Syslog, error) {
	allow, err := prefixes(o.Allow)
	if err != nil {
		return nil, millrace.Errorf(millrace.ErrInvalid, "syslog on %s: allow: %v", o.Address, err)
	}
	return &Syslog{
		h: h, o: o, l: all, allow: allow, name: "syslog_" + o.Network + " " + o.Address,
		open: len(allow) == 0 && h.openTo(o.Address), senders: map[netip.Addr]string{},
	}, nil
}

// openTo reports whether whoever reaches address needs no key.
func (h *Handler) openTo(address string) bool {
	_, err := h.deps.AuthorizeKey(context.Background(), "", millrace.ScopeIngest)
	return err == nil && auth.Loopback(address)
}

// maxSenders bounds the addresses remembered as text.
const maxSenders = 4096

// sender returns an address as text.
func (s *Syslog) sender(a netip.Addr) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.senders[a]
	if !ok {
		if len(s.senders) >= maxSenders {
			clear(s.senders)
		}
		text = a.String()
		s.senders[a] = text
	}
	return text
}

// allowed reports whether an address may send without a key.
func (s *Syslog) allowed(a netip.Addr) bool {
	if s.open {
		return true
	}
	for _, p := range s.allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// origin says where a message belongs that came with a key, or with none ("").
// ErrUnauthorized, ErrForbidden; ErrUnavailable: nobody knows at the moment.
func (s *Syslog) origin(ctx context.Context, secret string, from netip.Addr, trusted bool) (origin, error) {
	o := origin{project: s.project(), source: s.o.Source, format: s.o.Format, sender: s.sender(from)}
	if secret == "" {
		if trusted || s.allowed(from) {
			return o, nil
		}
		return o, errSyslogKey
	}
	p, err := s.h.deps.AuthorizeKey(ctx, secret, millrace.ScopeIngest)
	if err != nil {
		return o, err
	}
	o.key = p.Key
	o.project, err = p.Project(s.o.Project)
	return o, err
}

func (s *Syslog) project() string {
	if s.o.Project != "" {
		return s.o.Project
	}
	return millrace.DefaultProject
}

var errSyslogKey = millrace.Errorf(millrace.ErrUnauthorized,
	`a message needs a key, [millrace@0 key="…"] in its structured data, an address of the list allow, or a client certificate`)

// drop counts messages that are lost.
func (s *Syslog) drop(reason string, events int64, example []byte) {
	s.h.drop(s.name, s.project(), s.o.Source, reason, events, example)
}

// dropFor is drop with the reason that an error is.
func (s *Syslog) dropFor(err error, events int64, example []byte) {
	reason := "request_" + string(millrace.ErrorCode(err))
	if bytes.Contains(example, keyElement) { // malformed, or it would not be there
		example = nil
	}
	switch millrace.ErrorCode(err) {
	case millrace.ErrUnauthorized, millrace.ErrForbidden:
		reason = ReasonUnauthorized
	case millrace.ErrTooLarge:
		reason = decode.ReasonLineTooLong
	case millrace.ErrThrottled, millrace.ErrUnavailable, millrace.ErrTimeout:
		reason = ReasonQueueFull
	}
	s.drop(reason, events, example)
}

// admit drops what is above the limits of keys.
func (s *Syslog) admit(m *messages) {
	m.admit(func(o origin, events int64) {
		s.h.drop(s.name, o.project, o.source, ReasonThrottled, events, nil)
	})
}

// stored counts what was appended.
func (s *Syslog) stored(m *messages) {
	s.h.listen.events.WithLabelValues(s.name).Add(float64(len(m.list)))
}

// closedOK is nil for the error of a listener that was closed on purpose.
func closedOK(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Serve serves connections of TCP, or of TLS if ln gives such, until ctx ends,
// and then what they have sent. It owns ln.
func (s *Syslog) Serve(ctx context.Context, ln net.Listener) error {
	return s.h.serveConns(ctx, ln, s.name, s.ServeConn)
}
