package ingest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

const (
	// streamBuffer is what an idle connection costs.
	streamBuffer = 16 << 10
	// streamBatch is how much of a connection is appended at once.
	streamBatch = 1 << 20
	// streamLinger is how long a connection that has sent something waits for
	// more before that is appended.
	streamLinger = 2 * time.Millisecond
	// streamDrain is how much longer connections are read when the server stops:
	// what was sent before is still on its way.
	streamDrain = 500 * time.Millisecond
	// maxFrame is the longest counted frame that is skipped; a longer one is no
	// frame.
	maxFrame = 16 << 20
)

// stream is the state of one connection.
type stream struct {
	*Syslog
	ctx     context.Context
	conn    net.Conn
	from    netip.Addr
	trusted bool // by its certificate
	r       *bufio.Reader
	m       messages
	counted bool      // a frame was counted, so others are
	drained bool      // ctx has ended and the last deadline is set
	due     time.Time // of the message that has memory of its own
}

// ServeConn serves a connection of TCP or TLS until its end or a while after
// ctx ends. It owns conn. The error says why the connection was closed, nil if
// its sender or ctx ended it.
func (s *Syslog) ServeConn(ctx context.Context, conn net.Conn) error {
	defer func() { _ = conn.Close() }()
	if !s.h.mem.take(streamBuffer) {
		return throttledMemory(&s.h.mem)
	}
	defer s.h.mem.give(streamBuffer)
	gauge := s.h.listen.open.WithLabelValues(s.name)
	gauge.Inc()
	defer gauge.Dec()
	c := &stream{Syslog: s, ctx: ctx, conn: conn, m: messages{h: s.h}}
	if a, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		c.from = a.Addr().Unmap()
	}
	c.m.share.open(&s.h.mem, "", s.sender(c.from))
	defer c.m.share.close()
	if t, ok := conn.(*tls.Conn); ok {
		if err := c.handshake(t); err != nil {
			return err
		}
	}
	c.r = bufio.NewReaderSize(c, streamBuffer)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(s.h.deps.Now().Add(streamDrain)) })
	defer stop()
	defer c.m.release()
	err := c.serve()
	if ferr := c.flush(); err == nil {
		err = ferr
	}
	return err
}

func (c *stream) handshake(t *tls.Conn) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.h.opts.Load().SlowGrace.Std())
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.trusted = len(t.ConnectionState().VerifiedChains) > 0
	return nil
}

// serve takes frames until the connection ends.
func (c *stream) serve() error {
	for {
		err := c.frame()
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) || c.ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		default:
			return err
		}
		if c.m.size() >= streamBatch {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
}

