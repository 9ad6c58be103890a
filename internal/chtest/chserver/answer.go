//go:build linux && amd64

package main

import (
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// answer is the response to one request. The first piece of a result is held
// back until another follows, so that what fails early is answered with a
// status; what fails later ends in an exception inside the body.
type answer struct {
	w       http.ResponseWriter
	out     io.Writer
	close   func() error // ends the compression of HTTP
	frames  *compress.Writer
	held    []byte
	holding bool
	begun   bool
	format  string
	tag     string
}

func newAnswer(w http.ResponseWriter, r *http.Request) *answer {
	a := &answer{w: w, out: w, close: func() error { return nil }}
	values := r.URL.Query()
	if values.Get("compress") == "1" {
		method := compress.LZ4
		if strings.EqualFold(values.Get("network_compression_method"), "ZSTD") {
			method = compress.ZSTD
		}
		a.frames = compress.NewWriter(0, method)
	}
	if values.Get("enable_http_compression") != "0" {
		a.encode(r.Header.Get("Accept-Encoding"))
	}
	a.tag = rand.Text()[:16]
	return a
}

// encode chooses the compression of HTTP, none if it knows none that is accepted.
func (a *answer) encode(accepted string) {
	for enc := range strings.SplitSeq(accepted, ",") {
		switch strings.TrimSpace(enc) {
		case "gzip":
			z := gzip.NewWriter(a.w)
			a.out, a.close = z, z.Close
		case "deflate":
			z := zlib.NewWriter(a.w)
			a.out, a.close = z, z.Close
		default:
			continue
		}
		a.w.Header().Set("Content-Encoding", strings.TrimSpace(enc))
		return
	}
}

// write passes on a piece of the result: whole blocks, if the format is Native.
func (a *answer) write(piece []byte) error {
	if len(piece) == 0 {
		return nil
	}
	if !a.holding {
		a.held, a.holding = piece, true
		return nil
	}
	if err := a.send(a.held); err != nil {
		return err
	}
	a.held = piece
	return nil
}

func (a *answer) send(piece []byte) error {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "application/octet-stream")
		a.w.Header().Set("X-ClickHouse-Format", a.format)
		a.w.Header().Set("X-ClickHouse-Exception-Tag", a.tag)
	}
	if a.frames != nil {
		if err := a.frames.Compress(piece); err != nil {
			return fmt.Errorf("compress the result: %w", err)
		}
		piece = a.frames.Data
	}
	_, err := a.out.Write(piece)
	return err
}

// finish sends what is held back and ends the response.
func (a *answer) finish() {
	if a.holding {
		if err := a.send(a.held); err != nil {
			a.fail(err)
			return
		}
	}
	if !a.begun {
		a.w.Header().Del("Content-Encoding")
		a.w.WriteHeader(http.StatusOK)
		return
	}
	_ = a.close() // the client is gone
}

// fail answers with an exception, or ends a result that has begun with one.
func (a *answer) fail(err error) {
	e := new(exception)
	if !errors.As(err, &e) {
		e = raise(codeUnknownException, err.Error(), "UNKNOWN_EXCEPTION")
	}
	if !a.begun {
		h := a.w.Header()
		h.Del("Content-Encoding")
		h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		a.w.WriteHeader(e.httpStatus())
		_, _ = io.WriteString(a.w, e.text+"\n")
		return
	}
	message := e.text
	_, _ = fmt.Fprintf(a.out, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", a.tag, message, len(message)+1, a.tag)
	_ = a.close() // the client is gone
}

// hello answers clickhouse-go's first question. The block is written as the
// client's version of the protocol has it, and says that the server has
// revision 0: from then on the client expects blocks as the library writes
// them.
func (a *answer) hello(s *server) error {
	var b proto.Buffer
	b.PutUVarInt(1) // block info: overflows, bucket number
	b.PutBool(false)
	b.PutUVarInt(2)
	b.PutInt32(-1)
	b.PutUVarInt(0)
	b.PutUVarInt(4) // columns
	b.PutUVarInt(1) // rows
	column := func(name, kind string) {
		b.PutString(name)
		b.PutString(kind)
		b.PutBool(false) // no custom serialization
	}
	column("displayName()", "String")
	b.PutString(s.name)
	column("version()", "String")
	b.PutString(s.version)
	column("revision()", "UInt32")
	b.PutUInt32(0)
	column("timezone()", "String")
	b.PutString(s.timezone)
	return a.write(b.Buf)
}
