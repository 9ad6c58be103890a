package ingest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/decode"
)

// Listeners other than HTTP: syslog.go and memcached.go have their protocols,
// messages.go makes records of what they bring.

// ListenOptions says what is listened on besides the port of pages and API.
type ListenOptions struct {
	OTLPGRPC  string            `yaml:"otlp_grpc" default:"" doc:"Address of OTLP over gRPC; encrypted if tls.cert is set. Empty opens none." example:"127.0.0.1:4317"`
	OTLPHTTP  string            `yaml:"otlp_http" default:"" doc:"Another address for the endpoints that bring events, without pages and API: the one OTLP's exporters know. Encrypted if tls.cert is set. Empty opens none." example:"127.0.0.1:4318"`
	Memcached string            `yaml:"memcached" default:"" doc:"Address of the memcached protocol: the command set stores lines under its key as source. Not encrypted. Empty opens none." example:"127.0.0.1:11211"`
	Idle      millrace.Duration `yaml:"idle" default:"1h" doc:"How long a connection of syslog or memcached may be silent. Closing it may cost what its sender writes at that moment, for which syslog has no answer; peers that are gone are noticed sooner." example:"10m"`
	Syslog    []SyslogOptions   `yaml:"syslog" doc:"Ports of syslog, RFC 3164 and RFC 5424 alike."`
}

// SyslogOptions is one port of syslog.
type SyslogOptions struct {
	Network string   `yaml:"network" default:"udp" doc:"udp, tcp or tls. Frames of TCP and TLS may be counted or end in a newline; tls takes the certificate of the section tls." example:"tcp"`
	Address string   `yaml:"address" default:"" doc:"Where to listen." example:"0.0.0.0:514"`
	Source  string   `yaml:"source" default:"syslog" doc:"Source of all that comes here." example:"network"`
	Project string   `yaml:"project" default:"" doc:"Project of messages without a key; empty is default. A key of another project is refused then." example:"shop"`
	Format  string   `yaml:"format" default:"auto" doc:"Format of a message: auto takes what is no syslog as what it is, with syslog it is rejected." example:"syslog"`
	Allow   []string `yaml:"allow" default:"" doc:"Networks that may send without a key or a client certificate. Empty is nobody, unless this port and that of HTTP are on loopback and auth.require is auto." example:"10.0.0.0/8,192.168.1.7"`
}

// The networks of SyslogOptions.
const (
	NetworkUDP = "udp"
	NetworkTCP = "tcp"
	NetworkTLS = "tls"
)

// Validate reports what is wrong with o.
func (o *ListenOptions) Validate(path string, v *millrace.Violations) {
	for _, a := range []struct{ name, address string }{
		{"otlp_grpc", o.OTLPGRPC}, {"otlp_http", o.OTLPHTTP}, {"memcached", o.Memcached},
	} {
		if a.address != "" {
			validateAddress(path+"."+a.name, a.address, v)
		}
	}
	millrace.Range(v, path+".idle", o.Idle, millrace.Duration(time.Second), millrace.Duration(30*24*time.Hour))
	for i := range o.Syslog {
		o.Syslog[i].validate(path+".syslog["+strconv.Itoa(i)+"]", v)
	}
}

func (o *SyslogOptions) validate(path string, v *millrace.Violations) {
	if o.Network != NetworkUDP && o.Network != NetworkTCP && o.Network != NetworkTLS {
		v.Add(path+".network", strconv.Quote(o.Network), "udp, tcp or tls")
	}
	validateAddress(path+".address", o.Address, v)
	if !auth.ValidName(o.Source) {
		v.Add(path+".source", strconv.Quote(o.Source), "1 to 128 of A-Z a-z 0-9 . _ -")
	}
	if o.Project != "" && !auth.ValidName(o.Project) {
		v.Add(path+".project", strconv.Quote(o.Project), "1 to 128 of A-Z a-z 0-9 . _ -")
	}
	if err := decode.Known(o.Format); err != nil || decode.Structured(o.Format) {
		v.Add(path+".format", strconv.Quote(o.Format), "a format of lines, such as auto or syslog")
	}
	if _, err := prefixes(o.Allow); err != nil {
		v.Add(path+".allow", err.Error(), "networks such as 10.0.0.0/8, or addresses")
	}
}

func validateAddress(path, address string, v *millrace.Violations) {
	_, port, err := net.SplitHostPort(address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n > 65535 {
		v.Add(path, strconv.Quote(address), "HOST:PORT or :PORT")
	}
}

// prefixes parses networks; an address is the network of itself.
func prefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return nil, err
			}
			a = a.Unmap()
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}

// listenMetrics counts what listeners other than HTTP take. name is NETWORK and
// address, of which there are as many as are configured.
type listenMetrics struct {
	events, dropped *prometheus.CounterVec
	open            *prometheus.GaugeVec
}

func newListenMetrics(reg prometheus.Registerer) *listenMetrics {
	m := &listenMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_listener_events_total", Help: "Events that a listener has appended to the queue.",
		}, []string{"listener"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_listener_dropped_total", Help: "Events that a listener has dropped, by reason; they are in the ledger, too.",
		}, []string{"listener", "reason"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "millrace_listener_connections", Help: "Connections that a listener serves.",
		}, []string{"listener"}),
	}
	if reg != nil {
		reg.MustRegister(m.events, m.dropped, m.open)
	}
	return m
}

// drop counts events of a listener that are lost, in the ledger and in metrics.
func (h *Handler) drop(listener, project, source, reason string, events int64, example []byte) {
	h.listen.dropped.WithLabelValues(listener, reason).Add(float64(events))
	h.tally.add(project, source, millrace.Refusal{Reason: reason, Events: events, Example: millrace.Example(example)})
}

// serveConns accepts connections until ctx ends, and returns when all have been
// served. It owns ln.
func (h *Handler) serveConns(ctx context.Context, ln net.Listener, name string, serve func(context.Context, net.Conn) error) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	for wait := retryFirst; ; {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			wait = retryFirst
			conns.Go(func() {
				if err := serve(ctx, conn); err != nil {
					h.deps.Log.Debug("connection closed", "listener", name, "peer", conn.RemoteAddr(), "err", err)
				}
			})
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return closedOK(ctx, err)
		default: // no file descriptors left, for one: it passes
			h.deps.Log.Warn("accept", "listener", name, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, retryMost)
		}
	}
}

// Reasons why listeners drop what they got.
const (
	ReasonQueueFull    = "listener_queue_full"  // the queue or the memory did not take it in time
	ReasonSocketFull   = "listener_socket_full" // the kernel had no room left; nobody knows what it was
	ReasonUnauthorized = "unauthorized"
	ReasonThrottled    = "throttled" // above the key's limits
	ReasonBadFraming   = "bad_framing"
)
