package ingest

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func itoa(n int) string { return fmt.Sprint(n) }

// Any stream: nothing is made up, all is UTF-8, and it is cheap.
func FuzzSyslogStream(f *testing.F) {
	f.Add([]byte("<13>a\n5 <13>b<13>c\r\n\x00"), 1)
	f.Add([]byte("999999999 <13>x"), 7)
	f.Add([]byte(`<13>1 - - - - - [millrace@0 key="`+shopKey+`"][a b="\"]"] x`+"\n"), 3)
	f.Add([]byte("262145 <"+strings.Repeat("1 <", 300)), 1000)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		x := listening(t, true)
		s := syslogPort(t, x, SyslogOptions{Network: NetworkTCP})
		costs(t, len(in), func() {
			x.take()
			_ = s.ServeConn(t.Context(), &wireConn{in: &choppy{text: bytes.Clone(in), sizes: []int{1 + size&0xFFF}}})
		})
		total := 0
		for _, line := range x.stored() {
			total += len(line)
			if !utf8.ValidString(line) || !strings.HasSuffix(line, "\n") {
				t.Errorf("%q", line)
			}
		}
		if total > 3*len(in)+20*len(x.records)+20 { // ISO 8859-1 takes two bytes
			t.Errorf("%d bytes of %d", total, len(in))
		}
	})
}

// Taking a key leaves a message that has none, and the rest as it was.
func FuzzTakeKey(f *testing.F) {
	f.Add([]byte(`<13>1 - - - - - [millrace@0 key="k"][a b="\"]"] x`))
	f.Add([]byte(`<13>1 - - - - - [a][millrace@0 key="k"][millrace@1]`))
	f.Add([]byte(`<13>1 - - - - - [millrace@0 key="k"][a =""][a  x`))
	f.Fuzz(func(t *testing.T, in []byte) {
		key, rest := takeKey(bytes.Clone(in))
		if again, same := takeKey(bytes.Clone(rest)); again != "" || !bytes.Equal(same, rest) {
			t.Errorf("%q: again %q, %q", in, again, same)
		}
		if len(rest) > len(in) || len(rest) == len(in) && !bytes.Equal(rest, in) || key != "" && bytes.Equal(rest, in) {
			t.Errorf("%q became %q", in, rest)
		}
	})
}

func BenchmarkTakeKey(b *testing.B) {
	for _, text := range []string{
		`<165>1 2026-03-05T11:59:58.123Z web-07 checkout 1234 ID47 [meta seq="12"] order 8812 placed by alice`,
		`<165>1 2026-03-05T11:59:58.123Z web-07 checkout 1234 ID47 [millrace@0 key="` + shopKey + `"][meta seq="12"] order 8812`,
	} {
		b.Run(fmt.Sprintf("%d", len(text)), func(b *testing.B) {
			buf := make([]byte, len(text))
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, text)
				takeKey(buf)
			}
		})
	}
}

// From the sender's write to the queue, which costs nothing here.
func BenchmarkSyslogTCP(b *testing.B) {
	x := quiet(b)
	s := syslogPort(b, x, SyslogOptions{Network: NetworkTCP})
	ours, theirs := tcpPair(b)
	done := make(chan error, 1)
	go func() { done <- s.ServeConn(b.Context(), theirs) }()
	text := []byte(strings.Repeat("<165>1 2026-03-05T11:59:58.123Z web-07 checkout 1234 ID47 - order 8812 placed by alice\n", 100))
	b.SetBytes(int64(len(text) / 100))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 100 {
		if _, err := ours.Write(text); err != nil {
			b.Fatal(err)
		}
	}
	_ = ours.Close()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// As many as arrive; what is lost on the way to the socket does not count.
func BenchmarkSyslogUDP(b *testing.B) {
	x := quiet(b)
	s, to, stop := serveUDP(b, x, SyslogOptions{Network: NetworkUDP})
	text := []byte("<165>1 2026-03-05T11:59:58.123Z web-07 checkout 1234 ID47 - order 8812 placed by alice")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := to.Write(text); err != nil {
			b.Fatal(err)
		}
	}
	stop()
	got := value(x.listen.events, s.name)
	b.ReportMetric(got/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(100*got/float64(b.N), "%taken")
}

// quiet is a handler whose queue forgets.
func quiet(b *testing.B) *fixture {
	x := listening(b, true)
	x.Handler.deps.Append = forget
	return x
}

func tcpPair(b testing.TB) (ours, theirs net.Conn) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if ours, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if theirs, err = ln.Accept(); err != nil {
		b.Fatal(err)
	}
	return ours, theirs
}

// A message costs no allocation of its own.
func TestStreamAllocations(t *testing.T) {
	x := listening(t, true)
	x.Handler.deps.Append = forget
	s := syslogPort(t, x, SyslogOptions{Network: NetworkTCP})
	const messages = 20000
	in := []byte(strings.Repeat("<165>1 2026-03-05T11:59:58.123Z web-07 checkout 1234 ID47 - order 8812 placed\n", messages))
	started := time.Now()
	n := testing.AllocsPerRun(1, func() {
		if err := s.ServeConn(t.Context(), &wireConn{in: &choppy{text: in, sizes: []int{16 << 10}}}); err != nil {
			t.Error(err)
		}
	})
	if n > messages/20 {
		t.Errorf("%v allocations for %d messages in %v", n, messages, time.Since(started))
	}
}
