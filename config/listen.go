package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/ingest"
)

// TLS says how ports are encrypted. The files are read again when they change.
type TLS struct {
	Cert     string `yaml:"cert" default:"" doc:"File of the certificate with its chain, in PEM. Empty: nothing is encrypted. It is read again when it or the key changes; a pair that does not fit is a fault, and the one before stays." example:"/etc/millrace/tls.crt"`
	Key      string `yaml:"key" default:"" doc:"File of its key, in PEM." example:"/etc/millrace/tls.key"`
	ClientCA string `yaml:"client_ca" default:"" doc:"File of the authorities that sign certificates of clients, in PEM. A client that shows one of another is turned away; who shows one of these sends syslog over TLS without a key." example:"/etc/millrace/clients.crt"`
}

func (t *TLS) validate(path string, v *millrace.Violations) {
	if (t.Cert == "") != (t.Key == "") {
		v.Append(&millrace.Violation{Path: path, Message: "cert and key come together"})
	}
	if t.ClientCA != "" && t.Cert == "" {
		v.Append(&millrace.Violation{Path: path + ".client_ca", Message: "needs cert and key"})
	}
}

// validateListen reports what is wrong with ports besides that of HTTP.
func (c *Config) validateListen(v *millrace.Violations) {
	c.TLS.validate("tls", v)
	c.Listen.Validate("listen", v)
	add := func(path, message string) { v.Append(&millrace.Violation{Path: path, Message: message}) }
	for i := range c.Listen.Syslog {
		if c.Listen.Syslog[i].Network == ingest.NetworkTLS && c.TLS.Cert == "" {
			add("listen.syslog["+strconv.Itoa(i)+"].network", "tls: needs tls.cert and tls.key")
		}
	}
	if !auth.Loopback(c.HTTP) || c.Auth.Require == auth.RequireAlways {
		return
	}
	for _, p := range []struct{ name, address string }{{"otlp_grpc", c.Listen.OTLPGRPC}, {"otlp_http", c.Listen.OTLPHTTP}} {
		if p.address != "" && !auth.Loopback(p.address) {
			add("listen."+p.name, p.address+": others reach it while http is on loopback, where no key is asked for: set auth.require to always")
		}
	}
}

// AddListen adds a port as the flag --listen names it, NAME=ADDRESS: otlp_grpc,
// otlp_http, memcached, syslog_udp, syslog_tcp or syslog_tls. ErrInvalid.
func (c *Config) AddListen(text string) error {
	name, address, ok := strings.Cut(text, "=")
	if !ok {
		return millrace.Errorf(millrace.ErrInvalid, "--listen %s: must be NAME=ADDRESS", text)
	}
	l := &c.Listen
	switch name {
	case "otlp_grpc":
		l.OTLPGRPC = address
	case "otlp_http":
		l.OTLPHTTP = address
	case "memcached":
		l.Memcached = address
	case "syslog_udp", "syslog_tcp", "syslog_tls":
		var o ingest.SyslogOptions
		setDefaults(&o)
		o.Network, o.Address = strings.TrimPrefix(name, "syslog_"), address
		l.Syslog = append(l.Syslog, o)
	default:
		return &millrace.Error{Code: millrace.ErrInvalid, Message: fmt.Sprintf(
			"--listen %s: there are otlp_grpc, otlp_http, memcached, syslog_udp, syslog_tcp and syslog_tls", text)}
	}
	return nil
}
