package decode

import (
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
		b := make([]byte, rng.IntN(70))
		for i := range b {
			b[i] = byte(0x20 + rng.IntN(0xE0))
			if rng.IntN(20) == 0 {
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
