package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/ingest"
	"github.com/millrace/millrace/query"
)

// port is one that is listened on besides that of pages and API.
type port struct {
	query.ListenStatus
	serve func(context.Context) error // until ctx ends, and then what is in hand
	close func() error                // if serve is never called
}

// ports are all of them, by role of ingest.
type ports struct {
	list []*port
	stop context.CancelFunc
	done sync.WaitGroup
}

// openPorts opens the ports of the configuration on nodes that ingest. One that
// cannot be opened is an error.
func (s *server) openPorts(ctx context.Context) error {
	if !s.cfg.Node.Has(config.RoleIngest) {
		return nil
	}
	l := &s.cfg.Listen
	for i := range l.Syslog {
		if err := s.openSyslog(ctx, l.Syslog[i]); err != nil {
			return err
		}
	}
	if l.Memcached != "" {
		m := s.ingest.Memcached(*l)
		err := s.openTCP(ctx, "memcached", "tcp", l.Memcached, nil, m.Serve)
		if err != nil {
			return err
		}
	}
	if l.OTLPHTTP != "" {
		if err := s.openTCP(ctx, "otlp_http", "tcp", l.OTLPHTTP, []string{"h2", "http/1.1"}, s.serveIngest); err != nil {
			return err
		}
	}
	return s.openGRPC(ctx)
}

func (s *server) openSyslog(ctx context.Context, o ingest.SyslogOptions) error {
	p, err := s.ingest.Syslog(o, s.cfg.Listen)
	if err != nil {
		return err
	}
	switch o.Network {
	case ingest.NetworkTLS:
		return s.openTCP(ctx, "syslog", "tls", o.Address, []string{}, p.Serve)
	case ingest.NetworkTCP:
		return s.openTCP(ctx, "syslog", "tcp", o.Address, nil, p.Serve)
	}
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", o.Address)
	if err != nil {
		return errListen("syslog", o.Address, err)
	}
	socket, ok := conn.(*net.UDPConn)
	if !ok {
		return fmt.Errorf("BUG: a socket of UDP is a %T", conn)
	}
	s.ports.list = append(s.ports.list, &port{
		ListenStatus: query.ListenStatus{Protocol: "syslog", Network: "udp", Address: conn.LocalAddr().String()},
		serve:        func(ctx context.Context) error { return p.ServeUDP(ctx, socket) },
		close:        conn.Close,
	})
	return nil
}

// openTCP opens a port whose connections are bounded, and encrypted if protocols
// is not nil and there is a certificate.
func (s *server) openTCP(ctx context.Context, protocol, network, address string, protocols []string, serve func(context.Context, net.Listener) error) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return errListen(protocol, address, err)
	}
	at := ln.Addr().String()
	ln = s.conns.listener(ln, protocol+" "+at)
	if protocols != nil && s.certs != nil {
		ln, network = tls.NewListener(ln, s.certs.config(protocols...)), "tls"
	}
	s.ports.list = append(s.ports.list, &port{
		ListenStatus: query.ListenStatus{Protocol: protocol, Network: network, Address: at},
		serve:        func(ctx context.Context) error { return serve(ctx, ln) },
		close:        ln.Close,
	})
	return nil
}

func errListen(what, address string, err error) error {
	return &millrace.Error{
		Code: millrace.ErrUnavailable, Op: "listen for " + what + " on " + address, Err: err,
		Hint: "is another program there? Ports below 1024 need a privilege",
	}
}

// runPorts serves what was opened. A port that fails ends the server, as the one
// of HTTP does.
func (s *server) runPorts(ctx context.Context) {
	ctx, s.ports.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, p := range s.ports.list {
		s.ports.done.Go(func() {
			if err := p.serve(ctx); err != nil {
				select {
				case s.failed <- fmt.Errorf("serve %s on %s: %w", p.Protocol, p.Address, err):
				default: // another has failed before
				}
			}
		})
	}
}

// closePorts stops taking and waits until what was taken is in the queue.
func (s *server) closePorts(ctx context.Context) error {
	if s.ports.stop == nil { // they were never served
		var errs []error
		for _, p := range s.ports.list {
			errs = append(errs, p.close())
		}
		return errors.Join(errs...)
	}
	s.ports.stop()
	done := make(chan struct{})
	go func() { s.ports.done.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain listeners: %w", ctx.Err())
	}
}

// listening says what is listened on, for people.
func (s *server) listening() []query.ListenStatus {
	out := []query.ListenStatus{}
	for _, p := range s.ports.list {
		out = append(out, p.ListenStatus)
	}
	return out
}

// httpServer returns a server with the limits that all ports of HTTP have. How
// long a body may take is ingest's affair.
func (s *server) httpServer(handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC
	return &http.Server{
		Handler:   handler,
		Protocols: protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 100,
			SendPingTimeout:      time.Minute, // is the peer still there?
			PingTimeout:          20 * time.Second,
			WriteByteTimeout:     30 * time.Second,
		},
		ReadHeaderTimeout: 10 * time.Second, // the handshake of TLS is within it
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// serveIngest serves the endpoints that bring events, and no others, until ctx
// ends. ln is encrypted already if it is to be.
func (s *server) serveIngest(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	for pattern, h := range s.endpoints() {
		mux.Handle(pattern, h)
	}
	srv := s.httpServer(mux)
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		err := srv.Shutdown(drain)
		if err != nil {
			err = errors.Join(fmt.Errorf("drain requests: %w", err), srv.Close())
		}
		stopped <- err
	})
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// openGRPC opens the port of OTLP over gRPC, which every port of HTTP takes, too.
func (s *server) openGRPC(ctx context.Context) error {
	if s.cfg.Listen.OTLPGRPC == "" {
		return nil
	}
	return s.openTCP(ctx, "otlp_grpc", "tcp", s.cfg.Listen.OTLPGRPC, []string{"h2"}, s.serveIngest)
}
