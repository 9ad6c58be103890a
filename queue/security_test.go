package queue

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/kafkatest"
)

// TestKafkaSecurity runs against a broker with a listener for each kind of
// security.
func TestKafkaSecurity(t *testing.T) {
	s := kafkatest.StartSecure(t)
	password := writeSecret(t, kafkatest.Password)
	user := func(o *Options, mechanism string) {
		o.SASL = SASLOptions{Mechanism: mechanism, Username: kafkatest.User, Password: password}
	}
	var topics int
	open := func(addr string, change func(*Options)) (*Queue, error) {
		o := testOptions()
		topics++
		o.Broker, o.Topic, o.Replication = []string{addr}, fmt.Sprint("topic", topics), 1
		o.Timeout = millrace.Duration(10 * time.Second)
		change(&o)
		q, err := Open(t.Context(), o, "", quiet, time.Now)
		if err == nil {
			t.Cleanup(func() { _ = q.Close() })
		}
		return q, err
	}
	bad := func(name, addr string, change func(*Options), message, hint string) {
		t.Helper()
		began := time.Now()
		_, err := open(addr, change)
		if err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(millrace.ErrorHint(err), hint) {
			t.Errorf("%s: error %v\nhint %q", name, err, millrace.ErrorHint(err))
		}
		if err != nil && (strings.Contains(err.Error(), kafkatest.Password) || strings.Contains(millrace.ErrorHint(err), kafkatest.Password)) {
			t.Errorf("%s: shows the password: %v", name, err)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
	ca := func(o *Options) { o.TLS = TLSOptions{Enabled: true, CAFile: s.CA} }
	both := func(mechanism string) func(*Options) {
		return func(o *Options) { ca(o); user(o, mechanism) }
	}

	bad("TLS to a plain port", s.Addrs()[0], ca, "does not speak TLS on this port", "set queue.tls.enabled to false")
	bad("plain to a TLS port", s.TLS, func(*Options) {}, "expects TLS on this port", "set queue.tls.enabled")
	bad("unknown authority", s.TLS, func(o *Options) { o.TLS = TLSOptions{Enabled: true, CAFile: s.OtherCA} },
		"from an unknown authority (CN=millrace test authority)", "set queue.tls.ca_file")
	bad("wrong name", s.TLS, func(o *Options) { ca(o); o.TLS.ServerName = "kafka.example" }, "is for another host", "queue.tls.server_name")
	bad("no client certificate", s.Mutual, ca, "does not accept this client's certificate", "set queue.tls.cert_file")
	bad("no password", s.SASL, func(*Options) {}, "as one that expects a password", "set queue.sasl")
	bad("a password where none is asked for", s.Addrs()[0], func(o *Options) { user(o, "plain") }, "expects no authentication", "leave queue.sasl empty")
	for _, m := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		bad("wrong password, "+m, s.SASLTLS, func(o *Options) { both(m)(o); o.SASL.Password = writeSecret(t, "wrong") },
			`does not accept user "millrace" with this password`, "check queue.sasl.username and what file:")
	}
	bad("bad token", s.SASLTLS, func(o *Options) {
		ca(o)
		o.SASL = SASLOptions{Mechanism: "oauthbearer", Token: writeSecret(t, "x.y.z")}
	},
		"does not accept the token", "whether it has expired")
	bad("not authorised", s.SASLTLS, both("scram-sha-512"), `user "millrace" may not do this`, "kafka-acls.sh")

	grant(t, s.Admin())
	good := func(name, addr string, change func(*Options)) {
		t.Helper()
		q, err := open(addr, change)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		mustAppend(t, q, record("c", 1, "text"))
		if got := readAll(t, q, lows(t, q)); len(got) != 1 {
			t.Errorf("%s: read %d records", name, len(got))
		}
		r := &registry{owner: map[int32]string{}}
		m, d := join(t, q, r, "one")
		eventually(t, name+": joined", func() bool { return len(d.have()) == 4 })
		leave(t, m)
	}
	good("TLS", s.TLS, ca)
	good("client certificate", s.Mutual, func(o *Options) { ca(o); o.TLS.CertFile, o.TLS.KeyFile = s.ClientCert, s.ClientKey })
	for _, m := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		good(m, s.SASL, func(o *Options) { user(o, m) })
	}
	good("TLS and SCRAM", s.SASLTLS, both("scram-sha-512"))
	good("token", s.SASLTLS, func(o *Options) {
		ca(o)
		o.SASL = SASLOptions{Mechanism: "oauthbearer", Token: writeSecret(t, unsecuredToken(time.Hour))}
	})
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": unsecuredToken(time.Hour), "expires_in": 3600})
	}))
	defer provider.Close()
	good("client credentials", s.SASLTLS, func(o *Options) {
		ca(o)
		o.SASL = SASLOptions{Mechanism: "oauthbearer", TokenURL: provider.URL, ClientID: "m", ClientSecret: password}
	})
}

