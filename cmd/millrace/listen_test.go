package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/query"
)

// port returns the address that the server printed for a port.
func (in *instance) port(what string) string {
	in.t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(what) + ` listens on (.*)$`).FindStringSubmatch(in.logs.String())
	if m == nil {
		in.t.Fatalf("%s is not told:\n%s", what, in.logs)
	}
	return m[1]
}

func TestListeners(t *testing.T) {
	in := boot(t, "", "", "--listen", "syslog_udp=127.0.0.1:0", "--listen", "syslog_tcp=127.0.0.1:0",
		"--listen", "memcached=127.0.0.1:0", "--listen", "otlp_http=127.0.0.1:0")
	udp, err := net.Dial("udp", in.port("syslog (udp)"))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Dial("tcp", in.port("syslog (tcp)"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := net.Dial("tcp", in.port("memcached (tcp)"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		fmt.Fprintf(udp, "<13>Mar  5 11:00:00 web-1 app[7]: datagram %d", i)
		fmt.Fprintf(tcp, "<11>1 2026-03-05T11:00:00Z web-2 api 7 - - frame %d\n", i)
	}
	const lines = "level=error msg=one\nlevel=info msg=two\n"
	fmt.Fprintf(cache, "set tiny 0 0 %d\r\n%s\r\n", len(lines), lines)
	if answer, err := bufio.NewReader(cache).ReadString('\n'); answer != "STORED\r\n" {
		t.Fatalf("%q, %v", answer, err)
	}
	resp, err := http.Post("http://"+in.port("otlp_http (tcp)")+"/ingest?source=web", "text/plain", strings.NewReader("hello\n"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
	if resp, err = http.Get("http://" + in.port("otlp_http (tcp)") + "/api/v1/status"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Fatalf("the API is on the port of ingest: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	want := map[string]string{"syslog web-1 app ": "100", "syslog web-2 api error": "100", "tiny 127.0.0.1 tiny error": "1", "tiny 127.0.0.1 tiny info": "1", "web 127.0.0.1 web ": "1"}
	const q = "SELECT source || ' ' || host || ' ' || service || ' ' || CASE WHEN host = 'web-1' THEN '' ELSE coalesce(level, '') END, count(*) FROM events GROUP BY 1"
	var got map[string]string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && fmt.Sprint(got) != fmt.Sprint(want); time.Sleep(20 * time.Millisecond) {
		got = in.sqlMap(q)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	var st query.PipelineStatus
	in.call("GET", "/api/v1/status", nil, nil, &st)
	if len(st.Listen) != 4 || st.Listen[0].Protocol != "syslog" || st.Listen[0].Network != "udp" {
		t.Errorf("status: %+v", st.Listen)
	}
	_, text := in.call("GET", "/metrics", nil, nil, nil)
	for _, w := range []string{`millrace_listener_events_total{listener="syslog_udp 127.0.0.1:0"} 100`, `millrace_connections{port="http"}`} {
		if !strings.Contains(text, w) {
			t.Errorf("metrics lack %s", w)
		}
	}
	// A stop keeps what was sent before it, and does not wait for connections.
	for i := range 1000 {
		fmt.Fprintf(tcp, "<11>1 2026-03-05T11:00:00Z web-3 api 7 - - frame %d\n", i)
	}
	started := time.Now()
	if err := in.stop(); err != nil || time.Since(started) > 8*time.Second {
		t.Errorf("stop: %v in %v", err, time.Since(started))
	}
	_, _ = udp.Close(), cache.Close()
	if _, err := tcp.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
	again := boot(t, in.data, "")
	again.drain(1203)
	if n := again.sql("SELECT count(*) FROM events WHERE host = 'web-3'")[0][0]; n != "1000" {
		t.Errorf("%s messages of those before the stop", n)
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	f := func(want string, args ...string) {
		t.Helper()
		m := &Main{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Now: time.Now}
		if err := m.ParseFlags(serveArgs(t, t.TempDir(), "", args)); err != nil {
			t.Fatal(err)
		}
		if err := m.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	f("listen for syslog on "+taken.Addr().String(), "--listen", "syslog_tcp="+taken.Addr().String())
	f("listen for memcached on "+taken.Addr().String(), "--listen", "syslog_udp=127.0.0.1:0", "--listen", "memcached="+taken.Addr().String())
	f("there are otlp_grpc", "--listen", "gelf=127.0.0.1:0")
	f("needs tls.cert", "--listen", "syslog_tls=127.0.0.1:0")
}
