package config

import (
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/ingest"
)

func TestListen(t *testing.T) {
	c, err := Parse([]byte(`
http: 0.0.0.0:8080
tls: {cert: a, key: b, client_ca: c}
listen:
  otlp_grpc: :4317
  syslog:
    - address: :514
    - {network: tls, address: ":6514", source: net, allow: [10.0.0.0/8, "::1"]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []ingest.SyslogOptions{
		{Network: "udp", Address: ":514", Source: "syslog", Format: "auto"},
		{Network: "tls", Address: ":6514", Source: "net", Format: "auto", Allow: []string{"10.0.0.0/8", "::1"}},
	}
	if len(c.Listen.Syslog) != 2 {
		t.Fatalf("%+v", c.Listen)
	}
	for i := range want {
		got := c.Listen.Syslog[i]
		if got.Network != want[i].Network || got.Address != want[i].Address || got.Source != want[i].Source ||
			got.Format != want[i].Format || strings.Join(got.Allow, " ") != strings.Join(want[i].Allow, " ") {
			t.Errorf("item %d: %+v, want %+v", i, got, want[i])
		}
	}
}

func TestBadListen(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := Parse([]byte(text))
		if millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("%s: %v", text, err)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q lacks %q", err, w)
			}
		}
	}
	f("listen: {otlp_http: nine}", "line 1, column 21: listen.otlp_http", "HOST:PORT")
	f("listen: {otlp_http: \"0.0.0.0:4318\"}", "listen.otlp_http", "auth.require")
	f("listen:\n  syslog: {address: x}", "line 2, column 11: listen.syslog: must be a list")
	f("listen:\n  syslog:\n    - {address: \":1\", port: 2}", "line 3", "listen.syslog[0].port: unknown setting; there are network")
	f("listen:\n  syslog:\n    - address: \":1\"\n    - address: \":2\"\n      source: a b\n", "line 5, column 15: listen.syslog[1].source")
	f("listen:\n  syslog: [{network: sctp}]", "listen.syslog[0].network: \"sctp\": must be udp, tcp or tls", "listen.syslog[0].address")
	f("listen:\n  syslog: [{network: tls, address: \":1\"}]", "listen.syslog[0].network: tls: needs tls.cert")
	f("listen:\n  syslog: [{address: \":1\", format: otlp, allow: [10.0.0.0/99]}]", "listen.syslog[0].format", "listen.syslog[0].allow")
	f("listen: {idle: 1ms}", "listen.idle")
	f("tls: {cert: a}", "cert and key come together")
	f("tls: {client_ca: a}", "needs cert and key")
	f("limits: {connections: 1, connections_per_address: 0}", "limits.connections:", "limits.connections_per_address:")
}

func TestAddListen(t *testing.T) {
	c := Default()
	for _, text := range []string{"otlp_grpc=a:1", "otlp_http=a:2", "memcached=a:3", "syslog_udp=a:4", "syslog_tcp=a:5", "syslog_tls=a:6"} {
		if err := c.AddListen(text); err != nil {
			t.Error(err)
		}
	}
	l := c.Listen
	if l.OTLPGRPC != "a:1" || l.OTLPHTTP != "a:2" || l.Memcached != "a:3" || len(l.Syslog) != 3 ||
		l.Syslog[1].Network != "tcp" || l.Syslog[2].Address != "a:6" || l.Syslog[0].Source != "syslog" {
		t.Errorf("%+v", l)
	}
	for _, text := range []string{"syslog=a:1", "otlp_grpc"} {
		if err := c.AddListen(text); millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("%s: %v", text, err)
		}
	}
}
