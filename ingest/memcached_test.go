package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// talk sends a text and returns the answers and why the connection ended.
func talk(t testing.TB, f *fixture, address, in string) (string, error) {
	t.Helper()
	m := f.Memcached(ListenOptions{Memcached: address, Idle: millrace.Duration(time.Minute)})
	c := &wireConn{in: &choppy{text: []byte(in), sizes: []int{11, 1, 400}}}
	err := m.ServeConn(t.Context(), c)
	return c.out.String(), err
}

const here = "127.0.0.1:11211"

func TestMemcached(t *testing.T) {
	f := func(in, answers string, stored ...string) {
		t.Helper()
		x := listening(t, true)
		got, err := talk(t, x, here, in)
		if err != nil || got != strings.ReplaceAll(answers, "\n", "\r\n") {
			t.Errorf("%q: answers %q, %v; want %q", in, got, err, answers)
		}
		if have := x.stored(); strings.Join(have, "|") != strings.Join(stored, "|") {
			t.Errorf("%q: stored %q, want %q", in, have, stored)
		}
	}
	f("", "")
	f("set app 0 0 8\r\none\ntwo\n\r\nquit\r\nset app 0 0 1\r\nx\r\n", "STORED\n", "default/app: one\n", "default/app: two\n")
	f("set app 5 60 3\r\none\r\nadd app 0 0 3\r\ntwo\r\nappend app 0 0 1\r\n3\r\ncas app 0 0 1 77\r\n4\r\n",
		"STORED\nSTORED\nSTORED\nSTORED\n", "default/app: one", "default/app: two", "default/app: 3", "default/app: 4")
	f("set app 0 0 0\r\n\r\n", "STORED\n")
	f("set app 0 0 3 noreply\r\none\r\nversion\r\n", "VERSION "+memcachedVersion+"\n", "default/app: one")
	f("get a\r\ngets a b\r\ngat 1 a\r\ndelete a\r\ntouch a 1\r\nincr a 1\r\nverbosity 1\r\nstats items\r\n",
		"END\nEND\nEND\nNOT_FOUND\nNOT_FOUND\nNOT_FOUND\nOK\nEND\n")
	f("flush_all\r\nmg a v\r\n\r\ndelete a noreply\r\n", "ERROR\nERROR\nERROR\n")
	// Not a name of a source: nothing is stored, the connection goes on.
	f("set a/b 0 0 1\r\nx\r\nset app 0 0 1\ny\n",
		"CLIENT_ERROR the key is the source: 1 to 128 of A-Z a-z 0-9 . _ -\nSTORED\n", "default/app: y")
	// A bad line among good ones, and alone.
	f("set app 0 0 9\r\n{\"a\":1}\n{\r\n", "STORED\n", "default/app: {\"a\":1}\n", "default/app: {")
	f("set app 0 0 2\r\n\xff\xfe\r\n", "CLIENT_ERROR none of the lines can be taken; line 1: column 1: invalid UTF-8\n")
}

func TestMemcachedBreaksOff(t *testing.T) {
	f := func(in, answer string) {
		t.Helper()
		x := listening(t, true)
		got, err := talk(t, x, here, in)
		if err == nil || got != answer {
			t.Errorf("%q: %q, %v", in, got, err)
		}
		if have := x.stored(); len(have) > 0 {
			t.Errorf("%q: stored %q", in, have)
		}
	}
	f("set app 0 0\r\n", "CLIENT_ERROR bad command line format\r\n")
	f("set app 0 0 -1\r\n", "CLIENT_ERROR bad command line format\r\n")
	f("set app 0 0 3\r\nabcdef\r\n", "CLIENT_ERROR bad data chunk\r\n")
	f(strings.Repeat("x", 20<<10)+"\r\n", "ERROR line too long\r\n")
}

