package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/linecut"
)

const (
	// readSize bounds one read: it is how often limits are checked.
	readSize = 256 << 10
	// firstBuffer is what a body gets before it has shown any bytes, at most:
	// a Content-Length is a claim.
	firstBuffer = 1 << 20
	// maxWindow is the largest zstd window taken. Level 19 of the reference
	// implementation uses 8 MiB; larger ones need --long on both sides.
	maxWindow = 8 << 20
	// maxDecoder is what a decompressor may take besides the body.
	maxDecoder = 2*maxWindow + gzipMemory
	// gzipMemory is a gzip reader's window and tables.
	gzipMemory = 64 << 10
)

// body is the state of reading one request's body. It is pooled with its
// decompressors, which are expensive to make.
type body struct {
	buf  []byte // the body, with overlong lines shortened
	size int64  // of the body before that, decompressed
	cut  linecut.Cutter
	// Set before read: whole is a body that is no lines, of which nothing is cut;
	// snappy is one that is a snappy block unless it says otherwise, arrays one of
	// lines unless it begins as an array of objects.
	whole, snappy, arrays bool
	wire                  wire
	gz                    *gzip.Reader
	zs                    *zstd.Decoder
	inflaters             inflaters
	taken                 int64 // from the budget
	mem                   *budget
	share                 share // whose the memory is
}

// read reads r's body within the limits. The result is in b.buf until release.
//
// ErrTooLarge names the limit; ErrInvalid: the encoding is unknown or the data
// not what it says, with nothing stored; ErrThrottled: no memory now.
func (b *body) read(rc *http.ResponseController, r *http.Request, o *Options, mem *budget, now func() time.Time) error {
	b.mem, b.size = mem, 0
	b.cut.Max = int(o.MaxLine)
	if b.whole {
		b.cut.Max = int(o.MaxBody)
	}
	b.cut.Reset()
	b.wire = wire{r: r.Body, rc: rc, o: o, now: now, started: now()}
	src, hint, err := b.decompressor(r, o)
	if err != nil {
		return err
	}
	if err := b.grow(min(hint, firstBuffer, int64(o.MaxBody))); err != nil {
		return err
	}
	if err := b.fill(src, o); err != nil {
		return b.explain(err, r)
	}
	b.cut.End(len(b.buf))
	b.wire.done()
	return nil
}

// release gives the memory back; b.buf must no longer be used by anyone.
func (b *body) release() {
	if b.buf != nil {
		putBuffer(b.buf)
		b.buf = nil
	}
	if b.mem != nil {
		b.mem.giveFor(&b.share, b.taken)
		b.taken = 0
	}
	b.share.close()
	b.wire, b.whole, b.snappy, b.arrays = wire{}, false, false, false
}

// decompressor returns the reader of the plain body and a guess of its size.
func (b *body) decompressor(r *http.Request, o *Options) (src io.Reader, hint int64, err error) {
	length := max(r.ContentLength, 0)
	enc := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	if enc == "snappy" && b.snappy { // some clients say so
		enc = ""
	}
	switch enc {
	case "", "identity":
		if b.snappy {
			return b.unsnappy(length, o)
		}
		if length > int64(o.MaxBody) {
			return nil, 0, errBodySize(o)
		}
		b.wire.identity = true
		return &b.wire, length, b.mem.claim(&b.share, length)
	case "gzip", "x-gzip":
		if length > int64(o.MaxCompressed) {
			return nil, 0, errWireSize(o)
		}
		if err := b.take(gzipMemory); err != nil {
			return nil, 0, err
		}
		src, err = b.gunzip()
	case "zstd":
		if length > int64(o.MaxCompressed) {
			return nil, 0, errWireSize(o)
		}
		src, err = b.unzstd()
	case "deflate", "br":
		if length > int64(o.MaxCompressed) {
			return nil, 0, errWireSize(o)
		}
		src, err = b.uncommon(enc)
	default:
		return nil, 0, millrace.Errorf(millrace.ErrInvalid, "Content-Encoding %q is not supported; use gzip, zstd, deflate, br or identity", millrace.Example([]byte(enc)))
	}
	if err != nil {
		return nil, 0, b.explain(err, r)
	}
	return src, 8 * length, nil // logs compress to about an eighth
}

