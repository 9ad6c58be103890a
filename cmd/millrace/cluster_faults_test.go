package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// startFault is a server that is not what it should be when millrace starts.
type startFault struct {
	name string
	// config starts the server and returns the configuration that names it, and
	// what of its address the message must name.
	config func(t *testing.T) (config, where string)
	want   []string // all of them stand in what serve writes to stderr
}

// kafkaTalks, clickHouseTalks and postgresTalks are configurations for a server
// that talks in one way.
func kafkaTalks(talk func(net.Conn), more ...string) func(*testing.T) (string, string) {
	return func(t *testing.T) (string, string) {
		addr := tcpServer(t, talk)
		return kafkaAt(addr, more...), addr
	}
}

func clickHouseTalks(talk func(net.Conn), parameters string) func(*testing.T) (string, string) {
	return func(t *testing.T) (string, string) {
		addr := tcpServer(t, talk)
		return clickHouseAt(addr, parameters), addr
	}
}

func clickHouseAnswers(h http.HandlerFunc) func(*testing.T) (string, string) {
	return func(t *testing.T) (string, string) {
		addr := website(t, h)
		return clickHouseAt(addr, "protocol=http"), addr
	}
}

func postgresTalks(talk func(net.Conn)) func(*testing.T) (string, string) {
	return func(t *testing.T) (string, string) {
		addr := tcpServer(t, talk)
		return postgresAt(addr, ""), addr
	}
}

const (
	http400  = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
	tlsAlert = "\x15\x03\x01\x00\x02\x02\x46"
	garbage  = "\x00\x17\xfe\x01\xff\xff\xff\x7f\x03garbage\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"
)

var kafkaStartFaults = []startFault{
	{
		"Kafka: nobody listens", func(*testing.T) (string, string) { return kafkaAt("127.0.0.1:1"), "127.0.0.1:1" },
		[]string{"no broker answers", "queue.broker"},
	},
	{"Kafka: accepts and is silent", kafkaTalks(silent), []string{"no broker answers", "queue.broker"}},
	{"Kafka: hangs up", kafkaTalks(hangUp), []string{"expects TLS", "queue.tls.enabled"}},
	{"Kafka: a web server", kafkaTalks(says(http400)), []string{"no broker answers", "queue.broker"}},
	{"Kafka: garbage", kafkaTalks(says(garbage)), []string{"no broker answers", "queue.broker"}},
	{
		"Kafka: an answer to another request", kafkaTalks(kafkaFrames(func(n uint32) []byte { return frame(10, n+7, 0, 0, 0, 0, 0, 0) })),
		[]string{"no broker answers", "queue.broker"},
	},
	{
		"Kafka: an answer cut short", kafkaTalks(kafkaFrames(func(n uint32) []byte { return frame(500, n, 0, 0) })),
		[]string{"no broker answers", "queue.broker"},
	},
	{
		"Kafka: an answer of 2 GB", kafkaTalks(kafkaFrames(func(n uint32) []byte { return frame(1<<31-1, n, 0, 0) })),
		[]string{"no broker answers", "queue.broker"},
	},
	{
		"Kafka: an answer of negative length", kafkaTalks(kafkaFrames(func(n uint32) []byte { return frame(1<<32-5, n, 0, 0) })),
		[]string{"no broker answers", "queue.broker"},
	},
	{
		"Kafka: a byte per second", kafkaTalks(dripping(string(frame(10, 0, 0, 0, 0, 0)), time.Second)),
		[]string{"no broker answers", "queue.broker"},
	},
	{"Kafka: advertises an address that cannot be reached", func(t *testing.T) (string, string) {
		return kafkaAt(kafkaWith(t, kmsg.Metadata, advertises("127.0.0.1", 1))), "127.0.0.1:1"
	}, []string{"advertised.listeners"}},
	{"Kafka: advertises a name that does not exist", func(t *testing.T) (string, string) {
		return kafkaAt(kafkaWith(t, kmsg.Metadata, advertises("broker.invalid", 9092))), "broker.invalid"
	}, []string{"advertised.listeners"}},
	{"Kafka: topics may not be created", func(t *testing.T) (string, string) {
		return kafkaAt(kafkaWith(t, kmsg.CreateTopics, refusesTopics(kerr.TopicAuthorizationFailed))), "millrace"
	}, []string{"may not do this", "kafka-acls.sh"}},
	{"Kafka: a policy forbids the topic", func(t *testing.T) (string, string) {
		return kafkaAt(kafkaWith(t, kmsg.CreateTopics, refusesTopics(kerr.PolicyViolation))), "millrace"
	}, []string{"rules do not allow", "create it by hand"}},
	{"Kafka: fewer brokers than replicas", func(t *testing.T) (string, string) {
		return kafkaAt(kafkaWith(t, kmsg.CreateTopics, refusesTopics(kerr.InvalidReplicationFactor))), "millrace"
	}, []string{"not as many brokers", "queue.replication"}},
	{"Kafka: the secret is not there", func(*testing.T) (string, string) {
		return kafkaAt("127.0.0.1:1", "sasl: {mechanism: plain, username: u, password: \"file:/nowhere/secret\"}"), "file:/nowhere/secret"
	}, []string{"cannot be read"}},
}

