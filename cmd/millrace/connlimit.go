package main

import (
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/config"
)

// connLimit bounds the open connections of all ports. Beside a bound for all and
// one per address, an address may have no more than are still free (dynamic
// thresholds, as for memory: ingest/share.go): one address alone gets half of
// all, n greedy ones the (n+1)th part each, and there is always room for others.
// So what is closed is the newest connection of the greediest. Safe for
// concurrent use.
type connLimit struct {
	all, perAddress int

	mu    sync.Mutex
	open  int
	of    map[netip.Addr]int
	ports map[string]*portCount
}

type portCount struct{ open, refused int64 }

func newConnLimit(l config.Limits) *connLimit {
	return &connLimit{all: l.Connections, perAddress: l.PerAddress, of: map[netip.Addr]int{}, ports: map[string]*portCount{}}
}

// listener returns ln with its connections counted and bounded.
func (c *connLimit) listener(ln net.Listener, port string) net.Listener {
	p := &portCount{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ports[port] = p
	return &limitedListener{Listener: ln, limit: c, port: p}
}

// take counts a connection from a, or returns false.
func (c *connLimit) take(a netip.Addr, p *portCount) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.of[a]
	if n >= c.perAddress || n >= c.all-c.open {
		p.refused++
		return false
	}
	c.of[a] = n + 1
	c.open++
	p.open++
	return true
}

func (c *connLimit) give(a netip.Addr, p *portCount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	p.open--
	if c.of[a]--; c.of[a] == 0 {
		delete(c.of, a)
	}
}

var (
	descConnections = desc("connections", "Open connections.", "port")
	descConnRefused = desc("connections_refused_total", "Connections closed at once because there were too many, in all or from one address.", "port")
)

func (c *connLimit) collect(counter, gauge func(*prometheus.Desc, float64, ...string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, p := range c.ports {
		gauge(descConnections, float64(p.open), name)
		counter(descConnRefused, float64(p.refused), name)
	}
}

type limitedListener struct {
	net.Listener
	limit *connLimit
	port  *portCount
}

// Accept implements net.Listener. What is above the limits is closed without an
// answer: there may be thousands of them.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var a netip.Addr
		if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			a = hostOf(tcp.AddrPort().Addr())
		}
		if l.limit.take(a, l.port) {
			return &limitedConn{Conn: conn, closed: sync.OnceFunc(func() { l.limit.give(a, l.port) })}, nil
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset: nothing is kept of it
		}
		_ = conn.Close()
	}
}

// hostOf is what counts as one address: a host has a /64 of IPv6.
func hostOf(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

type limitedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.closed()
	return err
}
