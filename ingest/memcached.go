package ingest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/decode"
)

// The text protocol of memcached (doc/protocol.txt of memcached 1.6), for senders
// that have nothing but a client of it:
//
//	set SOURCE FLAGS EXPTIME BYTES [noreply]\r\n
//	DATA\r\n
//
// stores the lines of DATA under the source SOURCE, as POST /ingest does with
// format auto. STORED comes when they are durable. add, replace, append and
// prepend do the same, cas too; FLAGS, EXPTIME and the unique number of cas mean
// nothing. Nothing can be read: get, gets, gat and gats find nothing, delete,
// touch, incr and decr NOT_FOUND. version, verbosity, stats and quit are known,
// all else is ERROR; flush_all, too, since nothing is deleted.
//
// Answers: SERVER_ERROR if sending again helps, CLIENT_ERROR if not. With
// noreply there are none: what is refused is counted, and lost. Lines that are
// refused while others are good are counted; the answer is STORED.
//
// Keys: as memcached's own ASCII authentication (-Y), by a first set of any name
// whose data is "USER KEY"; USER is ignored. Data of this form with a key of
// millrace in it is taken for that at any time, so that it is never stored.
//
// Limits: ingest.max_body for DATA, 250 bytes of name, 2 KiB of command. A value
// must arrive within ingest.slow_grace and ingest.min_rate.
//
// What a kill doubles: lines whose STORED was lost on the way, if the client
// sends them again. What it loses: what was sent with noreply and not stored.
//
// Not here: the binary protocol and UDP, which memcached itself deprecates, and
// the meta commands.

const (
	memcachedVersion = "1.6.0-millrace"
	maxCommand       = 2 << 10
	maxMemcachedKey  = 250
	memcachedBuffer  = 16 << 10 // of each connection, in and out
)

// Memcached is a port of that protocol. Create it with Handler.Memcached.
type Memcached struct {
	h    *Handler
	name string
	open bool
	idle time.Duration
}

// Memcached returns what serves the port of o.
func (h *Handler) Memcached(o ListenOptions) *Memcached {
	return &Memcached{h: h, name: "memcached " + o.Memcached, open: h.openTo(o.Memcached), idle: o.Idle.Std()}
}

// Serve serves connections until ctx ends, and then what they are at. It owns ln.
func (s *Memcached) Serve(ctx context.Context, ln net.Listener) error {
	return s.h.serveConns(ctx, ln, s.name, s.ServeConn)
}

// cacheConn is the state of one connection.
type cacheConn struct {
	*Memcached
	ctx    context.Context
	conn   net.Conn
	sender string
	r      *bufio.Reader
	w      *bufio.Writer
	secret string // the key; "" before one was shown
}

// errQuit ends a connection in good order.
var errQuit = errors.New("quit")

// ServeConn serves a connection until its end or ctx's. It owns conn.
func (s *Memcached) ServeConn(ctx context.Context, conn net.Conn) error {
	defer func() { _ = conn.Close() }()
	if !s.h.mem.take(2 * memcachedBuffer) {
		return throttledMemory(&s.h.mem)
	}
	defer s.h.mem.give(2 * memcachedBuffer)
	gauge := s.h.listen.open.WithLabelValues(s.name)
	gauge.Inc()
	defer gauge.Dec()
	c := &cacheConn{Memcached: s, ctx: ctx, conn: conn, w: bufio.NewWriterSize(conn, memcachedBuffer)}
	c.r = bufio.NewReaderSize(c, memcachedBuffer)
	if a, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		c.sender = a.Addr().Unmap().String()
	}
	// Between commands the connection ends at once; within one its value is
	// read to the end.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(s.h.deps.Now().Add(streamDrain)) })
	defer stop()
	for {
		err := c.command()
		if err == nil {
			continue
		}
		_ = c.w.Flush()
		if errors.Is(err, errQuit) || errors.Is(err, io.EOF) || ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		return err
	}
}

// Read implements io.Reader for the buffer: answers go out before the client is
// waited for.
func (c *cacheConn) Read(p []byte) (int, error) {
	if c.w.Buffered() > 0 {
		_ = c.conn.SetWriteDeadline(c.h.deps.Now().Add(c.h.opts.Load().SlowGrace.Std()))
		if err := c.w.Flush(); err != nil {
			return 0, err
		}
	}
	return c.conn.Read(p)
}

