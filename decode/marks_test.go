package decode

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// checkMarks compares the marks of the first n bytes of b, of which all may be
// read, with a look at every byte.
func checkMarks(t *testing.T, m *marks, b []byte, n int) {
	t.Helper()
	m.set(b[:n], n)
	for i := range min(n, maxMarked) {
		want := i
		for want < len(b) && b[want] >= 0x20 && b[want] != '"' && b[want] != '\\' {
			want++
		}
		got := m.end(i)
		switch {
		case !canMark && got >= 0:
			t.Fatalf("%q: marks without a kernel", b)
		case canMark && got < 0 && want < n && want < maxMarked && want <= i+56:
			t.Fatalf("%q, %d bytes: nothing from %d, want %d", b, n, i, want)
		case got >= 0 && got != want && (got < n || want < n):
			t.Fatalf("%q, %d bytes: %d from %d, want %d", b, n, got, i, want)
		}
	}
}

func TestMarks(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	m := &marks{}
	for range 5000 {
		b := make([]byte, rng.IntN(400))
		for i := range b {
			b[i] = byte(0x20 + rng.IntN(0xE0))
			if rng.IntN(20) == 0 {
				b[i] = byte(rng.IntN(256))
			}
		}
		checkMarks(t, m, b, rng.IntN(len(b)+1))
	}
	long := bytes.Repeat([]byte(`"a long line":`), maxMarked/10)
	checkMarks(t, m, long, len(long))
	checkMarks(t, m, long[:maxMarked:maxMarked], maxMarked)
}

func FuzzMarks(f *testing.F) {
	f.Add([]byte(samples["json"]), uint(7))
	f.Fuzz(func(t *testing.T, b []byte, n uint) {
		checkMarks(t, &marks{}, b, int(n%uint(len(b)+1)))
	})
}

// BenchmarkMarks marks a line of usual length.
func BenchmarkMarks(b *testing.B) {
	line := []byte(samples["json"])
	m := &marks{}
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		m.set(line, len(line))
	}
}

// With marks, of the whole line or of its beginning, a value ends where it ends
// without, and is refused at the same place.
func TestSkipValueWithMarks(t *testing.T) {
	line := `{"a":{"b":"a text of more than eight bytes","c":[1,"x\"y",{"d":null}],"long":"` + strings.Repeat("0123456789", 9) +
		`"},"e" : "\u00e9é","f":[ ],"g":{},"h":-1.5e3}`
	check := func(line string) {
		t.Helper()
		b := []byte(line)
		var m marks
		for _, n := range []int{len(b), len(b) / 2, 0} {
			m.set(b, n)
			for i := range b {
				if got, want := m.skipValue(b, i, 1), skipValue(b, i, 1); got != want {
					t.Fatalf("%q marked up to %d, from %d: %d, want %d", line, n, i, got, want)
				}
			}
		}
	}
	for i := range line {
		check(line[:i+1])                          // cut off
		check(line[:i] + "\x01" + line[i+1:])      // a control character
		check(line[:i] + `"` + line[i+1:])         // a quote too many
		check(line[:i] + `\` + line[i:])           // an escape
		check(strings.Repeat(" ", i) + line[:i+1]) // elsewhere in a block
	}
}

// With marks, of the whole line or of its beginning, a string ends where it ends without.
func TestScanStringWithMarks(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	pieces := []string{"x", strings.Repeat("plain text ", 9), `\n\tat `, `\"`, `\\`, `\u00e9`, `\u00g9`, `\x`, `"`, "\x01", "é", `\`}
	var m marks
	for range 3000 {
		var b []byte
		for range rng.IntN(40) {
			b = append(b, pieces[min(rng.IntN(len(pieces)), rng.IntN(len(pieces)))]...)
		}
		for _, n := range []int{len(b), rng.IntN(len(b) + 1), 0} {
			m.set(b, n)
			for i := 0; i <= len(b); i += 1 + rng.IntN(9) {
				end, escaped := m.scanString(b, i)
				if wantEnd, want := scanString(b, i); end != wantEnd || escaped != want {
					t.Fatalf("%q marked up to %d, from %d: %d %t, want %d %t", b, n, i, end, escaped, wantEnd, want)
				}
			}
		}
	}
}

// BenchmarkScanString finds the end of a stack trace.
func BenchmarkScanString(b *testing.B) {
	text := append(traceBody(10), '"')
	m := &marks{}
	m.set(text, len(text))
	b.Run("marks", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			m.scanString(text, 0)
		}
	})
	b.Run("words", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			scanString(text, 0)
		}
	})
}
