package kafkatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// The one user that the SASL listeners know, by password under every mechanism;
// it may do nothing until a test grants it.
const (
	User     = "millrace"
	Password = "correct horse, battery=staple"
)

// Secure is one broker with listeners for every kind of security. Whoever comes
// through the plain one may do everything.
type Secure struct {
	*Cluster
	TLS     string // TLS
	Mutual  string // TLS that asks for the client's certificate
	SASL    string // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER (unsecured tokens), without TLS
	SASLTLS string // the same, with TLS

	// Files: the authority of the brokers' certificates and of clients', a client's
	// certificate with its key, and an authority that nobody knows.
	CA, ClientCert, ClientKey, OtherCA string
}

// StartSecure runs one.
func StartSecure(t testing.TB) *Secure {
	t.Helper()
	Need(t)
	s, err := newCerts(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, 1, s)
	b := c.brokers[0]
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		res, err := c.Admin().AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{
			{User: User, Mechanism: mechanism, Iterations: 4096, Password: Password},
		})
		if err == nil {
			err = res.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return &Secure{
		Cluster: c,
		TLS:     b.ports.addr(b.ports.tls), Mutual: b.ports.addr(b.ports.mutual),
		SASL: b.ports.addr(b.ports.sasl), SASLTLS: b.ports.addr(b.ports.saslTLS),
		CA: s.path("ca.pem"), ClientCert: s.path("client.pem"), ClientKey: s.path("client-key.pem"), OtherCA: s.path("other.pem"),
	}
}

// certs is a directory of certificates.
type certs struct{ dir string }

func (s *certs) path(name string) string { return filepath.Join(s.dir, name) }

// properties are those of the listeners with security.
func (s *certs) properties() string {
	jaas := func(listener, mechanism, module, options string) string {
		return fmt.Sprintf("listener.name.%s.%s.sasl.jaas.config=org.apache.kafka.common.security.%s required %s;\n",
			listener, mechanism, module, options)
	}
	out := fmt.Sprintf(`ssl.keystore.type=PEM
ssl.keystore.location=%s
ssl.truststore.type=PEM
ssl.truststore.location=%s
listener.name.mutual.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
`, s.path("broker.pem"), s.path("ca.pem"))
	for _, l := range []string{"sasl", "sasltls"} {
		out += "listener.name." + l + ".sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n" +
			jaas(l, "plain", "plain.PlainLoginModule", fmt.Sprintf("user_%s=%q", User, Password)) +
			jaas(l, "scram-sha-256", "scram.ScramLoginModule", "") +
			jaas(l, "scram-sha-512", "scram.ScramLoginModule", "") +
			jaas(l, "oauthbearer", "oauthbearer.OAuthBearerLoginModule", `unsecuredLoginStringClaim_sub="broker"`)
	}
	return out
}

// newCerts makes an authority, a broker's certificate for 127.0.0.1, and a
// client's.
func newCerts(dir string) (*certs, error) {
	s := &certs{dir: dir}
	ca, err := newIssuer("millrace test authority")
	if err != nil {
		return nil, err
	}
	other, err := newIssuer("somebody else")
	if err != nil {
		return nil, err
	}
	broker, brokerKey, err := ca.issue("broker")
	if err != nil {
		return nil, err
	}
	client, clientKey, err := ca.issue("client")
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{
		"ca.pem": ca.pem, "other.pem": other.pem,
		"broker.pem": append(brokerKey, broker...), "client.pem": client, "client-key.pem": clientKey,
	} {
		if err := os.WriteFile(s.path(name), data, 0o600); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// issuer is a certificate authority.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newIssuer(name string) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := template(name)
	t.IsCA, t.BasicConstraintsValid = true, true
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &issuer{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

func (i *issuer) issue(name string) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := template(name)
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, t, i.cert, &k.PublicKey, i.key)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), err
}
