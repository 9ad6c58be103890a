package faultproxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// counter is a server of one protocol: a line asks, a line answers. It notes
// what it was asked, so that a test can tell what the server has done.
type counter struct {
	addr string
	mu   sync.Mutex
	done []string
}

func serve(t *testing.T) *counter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &counter{addr: l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.answer(conn)
		}
	}()
	return c
}

func (c *counter) answer(conn net.Conn) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		c.mu.Lock()
		c.done = append(c.done, strings.TrimSpace(line))
		c.mu.Unlock()
		if _, err := io.WriteString(conn, "done "+line); err != nil {
			return
		}
	}
}

func (c *counter) saw() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.done, ",")
}

type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func connect(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// ask returns what comes back, whole or in part, and the error that ended it.
func (c *client) ask(line string) (string, error) {
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
		return "", err
	}
	answer, err := c.r.ReadString('\n')
	return strings.TrimSuffix(answer, "\n"), err
}

func (c *client) mustAsk(line string) {
	c.t.Helper()
	if got, err := c.ask(line); err != nil || got != "done "+line {
		c.t.Fatalf("ask %s: %q, %v", line, got, err)
	}
}

func struck(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(5 * time.Second):
		t.Fatal("the fault has not struck")
	}
}

// cut reports whether an error is what a client sees of a reset connection.
func cut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func TestCuts(t *testing.T) {
	for _, c := range []struct {
		fault  Fault
		server string // requests that the server saw complete
		answer string // what the client got of the second
	}{
		{Fault{Kind: BeforeRequest, Skip: 1}, "one", ""},
		{Fault{Kind: InRequest, Skip: 1}, "one", ""},
		{Fault{Kind: InRequest, Skip: 1, Bytes: 3}, "one", ""},
		{Fault{Kind: BeforeAnswer, Skip: 1}, "one,two", ""},
		{Fault{Kind: InAnswer, Skip: 1}, "one,two", "done"},
		{Fault{Kind: InAnswer, Skip: 1, Bytes: 6}, "one,two", "done t"},
		{Fault{Kind: BeforeAnswer, Match: "wo"}, "one,two", ""},
		{Fault{Kind: BeforeRequest, Match: "two"}, "one", ""},
	} {
		t.Run(fmt.Sprintf("%v/%d/%s", c.fault.Kind, c.fault.Bytes, c.fault.Match), func(t *testing.T) {
			s := serve(t)
			p := Start(t, s.addr)
			ch := p.Inject(c.fault)
			cl := connect(t, p.Addr)
			cl.mustAsk("one")
			got, err := cl.ask("two")
			if !cut(err) {
				t.Errorf("got %q, %v; expected a reset", got, err)
			}
			struck(t, ch)
			// A reset may overtake bytes in the client's receive buffer.
			if !strings.HasPrefix(c.answer, got) {
				t.Errorf("answer %q, at most %q", got, c.answer)
			}
			if s.saw() != c.server {
				t.Errorf("server saw %q, expected %q", s.saw(), c.server)
			}
			connect(t, p.Addr).mustAsk("three")
			if n := p.Stats().Struck[c.fault.Kind]; n != 1 {
				t.Errorf("struck %d times", n)
			}
		})
	}
}

// A text may be split over packets, and a fault whose exchange is too short
// waits for another.
func TestWaiting(t *testing.T) {
	s := serve(t)
	p := Start(t, s.addr)
	ch := p.Inject(Fault{Kind: BeforeAnswer, Match: "INSERT INTO events"})
	cl := connect(t, p.Addr)
	cl.mustAsk("INSERT INTO cells")
	for _, part := range []string{"INSERT IN", "TO eve", "nts"} {
		if _, err := io.WriteString(cl.conn, part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // so that the packets stay apart
	}
	if got, err := cl.ask(""); !cut(err) {
		t.Fatalf("%q, %v", got, err)
	}
	struck(t, ch)
	if want := "INSERT INTO cells,INSERT INTO events"; s.saw() != want {
		t.Errorf("server saw %q, expected %q", s.saw(), want)
	}
	ch = p.Inject(Fault{Kind: InRequest, Bytes: 20})
	cl = connect(t, p.Addr)
	cl.mustAsk("short")
	cl.mustAsk("short")
	if got, err := cl.ask("longer than twenty bytes"); !cut(err) {
		t.Fatalf("%q, %v", got, err)
	}
	struck(t, ch)
}

func TestRefuse(t *testing.T) {
	s := serve(t)
	p := Start(t, s.addr)
	cl := connect(t, p.Addr)
	cl.mustAsk("one")
	p.Refuse()
	if _, err := cl.ask("two"); !cut(err) {
		t.Errorf("open connection: %v", err)
	}
	if c, err := net.Dial("tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("new connection: %v, %v", c, err)
	}
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	connect(t, p.Addr).mustAsk("three")
}

func TestBlackhole(t *testing.T) {
	s := serve(t)
	p := Start(t, s.addr)
	old := connect(t, p.Addr)
	old.mustAsk("one")
	p.Blackhole()
	answers := make(chan string, 2)
	for i, cl := range []*client{old, connect(t, p.Addr)} {
		go func() {
			a, err := cl.ask(fmt.Sprint("held ", i))
			answers <- fmt.Sprint(a, err)
		}()
	}
	select {
	case a := <-answers:
		t.Fatalf("an answer out of a black hole: %s", a)
	case <-time.After(50 * time.Millisecond):
	}
	if s.saw() != "one" {
		t.Errorf("server saw %q", s.saw())
	}
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if a := <-answers; !strings.HasPrefix(a, "done held") || !strings.HasSuffix(a, "<nil>") {
			t.Errorf("after the black hole: %s", a)
		}
	}
}

