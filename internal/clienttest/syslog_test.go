package clienttest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// syslogEvents is how many messages each sender of syslog gets; the server is
// killed when a third of them has been handed over.
const syslogEvents = 3000

// written bounds what a sender over TCP may lose at a kill here: what it sends
// between the last append, at most some ms before, and when it notices that the
// connection is gone, at the rate of feedSyslog.
const written = 300

// port returns the number of an address.
func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// feedSyslog hands messages to a local listener of a sender, one by one, and
// kills the server in the middle if kill is set.
func (s *Server) feedSyslog(addr string, kill bool, head string) {
	s.t.Helper()
	var conn net.Conn
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if conn, err = net.Dial("tcp", addr); err == nil {
			break
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	restarted := make(chan struct{})
	if !kill {
		close(restarted)
	}
	for i := range syslogEvents {
		if kill && i == syslogEvents/6 {
			s.connected()
		}
		if kill && i == syslogEvents/3 {
			s.Kill()
			go func() {
				defer close(restarted)
				time.Sleep(300 * time.Millisecond)
				s.Restart()
			}()
		}
		if _, err := fmt.Fprintf(conn, "%sorder %d placed\n", head, i); err != nil {
			s.t.Fatal(err)
		}
		if i%20 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	<-restarted
	if err := conn.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// connected waits until the sender's connection is up and something of it is
// stored: before that all that was fed may be in the sender's buffers, and lost.
func (s *Server) connected() {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if rows, err := s.sql("SELECT count(*) FROM events"); err == nil && rows[0][0] != "0" {
			return
		}
	}
	s.t.Fatal("nothing is stored of what was fed")
}

// head5424 begins the messages that are fed, with a field of each kind.
const head5424 = `<131>1 2026-03-05T11:59:58.123456Z web-07 checkout 77 ID47 [shop@0 cart="a \"b\""] `

// where is true for messages that are what was fed.
const where5424 = `service = 'checkout' AND host = 'web-07' AND level = 'error' AND time = TIMESTAMP '2026-03-05 11:59:58.123456'
	AND (attrs->>'facility') = 'local0' AND (attrs->>'pid') = '77' AND (attrs->>'msgid') = 'ID47' AND (attrs->>'shop@0.cart') = 'a "b"' AND message LIKE 'order % placed'`

// where3164 is where5424 for what RFC 3164 has room for.
const where3164 = `service = 'checkout' AND host = 'web-07' AND level = 'error' AND (attrs->>'facility') = 'local0' AND (attrs->>'pid') = '77' AND message LIKE 'order % placed'`

// bounds waits until at least least different messages are stored, and checks
// that none is there more than most times.
func (s *Server) bounds(least, most int, where string) {
	s.t.Helper()
	query := "SELECT count(DISTINCT message), count(*), coalesce(max(n), 0) FROM (SELECT message, count(*) OVER (PARTITION BY message) AS n FROM events WHERE " + where + ")"
	var rows [][]string
	var stored, all, times, before int
	quiet := time.Now()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var err error
		if rows, err = s.sql(query); err != nil {
			continue
		}
		stored, _ = strconv.Atoi(rows[0][0])
		all, _ = strconv.Atoi(rows[0][1])
		times, _ = strconv.Atoi(rows[0][2])
		if all != before {
			before, quiet = all, time.Now()
		}
		if stored == syslogEvents || stored >= least && time.Since(quiet) > 2*time.Second {
			break
		}
	}
	s.t.Logf("%d of %d messages, %d lost, %d doubled", stored, syslogEvents, syslogEvents-stored, all-stored)
	if stored < least || times > most {
		s.t.Errorf("%d of at least %d messages are stored, %d in all, one %d times\n%v\n%s", stored, least, all, times,
			s.SQL("SELECT * FROM events ORDER BY time DESC LIMIT 1"), s.Log())
	}
}

// daemon runs a program until the test ends.
func daemon(t *testing.T, env []string, path string, args ...string) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if _, err := log.Seek(0, io.SeekStart); err == nil && t.Failed() {
			text, _ := io.ReadAll(log)
			t.Logf("%s: %s", filepath.Base(path), text)
		}
		_ = log.Close()
	})
}

