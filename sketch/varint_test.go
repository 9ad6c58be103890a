package sketch

import (
	"encoding/binary"
	"testing"
)

func TestUvarint(t *testing.T) {
	r := newRand(2)
	for i := range 20000 {
		v := r.Uint64() >> r.IntN(64)
		b := binary.AppendUvarint(nil, v)
		size := len(b)
		if i%2 == 0 {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
		}
		if v>>28 == 0 {
			x, n := spread28(uint32(v))
			if got := binary.LittleEndian.AppendUint32(nil, x); n != size || string(got[:n]) != string(b[:n]) {
				t.Fatalf("spread28(%d) = %x, %d, want %x", v, got, n, b[:size])
			}
		}
		if got, pos := uvarint(b, 0); got != v || pos != size {
			t.Fatalf("uvarint(%x) = %d, %d, want %d, %d", b, got, pos, v, size)
		}
		if _, pos := uvarint(b[:size-1], 0); pos >= 0 {
			t.Fatalf("uvarint(%x) accepts a truncated value", b[:size-1])
		}
		if size == binary.MaxVarintLen64 {
			continue
		}
		// The same value, one byte longer than needed.
		long := append(append([]byte(nil), b[:size]...), 0)
		long[size-1] |= 0x80
		for range 3 {
			if _, pos := uvarint(long, 0); pos >= 0 {
				t.Fatalf("uvarint(%x) accepts a long spelling", long)
			}
			long = append(long, 0x80)
		}
	}
}