var clickHouseStartFaults = []startFault{
	{
		"ClickHouse: nobody listens", func(*testing.T) (string, string) { return clickHouseAt("127.0.0.1:1", ""), "127.0.0.1:1" },
		[]string{"cannot be reached", "8123"},
	},
	{"ClickHouse: accepts and is silent", clickHouseTalks(silent, ""), []string{"cannot be reached", "8123"}},
	{"ClickHouse: accepts HTTP and is silent", clickHouseTalks(silent, "protocol=http"), []string{"time limit", "8123"}},
	{"ClickHouse: hangs up", clickHouseTalks(hangUp, ""), []string{"cannot be reached", "8123"}},
	{"ClickHouse: hangs up on HTTP", clickHouseTalks(hangUp, "protocol=http"), []string{"cannot be reached", "8123"}},
	{"ClickHouse: a web server on the native port", clickHouseTalks(says(http400), ""), []string{"cannot be reached", "8123"}},
	{
		"ClickHouse: the native port asked by HTTP", clickHouseTalks(says("HTTP/1.0 400 Bad Request\r\n\r\nPort 9000 is for clickhouse-client program\r\nYou must use port 8123 for HTTP.\r\n"), "protocol=http"),
		[]string{"something else than ClickHouse", "8123"},
	},
	{"ClickHouse: TLS where plain is expected", func(t *testing.T) (string, string) {
		s := httptest.NewTLSServer(answers(http.StatusOK, nil, ""))
		t.Cleanup(s.Close)
		addr := strings.TrimPrefix(s.URL, "https://")
		return clickHouseAt(addr, "protocol=http"), addr
	}, []string{"something else than ClickHouse", "8443"}},
	{"ClickHouse: plain where TLS is expected", func(t *testing.T) (string, string) {
		addr := website(t, answers(http.StatusOK, clickHouseHeaders(), ""))
		return clickHouseAt(addr, "protocol=http&secure=true"), addr
	}, []string{"does not speak TLS", "secure=true"}},
	{"ClickHouse: a certificate of an unknown authority", func(t *testing.T) (string, string) {
		s := httptest.NewTLSServer(answers(http.StatusOK, clickHouseHeaders(), ""))
		t.Cleanup(s.Close)
		addr := strings.TrimPrefix(s.URL, "https://")
		return clickHouseAt(addr, "protocol=http&secure=true"), addr
	}, []string{"not trusted", "tls.ca"}},
	{
		"ClickHouse: a proxy's login page", clickHouseAnswers(answers(http.StatusOK, http.Header{"Content-Type": {"text/html"}}, loginPage)),
		[]string{"something else than ClickHouse", "proxy"},
	},
	{
		"ClickHouse: a proxy redirects", clickHouseAnswers(answers(http.StatusFound, http.Header{"Location": {"http://login.invalid/"}}, "")),
		[]string{"something else than ClickHouse", "login.invalid", "proxy"},
	},
	{
		"ClickHouse: a proxy wants a password", clickHouseAnswers(answers(http.StatusProxyAuthRequired, http.Header{"Server": {"squid"}}, "")),
		[]string{"something else than ClickHouse", "407", "squid", "proxy"},
	},
	{
		"ClickHouse: a balancer without servers", clickHouseAnswers(answers(http.StatusBadGateway, http.Header{"Server": {"nginx"}}, "<html>502")),
		[]string{"something else than ClickHouse", "502", "nginx", "proxy"},
	},
	{
		"ClickHouse: an endless page", clickHouseTalks(endless("HTTP/1.1 200 OK\r\n\r\nAAAA"), "protocol=http"),
		[]string{"something else than ClickHouse", "proxy"},
	},
	{
		"ClickHouse: endless headers", clickHouseTalks(endless("HTTP/1.1 200 OK\r\nX-Clickhouse-A: "+strings.Repeat("b", 100)), "protocol=http"),
		[]string{"cannot be reached", "8123"},
	},
	{"ClickHouse: garbage", clickHouseAnswers(answers(http.StatusOK, clickHouseHeaders(), garbage)), []string{"cannot be reached", "8123"}},
	{
		"ClickHouse: another content encoding than it says", clickHouseAnswers(answers(http.StatusOK, clickHouseHeaders("Content-Encoding", "gzip"), garbage)),
		[]string{"cannot be reached", "8123"},
	},
	{"ClickHouse: a block of 2^62 rows", clickHouseAnswers(answers(http.StatusOK, clickHouseHeaders(),
		string(binary.AppendUvarint(binary.AppendUvarint(nil, 1), 1<<62))+"\x01v\x06UInt64")), []string{"cannot be reached", "8123"}},
	{
		"ClickHouse: an answer cut short", clickHouseAnswers(answers(http.StatusOK, clickHouseHeaders("Content-Length", "5000"), "\x01")),
		[]string{"cannot be reached", "8123"},
	},
	{
		"ClickHouse: a byte per second", clickHouseTalks(dripping("HTTP/1.1 200 OK\r\nX-ClickHouse-Query-Id: q\r\n\r\n", time.Second), "protocol=http"),
		[]string{"time limit", "8123"},
	},
	{"ClickHouse: no such database", clickHouseAnswers(answers(http.StatusNotFound, clickHouseHeaders("X-ClickHouse-Exception-Code", "81"),
		"Code: 81. DB::Exception: Database d does not exist. (UNKNOWN_DATABASE)")), []string{"no such database", "CREATE DATABASE"}},
	{"ClickHouse: the wrong password", clickHouseAnswers(answers(http.StatusForbidden, clickHouseHeaders("X-ClickHouse-Exception-Code", "516"),
		"Code: 516. DB::Exception: u: Authentication failed. (AUTHENTICATION_FAILED)")), []string{"refuses the user or password", "check user and password"}},
}

