package queue

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/twmb/franz-go/pkg/kgo"
)

// random returns n bytes that do not compress.
func random(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestCompressPieces(t *testing.T) {
	text := logLines(1 << 20)
	inputs := [][]byte{nil, {1}, bytes.Repeat([]byte("a"), 1<<20)}
	for _, n := range []int{100, pieceBytes - 1, pieceBytes, pieceBytes + 1, 2 * pieceBytes, 2*pieceBytes + 1, 1 << 20} {
		inputs = append(inputs, text[:n], random(n))
	}
	mixed := bytes.Clone(text)
	copy(mixed[pieceBytes-500:], random(1000)) // across a boundary
	inputs = append(inputs, mixed)
	decompress := kgo.DefaultDecompressor()
	var buf bytes.Buffer
	for _, in := range inputs {
		buf.Reset()
		got, codec := pieceCompressor{}.Compress(&buf, in)
		if codec != kgo.CodecSnappy {
			t.Fatalf("codec %d", codec)
		}
		back, err := decompress.Decompress(got, codec)
		if err != nil || !bytes.Equal(back, in) {
			t.Errorf("%d bytes that begin with %q come back as %d: %v", len(in), in[:min(len(in), 20)], len(back), err)
		}
		if limit := s2.MaxEncodedLen(len(in)) + 8*(len(in)/pieceBytes); len(got) > limit {
			t.Errorf("%d bytes became %d, more than %d", len(in), len(got), limit)
		}
		// The limit of memory of a fetch rests on it.
		if len(in) > 21*len(got)+1000 {
			t.Errorf("%d bytes became %d: more than 21 to 1", len(in), len(got))
		}
	}
}

// The client's buffer is used again.
func TestCompressAllocates(t *testing.T) {
	text := logLines(1 << 20)
	var buf bytes.Buffer
	n := testing.AllocsPerRun(20, func() {
		buf.Reset()
		pieceCompressor{}.Compress(&buf, text)
	})
	if n > 8 { // none, but the race detector makes pools forget
		t.Errorf("%.0f allocations", n)
	}
}

// BenchmarkCompress: the pieces against one block; the ratio is what counts.
func BenchmarkCompress(b *testing.B) {
	text := logLines(8 << 20)
	const size = 1 << 20
	dst := make([]byte, 2*s2.MaxEncodedLen(size))
	for _, c := range []struct {
		name   string
		encode func(dst, src []byte) []byte
	}{{"whole", s2.EncodeSnappy}, {"pieces", compressPieces}} {
		var packed [][]byte
		for at := 0; at < len(text); at += size {
			packed = append(packed, bytes.Clone(c.encode(dst, text[at:at+size])))
		}
		b.Run(fmt.Sprintf("%s/compress", c.name), func(b *testing.B) {
			b.SetBytes(size)
			for i := range b.N {
				at := i % len(packed) * size
				c.encode(dst, text[at:at+size])
			}
		})
		b.Run(fmt.Sprintf("%s/decompress", c.name), func(b *testing.B) {
			b.SetBytes(size)
			out := make([]byte, size)
			for i := range b.N {
				if _, err := s2.Decode(out, packed[i%len(packed)]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(packed[0]))*415/size, "B/line")
		})
	}
}