// write puts a file into a new folder.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rsyslog runs rsyslogd with an action, and returns where it takes messages.
func rsyslog(t *testing.T, action string) string {
	t.Helper()
	path := Require(t, "rsyslogd")[0]
	in := FreeAddr(t)
	dir := t.TempDir()
	conf := write(t, "rsyslog.conf", fmt.Sprintf("global(workDirectory=%q)\nmodule(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=%q)\n%s\n", dir, port(in), action))
	daemon(t, nil, path, "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
	return in
}

func TestRsyslogTCP(t *testing.T) {
	addr := FreeAddr(t)
	s := Start(t, "", "--listen", "syslog_tcp="+addr)
	in := rsyslog(t, Snippet(t, "rsyslog.md", "rsyslog", 0, `port="514"`, `port="`+port(addr)+`"`))
	s.feedSyslog(in, true, head5424)
	s.bounds(syslogEvents-written, 2, where5424)
}

func TestRsyslogUDP(t *testing.T) {
	addr := FreeAddr(t)
	s := Start(t, "", "--listen", "syslog_udp="+addr)
	in := rsyslog(t, Snippet(t, "rsyslog.md", "rsyslog", 1, `port="514"`, `port="`+port(addr)+`"`))
	s.feedSyslog(in, false, head5424)
	s.bounds(syslogEvents, 1, where5424)
}

func TestRsyslogTLS(t *testing.T) {
	addr := FreeAddr(t)
	cert, key := certificate(t)
	s := Start(t, fmt.Sprintf("tls: {cert: %s, key: %s}\n", cert, key), "--listen", "syslog_tls="+addr)
	in := rsyslog(t, Snippet(t, "rsyslog.md", "rsyslog", 2, `port="6514"`, `port="`+port(addr)+`"`,
		"/etc/ssl/certs/ca-certificates.crt", cert, "MILLRACE_KEY", s.Key()))
	s.feedSyslog(in, true, head5424)
	s.bounds(syslogEvents-written, 2, where5424)
	s.Wait(0, "SELECT count(*) FROM events WHERE attrs::VARCHAR LIKE '%mr_ingest%' OR message LIKE '%mr_ingest%'")
}

func TestRsyslogHTTP(t *testing.T) {
	s := Start(t, "")
	module := filepath.Join(present(t, filepath.Join(Cache(t), "rsyslog"), "omhttp.so"), "omhttp.so")
	in := rsyslog(t, Snippet(t, "rsyslog.md", "rsyslog", 3, `load="omhttp"`, `load="`+module+`"`,
		`serverport="8080"`, `serverport="`+port(s.Addr)+`"`, "MILLRACE_KEY", s.Key()))
	s.feedSyslog(in, true, head5424)
	s.bounds(syslogEvents, 2, where5424+" AND source = 'rsyslog'")
}

// syslogNG runs syslog-ng with a destination, and returns where it takes messages.
func syslogNG(t *testing.T, destination string) string {
	t.Helper()
	Require(t)
	root := present(t, filepath.Join(Cache(t), "syslog-ng"), "usr/sbin/syslog-ng")
	in := FreeAddr(t)
	dir := t.TempDir()
	conf := write(t, "syslog-ng.conf", fmt.Sprintf(`@version: 3.38
options { time-reopen(1); keep-hostname(yes); frac-digits(6); };
source s { network(ip("127.0.0.1") port(%s) transport("tcp") flags(syslog-protocol)); };
%s
log { source(s); destination(d_millrace); };
`, port(in), destination))
	var libs []string
	for _, d := range []string{"usr/lib/syslog-ng", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib/aarch64-linux-gnu"} {
		libs = append(libs, filepath.Join(root, d))
	}
	daemon(t, []string{"LD_LIBRARY_PATH=" + strings.Join(libs, ":")}, filepath.Join(root, "usr/sbin/syslog-ng"),
		"-F", "--no-caps", "--module-path="+filepath.Join(root, "usr/lib/syslog-ng/3.38"), "-f", conf,
		"-R", filepath.Join(dir, "persist"), "-c", filepath.Join(dir, "ctl"), "--pidfile", filepath.Join(dir, "pid"))
	return in
}

func TestSyslogNGTCP(t *testing.T) {
	addr := FreeAddr(t)
	s := Start(t, "", "--listen", "syslog_tcp="+addr)
	in := syslogNG(t, Snippet(t, "syslog-ng.md", "syslog-ng", 0, "port(514)", "port("+port(addr)+")"))
	s.feedSyslog(in, true, head5424)
	s.bounds(syslogEvents-written, 2, where5424)
}

func TestSyslogNGNetwork(t *testing.T) {
	addr := FreeAddr(t)
	s := Start(t, "", "--listen", "syslog_tcp="+addr)
	in := syslogNG(t, Snippet(t, "syslog-ng.md", "syslog-ng", 1, "port(514)", "port("+port(addr)+")"))
	s.feedSyslog(in, true, head5424)
	s.bounds(syslogEvents-written, 2, where3164)
}

func TestSyslogNGHTTP(t *testing.T) {
	s := Start(t, "")
	in := syslogNG(t, Snippet(t, "syslog-ng.md", "syslog-ng", 2, "127.0.0.1:8080", s.Addr, "MILLRACE_KEY", s.Key()))
	s.feedSyslog(in, true, head5424)
	s.bounds(syslogEvents, 2, where5424+" AND source = 'syslog-ng'")
}

func TestLogger(t *testing.T) {
	Require(t, "logger", "sh")
	tcp, udp := FreeAddr(t), FreeAddr(t)
	s := Start(t, "", "--listen", "syslog_tcp="+tcp, "--listen", "syslog_udp="+udp)
	run := func(script string) {
		t.Helper()
		if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	lines := func(from, to int, script string) string {
		_, script, _ = strings.Cut(script, "|")
		return fmt.Sprintf("for i in $(seq %d %d); do echo \"order $i placed\"; done | %s", from, to, script)
	}
	const fields = "FROM events WHERE service = 'checkout' AND level = 'error' AND (attrs->>'facility') = 'local0' AND host != '' AND message LIKE 'order % placed'"
	one := Snippet(t, "logger.md", "sh", 0, "--port 514", "--port "+port(tcp))
	run(lines(1, 500, one))
	s.Wait(500, "SELECT count(DISTINCT message) "+fields+" AND (attrs->>'msgid') = 'ID47'")
	s.Kill()
	if out, err := exec.Command("sh", "-c", strings.Replace(one, "order 1", "lost", 1)).CombinedOutput(); err == nil && len(out) == 0 {
		t.Error("logger does not say that nobody listens")
	}
	s.Restart()
	run(lines(501, 1000, one))
	s.Wait(1000, "SELECT count(DISTINCT message) "+fields+" AND (attrs->>'msgid') = 'ID47'")
	run(lines(1001, 1500, Snippet(t, "logger.md", "sh", 1, "--port 514", "--port "+port(udp))))
	s.Wait(1500, "SELECT count(DISTINCT message) "+fields)
	run(lines(1501, 1600, Snippet(t, "logger.md", "sh", 2, "--port 514", "--port "+port(tcp), "MILLRACE_KEY", s.Key())))
	s.Wait(1600, "SELECT count(*) "+fields)
	s.Wait(0, "SELECT count(*) FROM events WHERE attrs::VARCHAR LIKE '%mr_ingest%' OR message LIKE '%mr_ingest%'")
}