// Read implements io.Reader for the buffer: what was taken is appended before
// the connection is waited for.
func (c *stream) Read(p []byte) (int, error) {
	if c.m.size() > 0 {
		n, err := c.read(p, streamLinger)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	return c.read(p, c.l.Idle.Std())
}

// read waits for at most so long, and when the server stops until the end that
// ServeConn has set.
func (c *stream) read(p []byte, most time.Duration) (int, error) {
	if c.ctx.Err() == nil {
		at := c.h.deps.Now().Add(most)
		if !c.due.IsZero() && c.due.Before(at) {
			at = c.due
		}
		_ = c.conn.SetReadDeadline(at)
	}
	if c.ctx.Err() != nil && !c.drained { // it may have ended in between
		c.drained = true
		_ = c.conn.SetReadDeadline(c.h.deps.Now().Add(streamDrain))
	}
	return c.conn.Read(p)
}

// flush appends what was taken, however long that takes: the sender waits
// meanwhile, since nobody reads.
func (c *stream) flush() error {
	if len(c.m.list) == 0 {
		return nil
	}
	defer c.m.release()
	c.admit(&c.m)
	if err := retry(c.ctx, func() error { return c.m.append(c.ctx) }); err != nil {
		c.failed(&c.m, err)
		return err
	}
	c.stored(&c.m)
	return nil
}

// frame takes one frame. io.EOF at the end of the connection.
func (c *stream) frame() error {
	n, counted, err := c.length()
	if err != nil {
		return err
	}
	if counted {
		return c.countedFrame(n)
	}
	return c.line()
}

// length reads the length of a counted frame. One that is not counted begins
// with '<', or with text: digits count only before " <", unless a frame of this
// connection was counted before.
func (c *stream) length() (n int, counted bool, err error) {
	const digits = 9
	for i := 0; ; i++ {
		b, err := c.r.Peek(i + 1)
		if err != nil {
			if i > 0 { // a line, or the beginning of one
				return 0, false, nil
			}
			return 0, false, err
		}
		switch ch := b[i]; {
		case ch >= '0' && ch <= '9' && i < digits && (i > 0 || ch != '0'):
			n = 10*n + int(ch-'0')
			continue
		case ch != ' ' || i == 0:
			return 0, false, nil
		}
		if !c.counted {
			if b, err = c.r.Peek(i + 2); err != nil || b[i+1] != '<' {
				return 0, false, nil
			}
			c.counted = true
		}
		_, err = c.r.Discard(i + 1)
		return n, true, err
	}
}

// countedFrame takes n bytes.
func (c *stream) countedFrame(n int) error {
	if n > maxFrame {
		c.drop(ReasonBadFraming, 1, nil)
		return millrace.Errorf(millrace.ErrInvalid, "a frame claims %d bytes, the limit is %d", n, maxFrame)
	}
	if limit := int(c.h.opts.Load().MaxLine); n > limit {
		example, _ := c.r.Peek(min(n, millrace.MaxExample))
		c.drop(decode.ReasonLineTooLong, 1, example)
		_, err := c.r.Discard(n)
		return err
	}
	if n <= c.r.Size() {
		b, err := c.r.Peek(n)
		if err != nil {
			return c.truncated(b, err)
		}
		err = c.take(b)
		_, _ = c.r.Discard(n) // they are there
		return err
	}
	return c.long(n, func(b []byte) (int, error) { return io.ReadFull(c.r, b[:n]) })
}

// line takes what ends in a newline, or with the connection.
func (c *stream) line() error {
	b, err := c.r.ReadSlice('\n')
	if err == nil {
		return c.take(b)
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		if len(b) > 0 && errors.Is(err, io.EOF) { // a last line without its end
			return c.take(b)
		}
		return c.truncated(b, err)
	}
	return c.long(int(c.h.opts.Load().MaxLine)+2, func(to []byte) (int, error) { return c.longLine(to, b) })
}

// longLine reads a line that begins with first into to, and returns its length;
// of what does not fit only the length is kept.
func (c *stream) longLine(to, first []byte) (n int, err error) {
	for b := first; ; {
		copy(to[min(n, len(to)):], b)
		n += len(b)
		if !errors.Is(err, bufio.ErrBufferFull) && n > len(first) {
			if errors.Is(err, io.EOF) { // a last line without its end
				err = nil
			}
			return n, err
		}
		b, err = c.r.ReadSlice('\n')
	}
}

// long takes a message that does not fit the connection's buffer, in memory of
// its own of at most n bytes.
func (c *stream) long(n int, read func([]byte) (int, error)) error {
	o, size := c.h.opts.Load(), int64(1)<<bufferBits(int64(n))
	if err := retry(c.ctx, func() error { return c.h.mem.takeFor(&c.m.share, size) }); err != nil {
		return err
	}
	defer c.h.mem.giveFor(&c.m.share, size)
	buf := getBuffer(int64(n))
	defer func() { putBuffer(buf) }()
	c.due = c.h.deps.Now().Add(o.SlowGrace.Std() + time.Duration(n)*time.Second/time.Duration(o.MinRate))
	defer func() { c.due = time.Time{} }()
	got, err := read(buf[:n])
	if err != nil {
		return c.truncated(buf[:min(got, n)], err)
	}
	if got > n {
		c.dropFor(errMessageSize, 1, buf[:n])
		return nil
	}
	return c.take(buf[:got])
}

// truncated counts a message that the connection ended within. A stream that a
// sender closed in good order leaves none.
func (c *stream) truncated(b []byte, err error) error {
	if len(b) > 0 {
		c.drop(ReasonBadFraming, 1, b)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// take adds a message, waiting for what it needs. ErrUnauthorized ends the
// connection.
func (c *stream) take(b []byte) error {
	text := trimMessage(b)
	if len(text) == 0 {
		return nil
	}
	if limit := int(c.h.opts.Load().MaxLine); len(text) > limit {
		c.dropFor(errMessageSize, 1, text)
		return nil
	}
	var o origin
	secret, text := takeKey(text)
	err := retry(c.ctx, func() (err error) {
		o, err = c.origin(c.ctx, secret, c.from, c.trusted)
		return err
	})
	if err != nil {
		c.dropFor(err, 1, text)
		return err
	}
	if err := c.m.add(o, text); millrace.ErrorCode(err) == millrace.ErrThrottled {
		if err := c.flush(); err != nil { // which gives memory back
			return err
		}
		err = retry(c.ctx, func() error { return c.m.add(o, text) })
		if err != nil {
			c.dropFor(err, 1, text)
			return err
		}
	} else if err != nil {
		c.dropFor(err, 1, text)
	}
	return nil
}
