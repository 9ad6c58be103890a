package rollup

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// checkKeys compares the keys of texts with those set one by one.
func checkKeys(t *testing.T, texts []string) {
	t.Helper()
	got := make([]textKey, len(texts))
	for i := range got {
		got[i] = textKey{^uint64(0), 1, 2, 3}
	}
	keys(got, texts)
	for i, s := range texts {
		var want textKey
		want.set(s)
		if got[i] != want {
			t.Fatalf("key %x of %q, want %x", got[i], s, want)
		}
	}
}

// TestKeys has texts of all lengths that begin and end around the ends of pages,
// with text behind them that is not theirs.
func TestKeys(t *testing.T) {
	const page = 4096
	memory := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 3*page/36)
	texts := make([]string, 0, 40)
	for at := range len(memory) - 40 {
		if at%page > 80 && at%page < page-80 {
			continue
		}
		texts = texts[:0]
		for n := range 40 {
			texts = append(texts, memory[at:at+n])
		}
		checkKeys(t, texts)
	}
	checkKeys(t, nil)
	checkKeys(t, []string{""})
}

func FuzzKeys(f *testing.F) {
	f.Add("/api/v1/products/1234", "", "GET")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		checkKeys(t, []string{a, b, c, a + b, b[len(b)/2:]})
	})
}

// BenchmarkKeys is of a block of texts as they come.
func BenchmarkKeys(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	memory := strings.Repeat("/api/v1/products/1234", 20_000)
	texts := make([]string, encodeBlock)
	for i := range texts {
		at := rng.IntN(len(memory) - 40)
		texts[i] = memory[at : at+1+rng.IntN(30)]
	}
	dst := make([]textKey, encodeBlock)
	for b.Loop() {
		keys(dst, texts)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*encodeBlock), "ns/text")
}