var postgresStartFaults = []startFault{
	{
		"PostgreSQL: nobody listens", func(*testing.T) (string, string) { return postgresAt("127.0.0.1:1", ""), "127.0.0.1:1" },
		[]string{"cannot be reached", "host and port"},
	},
	{"PostgreSQL: accepts and is silent", postgresTalks(silent), []string{"does not answer", "overloaded"}},
	{"PostgreSQL: hangs up", postgresTalks(hangUp), []string{"PostgreSQL", "host and port"}},
	{"PostgreSQL: a web server", postgresTalks(says(http400)), []string{"PostgreSQL", "host and port"}},
	{"PostgreSQL: garbage", postgresTalks(says(garbage)), []string{"PostgreSQL", "host and port"}},
	{"PostgreSQL: TLS where plain is expected", postgresTalks(says(tlsAlert)), []string{"PostgreSQL", "host and port"}},
	{"PostgreSQL: a message of 2 GB", postgresTalks(says("R\x7f\xff\xff\xff")), []string{"PostgreSQL", "host and port"}},
	{"PostgreSQL: endless notices", postgresTalks(endless(pgMessage('N', "SNOTICE\x00Mhello\x00\x00"))), []string{"does not answer", "overloaded"}},
	{"PostgreSQL: a byte per second", postgresTalks(dripping(pgAuth(0, ""), time.Second)), []string{"does not answer", "overloaded"}},
	{"PostgreSQL: an unknown way to authenticate", postgresTalks(says(pgAuth(99, ""))), []string{"authenticat", "scram-sha-256"}},
	{"PostgreSQL: wants Kerberos", postgresTalks(says(pgAuth(2, ""))), []string{"authenticat", "scram-sha-256"}},
	{"PostgreSQL: an unknown SASL mechanism", postgresTalks(says(pgAuth(10, "SCRAM-MD4\x00\x00"))), []string{"authenticat", "scram-sha-256"}},
	{"PostgreSQL: is starting", postgresTalks(says(pgError("57P03", "the database system is starting up"))), []string{"starting or stopping", "wait"}},
	{"PostgreSQL: lets in and then garbage", postgresTalks(pgReady(garbage)), []string{"does not answer", "overloaded"}},
	{"PostgreSQL: lets in and then silence", postgresTalks(pgReady("")), []string{"does not answer", "overloaded"}},
	{
		"PostgreSQL: the disk is full", postgresTalks(pgReady(pgError("53100", "could not extend file: No space left on device") + pgMessage('Z', "I"))),
		[]string{"disk of PostgreSQL is full", "free space"},
	},
}

