package queue

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func listenLocal(t *testing.T) *door {
	t.Helper()
	tcp, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(tcp)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// Both ways lead to the one who accepts.
func TestDoor(t *testing.T) {
	d := listenLocal(t)
	go func() { // an echo
		for {
			c, err := d.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"inside": d.dial, "TCP": new(net.Dialer).DialContext,
	} {
		c, err := dial(t.Context(), "tcp", d.Addr().String())
		if err != nil {
			t.Fatal(name, err)
		}
		got := make([]byte, 5)
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Error(name, err)
		}
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(name, err)
		}
	}
}

func TestDoorCloses(t *testing.T) {
	d := listenLocal(t)
	accepted := make(chan error, 1)
	go func() {
		_, err := d.Accept()
		accepted <- err
	}()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	if _, err := d.dial(t.Context(), "tcp", ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v", err)
	}
}

// What dials does not wait longer than its context, nobody being there.
func TestDoorNobodyAccepts(t *testing.T) {
	d := listenLocal(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := d.dial(ctx, "tcp", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial: %v", err)
	}
}

// The client retries after the error that a closed connection gives.
func TestInsideConnErrors(t *testing.T) {
	d := listenLocal(t)
	go func() {
		c, err := d.Accept()
		if err == nil {
			_ = c.Close()
		}
	}()
	c, err := d.dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read after the broker closed: %v", err)
	}
	if _, err := c.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after the broker closed: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after we closed: %v", err)
	}
}