func (b *body) gunzip() (io.Reader, error) {
	if b.gz == nil {
		gz, err := gzip.NewReader(&b.wire)
		if err != nil {
			return eofIsEmpty(err)
		}
		b.gz = gz
		return gz, nil
	}
	if err := b.gz.Reset(&b.wire); err != nil {
		return eofIsEmpty(err)
	}
	return b.gz, nil
}

// eofIsEmpty takes an empty body as empty, whatever it is said to be encoded in.
func eofIsEmpty(err error) (io.Reader, error) {
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return bytes.NewReader(nil), nil
	}
	return nil, err
}

// unzstd reads the first frame's header, to know how much memory to ask for.
func (b *body) unzstd() (io.Reader, error) {
	head := make([]byte, zstd.HeaderMaxSize)
	n, err := io.ReadFull(&b.wire, head)
	if n == 0 {
		return eofIsEmpty(err)
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	window := int64(maxWindow)
	var h zstd.Header
	if h.Decode(head[:n]) == nil && !h.Skippable {
		size := h.WindowSize
		if h.SingleSegment {
			size = h.FrameContentSize
		}
		window = int64(min(uint64(window), size))
	}
	if err := b.take(2 * window); err != nil {
		return nil, err
	}
	src := io.MultiReader(bytes.NewReader(head[:n]), &b.wire)
	if b.zs == nil {
		// One goroutine's work at a time: requests are the concurrency.
		b.zs, err = zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	} else {
		err = b.zs.Reset(src)
	}
	return b.zs, err
}

// fill reads src to its end into b.buf.
func (b *body) fill(src io.Reader, o *Options) error {
	for {
		if len(b.buf) == cap(b.buf) {
			if b.size == int64(o.MaxBody) {
				return atEnd(src, o)
			}
			if err := b.grow(2 * int64(cap(b.buf))); err != nil {
				return err
			}
		}
		// One byte beyond the limit tells a body that fits from one that does not.
		room := min(int64(cap(b.buf)-len(b.buf)), readSize, int64(o.MaxBody)-b.size+1)
		n, err := src.Read(b.buf[len(b.buf) : len(b.buf)+int(room)])
		if b.size += int64(n); b.size > int64(o.MaxBody) {
			return errBodySize(o)
		}
		b.buf = b.buf[:len(b.buf)+n]
		if b.arrays {
			b.look(o)
		}
		b.buf = b.cut.Added(b.buf, n)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// atEnd checks that a body which fills its buffer, and is as large as allowed,
// ends there.
func atEnd(src io.Reader, o *Options) error {
	var more [1]byte
	_, err := io.ReadFull(src, more[:])
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	if err == nil {
		return errBodySize(o)
	}
	return err
}

// lineMemory is what framing keeps per line: a span and the length of a frame.
const lineMemory = 32

// look looks whether the body, of which there is a beginning, is an array of
// objects; of that no line is cut. Its lines were not long enough for that yet.
func (b *body) look(o *Options) {
	array, known := decode.ArrayBody(b.buf)
	if array {
		b.whole, b.cut.Max = true, int(o.MaxBody)
	}
	b.arrays = !known
}

// takeLines accounts for the memory that framing will take.
func (b *body) takeLines(o *Options) error {
	if array, _ := decode.ArrayBody(b.buf); b.whole && array { // else lines were cut
		commas := bytes.Count(b.buf, []byte{','})
		return b.take(int64(min(commas, o.MaxLines)+1) * lineMemory)
	}
	lines := bytes.Count(b.buf, []byte{'\n'}) + 1
	if lines > o.MaxLines+1 { // the last may be empty
		return millrace.Errorf(millrace.ErrTooLarge,
			"body: more lines than the limit of %d (ingest.max_lines); nothing of this request was stored", o.MaxLines)
	}
	return b.take(int64(lines) * lineMemory)
}

// grow moves the body to a buffer of at least n bytes. While it copies it holds
// both, and both are accounted for.
func (b *body) grow(n int64) error {
	size := int64(1) << bufferBits(n)
	if err := b.take(size); err != nil {
		return err
	}
	old := b.buf
	b.buf = append(getBuffer(n), old...)
	if old != nil {
		b.mem.giveFor(&b.share, int64(cap(old)))
		b.taken -= int64(cap(old))
		putBuffer(old)
	}
	return nil
}

func (b *body) take(n int64) error {
	if err := b.mem.takeFor(&b.share, n); err != nil {
		return err
	}
	b.taken += n
	return nil
}

// explain turns an error of reading into one for the user.
func (b *body) explain(err error, r *http.Request) error {
	var known *millrace.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &slowError{millrace.Errorf(millrace.ErrTimeout,
			"the body arrived too slowly: %d bytes in %s, the least rate is %s per second; nothing of this request was stored",
			b.wire.n, b.wire.now().Sub(b.wire.started).Round(time.Second), b.wire.o.MinRate)}
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return millrace.Errorf(millrace.ErrTooLarge, "body: its zstd window is above the limit of %s; nothing of this request was stored", millrace.Bytes(maxWindow))
	case b.wire.err != nil:
		return &millrace.Error{
			Code: millrace.ErrInvalid, Op: "read body", Err: err,
			Message: fmt.Sprintf("the connection broke after %d bytes of the body; nothing of this request was stored", b.wire.n),
		}
	}
	what := "is damaged"
	if errors.Is(err, io.ErrUnexpectedEOF) {
		what = "is truncated"
	}
	return &millrace.Error{
		Code: millrace.ErrInvalid, Op: "decompress body", Err: err,
		Message: fmt.Sprintf("the %s body %s after %d bytes (%d decompressed): %v; nothing of this request was stored",
			r.Header.Get("Content-Encoding"), what, b.wire.n, b.size, err),
	}
}

// slowError is answered 408 instead of the 504 of its code: the client is slow,
// not the server.
type slowError struct{ err *millrace.Error }

func (e *slowError) Error() string   { return e.err.Error() }
func (e *slowError) Unwrap() error   { return e.err }
func (e *slowError) HTTPStatus() int { return http.StatusRequestTimeout }

func errBodySize(o *Options) error {
	return millrace.Errorf(millrace.ErrTooLarge,
		"body: above the limit of %s after decompression (ingest.max_body); nothing of this request was stored", o.MaxBody)
}

func errWireSize(o *Options) error {
	return millrace.Errorf(millrace.ErrTooLarge,
		"body: above the limit of %s as sent (ingest.max_compressed); nothing of this request was stored", o.MaxCompressed)
}

// wire reads the body as sent, counts it, and moves the read deadline along: a
// client gets a grace, and then time in proportion to what it has sent.
type wire struct {
	r        io.Reader
	rc       *http.ResponseController
	o        *Options
	now      func() time.Time
	started  time.Time
	deadline time.Time
	identity bool // the body itself: its own limit applies
	n        int64
	err      error // of reading, other than io.EOF
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	due := w.started.Add(w.o.SlowGrace.Std() + time.Duration(w.n*int64(time.Second)/int64(w.o.MinRate)))
	// Moving it costs a lock in the network poller: not for every few bytes.
	if due.Sub(w.deadline) >= w.o.SlowGrace.Std()/4 {
		w.deadline = due
		_ = w.rc.SetReadDeadline(due) // tests without a connection have none
	}
	n, err := w.r.Read(p)
	if w.n += int64(n); w.n > int64(w.o.MaxCompressed) && !w.identity {
		return n, errWireSize(w.o)
	}
	if err != nil && err != io.EOF { // net/http returns io.EOF itself; a wrapped one is a fault
		w.err = err
	}
	return n, err
}

// done removes the deadline: net/http watches the connection while the request
// is handled, and would take the deadline for the client's departure.
func (w *wire) done() { _ = w.rc.SetReadDeadline(time.Time{}) }
