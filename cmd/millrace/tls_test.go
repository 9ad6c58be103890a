package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
)

// writePair writes a certificate of 127.0.0.1 that signs itself, and its key.
func writePair(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func pool(t *testing.T, cert string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(text)
	return p
}

func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, "first")
	c, err := openCertificates(config.TLS{Cert: cert, Key: key}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", c.config("h2"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	shown := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if conn.ConnectionState().NegotiatedProtocol != "h2" {
			t.Errorf("protocol %q", conn.ConnectionState().NegotiatedProtocol)
		}
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	ctx, cancel := context.WithCancel(t.Context())
	tick, reports, ended := make(chan time.Time), make(chan error), make(chan struct{})
	go func() { c.follow(ctx, tick, func(err error) { reports <- err }); close(ended) }()
	look := func(want millrace.Code, name string) {
		t.Helper()
		tick <- time.Time{}
		if err := <-reports; millrace.ErrorCode(err) != want {
			t.Errorf("reported %v, want %q", err, want)
		}
		if got := shown(); got != name {
			t.Errorf("shows %q, want %q", got, name)
		}
	}
	look("", "first")
	writePair(t, dir, "second")
	look("", "second")
	good, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []func() error{
		func() error { return os.WriteFile(key, []byte("no key"), 0o600) },
		func() error { return os.Remove(key) },
		func() error { // of another certificate
			_, other := writePair(t, t.TempDir(), "other")
			text, err := os.ReadFile(other)
			if err != nil {
				return err
			}
			return os.WriteFile(key, text, 0o600)
		},
	} {
		if err := bad(); err != nil {
			t.Fatal(err)
		}
		look(millrace.ErrInvalid, "second")
	}
	if err := os.WriteFile(key, good, 0o600); err != nil {
		t.Fatal(err)
	}
	look("", "second")
	if _, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
	cancel()
	<-ended
}

// HTTP over TLS with HTTP/2, and syslog whose sender shows a certificate.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, "millrace")
	in := boot(t, "", fmt.Sprintf("tls: {cert: %s, key: %s, client_ca: %s}\nauth: {require: always}\n", cert, key, cert), "--listen", "syslog_tls=127.0.0.1:0", "--listen", "otlp_http=127.0.0.1:0")
	if !strings.HasPrefix(in.url, "https://") {
		t.Fatalf("url %s", in.url)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, cert)}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	for _, base := range []string{in.url, "https://" + in.port("otlp_http (tls)")} {
		resp, err := client.Post(base+"/ingest", "text/plain", strings.NewReader("x\n"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s %s", base, resp.Proto, resp.Status)
		}
	}
	send := func(pair ...tls.Certificate) {
		t.Helper()
		conn, err := tls.Dial("tcp", in.port("syslog (tls)"), &tls.Config{RootCAs: pool(t, cert), Certificates: pair})
		if err != nil {
			t.Fatal(err)
		}
		const text = "<13>1 2026-03-05T11:00:00Z web app - - - over TLS"
		fmt.Fprintf(conn, "%d %s", len(text), text)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(make([]byte, 1)) // until it has read everything
		_ = conn.Close()
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	send()
	send(pair)
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	again := boot(t, in.data, "")
	again.drain(1)
	if rows := again.sql("SELECT host, message FROM events"); len(rows) != 1 || rows[0][0] != "web" || rows[0][1] != "over TLS" {
		t.Errorf("stored %v", rows)
	}
}
