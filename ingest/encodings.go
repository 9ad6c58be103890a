package ingest

import (
	"bytes"
	"errors"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
)

// Encodings that few clients use: SDKs of Sentry send deflate (Ruby, PHP) and br
// (Python, where the module is installed). See body.go for the others.

const (
	// flateMemory is a reader's window and tables.
	flateMemory = 64 << 10
	// brotliMemory is a reader's: the window is 16 MiB at most (RFC 7932; larger
	// ones are no part of it, and refused), the tables are small.
	brotliMemory = 16<<20 + 64<<10
)

// inflaters are those of deflate, kept with a pooled body.
type inflaters struct {
	zlib  io.ReadCloser
	flate io.ReadCloser
}

// uncommon returns the reader of a body in deflate or br.
func (b *body) uncommon(encoding string) (io.Reader, error) {
	if encoding == "br" {
		if err := b.take(brotliMemory); err != nil {
			return nil, err
		}
		return brotli.NewReader(&b.wire), nil // which is not kept: it is large and rare
	}
	if err := b.take(flateMemory); err != nil {
		return nil, err
	}
	return b.undeflate()
}

// undeflate reads what HTTP calls deflate: the zlib format (RFC 9110, 8.4.1.2), or
// the bare stream that some clients send instead, which the first two bytes tell.
func (b *body) undeflate() (io.Reader, error) {
	head := make([]byte, 2)
	n, err := io.ReadFull(&b.wire, head)
	if n == 0 {
		return eofIsEmpty(err)
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	src := io.MultiReader(bytes.NewReader(head[:n]), &b.wire)
	in := &b.inflaters
	if n < 2 || head[0]&0x0F != 8 || (int(head[0])<<8|int(head[1]))%31 != 0 {
		if in.flate == nil {
			in.flate = flate.NewReader(src)
			return in.flate, nil
		}
		return in.flate, in.flate.(flate.Resetter).Reset(src, nil)
	}
	if in.zlib == nil {
		in.zlib, err = zlib.NewReader(src)
		return in.zlib, err
	}
	return in.zlib, in.zlib.(zlib.Resetter).Reset(src, nil)
}
