package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
)

// certificates are what ports are encrypted with: read from files, and read
// again when these change. Safe for concurrent use.
type certificates struct {
	cfg  config.TLS
	log  *slog.Logger
	now  atomic.Pointer[tls.Config]
	last [3][]byte // the files as they were read; of follow
}

// openCertificates reads the files; nil if nothing is to be encrypted.
// ErrInvalid names the file that is wrong.
func openCertificates(cfg config.TLS, log *slog.Logger) (*certificates, error) {
	if cfg.Cert == "" {
		return nil, nil
	}
	c := &certificates{cfg: cfg, log: log}
	if _, err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// load reads the files and adopts them if they are good and others than before.
func (c *certificates) load() (changed bool, err error) {
	var files [3][]byte
	for i, name := range []string{c.cfg.Cert, c.cfg.Key, c.cfg.ClientCA} {
		if name == "" {
			continue
		}
		if files[i], err = os.ReadFile(name); err != nil {
			return false, &millrace.Error{Code: millrace.ErrInvalid, Op: "read certificate", Message: err.Error(), Err: err}
		}
	}
	same := true
	for i := range files {
		same = same && bytes.Equal(files[i], c.last[i])
	}
	if same {
		return false, nil
	}
	pair, err := tls.X509KeyPair(files[0], files[1])
	if err != nil {
		return false, &millrace.Error{
			Code: millrace.ErrInvalid, Message: "tls: " + c.cfg.Cert + " and " + c.cfg.Key + ": " + err.Error(), Err: err,
		}
	}
	next := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.cfg.ClientCA != "" {
		next.ClientCAs, next.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if !next.ClientCAs.AppendCertsFromPEM(files[2]) {
			return false, millrace.Errorf(millrace.ErrInvalid, "tls: %s holds no certificate in PEM", c.cfg.ClientCA)
		}
	}
	c.now.Store(next)
	c.last = files
	return true, nil
}

// config returns what a port is encrypted with: at each handshake what is
// current. protocols are for ALPN, best first.
func (c *certificates) config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols,
		// net/http and gRPC want to see one; GetConfigForClient comes before it.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.now.Load().Certificates[0], nil
		},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			current := c.now.Load().Clone()
			current.NextProtos = protocols
			return current, nil
		},
	}
}

// certEvery is how often the files are looked at. They are small, and their
// times do not tell of links that orchestrators exchange.
const certEvery = 5 * time.Second

// follow reads the files again at every tick until ctx ends, and reports what is
// wrong with them; nil: nothing. What is wrong leaves the pair before in use.
func (c *certificates) follow(ctx context.Context, tick <-chan time.Time, report func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		changed, err := c.load()
		report(err)
		switch {
		case err != nil:
			c.log.Error("the certificate stays as it is", "err", err)
		case changed:
			c.log.Info("certificate reloaded", "file", c.cfg.Cert)
		}
	}
}

func (s *server) followCertificates(ctx context.Context) {
	if s.certs == nil {
		return
	}
	s.work.Go(func() {
		tick := time.NewTicker(certEvery)
		defer tick.Stop()
		s.certs.follow(ctx, tick.C, func(err error) { s.node.fault("tls", err) })
	})
}
