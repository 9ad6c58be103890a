package rollup

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestDictEqualsMap: texts of all lengths, those that differ in one byte only
// among them, have the codes that a map would give them, retired ones again.
func TestDictEqualsMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	const limit = 4000
	d, want := newDict("d", limit), map[string]uint32{Other: 0}
	used := map[uint32]string{0: Other}
	text := func() string {
		b := []byte(strings.Repeat("abcdefgh", 6)[:rng.IntN(40)])
		for range rng.IntN(3) {
			if len(b) > 0 {
				b[rng.IntN(len(b))] = byte(rng.IntN(4))
			}
		}
		return string(b)
	}
	for round := range int64(8) {
		before := map[string]bool{}
		for range 20_000 {
			s := text()
			before[s] = true
			c := d.code(s, 1)
			w, ok := want[s]
			switch {
			case ok && c != w:
				t.Fatalf("code %d of %q, want %d", c, s, w)
			case !ok && d.size() <= limit && c != 0:
				if have, taken := used[c]; taken {
					t.Fatalf("code %d of %q is that of %q", c, s, have)
				}
				want[s], used[c] = c, s
			case !ok && len(want) <= limit:
				t.Fatalf("no code for %q", s)
			}
			d.seen[c] = round
		}
		for _, s := range d.retire(round, 0) {
			if before[s] || want[s] == 0 {
				t.Fatalf("retired %q", s)
			}
			delete(used, want[s])
			delete(want, s)
		}
		if d.size() != len(want)-1 {
			t.Fatalf("%d values, want %d", d.size(), len(want)-1)
		}
	}
}

// TestRetiredCodesAreUsedAgain, and a value that was not kept has no slot.
func TestRetiredCodesAreUsedAgain(t *testing.T) {
	d := newDict("d", 2)
	a, b := d.code("a", 1), d.code("b", 1)
	d.seen[a], d.seen[b] = 1, int64(time.Hour)
	if got := d.retire(int64(time.Hour), time.Minute); fmt.Sprint(got) != "[a]" {
		t.Fatalf("retired %v", got)
	}
	if c := d.code("c", 1); c != a || d.values[c] != "c" || d.code("a", 5) != 0 || d.folded != 5 || d.code("b", 1) != b {
		t.Fatalf("code %d, folded %d", c, d.folded)
	}
}

// BenchmarkDict looks up values as they come: mostly hot and short.
func BenchmarkDict(b *testing.B) {
	for _, c := range []struct {
		name   string
		values int
		format string
	}{
		{"status", 6, "%d"},
		{"host", 100, "web-%03d"},
		{"url", 2000, "/api/v2/products/%d"},
		{"user_agent", 200, "Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox"},
	} {
		b.Run(c.name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			zipf := rand.NewZipf(rng, 1.2, 1, uint64(c.values-1))
			texts := make([]string, 4096)
			for i := range texts {
				texts[i] = fmt.Sprintf(c.format, zipf.Uint64())
			}
			d, old := newDict("d", 10_000), newPrevDict("d", 10_000)
			b.Run("now", func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					d.code(texts[i&4095], 1)
				}
			})
			b.Run("before", func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					old.code(texts[i&4095], 1)
				}
			})
		})
	}
}
