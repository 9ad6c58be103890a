package rollup

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestIndexEqualsMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var x index
	for round := range 5 {
		want := map[uint64]uint32{}
		for range 20_000 {
			key := rng.Uint64N(1<<20) << (16 * rng.Uint64N(4)) // also far apart, and 0
			got, ok := x.find(key)
			if w, had := want[key]; ok != had || got != w {
				t.Fatalf("round %d: key %#x is %d %v, want %d %v", round, key, got, ok, w, had)
			}
			if v := x.intern(key); !ok {
				want[key] = v
			}
		}
		if x.n != len(want) {
			t.Fatalf("%d keys, want %d", x.n, len(want))
		}
		x.reset()
	}
}

func TestDictKeepsCodes(t *testing.T) {
	d := newDict("url", 5000)
	for round := range 2 {
		for i := range 5000 {
			if c := d.code(fmt.Sprint("/", i), 1); c != uint32(i+1) || d.values[c] != fmt.Sprint("/", i) {
				t.Fatalf("round %d: code %d of value %d", round, c, i)
			}
		}
	}
	if c := d.code("one too many", 7); c != 0 || d.folded != 7 || len(d.fresh) != 5000 {
		t.Fatalf("code %d, folded %d, %d fresh", c, d.folded, len(d.fresh))
	}
}
