package duckdb

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

// A string in a vector does not show what lies behind it in its arena.
func TestPutString(t *testing.T) {
	arena := []byte("behind every string of the arena stands another one, \xff and that must not show")
	for n := range 30 {
		for at := range 20 {
			for _, s := range [][]byte{arena[at : at+n], arena[at : at+n : at+n], bytes.Clone(arena[at : at+n])} {
				got := [16]byte{15: 0xAA}
				putString(unsafe.Pointer(&got), s)
				if back := stringAt(unsafe.Pointer(&got)); !bytes.Equal(back, s) {
					t.Fatalf("%q with room for %d came back as %q", s, cap(s), back)
				}
				want := [16]byte{byte(n)}
				copy(want[4:], s[:min(n, inlineLen)])
				if n <= inlineLen && got != want {
					t.Fatalf("%q with room for %d became % x instead of % x", s, cap(s), got, want)
				}
			}
		}
	}
}

// parseTraceSlowly is parseTrace by way of the standard library.
func parseTraceSlowly(s string) (hi, lo uint64, ok bool) {
	id, err := hex.DecodeString(s)
	if err != nil || len(id) != 16 || s != strings.ToLower(s) {
		return 0, 0, false
	}
	_, err = fmt.Sscanf(s, "%016x%016x", &hi, &lo)
	return hi, lo, err == nil
}

func FuzzParseTrace(f *testing.F) {
	const id = "0123456789abcdef00ff99aa5a5af0e1"
	for c := range 256 { // every byte in every place of a word, and in every word
		for at := range len(id) {
			b := []byte(id)
			b[at] = byte(c)
			f.Add(b)
		}
	}
	f.Add([]byte(""))
	f.Add([]byte(id + "0"))
	f.Add([]byte(id[1:]))
	f.Fuzz(func(t *testing.T, b []byte) {
		hi, lo, ok := parseTrace(b)
		wantHi, wantLo, want := parseTraceSlowly(string(b))
		if ok != want || ok && (hi != wantHi || lo != wantLo) {
			t.Errorf("%q: %x %x %v instead of %x %x %v", b, hi, lo, ok, wantHi, wantLo, want)
		}
	})
}