// wait sets how long the client may take for what comes next.
func (c *cacheConn) wait(most time.Duration) {
	now := c.h.deps.Now()
	if c.ctx.Err() == nil {
		_ = c.conn.SetReadDeadline(now.Add(most))
	}
	if c.ctx.Err() != nil {
		_ = c.conn.SetReadDeadline(now.Add(min(most, streamDrain)))
	}
}

// command takes one command.
func (c *cacheConn) command() error {
	c.wait(c.idle)
	line, err := c.r.ReadSlice('\n')
	if err != nil || len(line) > maxCommand {
		if errors.Is(err, bufio.ErrBufferFull) || err == nil {
			c.answer("ERROR line too long")
			return millrace.Errorf(millrace.ErrTooLarge, "a command of more than %d bytes", maxCommand)
		}
		return err
	}
	words := strings.Fields(string(line))
	if len(words) == 0 {
		c.answer("ERROR")
		return nil
	}
	switch words[0] {
	case "set", "add", "replace", "append", "prepend", "cas":
		return c.store(words)
	case "quit":
		return errQuit
	case "version":
		c.answer("VERSION " + memcachedVersion)
		return nil
	}
	if !c.open && c.secret == "" {
		c.answer("CLIENT_ERROR unauthenticated")
		return nil
	}
	c.other(words)
	return nil
}

// other answers what stores nothing.
func (c *cacheConn) other(words []string) {
	if words[len(words)-1] == "noreply" {
		return
	}
	switch words[0] {
	case "get", "gets", "gat", "gats":
		c.answer("END")
	case "delete", "touch", "incr", "decr":
		c.answer("NOT_FOUND")
	case "verbosity":
		c.answer("OK")
	case "stats":
		if len(words) == 1 {
			c.answer(fmt.Sprintf("STAT pid %d\r\nSTAT version %s\r\nSTAT pointer_size %d", os.Getpid(), memcachedVersion, strconv.IntSize))
		}
		c.answer("END")
	default:
		c.answer("ERROR")
	}
}

func (c *cacheConn) answer(text string) { _, _ = c.w.WriteString(text + "\r\n") } // Flush tells its error

// store takes a command with data. What is wrong with it is answered; the error
// is the connection's.
func (c *cacheConn) store(words []string) error {
	want := 5
	if words[0] == "cas" {
		want = 6
	}
	noreply := len(words) == want+1 && words[want] == "noreply"
	n := uint64(0)
	var err error
	if len(words) == want || noreply {
		n, err = strconv.ParseUint(words[4], 10, 31)
	} else {
		err = errors.New("words")
	}
	if err != nil { // nobody knows where the next command is
		c.answer("CLIENT_ERROR bad command line format")
		return millrace.Errorf(millrace.ErrInvalid, "bad command line format")
	}
	q := c.h.request()
	defer c.h.release(q)
	q.source, q.sender, q.format = words[1], c.sender, "auto"
	result := c.value(q, int(n), c.begin(q, int(n)))
	var broken *brokenError
	if errors.As(result, &broken) {
		return broken.err
	}
	if result == nil {
		if done, aerr := c.authenticate(q.body.buf); done {
			result = aerr
		} else {
			result = c.append(q)
		}
	}
	if result != nil {
		c.refused(q, result)
	}
	if !noreply {
		c.answer(memcachedAnswer(q, result))
	}
	return nil
}

// begin does what needs no look at the data. Who has no key yet may show one.
func (c *cacheConn) begin(q *request, n int) error {
	if !c.open && c.secret == "" {
		if n > maxCommand {
			return errAuthentication
		}
		return nil
	}
	who, err := c.h.deps.AuthorizeKey(c.ctx, c.secret, millrace.ScopeIngest) // it may have been revoked
	if err != nil {
		return err
	}
	q.principal = who
	if q.project, err = who.Project(""); err != nil {
		return err
	}
	if n > int(q.opts.MaxBody) {
		return millrace.Errorf(millrace.ErrTooLarge, "object too large for cache: the limit is %s (ingest.max_body)", q.opts.MaxBody)
	}
	return c.h.open(q)
}

// brokenError is a connection of which no more can be read.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }

