package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/millrace/millrace/decode"
)

// chunksOf cuts in from off on into chunks of about size bytes.
func chunksOf(t testing.TB, r io.Reader, format string, off, line int64, size int) []*chunk {
	t.Helper()
	c := newChunker(r, format, off, line)
	c.size = size
	var out []*chunk
	for {
		ch, err := c.next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(ch.body) == 0 {
			t.Fatal("an empty chunk")
		}
		out = append(out, ch)
	}
}

const trace = "2026-01-02 03:04:05 ERROR it broke\njava.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)\n"

// object is one event on several lines, of which the first breaks off as one
// that is broken would.
const object = "{\"type\": \"server\", \"stacktrace\": [\"a\",\n \"at b\",\n \"at c\"]\n}\n"

// Whoever starts again at the end of any chunk, reading in pieces of any size,
// gets the chunks that follow as they were.
func TestChunksDependOnContentOnly(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for i := range 3000 {
		switch rng.IntN(11) {
		case 10:
			b.WriteString(object)
		case 0:
			b.WriteString(trace)
		case 1:
			b.WriteString(strings.Repeat("\n", rng.IntN(5)))
		case 2:
			fmt.Fprintf(&b, "{\"n\":%d}\r\n", i)
		case 3:
			b.WriteString("{\"broken\":\n")
		default:
			fmt.Fprintf(&b, "2026-01-02 03:04:05 INFO %d %s\n", i, strings.Repeat("x", rng.IntN(300)))
		}
	}
	in := "\xEF\xBB\xBF" + b.String() + "no end"
	for _, size := range []int{1, 100, 5000, 1 << 20} {
		all := chunksOf(t, strings.NewReader(in), "auto", 0, 0, size)
		var joined []byte
		lines := int64(0)
		for i, c := range all {
			joined = append(joined, c.body...)
			if c.line != lines || c.end != int64(len(joined)) {
				t.Fatalf("chunk %d begins at line %d and ends at %d, want %d and %d", i, c.line, c.end, lines, len(joined))
			}
			lines += c.lines
		}
		if string(joined) != in {
			t.Fatalf("size %d: chunks are not the stream", size)
		}
		// Lines that continue an event are in its chunk.
		for i, c := range all[1:] {
			if c.body[0] == '\t' || c.body[0] == ' ' || c.body[0] == '}' {
				t.Errorf("size %d: chunk %d begins within an event: %.30q", size, i+1, c.body)
			}
		}
		for _, i := range []int{1, len(all) / 2, len(all) - 1} {
			if i >= len(all) || i < 1 {
				continue
			}
			rest := chunksOf(t, iotest.HalfReader(strings.NewReader(in[all[i-1].end:])), "auto", all[i-1].end, all[i].line, size)
			if len(rest) != len(all)-i {
				t.Fatalf("size %d: %d chunks after chunk %d, want %d", size, len(rest), i, len(all)-i)
			}
			for j, c := range rest {
				if w := all[i+j]; !bytes.Equal(c.body, w.body) || c.end != w.end || c.line != w.line {
					t.Fatalf("size %d: chunk %d differs after a restart at %d", size, i+j, i)
				}
			}
		}
	}
}

func TestLongLinesAreShortened(t *testing.T) {
	long := strings.Repeat("x", 5<<20)
	in := "before\n" + long + "\nafter\n" + long
	all := chunksOf(t, strings.NewReader(in), "auto", 0, 0, chunkSize)
	sent, events, refused := 0, 0, 0
	var f decode.Framing
	for _, c := range all {
		sent += len(c.body)
		if err := decode.Frame("auto", c.body, decode.Limits{MaxLine: maxEvent}, &f); err != nil {
			t.Fatal(err)
		}
		events += len(f.Events)
		refused += len(f.Refused)
	}
	if last := all[len(all)-1]; last.end != int64(len(in)) || last.line+last.lines != 4 {
		t.Errorf("ends at %d line %d, want %d line 4", last.end, last.line+last.lines, len(in))
	}
	if events != 2 || refused != 2 || sent > 3<<20 {
		t.Errorf("%d events, %d refused, %d bytes sent", events, refused, sent)
	}
}

func TestBlankLinesOnly(t *testing.T) {
	in := strings.Repeat("\n", 10<<20)
	all := chunksOf(t, strings.NewReader(in), "auto", 0, 0, chunkSize)
	if last := all[len(all)-1]; last.end != int64(len(in)) || len(all) > 5 {
		t.Errorf("%d chunks, the last ends at %d", len(all), last.end)
	}
}

// A read error must not make an end of what is only where reading stopped.
func TestReadErrorIsNoEnd(t *testing.T) {
	broken := errors.New("broken")
	in := strings.Repeat("2026-01-02 03:04:05 line\n", 1000)
	c := newChunker(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), "auto", 0, 0)
	c.size = 10_000
	whole := chunksOf(t, strings.NewReader(in+in), "auto", 0, 0, 10_000)
	for i := 0; ; i++ {
		ch, err := c.next()
		if err != nil {
			if !errors.Is(err, broken) || i != 2 {
				t.Errorf("%d chunks, then %v", i, err)
			}
			return
		}
		if !bytes.Equal(ch.body, whole[i].body) {
			t.Fatalf("chunk %d differs from that of the whole stream", i)
		}
	}
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte("a\nb\n\tc\n"+trace), 10)
	f.Add([]byte("\xEF\xBB\xBFa\n\n\n{\"a\":\nb"), 3)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		if size <= 0 || size > 1<<20 {
			return
		}
		all := chunksOf(t, bytes.NewReader(in), "auto", 0, 0, size)
		var joined []byte
		for _, c := range all {
			joined = append(joined, c.body...)
		}
		if !bytes.Equal(joined, in) {
			t.Fatalf("%q became %q", in, joined)
		}
		for i := 1; i < len(all); i++ {
			at := all[i-1].end
			rest := chunksOf(t, iotest.OneByteReader(bytes.NewReader(in[at:])), "auto", at, all[i].line, size)
			for j := range rest {
				if !bytes.Equal(rest[j].body, all[i+j].body) {
					t.Fatalf("chunk %d differs after a restart at %d: %q, %q", i+j, i, rest[j].body, all[i+j].body)
				}
			}
		}
	})
}

// Cut into chunks, a stream has the events that it has as one body.
func TestChunksKeepEvents(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	for i := range 2000 {
		switch n := rng.IntN(60); {
		case n == 0:
			b.WriteString("{\"broken\":\n") // at most 100, beyond which framing stops to look for objects
		case n < 10:
			b.WriteString(object)
		case n < 20:
			b.WriteString(trace)
		default:
			fmt.Fprintf(&b, "{\"n\":%d,\"text\":%q}\n", i, strings.Repeat("y", rng.IntN(2000)))
		}
	}
	count := func(body []byte) (events, refused int) {
		var f decode.Framing
		if err := decode.Frame("auto", body, decode.Limits{}, &f); err != nil {
			t.Fatal(err)
		}
		return len(f.Events), len(f.Refused)
	}
	wantEvents, wantRefused := count([]byte(b.String()))
	for _, size := range []int{20_000, 1 << 20} {
		events, refused := 0, 0
		all := chunksOf(t, strings.NewReader(b.String()), "auto", 0, 0, size)
		for _, c := range all {
			e, r := count(c.body)
			events, refused = events+e, refused+r
		}
		if events != wantEvents || refused != wantRefused {
			t.Errorf("size %d: %d events and %d refused in %d chunks, want %d and %d", size, events, refused, len(all), wantEvents, wantRefused)
		}
	}
}
