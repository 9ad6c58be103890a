package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// readPieces reads a record's frames as decode/pieces.go describes them, in its
// own way.
func readPieces(t *testing.T, r *millrace.Record) (contexts, items []string) {
	t.Helper()
	starts := map[int]string{} // contexts by where their frames begin
	at := 0
	for i, n := range r.Frames {
		frame := r.Payload[at : at+int(n)]
		back, size := binary.Uvarint(frame)
		rest := frame[size:]
		if back == 0 {
			length, size := binary.Uvarint(rest)
			starts[at] = string(rest[size : size+int(length)])
			rest = rest[size+int(length):]
			contexts = append(contexts, starts[at])
		} else {
			c, ok := starts[at-int(back)]
			if !ok {
				t.Fatalf("frame %d refers to %d, where no context is", i, at-int(back))
			}
			contexts = append(contexts, c)
		}
		items = append(items, string(rest))
		at += int(n)
	}
	if at != len(r.Payload) {
		t.Fatalf("frames end at %d of %d", at, len(r.Payload))
	}
	return contexts, items
}

// Records hold every piece once, with its context and source, in order, and
// none is too large. What is skipped is in none.
func TestPieceBuilder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var b pieceBuilder
	var mem budget
	mem.limit.Store(1 << 30)
	for range 30 {
		q := &request{}
		q.source, q.format = "main", "loki"
		large, count := rng.IntN(2) == 0, 400
		if large {
			count = 30
		}
		var context []byte
		var skip []bool
		want := map[string][]string{}
		for i := range 1 + rng.IntN(count) {
			if i == 0 || rng.IntN(5) == 0 {
				context = bytes.Repeat([]byte{byte('a' + rng.IntN(26))}, rng.IntN(2000))
			}
			size := rng.IntN(300)
			if large {
				size *= 1000
			}
			p := decode.Piece{Context: context, Index: i + 1, Item: fmt.Appendf(nil, "%d:%s", i, bytes.Repeat([]byte("x"), size))}
			p.Source = []string{"", "", "other", "third"}[rng.IntN(4)]
			q.pieces.Events = append(q.pieces.Events, p)
			skip = append(skip, rng.IntN(10) == 0)
			if source := p.Source; !skip[i] {
				if source == "" {
					source = "main"
				}
				want[source] = append(want[source], string(context)+"|"+string(p.Item))
			}
		}
		recs, err := b.build(q, &mem, skip)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for i, r := range recs {
			if len(r.Payload) > maxRecord || r.Part != int32(i) || r.Parts != int32(len(recs)) {
				t.Fatalf("record %d: %d bytes, part %d of %d", i, len(r.Payload), r.Part, r.Parts)
			}
			contexts, items := readPieces(t, r)
			for j := range items {
				got[r.Source] = append(got[r.Source], contexts[j]+"|"+items[j])
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatal("the records do not hold the pieces")
		}
		if int64(cap(b.buf)) > b.taken {
			t.Fatalf("a buffer of %d bytes, %d accounted for", cap(b.buf), b.taken)
		}
		b.release()
		if used := mem.used.Load(); used != 0 {
			t.Fatalf("%d bytes are not given back", used)
		}
	}
}