// failsToStart runs serve and returns what it writes to stderr.
func failsToStart(t *testing.T, config string) string {
	t.Helper()
	var stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := &Main{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &stderr, Now: time.Now, Ready: func(string) {
		t.Error("it started")
		cancel()
	}}
	err := m.ParseFlags(serveArgs(t, t.TempDir(), config, nil))
	if err == nil {
		err = m.Run(ctx)
	}
	if code := m.report(err); code == 0 {
		t.Error("exit code 0")
	}
	return stderr.String()
}

// testStartFaults: millrace does not start, and says what is wrong, where, and
// what to do; it never shows the password, and gives up in time.
func testStartFaults(t *testing.T, faults []startFault) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			config, where := f.config(t)
			began := time.Now()
			text := failsToStart(t, config)
			if os.Getenv("MILLRACE_SHOW") != "" {
				t.Logf("%v %s", time.Since(began), text)
			}
			for _, want := range append([]string{where}, f.want...) {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing in:\n%s", want, text)
				}
			}
			if !strings.Contains(text, "\nhint: ") {
				t.Errorf("no cure in:\n%s", text)
			}
			if strings.Contains(text, "hunter2") {
				t.Errorf("shows the password:\n%s", text)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestKafkaStartFaults(t *testing.T)      { testStartFaults(t, kafkaStartFaults) }
func TestClickHouseStartFaults(t *testing.T) { testStartFaults(t, clickHouseStartFaults) }
func TestPostgresStartFaults(t *testing.T)   { testStartFaults(t, postgresStartFaults) }

// TestFaultsDocumented: each test that docs/faults.md names exists, and the page
// has as many behaviours as it says.
func TestFaultsDocumented(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows, sources := 0, map[string]string{}
	row := regexp.MustCompile("(?m)^\\| .*\\| `([a-z/]+) (Test\\w+)(?:/([^`]*))?` \\|$")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		rows++
		dir, test, sub := m[1], m[2], m[3]
		if sources[dir] == "" {
			files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				sources[dir] += string(text)
			}
		}
		if !strings.Contains(sources[dir], "func "+test+"(t *testing.T)") {
			t.Errorf("there is no %s in %s", test, dir)
		}
		if sub != "" && !strings.Contains(sources[dir], fmt.Sprintf("%q", sub)) {
			t.Errorf("%s has no case %q", test, sub)
		}
	}
	if tables := strings.Count(string(page), "\n| ") - strings.Count(string(page), "\n| behaviour"); rows != tables || rows < 50 {
		t.Errorf("%d rows name a test, of %d", rows, tables)
	}
}
