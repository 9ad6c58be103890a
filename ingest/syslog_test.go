package ingest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

func syslogPort(t testing.TB, f *fixture, o SyslogOptions) *Syslog {
	t.Helper()
	if o.Source == "" {
		o.Source = "syslog"
	}
	if o.Format == "" {
		o.Format = "auto"
	}
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	s, err := f.Syslog(o, ListenOptions{Idle: millrace.Duration(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStreamFrames(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		for _, sizes := range [][]int{{1 << 20}, {1}, {7, 3, 1}} {
			x := listening(t, true)
			s := syslogPort(t, x, SyslogOptions{Network: NetworkTCP})
			if err := s.ServeConn(t.Context(), &wireConn{in: &choppy{text: []byte(in), sizes: sizes}}); err != nil {
				t.Errorf("%q: %v", in, err)
			}
			if got := x.stored(); strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("%q in pieces of %v: %q, want %q", in, sizes, got, want)
			}
		}
	}
	f("")
	f("<13>a\n<13>b\r\n\n<13>c", "<13>a\n", "<13>b\n", "<13>c\n")
	f("5 <13>a6 <13>bc5 <13>d", "<13>a\n", "<13>bc\n", "<13>d\n")
	f("9 <13>a\nb\r\n<13>line\n6 <13>x\n", "<13>a\nb\n", "<13>line\n", "<13>x\n")
	f("<13>nul\x00\n6 <13>n\x00", "<13>nul\n", "<13>n\n")
	// Digits that are no length, before any frame was counted.
	f("2026-03-05T11:00:00Z web app: x\n10 green bottles\n", "2026-03-05T11:00:00Z web app: x\n", "10 green bottles\n")
	f("12", "12\n")
	// After one was, a message needs no priority.
	f("5 <13>a3 abc", "<13>a\n", "abc\n")
	f("\xef\xbb\xbf<13>bom\n<13>caf\xe9\n", "<13>bom\n", "<13>café\n")
	f("0 <13>x\n", "0 <13>x\n")
}

func TestStreamLimits(t *testing.T) {
	f := listening(t, true, func(o *Options) { o.MaxLine = 64 << 10 })
	s := syslogPort(t, f, SyslogOptions{Network: NetworkTCP})
	long := strings.Repeat("x", 70<<10)
	fits := strings.Repeat("y", 64<<10-4)
	in := "<13>" + long + "\n<13>" + fits + "\r\n" + fmt.Sprintf("%d <13>%s", len(long)+4, long) +
		fmt.Sprintf("%d <13>%s", len(fits)+4, fits) + "<13>end\n"
	if err := s.ServeConn(t.Context(), &wireConn{in: &choppy{text: []byte(in), sizes: []int{5000}}}); err != nil {
		t.Fatal(err)
	}
	got := f.stored()
	if len(got) != 3 || got[0] != "<13>"+fits+"\n" || got[1] != got[0] || got[2] != "<13>end\n" {
		t.Errorf("%d messages", len(got))
	}
	if d := f.dropped(); d["syslog line_too_long"] != 2 {
		t.Errorf("dropped %v", d)
	}
	// A length that is no length, and an end within a frame.
	for _, in := range []string{"999999999 <13>x", "50 <13>cut"} {
		err := s.ServeConn(t.Context(), &wireConn{in: strings.NewReader(in)})
		if d := f.dropped(); d["syslog bad_framing"] != 1 {
			t.Errorf("%q: %v, dropped %v", in, err, d)
		}
	}
}

// Whatever the sizes of messages and reads, all come once and in order.
func TestStreamOfRandomFrames(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		f := listening(t, true)
		s := syslogPort(t, f, SyslogOptions{Network: NetworkTCP})
		var in bytes.Buffer
		var want []string
		for i := range 1 + rnd.IntN(300) {
			text := fmt.Sprintf("<13>%d %s", i, strings.Repeat("z", rnd.IntN(1<<rnd.IntN(16))))
			want = append(want, text+"\n")
			if rnd.IntN(2) == 0 {
				fmt.Fprintf(&in, "%d %s", len(text), text)
			} else {
				in.WriteString(text + "\n")
			}
		}
		c := &wireConn{in: &choppy{text: in.Bytes(), sizes: []int{1 + rnd.IntN(100), 1 + rnd.IntN(30000)}}}
		if err := s.ServeConn(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got := f.stored(); strings.Join(got, "") != strings.Join(want, "") {
			t.Fatalf("%d messages, want %d", len(got), len(want))
		}
	}
}

func TestSyslogKeys(t *testing.T) {
	const head = "<13>1 2026-03-05T11:00:00Z web app 1 - "
	f := listening(t, false)
	s := syslogPort(t, f, SyslogOptions{Network: NetworkTCP, Allow: []string{"10.0.0.0/8"}})
	good := head + `[millrace@0 key="` + shopKey + `"][a b="c"] hello`
	if err := s.ServeConn(t.Context(), &wireConn{in: strings.NewReader(good + "\n")}); err != nil {
		t.Fatal(err)
	}
	if got := f.stored(); len(got) != 1 || got[0] != "shop/syslog: "+head+`[a b="c"] hello`+"\n" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{
		head + `- no key`, "<13>Mar  5 11:00:00 web app: no key",
		head + `[millrace@0 key="` + deadKey + `"] x`, head + `[millrace@0] x`,
		head + `[millrace@0 key="` + shopKey,
	} {
		err := s.ServeConn(t.Context(), &wireConn{in: strings.NewReader(bad + "\n<13>more\n")})
		if millrace.ErrorCode(err) != millrace.ErrUnauthorized {
			t.Errorf("%q: %v", bad, err)
		}
		recs := f.tally.take()
		if len(recs) != 1 || recs[0].Refused[0].Reason != ReasonUnauthorized || recs[0].Refused[0].Events != 1 {
			t.Errorf("%q: %+v", bad, recs)
		}
		if strings.Contains(fmt.Sprint(recs[0].Refused, err), "mr_") {
			t.Errorf("the key is shown: %v %v", recs[0].Refused, err)
		}
	}
	if got := f.stored(); len(got) != 1 {
		t.Errorf("%q", got)
	}
	if !s.allowed(addr("10.1.2.3")) || s.allowed(addr("11.0.0.1")) {
		t.Error("allow")
	}
	// An open server is no longer open on a port that others reach.
	open := listening(t, true)
	if syslogPort(t, open, SyslogOptions{Address: "0.0.0.0:514"}).allowed(addr("11.0.0.1")) || !syslogPort(t, open, SyslogOptions{}).allowed(addr("127.0.0.1")) {
		t.Error("open")
	}
	// A key of another project than the port's.
	other := syslogPort(t, f, SyslogOptions{Network: NetworkTCP, Project: "bank"})
	if err := other.ServeConn(t.Context(), &wireConn{in: strings.NewReader(good + "\n")}); millrace.ErrorCode(err) != millrace.ErrForbidden {
		t.Errorf("another project: %v", err)
	}
}

func TestTakeKey(t *testing.T) {
	f := func(in, key, rest string) {
		t.Helper()
		got, text := takeKey([]byte(in))
		if got != key || string(text) != rest {
			t.Errorf("%s: key %q, %q", in, got, text)
		}
	}
	f(`<1>1 - - - - - [millrace@0 key="k"] m`, "k", `<1>1 - - - - - - m`)
	f(`<1>1 - - - - - [millrace@32473 key="k"]`, "k", `<1>1 - - - - - -`)
	f(`<1>1 - - - - - [a b="]"][millrace@0 key="k"][c] m`, "k", `<1>1 - - - - - [a b="]"][c] m`)
	f(`<1>1 - - - - - [millrace@0 key="k"][a][millrace@1 key="l"][c] m`, "k", `<1>1 - - - - - [a][c] m`)
	f(`<1>1 - - - - - [a b="\"[millrace@0 key=\"k\"]"] m`, "", `<1>1 - - - - - [a b="\"[millrace@0 key=\"k\"]"] m`)
	f(`<1>1 - - - - - - [millrace@0 key="k"] m`, "", `<1>1 - - - - - - [millrace@0 key="k"] m`)
	f(`<1>Mar  5 11:00:00 h t: [millrace@0 key="k"] m`, "", `<1>Mar  5 11:00:00 h t: [millrace@0 key="k"] m`)
	// Malformed further on: the key must not stay in the text.
	f(`<1>1 - - - - - [millrace@0 key="k"][a b="c"][d e`, "k", `<1>1 - - - - - [a b="c"][d e`)
	f(`<1>1 - - - - - [millrace@0 key="k`, "", `<1>1 - - - - - [millrace@0 key="k`)
	f(`[millrace@0 key="k"]`, "", `[millrace@0 key="k"]`)
}

// What cannot be appended is not read, and nothing is lost.
func TestStreamWaitsForTheQueue(t *testing.T) {
	f := listening(t, true)
	f.mu.Lock()
	f.err = millrace.Errorf(millrace.ErrThrottled, "full")
	f.mu.Unlock()
	s := syslogPort(t, f, SyslogOptions{Network: NetworkTCP})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	const messages = 60_000 // 30 MB: more than both sockets hold
	sent := make(chan error, 1)
	go func() {
		text := "<13>" + strings.Repeat("x", 495) + "\n"
		for i := 0; i < messages; i += 1000 {
			if _, err := conn.Write([]byte(strings.Repeat(text, 1000))); err != nil {
				sent <- err
				return
			}
		}
		sent <- conn.Close()
	}()
	select {
	case err := <-sent:
		t.Fatalf("the sender was not held back: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if used := f.mem.used.Load(); used > 4<<20 {
		t.Errorf("%d bytes are held", used)
	}
	f.mu.Lock()
	f.err = nil
	f.mu.Unlock()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are stored", func() bool { return value(f.listen.events, s.name) == messages })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if d := f.dropped(); len(d) > 0 {
		t.Errorf("dropped %v", d)
	}
}

// A stop reads and appends what was sent before.
func TestStreamDrains(t *testing.T) {
	f := listening(t, true)
	s := syslogPort(t, f, SyslogOptions{Network: NetworkTCP})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	eventually(t, "accepted", func() bool { return testGauge(s) == 1 })
	for range 1000 {
		if _, err := conn.Write([]byte("<13>message\n")); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it does not end")
	}
	if n := len(f.stored()); n != 1000 {
		t.Errorf("%d messages", n)
	}
}

func TestUDP(t *testing.T) {
	f := listening(t, true)
	s, conn, stop := serveUDP(t, f, SyslogOptions{Network: NetworkUDP})
	for i := range 1000 {
		if _, err := fmt.Fprintf(conn, "<13>message %d\r\n", i); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	for _, text := range []string{"<13>two\nlines", "", "<13>" + strings.Repeat("x", 60<<10), "<13>\xe9"} {
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "stored", func() bool { return len(f.stored()) == 1003 })
	stop()
	got := f.stored()
	if got[7] != "<13>message 7\n" || got[1000] != "<13>two\nlines\n" || got[1002] != "<13>é\n" {
		t.Errorf("%q, %q, %q", got[7], got[1000], got[1002])
	}
	if f.records[0].Sender != "127.0.0.1" {
		t.Errorf("sender %q", f.records[0].Sender)
	}
	if n := value(f.listen.events, s.name); n != 1003 {
		t.Errorf("counted %v", n)
	}
}

// What the queue does not take in time is dropped and counted; what was taken
// before is kept for it.
func TestUDPDropsAreCounted(t *testing.T) {
	f := listening(t, true)
	f.mu.Lock()
	f.err = millrace.Errorf(millrace.ErrThrottled, "full")
	f.mu.Unlock()
	s, conn, stop := serveUDP(t, f, SyslogOptions{Network: NetworkUDP})
	const size = 32 << 10
	text := []byte("<13>" + strings.Repeat("x", size))
	sent := 0
	drops := func() float64 {
		return value(f.listen.dropped, s.name, ReasonQueueFull) + value(f.listen.dropped, s.name, ReasonSocketFull)
	}
	for ; drops() < 20 && sent < 5000; sent++ {
		if _, err := conn.Write(text); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Microsecond)
	}
	f.mu.Lock()
	f.err = nil
	f.mu.Unlock()
	eventually(t, "all are accounted for", func() bool { return len(f.stored())+int(drops()) == sent })
	stop()
	d := f.dropped()
	if n := d["syslog "+ReasonQueueFull] + d["syslog "+ReasonSocketFull]; n < 20 || int(n)+len(f.stored()) != sent {
		t.Errorf("%d dropped, %d stored of %d", n, len(f.stored()), sent)
	}
}

// The kernel's own drops are counted, too, once another datagram comes.
func TestUDPCountsDropsOfTheKernel(t *testing.T) {
	f := listening(t, true)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := pc.(*net.UDPConn)
	var d dropCounter
	d.watch(socket)
	_ = socket.SetReadBuffer(4096)
	conn, err := net.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const sent = 500
	for range sent {
		if _, err := conn.Write([]byte("<13>" + strings.Repeat("x", 500))); err != nil {
			t.Fatal(err)
		}
	}
	s := syslogPort(t, f, SyslogOptions{Network: NetworkUDP})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.ServeUDP(ctx, socket) }()
	eventually(t, "the first are stored", func() bool { return len(f.stored()) > 0 })
	if _, err := conn.Write([]byte("<13>last")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are accounted for", func() bool {
		return len(f.stored())+int(value(f.listen.dropped, s.name, ReasonSocketFull)) == sent+1
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := f.dropped()["syslog "+ReasonSocketFull]; n == 0 {
		t.Error("the kernel dropped nothing: the test shows nothing")
	}
}

func TestUDPKeys(t *testing.T) {
	f := listening(t, false)
	_, conn, stop := serveUDP(t, f, SyslogOptions{Network: NetworkUDP})
	for _, text := range []string{
		`<13>1 - web app - - [millrace@0 key="` + shopKey + `"] good`, "<13>no key",
		`<13>1 - web app - - [millrace@0 key="` + deadKey + `"] bad`,
	} {
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "stored", func() bool { return len(f.stored()) == 1 })
	stop()
	if got := f.stored(); got[0] != "shop/syslog: <13>1 - web app - - - good\n" {
		t.Errorf("%q", got)
	}
	if d := f.dropped(); d["syslog unauthorized"] != 2 {
		t.Errorf("dropped %v", d)
	}
}

func TestTLSClientCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil) // for its certificate, which is for clients, too
	srv.StartTLS()
	defer srv.Close()
	cert := srv.TLS.Certificates[0]
	f := func(with bool) (stored int, err error) {
		x := listening(t, false)
		s := syslogPort(t, x, SyslogOptions{Network: NetworkTLS})
		ours, theirs := tcpPair(t)
		done := make(chan error, 1)
		server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})
		go func() { done <- s.ServeConn(t.Context(), server) }()
		cfg := &tls.Config{InsecureSkipVerify: true}
		if with {
			cfg.Certificates = []tls.Certificate{cert}
		}
		client := tls.Client(ours, cfg)
		_, _ = client.Write([]byte("5 <13>a"))
		_ = client.Close()
		err = <-done
		return len(x.stored()), err
	}
	// A certificate that nobody verified is none.
	for _, with := range []bool{false, true} {
		if n, err := f(with); n != 0 || millrace.ErrorCode(err) != millrace.ErrUnauthorized {
			t.Errorf("with %v: %d stored, %v", with, n, err)
		}
	}
}

func serveUDP(t testing.TB, f *fixture, o SyslogOptions) (s *Syslog, to net.Conn, stop func()) {
	t.Helper()
	s = syslogPort(t, f, o)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.ServeUDP(ctx, pc.(*net.UDPConn)) }()
	if to, err = net.Dial("udp", pc.LocalAddr().String()); err != nil {
		t.Fatal(err)
	}
	return s, to, func() {
		cancel()
		if err := errors.Join(<-done, to.Close()); err != nil {
			t.Error(err)
		}
	}
}

func testGauge(s *Syslog) float64 { return value(s.h.listen.open, s.name) }
