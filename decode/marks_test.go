package decode

import (
	"bytes"
	"math/rand/v2"
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