// grant lets the user and the owners of certificates do what millrace needs, and
// nothing else.
func grant(t testing.TB, admin *kadm.Client) {
	t.Helper()
	who := []string{"User:" + kafkatest.User, "User:ANONYMOUS", "User:CN=client"}
	for _, b := range []*kadm.ACLBuilder{
		kadm.NewACLs().Topics("*").Operations(kadm.OpRead, kadm.OpWrite, kadm.OpDescribe, kadm.OpDescribeConfigs, kadm.OpCreate),
		kadm.NewACLs().Groups("*").Operations(kadm.OpRead),
	} {
		res, err := admin.CreateACLs(t.Context(), b.Allow(who...).ResourcePatternType(kadm.ACLPatternLiteral))
		if err == nil {
			for _, r := range res {
				if r.Err != nil {
					err = r.Err
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// unsecuredToken is one that Kafka takes in tests (RFC 7515, appendix A.5).
func unsecuredToken(life time.Duration) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	now := time.Now()
	return part(`{"alg":"none"}`) + "." +
		part(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, kafkatest.User, now.Unix(), now.Add(life).Unix())) + "."
}

func writeSecret(t testing.TB, text string) Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Secret("file:" + path)
}

func TestSecret(t *testing.T) {
	t.Setenv("MILLRACE_TEST_SECRET", " pass word ")
	f := func(s Secret, want, wantErr string) {
		t.Helper()
		got, err := s.read()
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: %q, %v", s, got, err)
		}
	}
	file := writeSecret(t, "from a file")
	f("env:MILLRACE_TEST_SECRET", "pass word", "")
	f(file, "from a file", "")
	f("env:MILLRACE_TEST_NO_SECRET", "", "the secret env:MILLRACE_TEST_NO_SECRET is empty")
	f("file:/nowhere/at/all", "", "the secret file:/nowhere/at/all cannot be read")
	f("hunter2", "", "(hidden): must be env:NAME or file:PATH")
	// It rotates.
	must(t, os.WriteFile(strings.TrimPrefix(string(file), "file:"), []byte("another"), 0o600))
	f(file, "another", "")
	for _, text := range []string{fmt.Sprintf("%v %+v %s %#v", Secret("hunter2"), SASLOptions{Password: "hunter2"}, Secret("hunter2"), Secret("hunter2"))} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("shown: %s", text)
		}
	}
}

func TestTokenSource(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	asked, answer, status := 0, `{"access_token":"t1","expires_in":100}`, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		id, secret, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		if id != "mill%3Arace" || secret != "s%2Fx" || string(body) != "grant_type=client_credentials&scope=logs" || r.Method != http.MethodPost {
			t.Errorf("asked with %q %q %s", id, secret, body)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	o := &SASLOptions{TokenURL: server.URL, ClientID: "mill:race", ClientSecret: writeSecret(t, "s/x"), Scope: "logs"}
	s := newTokenSource(o, func() time.Time { return now })
	f := func(want string, wantAsked int, wantErr string) {
		t.Helper()
		got, err := s.token(t.Context())
		if got != want || asked != wantAsked || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("token %q, asked %d times, %v", got, asked, err)
		}
		if err != nil && (strings.Contains(err.Error(), "s/x") || strings.Contains(err.Error(), "s%2Fx")) {
			t.Errorf("shows the secret: %v", err)
		}
	}
	f("t1", 1, "")
	now = now.Add(79 * time.Second)
	f("t1", 1, "")
	now, answer = now.Add(time.Second), `{"access_token":"t2"}`
	f("t2", 2, "")
	f("t2", 3, "") // nothing is said of its life
	answer, status = `{"error":"invalid_client","error_description":"unknown client"}`, http.StatusUnauthorized
	f("", 4, "answered 401 without a token invalid_client unknown client")
	answer, status = `{}`, http.StatusOK
	f("", 5, "answered 200 without a token")
	server.Close()
	f("", 5, "cannot be reached")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.token(ctx); err == nil {
		t.Error("no error")
	}
}

func TestTLSFiles(t *testing.T) {
	empty := strings.TrimPrefix(string(writeSecret(t, "nothing")), "file:")
	f := func(o TLSOptions, want string) {
		t.Helper()
		_, err := tlsConfig(&o)
		if err == nil || !strings.Contains(err.Error(), want) || millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f(TLSOptions{Enabled: true, CAFile: "/nowhere"}, "queue.tls.ca_file: /nowhere cannot be used")
	f(TLSOptions{Enabled: true, CAFile: empty}, "holds no certificate")
	f(TLSOptions{Enabled: true, CertFile: empty, KeyFile: empty}, "queue.tls.cert_file: ")
	c, err := tlsConfig(&TLSOptions{Enabled: true, ServerName: "n"})
	if err != nil || c.MinVersion < tls.VersionTLS12 || c.InsecureSkipVerify || c.ServerName != "n" {
		t.Errorf("%+v, %v", c, err)
	}
}
