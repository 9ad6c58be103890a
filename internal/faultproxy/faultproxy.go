// Package faultproxy is a TCP proxy that breaks connections on command: before
// a request, in the middle of one, or after the server has done it and before
// the client knows. It stands in front of ClickHouse, PostgreSQL or Kafka in
// tests of exactly-once.
//
// It knows no protocol. An exchange is what the client sends up to the moment
// the server answers, with that answer; the next byte of the client begins the
// next exchange. That fits protocols in which the client speaks first and waits.
// With pipelined requests (Kafka) an exchange may hold several.
package faultproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Kind says where in an exchange a connection is cut. Both sides are reset.
type Kind int

// Kinds of faults.
const (
	// BeforeRequest: not a byte of the request reaches the server.
	BeforeRequest Kind = iota
	// InRequest: the server gets the first bytes of the request only.
	InRequest
	// BeforeAnswer: the server has done what was asked and answers, but not a
	// byte of the answer reaches the client.
	BeforeAnswer
	// InAnswer: the client gets the first bytes of the answer only.
	InAnswer
)

func (k Kind) String() string {
	names := [...]string{"before the request", "in the request", "before the answer", "in the answer"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return names[k]
}

// Fault is one cut of a connection.
type Fault struct {
	Kind Kind
	// Match limits the fault to an exchange whose request contains this text,
	// such as "INSERT INTO events" or "COMMIT". It may be split over packets.
	// What came before it has been passed on by then. "" matches all.
	Match string
	// Skip is the number of matching exchanges to let pass first.
	Skip int
	// Bytes are passed on before an InRequest or InAnswer cut; 0 stands for half
	// of the first packet. If the exchange is shorter, the fault waits for
	// another.
	Bytes int
}

// Stats counts what happened.
type Stats struct {
	Connections int64 // accepted
	Exchanges   int64 // begun
	Struck      map[Kind]int64
}

// Proxy passes TCP connections on to one server. It is safe for concurrent use.
type Proxy struct {
	// Addr is HOST:PORT that clients connect to. It stays the same.
	Addr string

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	upstream string
	links    map[*link]struct{}
	pending  []*injected
	chaos    *chaos
	delay    time.Duration
	gate     chan struct{} // closed while data flow
	stats    Stats
}

// injected is a fault that waits for its exchange, or has found it.
type injected struct {
	Fault
	struck  chan struct{}
	counted int64 // the last exchange that Skip counted
	drawn   bool  // by chance: it is for its exchange alone
}

// chaos gives every exchange a fault by chance. What an exchange gets depends on
// the seed and its number only.
type chaos struct {
	seed  uint64
	every int
	kinds []Kind
}

// Start runs a proxy in front of upstream (HOST:PORT) until the test ends.
func Start(t testing.TB, upstream string) *Proxy {
	t.Helper()
	p, err := Listen(upstream)
	if err != nil {
		t.Fatalf("start proxy: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

// Listen runs a proxy on a free port of the loopback interface. The caller must
// Close it.
func Listen(upstream string) (*Proxy, error) {
	p := &Proxy{upstream: upstream, links: make(map[*link]struct{}), gate: make(chan struct{})}
	p.stats.Struck = make(map[Kind]int64)
	close(p.gate)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.listen("127.0.0.1:0"); err != nil {
		p.cancel()
		return nil, err
	}
	p.Addr = p.listener.Addr().String()
	return p, nil
}

// listen accepts connections on addr. Callers other than Listen hold mu.
func (p *Proxy) listen(addr string) error {
	l, err := (&net.ListenConfig{}).Listen(p.ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	p.listener = l
	p.wg.Go(func() { p.accept(l) })
	return nil
}

// Close ends the proxy and resets all connections.
func (p *Proxy) Close() {
	p.cancel()
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close() // its accept loop ends
		p.listener = nil
	}
	p.mu.Unlock()
	p.CutAll()
	p.wg.Wait()
}

// SetUpstream changes where new connections go to.
func (p *Proxy) SetUpstream(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = addr
}

// Inject sets a fault, and returns a channel that is closed when it has struck.
// Several faults wait at the same time; an exchange gets the first that matches.
func (p *Proxy) Inject(f Fault) <-chan struct{} {
	in := &injected{Fault: f, struck: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, in)
	return in.struck
}

// Chaos cuts one of every so many exchanges, at a place drawn from kinds, until
// Calm. Equal seeds give the exchange of a number the same fault.
func (p *Proxy) Chaos(seed uint64, every int, kinds ...Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chaos = &chaos{seed: seed, every: every, kinds: kinds}
}

// draw returns the fault of an exchange, nil for most.
func (c *chaos) draw(exchange int64) *injected {
	r := rand.New(rand.NewPCG(c.seed, uint64(exchange)))
	if r.IntN(c.every) != 0 {
		return nil
	}
	return &injected{
		Fault:  Fault{Kind: c.kinds[r.IntN(len(c.kinds))], Bytes: r.IntN(512)},
		struck: make(chan struct{}),
		drawn:  true,
	}
}

// Calm ends Chaos and takes back all faults that have not struck.
func (p *Proxy) Calm() {
	p.mu.Lock()
	p.chaos, p.pending = nil, nil
	links := slices.Collect(maps.Keys(p.links))
	p.mu.Unlock()
	for _, l := range links { // which lock themselves before they ask the proxy
		l.setFault(nil)
	}
}

// Latency delays every packet in both directions by d; 0 for none.
func (p *Proxy) Latency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Refuse resets all connections and refuses new ones, as a host without the
// server does, until Restore.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close() // its accept loop ends
		p.listener = nil
	}
	p.mu.Unlock()
	p.CutAll()
}

// Blackhole keeps connections open, accepts new ones, and passes nothing on, as
// a network without a route does, until Restore.
func (p *Proxy) Blackhole() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		p.gate = make(chan struct{})
	default:
	}
}