func TestMemcachedAuthentication(t *testing.T) {
	good := "user " + shopKey
	set := func(data string) string { return "set app 0 0 " + itoa(len(data)) + "\r\n" + data + "\r\n" }
	const failed = "CLIENT_ERROR the key is not valid\r\n"
	f := func(open bool, address, in, want string, stored ...string) {
		t.Helper()
		x := listening(t, open)
		got, err := talk(t, x, address, in)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
		have := x.stored()
		if strings.Join(have, "|") != strings.Join(stored, "|") {
			t.Errorf("%q: stored %q, want %q", in, have, stored)
		}
		for _, r := range x.tally.take() {
			if strings.Contains(r.Refused[0].Example, "mr_") {
				t.Errorf("%q: the key is in the tally: %+v", in, r.Refused)
			}
		}
	}
	f(false, here, set(good)+set("x"), "STORED\r\nSTORED\r\n", "shop/app: x")
	f(false, here, "get a\r\n"+set("x"), "CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR "+millrace.ErrorMessage(errAuthentication)+"\r\n")
	f(false, here, set("user "+deadKey)+set(strings.Repeat("x", 5000))+set("u p"),
		failed+"CLIENT_ERROR "+millrace.ErrorMessage(errAuthentication)+"\r\n"+failed)
	// Never stored, whether a key is needed or not.
	f(true, here, set(good)+set("x"), "STORED\r\nSTORED\r\n", "shop/app: x")
	f(true, here, set("user "+deadKey)+set("x"), failed+"STORED\r\n", "default/app: x")
	f(true, here, set("user name"), "STORED\r\n", "default/app: user name")
	// A port that others reach is not open.
	f(true, "0.0.0.0:11211", set("x y"), failed)
}

// What is refused can be sent again, and what nobody answers is counted.
func TestMemcachedPressure(t *testing.T) {
	f := listening(t, true)
	f.pressure = millrace.Errorf(millrace.ErrThrottled, "the disk is full")
	got, err := talk(t, f, here, "set app 0 0 3\r\na\nb\r\nset app 0 0 3 noreply\r\na\nb\r\n")
	if err != nil || got != "SERVER_ERROR the disk is full\r\n" {
		t.Errorf("%q, %v", got, err)
	}
	if d := f.dropped(); d["app request_throttled"] != 2 {
		t.Errorf("dropped %v", d)
	}
	f.pressure = nil
	big := listening(t, true, func(o *Options) { o.MaxBody = 4 << 10 })
	got, err = talk(t, big, here, "set app 0 0 5000\r\n"+strings.Repeat("x", 5000)+"\r\nset app 0 0 1\r\ny\r\n")
	if err != nil || !strings.HasPrefix(got, "SERVER_ERROR object too large for cache") || !strings.HasSuffix(got, "\r\nSTORED\r\n") {
		t.Errorf("%q, %v", got, err)
	}
}

// A value that takes several buffers is whole.
func TestMemcachedLarge(t *testing.T) {
	f := listening(t, true)
	value := strings.Repeat(strings.Repeat("x", 999)+"\n", 5000)
	got, err := talk(t, f, here, fmt.Sprintf("set app 0 0 %d\r\n%s\r\nset app 0 0 1\r\ny\r\nset app 0 0 0\r\n\r\n", len(value), value))
	if err != nil || got != "STORED\r\nSTORED\r\nSTORED\r\n" {
		t.Errorf("%q, %v", got, err)
	}
	lines := f.stored()
	if len(lines) != 5001 || lines[4999] != "default/app: "+value[:1000] {
		t.Errorf("%d lines", len(lines))
	}
}

func FuzzMemcached(f *testing.F) {
	f.Add([]byte("set app 0 0 8\r\none\ntwo\n\r\nquit\r\n"))
	f.Add([]byte("set app 0 0 3 noreply\r\none\r\nget a\r\nstats\r\n"))
	f.Add([]byte("set app 0 0 2000000000\r\none\r\n"))
	f.Add([]byte("set app 0 0 20000000\r\none\r\n"))
	f.Add([]byte("set a 0 0 19\r\nuser " + shopKey + "\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		x := listening(t, true)
		costs(t, len(in), func() { _, _ = talk(t, x, here, string(in)) })
		for _, line := range x.stored() {
			if strings.Contains(line, "PAYLOAD DIFFERS") {
				t.Error(line)
			}
		}
	})
}
