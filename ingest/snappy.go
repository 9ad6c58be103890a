package ingest

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/snappy"

	"github.com/millrace/millrace"
)

// unsnappy reads a body that is one snappy block, as Loki's and Prometheus'
// clients send it. The block says how long it is before it is decoded, so that
// memory is asked for before it is used.
func (b *body) unsnappy(length int64, o *Options) (io.Reader, int64, error) {
	if length > int64(o.MaxCompressed) {
		return nil, 0, errWireSize(o)
	}
	if err := b.take(length); err != nil {
		return nil, 0, err
	}
	var packed bytes.Buffer
	packed.Grow(int(min(length, firstBuffer)))
	if _, err := packed.ReadFrom(&b.wire); err != nil {
		return nil, 0, err
	}
	if packed.Len() == 0 {
		return &packed, 0, nil
	}
	if extra := int64(packed.Len()) - length; extra > 0 { // it came in chunks, without a length
		if err := b.take(extra); err != nil {
			return nil, 0, err
		}
	}
	size, err := snappy.DecodedLen(packed.Bytes())
	if err != nil {
		return nil, 0, millrace.Errorf(millrace.ErrInvalid, "body: it is no snappy block; nothing of this request was stored")
	}
	if int64(size) > int64(o.MaxBody) {
		return nil, 0, errBodySize(o)
	}
	if err := b.take(int64(size)); err != nil {
		return nil, 0, err
	}
	plain, err := snappy.Decode(make([]byte, size), packed.Bytes())
	if err != nil {
		return nil, 0, millrace.Errorf(millrace.ErrInvalid, "body: the snappy block of %d bytes is damaged; nothing of this request was stored", packed.Len())
	}
	return bytes.NewReader(plain), int64(size), nil
}
