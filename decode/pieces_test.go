package decode

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// What AppendPiece writes splitPiece reads, wherever the context is.
func TestPiecesRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var payload []byte
		var ends []int
		var want []Piece
		context, origin := []byte(nil), 0
		for i := range 1 + rng.IntN(50) {
			p := Piece{Item: randomBytes(rng, rng.IntN(300))}
			back := 0
			if i > 0 && rng.IntN(3) > 0 {
				back = len(payload) - origin
			} else {
				context, origin = randomBytes(rng, rng.IntN(200)), len(payload)
			}
			p.Context = context
			payload = AppendPiece(payload, back, &p)
			if n := len(payload) - lastEnd(ends); n > PieceSize(&p, back > 0) {
				t.Fatalf("%d bytes, PieceSize said %d", n, PieceSize(&p, back > 0))
			}
			ends, want = append(ends, len(payload)), append(want, p)
		}
		at := 0
		for i, end := range ends {
			c, item, ok := splitPiece(payload, at, end)
			if !ok || !bytes.Equal(c, want[i].Context) || !bytes.Equal(item, want[i].Item) {
				t.Fatalf("piece %d: %v %q %q, want %q %q", i, ok, c, item, want[i].Context, want[i].Item)
			}
			at = end
		}
	}
}

func lastEnd(ends []int) int {
	if len(ends) == 0 {
		return 0
	}
	return ends[len(ends)-1]
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// A damaged frame is refused, and never reads outside of its record.
func FuzzSplitPiece(f *testing.F) {
	p := Piece{Context: []byte("ctx"), Item: []byte("item")}
	first := AppendPiece(nil, 0, &p)
	both := AppendPiece(bytes.Clone(first), len(first), &p)
	f.Add(both, len(first), len(both))
	f.Add(binary.AppendUvarint(nil, 1<<63), 0, 10)
	f.Add([]byte{0, 0xFF, 0xFF, 0xFF, 0x0F}, 0, 5)
	f.Fuzz(func(t *testing.T, payload []byte, at, end int) {
		context, item, ok := splitPiece(payload, at, end)
		if !ok {
			return
		}
		if at < 0 || end > len(payload) || len(item) > end-at || len(context) > len(payload) {
			t.Fatalf("at %d, end %d of %d: context of %d, item of %d", at, end, len(payload), len(context), len(item))
		}
	})
}
