package decode

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"
	"unsafe"
)

// TestDigits8 compares with strconv for every count of digits and what may
// follow them.
func TestDigits8(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		var text [8]byte
		n := rng.IntN(9)
		for i := range text {
			if i < n {
				text[i] = '0' + byte(rng.IntN(10))
			} else {
				text[i] = byte(rng.IntN(256))
			}
		}
		for n < 8 && isDigit(text[n]) {
			n++
		}
		want, _ := strconv.ParseUint(string(text[:n]), 10, 64)
		v, k := digits8(load(unsafe.Pointer(&text), 0))
		if v != want || k != n {
			t.Fatalf("%q: got %d of %d digits, want %d of %d", text, v, k, want, n)
		}
	}
}

// TestPlainEnd compares with a search byte by byte.
func TestPlainEnd(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		b, rare := make([]byte, rng.IntN(70)), 20
		if rng.IntN(4) == 0 { // those that the kernel reads
			b, rare = make([]byte, rng.IntN(600)), 400
		}
		for i := range b {
			if b[i] = byte(0x20 + rng.IntN(0xE0)); b[i] == '"' || b[i] == '\\' {
				b[i] = 'x'
			}
			if rng.IntN(rare) == 0 {
				b[i] = byte(rng.IntN(256))
			}
		}
		from := rng.IntN(len(b) + 1)
		want := from
		for want < len(b) && b[want] >= 0x20 && b[want] != '"' && b[want] != '\\' {
			want++
		}
		if got := plainEnd(b, from); got != want {
			t.Fatalf("%q from %d: got %d, want %d", b, from, got, want)
		}
	}
}

// plainEndWords is plainEnd without a kernel.
func plainEndWords(b []byte, i int) int {
	p := unsafe.Pointer(unsafe.SliceData(b))
	for last := len(b) - 16; i <= last; i += 16 {
		if lo, hi := special(load(p, i)), special(load(p, i+8)); lo|hi != 0 {
			return i + firstMark(lo, hi)
		}
	}
	for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// BenchmarkPlainEnd finds the ends of texts as short as names, as the lines of a stack
// and as a request's content.
func BenchmarkPlainEnd(b *testing.B) {
	for _, n := range []int{20, 90, 400, 45_000} {
		text := append(bytes.Repeat([]byte("x"), n), `" and more of the line behind it`...)
		for _, c := range []struct {
			name string
			f    func(b []byte, i int) int
		}{{"kernel", plainEnd}, {"words", plainEndWords}} {
			b.Run(strconv.Itoa(n)+"/"+c.name, func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					if c.f(text, 0) != n {
						b.Fatal("not found")
					}
				}
			})
		}
	}
}