func TestLatency(t *testing.T) {
	p := Start(t, serve(t).addr)
	cl := connect(t, p.Addr)
	p.Latency(30 * time.Millisecond)
	start := time.Now()
	cl.mustAsk("one")
	if d := time.Since(start); d < 60*time.Millisecond {
		t.Errorf("round trip of %v with 30 ms each way", d)
	}
	p.Latency(0)
}

func TestSetUpstream(t *testing.T) {
	a, b := serve(t), serve(t)
	p := Start(t, a.addr)
	connect(t, p.Addr).mustAsk("one")
	p.SetUpstream(b.addr)
	connect(t, p.Addr).mustAsk("two")
	if a.saw() != "one" || b.saw() != "two" {
		t.Errorf("servers saw %q and %q", a.saw(), b.saw())
	}
}

// One client sends numbers one after the other through chaos and repeats each
// until it is answered. The server must have each at least once and in order;
// the same seed must cut the same exchanges.
func TestChaos(t *testing.T) {
	run := func(seed uint64) (asked []string, st Stats, saw string) {
		s := serve(t)
		p := Start(t, s.addr)
		p.Chaos(seed, 3, BeforeRequest, InRequest, BeforeAnswer, InAnswer)
		cl := connect(t, p.Addr)
		for i := 0; i < 100; {
			a, err := cl.ask(fmt.Sprintf("%d%s", i, strings.Repeat(" ", 600)))
			asked = append(asked, fmt.Sprint(i, err == nil))
			if err == nil && strings.HasPrefix(a, fmt.Sprintf("done %d ", i)) {
				i++
				continue
			}
			cl = connect(t, p.Addr)
		}
		p.Calm()
		before := p.Stats()
		for range 20 {
			cl.mustAsk("calm")
		}
		if after := p.Stats(); after.Struck[BeforeAnswer] != before.Struck[BeforeAnswer] {
			t.Error("a cut after Calm")
		}
		return asked, before, s.saw()
	}
	asked, st, saw := run(7)
	last := -1
	for v := range strings.SplitSeq(saw, ",") {
		if v == "calm" {
			break
		}
		var n int
		if _, err := fmt.Sscan(v, &n); err != nil || n != last && n != last+1 {
			t.Fatalf("server saw %d after %d, %v", n, last, err)
		}
		last = n
	}
	if last != 99 {
		t.Errorf("the last that the server saw is %d", last)
	}
	for _, k := range []Kind{BeforeRequest, InRequest, BeforeAnswer, InAnswer} {
		if st.Struck[k] < 3 {
			t.Errorf("%v struck %d times in %d exchanges", k, st.Struck[k], st.Exchanges)
		}
	}
	again, _, _ := run(7)
	if fmt.Sprint(asked) != fmt.Sprint(again) {
		t.Errorf("the same seed went differently:\n%v\n%v", asked, again)
	}
	if other, _, _ := run(8); fmt.Sprint(asked) == fmt.Sprint(other) {
		t.Error("another seed went the same way")
	}
}

func TestCloseWithOpenConnections(t *testing.T) {
	p, err := Listen(serve(t).addr)
	if err != nil {
		t.Fatal(err)
	}
	cl := connect(t, p.Addr)
	cl.mustAsk("one")
	p.Blackhole()
	p.Close()
	if _, err := cl.ask("two"); !cut(err) {
		t.Errorf("after Close: %v", err)
	}
}
