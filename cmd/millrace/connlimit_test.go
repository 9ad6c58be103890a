package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/config"
)

// Nobody can keep others out: of 100 connections a greedy address gets half,
// many greedy ones leave room for one that comes last.
func TestConnectionsAreShared(t *testing.T) {
	f := func(greedy, want int) {
		t.Helper()
		c := newConnLimit(config.Limits{Connections: 100, PerAddress: 80})
		p := &portCount{}
		got := map[netip.Addr]int{}
		for range 200 {
			for i := range greedy {
				a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
				if c.take(a, p) {
					got[a]++
				}
			}
		}
		for a, n := range got {
			if n < want-1 || n > want+1 {
				t.Errorf("%d greedy: %v has %d, want about %d", greedy, a, n, want)
			}
		}
		last := netip.MustParseAddr("192.0.2.1")
		if !c.take(last, p) {
			t.Errorf("%d greedy: there is no room for another", greedy)
		}
		c.give(last, p)
		for a, n := range got {
			for range n {
				c.give(a, p)
			}
		}
		if c.open != 0 || len(c.of) != 0 || p.open != 0 || p.refused == 0 {
			t.Errorf("%+v, %+v", c, p)
		}
	}
	f(1, 50)
	f(2, 33)
	f(9, 10)
	c := newConnLimit(config.Limits{Connections: 100, PerAddress: 3})
	for i := range 5 {
		if ok := c.take(netip.MustParseAddr("::1"), &portCount{}); ok != (i < 3) {
			t.Errorf("connection %d: %v", i, ok)
		}
	}
	if a, b := hostOf(netip.MustParseAddr("2001:db8::1")), hostOf(netip.MustParseAddr("2001:db8::2:3")); a != b {
		t.Errorf("%v and %v are one host", a, b)
	}
}

// Connections that send a header byte by byte, or nothing, keep neither others
// out nor themselves open.
func TestSlowAndManyConnections(t *testing.T) {
	in := boot(t, "", "limits: {connections: 64, connections_per_address: 20}\n")
	host := strings.TrimPrefix(in.url, "http://")
	var slow []net.Conn
	defer func() {
		for _, c := range slow {
			_ = c.Close()
		}
	}()
	closed := 0
	for range 30 {
		c, err := net.Dial("tcp", host)
		if err != nil { // the reset came first
			closed++
			continue
		}
		slow = append(slow, c)
		fmt.Fprint(c, "POST /ingest HTTP/1.1\r\n")
	}
	for _, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err != nil && !strings.Contains(err.Error(), "timeout") {
			closed++
		}
	}
	if closed < 10 || closed > 12 {
		t.Errorf("%d of 30 connections were closed, 20 are allowed", closed)
	}
	// Another address of this machine still gets in.
	client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}}
	defer client.CloseIdleConnections()
	resp, err := client.Post(in.url+"/ingest?source=x", "text/plain", strings.NewReader("line\n"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
	for _, c := range slow {
		_ = c.Close()
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if resp, err := http.Get(in.url + "/metrics"); err == nil {
			_ = resp.Body.Close()
			return // they were given back
		}
		if time.Now().After(deadline) {
			t.Fatal("closed connections still count")
		}
	}
}