// value reads the data into q's body. What is refused is skipped.
func (c *cacheConn) value(q *request, n int, refused error) error {
	o := q.opts
	c.wait(o.SlowGrace.Std() + time.Duration(n)*time.Second/time.Duration(o.MinRate))
	q.body.mem = &c.h.mem
	for have := 0; refused == nil && have < n; have = len(q.body.buf) {
		// What was announced may never come: memory follows what has arrived.
		upTo := min(n, max(2*have, firstBuffer))
		if refused = q.body.grow(int64(upTo)); refused != nil {
			break
		}
		q.body.buf = q.body.buf[:upTo]
		if _, err := io.ReadFull(c.r, q.body.buf[have:]); err != nil {
			return &brokenError{err}
		}
	}
	if _, err := c.r.Discard(n - len(q.body.buf)); err != nil {
		return &brokenError{err}
	}
	if refused == nil {
		q.body.size, q.body.wire.n = int64(n), int64(n)
	}
	end, err := c.r.Peek(2)
	if err != nil && len(end) < 1 {
		return &brokenError{err}
	}
	switch {
	case len(end) == 2 && end[0] == '\r' && end[1] == '\n':
		_, _ = c.r.Discard(2)
	case end[0] == '\n': // telnet, and scripts
		_, _ = c.r.Discard(1)
	default:
		c.answer("CLIENT_ERROR bad data chunk")
		return &brokenError{millrace.Errorf(millrace.ErrInvalid, "bad data chunk")}
	}
	return refused
}

// authenticate takes data that is a key. done: there is nothing to store.
func (c *cacheConn) authenticate(data []byte) (done bool, err error) {
	user, secret, ok := strings.Cut(strings.TrimSpace(string(data[:min(len(data), maxCommand)])), " ")
	ours := ok && user != "" && len(data) < maxCommand && strings.HasPrefix(secret, keyPrefix) && !strings.ContainsAny(secret, " \n")
	if !ours && (c.open || c.secret != "") {
		return false, nil
	}
	if !ok {
		return true, errAuthentication
	}
	c.secret = ""
	if _, err := c.h.deps.AuthorizeKey(c.ctx, secret, millrace.ScopeIngest); err != nil {
		return true, err
	}
	c.secret = secret
	return true, nil
}

// keyPrefix begins all keys (auth).
const keyPrefix = "mr_"

var errAuthentication = millrace.Errorf(millrace.ErrUnauthorized, "authentication failure: send \"USER KEY\" by a set first")

// append makes the lines of q durable.
func (c *cacheConn) append(q *request) error {
	if !auth.ValidName(q.source) || len(q.source) > maxMemcachedKey {
		q.source = ""
		return millrace.Errorf(millrace.ErrInvalid, "the key is the source: 1 to 128 of A-Z a-z 0-9 . _ -")
	}
	if err := q.body.takeLines(q.opts); err != nil {
		return err
	}
	lim := decode.Limits{MaxLine: q.opts.MaxLine, MaxEvent: maxRecord}
	if err := decode.Frame(q.format, q.body.buf, lim, &q.framing); err != nil {
		return err
	}
	q.answer.fill(q)
	if len(q.framing.Events) == 0 {
		if len(q.framing.Refused) == 0 {
			return nil
		}
		return errNothingGood
	}
	if err := c.h.admitEvents(q, len(q.framing.Events)); err != nil {
		return err
	}
	if err := c.h.appendRequest(c.ctx, q); err != nil {
		return err
	}
	c.h.done(q)
	c.h.listen.events.WithLabelValues(c.name).Add(float64(q.answer.accepted))
	return nil
}

// refused counts what was not stored.
func (c *cacheConn) refused(q *request, err error) {
	lines := int64(max(1, bytes.Count(bytes.TrimRight(q.body.buf, "\r\n"), []byte{'\n'})+1))
	c.h.listen.dropped.WithLabelValues(c.name, string(millrace.ErrorCode(err))).Add(float64(lines))
	if millrace.ErrorCode(err) == millrace.ErrUnauthorized {
		q.source = "" // it is not believed
	}
	c.h.countRefused(q, err)
}

// memcachedAnswer puts what became of a set into the protocol's words.
func memcachedAnswer(q *request, err error) string {
	var words string
	switch code := millrace.ErrorCode(err); {
	case err == nil:
		return "STORED"
	case errors.Is(err, errNothingGood):
		words = "CLIENT_ERROR none of the lines can be taken; line " +
			strconv.Itoa(q.answer.rejected[0].Line) + ": " + q.answer.rejected[0].Error
	case code == millrace.ErrInvalid || code == millrace.ErrUnauthorized || code == millrace.ErrForbidden:
		words = "CLIENT_ERROR " + millrace.ErrorMessage(err)
	default:
		words = "SERVER_ERROR " + millrace.ErrorMessage(err)
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, words[:min(len(words), 500)])
}
