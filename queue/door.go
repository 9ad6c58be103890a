package queue

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// door is the listener of the embedded broker: it takes connections from
// outside over TCP, and from this process without the kernel. Between producer,
// broker and consumer a record would otherwise pass through four system calls
// that copy it.
type door struct {
	net.Listener // TCP
	conns        chan net.Conn
	failed       chan error // of the TCP listener; it has ended
	closed       chan struct{}
	once         sync.Once
}

// newDoor takes the connections of tcp along with those of dial.
func newDoor(tcp net.Listener) *door {
	d := &door{Listener: tcp, conns: make(chan net.Conn), failed: make(chan error, 1), closed: make(chan struct{})}
	go d.listen()
	return d
}

func (d *door) listen() {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			d.failed <- err
			return
		}
		select {
		case d.conns <- c:
		case <-d.closed:
			_ = c.Close() // nobody serves it
		}
	}
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case err := <-d.failed:
		return nil, err
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Listener.Close()
}

// dial connects to the broker. It is for kgo.Dialer: there is one broker, so
// the address does not matter.
func (d *door) dial(ctx context.Context, network, address string) (net.Conn, error) {
	refused := func(err error) error { return &net.OpError{Op: "dial", Net: network, Addr: d.Addr(), Err: err} }
	ours, its := net.Pipe()
	select {
	case d.conns <- insideConn{its}:
		return insideConn{ours}, nil
	case <-ctx.Done():
		return nil, refused(ctx.Err())
	case <-d.closed:
		return nil, refused(syscall.ECONNREFUSED) // what a closed port says
	}
}

// insideConn is an end of a pipe whose errors are those of a connection: the
// client retries after those.
type insideConn struct{ net.Conn }

// Read implements net.Conn.
func (c insideConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, asNetError(err)
}

// Write implements net.Conn.
func (c insideConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, asNetError(err)
}

func asNetError(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return net.ErrClosed
	}
	return err
}
