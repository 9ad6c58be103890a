package queue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/millrace/millrace"
)

// secure prepares what connections to an external Kafka need, and finds out now
// whether all files are there.
func (q *Queue) secure() error {
	var err error
	if q.opts.TLS.Enabled {
		if q.tls, err = tlsConfig(&q.opts.TLS); err != nil {
			return fmt.Errorf("open queue: %w", err)
		}
	}
	if q.sasl, err = q.mechanism(); err != nil {
		return fmt.Errorf("open queue: %w", err)
	}
	m := q.opts.SASL.Mechanism
	if (m == saslPlain || m == saslOAuth) && !q.opts.TLS.Enabled {
		q.log.Warn("queue: the password or token passes the network in clear text; see queue.tls", "mechanism", m)
	}
	if q.opts.TLS.Insecure {
		q.log.Warn("queue: insecure_skip_verify: the brokers' certificates are not checked")
	}
	return nil
}

// securityOptions are the client options for what secure prepared.
func (q *Queue) securityOptions() []kgo.Opt {
	var opts []kgo.Opt
	if q.tls != nil {
		opts = append(opts, kgo.DialTLSConfig(q.tls))
	}
	if q.sasl != nil {
		opts = append(opts, kgo.SASL(q.sasl))
	}
	return opts
}

func tlsConfig(o *TLSOptions) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName, InsecureSkipVerify: o.Insecure} //nolint:gosec // asked for by its name
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fileError("queue.tls.ca_file", o.CAFile, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, millrace.Errorf(millrace.ErrInvalid, "queue.tls.ca_file: %s holds no certificate in PEM form", o.CAFile)
		}
	}
	if o.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
			if err != nil {
				return nil, fileError("queue.tls.cert_file", o.CertFile, err)
			}
			return &cert, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return c, nil
}

func fileError(setting, path string, err error) error {
	return &millrace.Error{
		Code: millrace.ErrInvalid, Err: err, Message: setting + ": " + path + " cannot be used",
		Hint: "check that the file is there, is in PEM form and readable by the user millrace runs as",
	}
}

// mechanism returns nil without authentication. Secrets are read for each
// connection, and once now.
func (q *Queue) mechanism() (sasl.Mechanism, error) {
	o := &q.opts.SASL
	switch o.Mechanism {
	case saslPlain:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			pass, err := o.Password.read()
			return plain.Auth{User: o.Username, Pass: pass}, err
		}), probeSecret(o.Password)
	case saslSCRAM256, saslSCRAM512:
		auth := func(context.Context) (scram.Auth, error) {
			pass, err := o.Password.read()
			return scram.Auth{User: o.Username, Pass: pass}, err
		}
		if o.Mechanism == saslSCRAM256 {
			return scram.Sha256(auth), probeSecret(o.Password)
		}
		return scram.Sha512(auth), probeSecret(o.Password)
	case saslOAuth:
		if o.TokenURL == "" {
			return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
				token, err := o.Token.read()
				return oauth.Auth{Token: token}, err
			}), probeSecret(o.Token)
		}
		s := newTokenSource(o, q.now)
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.token(ctx)
			return oauth.Auth{Token: token}, err
		}), probeSecret(o.ClientSecret)
	}
	return nil, nil
}

func probeSecret(s Secret) error {
	_, err := s.read()
	return err
}