// Restore ends Refuse and Blackhole; what a black hole held goes on.
func (p *Proxy) Restore() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
	if p.listener != nil {
		return nil
	}
	return p.listen(p.Addr)
}

// CutAll resets all open connections.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// Stats returns the counts so far.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Struck = maps.Clone(p.stats.Struck)
	return s
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || p.ctx.Err() != nil {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // out of descriptors
			continue
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// serve connects a client with the server until one of them ends.
func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	upstream := p.upstream
	p.stats.Connections++
	p.mu.Unlock()
	server, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(p.ctx, "tcp", upstream)
	if err != nil {
		reset(client)
		return
	}
	l := &link{proxy: p, client: client, server: server, gone: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = struct{}{}
	refused := p.listener == nil
	p.mu.Unlock()
	if refused {
		l.cut()
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(client, server, l.request) })
	both.Go(func() { l.pump(server, client, l.answer) })
	both.Wait()
	l.cut()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// begin numbers an exchange and returns the fault that chance gives it.
func (p *Proxy) begin() (int64, *injected) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Exchanges++
	if p.chaos == nil {
		return p.stats.Exchanges, nil
	}
	return p.stats.Exchanges, p.chaos.draw(p.stats.Exchanges)
}

// take returns the first waiting fault whose text is in the request of an
// exchange, once it has skipped as many as it should.
func (p *Proxy) take(exchange int64, request []byte) *injected {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, in := range p.pending {
		if in.counted == exchange || !bytes.Contains(request, []byte(in.Match)) {
			continue
		}
		if in.Skip > 0 {
			in.Skip--
			in.counted = exchange
			continue
		}
		p.pending = append(p.pending[:i:i], p.pending[i+1:]...)
		return in
	}
	return nil
}

// giveBack lets a fault that found its exchange too short wait for another.
func (p *Proxy) giveBack(in *injected) {
	if in.drawn {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append([]*injected{in}, p.pending...)
}

// strike counts a fault that cuts its connection now.
func (p *Proxy) strike(in *injected) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Struck[in.Kind]++
	close(in.struck)
}

// flow waits while a black hole holds data, and as long as latency says. It
// reports whether the connection is still there.
func (p *Proxy) flow(gone <-chan struct{}) bool {
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-gone:
			return false
		}
	}
	for {
		p.mu.Lock()
		gate := p.gate
		p.mu.Unlock()
		select {
		case <-gone:
			return false
		case <-gate:
			return true
		}
	}
}

// reset closes a connection so that the peer sees a reset, not an orderly end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else it ends in order
	}
	_ = c.Close() // nothing to lose
}
