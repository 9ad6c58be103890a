package ingest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

const (
	// maxDatagram is the most that UDP carries.
	maxDatagram = 64 << 10
	// udpLinger is how long a message waits for others to be appended with it.
	udpLinger = 50 * time.Millisecond
	// udpBatch is how much is appended at once.
	udpBatch = 1 << 20
	// udpBatches is how many are on their way at most: enough for a second at
	// 8 MiB/s while the disk does not answer; then messages are dropped.
	udpBatches = 8
	// udpSocket is what the kernel is asked to keep; it may give less
	// (net.core.rmem_max).
	udpSocket = 16 << 20
	// udpAppends is how many appends are under way at the same time: while one
	// waits for the disk the other is encoded.
	udpAppends = 2
)

// udp is the state of a socket.
type udp struct {
	*Syslog
	conn  *net.UDPConn
	cur   *messages
	begun time.Time // of cur
	idle  chan *messages
	full  chan *messages
	drops dropCounter
	last  bool // ctx has ended: only what the socket holds is read
}

// ServeUDP serves a socket until ctx ends, then appends what was read. It owns
// the socket. The error is one of the socket.
func (s *Syslog) ServeUDP(ctx context.Context, conn *net.UDPConn) error {
	_ = conn.SetReadBuffer(udpSocket) // as much as the system allows
	u := &udp{Syslog: s, conn: conn, idle: make(chan *messages, udpBatches), full: make(chan *messages, udpBatches)}
	u.drops.watch(conn)
	for range udpBatches {
		u.idle <- &messages{h: s.h}
	}
	var appends sync.WaitGroup
	for range udpAppends {
		appends.Go(func() { u.appendAll(ctx) })
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := u.read(ctx)
	u.flush()
	close(u.full)
	appends.Wait()
	return errors.Join(closedOK(ctx, err), conn.Close())
}

// read takes datagrams until the socket fails or ctx ends.
func (u *udp) read(ctx context.Context) error {
	buf := make([]byte, maxDatagram)
	oob := make([]byte, 64)
	for {
		n, oobn, _, from, err := u.conn.ReadMsgUDPAddrPort(buf, oob)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if u.last {
				return nil
			}
			u.flush()
			u.ending(ctx)
			continue
		case err != nil:
			return err
		}
		if lost := u.drops.lost(oob[:oobn]); lost > 0 {
			u.drop(ReasonSocketFull, lost, nil)
		}
		u.message(ctx, buf[:n], from.Addr().Unmap())
		if u.cur != nil && (u.cur.size() >= udpBatch || u.h.deps.Now().Sub(u.begun) >= udpLinger) {
			u.flush()
		}
		u.ending(ctx)
	}
}

// ending sets the last deadline once ctx has ended. It runs after every other
// deadline, which may have come after the one that ServeUDP sets to end a wait.
func (u *udp) ending(ctx context.Context) {
	if ctx.Err() != nil && !u.last {
		u.last = true
		_ = u.conn.SetReadDeadline(u.h.deps.Now().Add(udpLinger))
	}
}

// deadline bounds how long the batch waits; zero is as long as there is none.
func (u *udp) deadline(at time.Time) {
	if !u.last {
		_ = u.conn.SetReadDeadline(at)
	}
}

// message adds a datagram to the batch, or counts why not.
func (u *udp) message(ctx context.Context, datagram []byte, from netip.Addr) {
	text := trimMessage(datagram)
	if len(text) == 0 {
		return
	}
	if limit := int(u.h.opts.Load().MaxLine); len(text) > limit {
		u.dropFor(errMessageSize, 1, text)
		return
	}
	secret, text := takeKey(text)
	o, err := u.origin(ctx, secret, from, false)
	if err != nil {
		u.dropFor(err, 1, text)
		return
	}
	if u.cur == nil {
		select {
		case u.cur = <-u.idle:
		default: // all are on their way to the queue
			u.drop(ReasonQueueFull, 1, text)
			return
		}
		u.begun = u.h.deps.Now()
		u.deadline(u.begun.Add(udpLinger))
	}
	if err := u.cur.add(o, text); err != nil {
		u.dropFor(err, 1, text)
	}
}

// flush sends the batch on its way.
func (u *udp) flush() {
	if u.cur == nil {
		return
	}
	u.full <- u.cur // it has room for all there are
	u.cur = nil
	u.deadline(time.Time{})
}

// appendAll makes batches durable until there are no more. At the end what the
// queue does not take is dropped.
func (u *udp) appendAll(ctx context.Context) {
	for m := range u.full {
		u.admit(m)
		err := retry(ctx, func() error { return m.append(ctx) })
		if err != nil {
			u.failed(m, err)
		} else {
			u.stored(m)
		}
		m.release()
		u.idle <- m
	}
}

// failed counts a batch that could not be appended.
func (s *Syslog) failed(m *messages, err error) {
	var example []byte
	if len(m.list) > 0 {
		example = m.buf[:m.list[0].end]
	}
	s.dropFor(err, int64(len(m.list)), example)
	s.h.deps.Log.Error("messages dropped", "listener", s.name, "messages", len(m.list), "err", err, "hint", millrace.ErrorHint(err))
}
