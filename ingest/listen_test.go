package ingest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
)

// The keys that listeners know in tests.
const (
	shopKey = "mr_ingest_shop"
	deadKey = "mr_ingest_revoked"
)

// listening is setup for listeners: with the real clock, which connections have,
// and with keys. open tells that none is needed.
func listening(t testing.TB, open bool, change ...func(*Options)) *fixture {
	t.Helper()
	f := setup(t, change...)
	f.Handler.deps.Now = time.Now
	f.Handler.listen = newListenMetrics(prometheus.NewRegistry())
	f.Handler.deps.AuthorizeKey = func(_ context.Context, secret string, _ millrace.Scope) (*auth.Principal, error) {
		switch {
		case secret == "" && open:
			return &auth.Principal{}, nil
		case secret == shopKey:
			return &auth.Principal{Key: &millrace.Key{ID: "k1", Project: "shop", Scopes: []millrace.Scope{millrace.ScopeIngest}}}, nil
		}
		return nil, millrace.Errorf(millrace.ErrUnauthorized, "the key is not valid")
	}
	return f
}

// stored returns what is in the queue, a line for each event, in order of the
// records, with what is not the default before it.
func (f *fixture) stored() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, r := range f.records {
		at := 0
		for _, n := range r.Frames {
			text := string(r.Payload[at : at+int(n)])
			at += int(n)
			if r.Project != millrace.DefaultProject || r.Source != "syslog" {
				text = r.Project + "/" + r.Source + ": " + text
			}
			out = append(out, text)
		}
		if at != len(r.Payload) {
			out = append(out, "PAYLOAD DIFFERS FROM FRAMES")
		}
	}
	return out
}

// dropped returns the tally, REASON of SOURCE: number.
func (f *fixture) dropped() map[string]int64 {
	out := map[string]int64{}
	for _, r := range f.tally.take() {
		for _, x := range r.Refused {
			out[r.Source+" "+x.Reason] += x.Events
		}
	}
	return out
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s: not within 5 s", what)
}

// wireConn is a connection that brings a text in pieces of its own, and keeps
// the answers.
type wireConn struct {
	in     io.Reader
	out    bytes.Buffer
	closed atomic.Bool
}

func (c *wireConn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *wireConn) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *wireConn) Close() error                { c.closed.Store(true); return nil }
func (c *wireConn) LocalAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (c *wireConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9), Port: 1} }
func (c *wireConn) SetDeadline(time.Time) error      { return nil }
func (c *wireConn) SetReadDeadline(time.Time) error  { return nil }
func (c *wireConn) SetWriteDeadline(time.Time) error { return nil }

// choppy brings a text in pieces of the given sizes, over and over.
type choppy struct {
	text  []byte
	sizes []int
	i     int
}

func (c *choppy) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(c.text), c.sizes[c.i%len(c.sizes)])
	c.i++
	copy(p, c.text[:n])
	c.text = c.text[n:]
	return n, nil
}

func TestPrefixes(t *testing.T) {
	list, err := prefixes([]string{"10.0.0.0/8", "::1", "192.168.1.7"})
	if err != nil || len(list) != 3 || list[2].Bits() != 32 || list[1].Bits() != 128 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := prefixes([]string{"x"}); err == nil {
		t.Error("accepted x")
	}
}

func TestMessagesAreGroupedByOrigin(t *testing.T) {
	f := listening(t, true)
	m := &messages{h: f.Handler}
	a, b := origin{project: "default", source: "syslog", sender: "a"}, origin{project: "default", source: "other", sender: "b"}
	var want, other []string
	for i := range 1000 {
		text := strings.Repeat(string(rune('a'+i%26)), i%50+1)
		o := a
		if i%3 == 0 {
			o = b
			other = append(other, "default/other: "+text+"\n")
		} else {
			want = append(want, text+"\n")
		}
		if err := m.add(o, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.append(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.release()
	got := f.stored()
	var mine, others []string
	for _, g := range got {
		if strings.HasPrefix(g, "default/other") {
			others = append(others, g)
		} else {
			mine = append(mine, g)
		}
	}
	if len(f.records) != 2 || strings.Join(mine, "") != strings.Join(want, "") || strings.Join(others, "") != strings.Join(other, "") {
		t.Errorf("%d records, %d and %d messages", len(f.records), len(mine), len(others))
	}
}

func TestMessagesFillRecords(t *testing.T) {
	f := listening(t, true)
	m := &messages{h: f.Handler}
	o := origin{project: "default", source: "syslog"}
	for range 10 {
		if err := m.add(o, bytes.Repeat([]byte{'x'}, 300<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.append(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.release()
	if len(f.records) != 4 || len(f.records[0].Frames) != 3 || len(f.records[3].Frames) != 1 {
		t.Errorf("%d records", len(f.records))
	}
	for i, r := range f.records {
		if int(r.Part) != i || r.Parts != 4 || len(r.Payload) > maxRecord {
			t.Errorf("record %d: part %d of %d, %d bytes", i, r.Part, r.Parts, len(r.Payload))
		}
	}
}

func TestLatin1IsKept(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := string(fromLatin1([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f("caf\xe9", "café")
	f("caf\xc3\xa9 \xfc", "café ü")
	f("\x80", "\u0080")
}

// value returns a metric's value by its labels, 0 if it has none yet.
func value(c prometheus.Collector, labels ...string) float64 {
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() { // by name, which is the order of ours
				have = append(have, l.GetValue())
			}
			if slices.Equal(have, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// forget is a queue that forgets.
func forget(context.Context, []*millrace.Record) error { return nil }
