package rollup

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLocateEqualsMap feeds tables of few and many possible keys with rows of
// many minutes while the dictionaries grow, so that keys are dense, hashed,
// hashes, and change from one to another.
func TestLocateEqualsMap(t *testing.T) {
	for _, c := range []struct {
		name  string
		sizes []int // values per dimension at the end
	}{
		{"none", []int{}},
		{"one", []int{40}},
		{"two", []int{30, 5}},
		{"three", []int{9, 7, 5}},
		{"four", []int{9, 7, 5, 4}},
		{"hashed", []int{5000, 3000}},
		{"levels", []int{300, 200, 30, 40}},
		{"wide", []int{300_000, 200_000, 3}},
		{"grows", []int{1 << 18, 1 << 17}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(len(c.name))))
			var dicts []*dict
			for range c.sizes {
				dicts = append(dicts, &dict{})
			}
			table := &table{}
			for range 3 { // memory is used again
				table.open(&layout{maxDense: maxDense}, dims(1)<<len(c.sizes)-1)
				testLocate(t, rng, table, dicts, c.sizes)
				table.reset()
			}
		})
	}
}

func testLocate(t *testing.T, rng *rand.Rand, table *table, dicts []*dict, sizes []int) {
	t.Helper()
	want := map[string]uint32{}
	for step := range 5 {
		n := 3000
		src := source{n: n, counts: make([]uint32, 40), codes: make([][]uint32, len(sizes))}
		for i := range src.counts {
			src.ids = append(src.ids, uint32(39-i))
		}
		for range n {
			m := uint32(rng.IntN(2) * rng.IntN(40)) // half in one minute
			src.minutes = append(src.minutes, m)
			src.counts[m]++
		}
		for d, size := range sizes {
			dicts[d].values = make([]string, 1+size*(step+1)/5)
			for range n {
				src.codes[d] = append(src.codes[d], uint32(rng.IntN(len(dicts[d].values))))
			}
		}
		table.begin(&src, dicts)
		rows := make([]uint32, n)
		for from := 0; from < n; from += block {
			table.locate(&src, from, rows[from:min(from+block, n)])
		}
		for i, r := range rows {
			key := fmt.Sprint(src.ids[src.minutes[i]])
			have := fmt.Sprint(table.minutes[r])
			for d := range sizes {
				key += fmt.Sprint(" ", src.codes[d][i])
				have += fmt.Sprint(" ", table.codes[d][r])
			}
			w, ok := want[key]
			if !ok {
				w = uint32(len(want))
				want[key] = w
			}
			if r != w || have != key {
				t.Fatalf("step %d: event %s is row %d of %s, want row %d", step, key, r, have, w)
			}
		}
	}
	if table.len() != len(want) {
		t.Fatalf("%d rows, want %d", table.len(), len(want))
	}
}

// TestPartition: every event finds its place, rows in order.
func TestPartition(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	w := &worker{}
	for range 20 {
		n, rows := 1+rng.IntN(1000), 1+rng.IntN(300)
		w.rows = sized(w.rows, n)
		var want []uint32
		for i := range w.rows {
			w.rows[i] = uint32(rng.IntN(rows))
		}
		in := slices.Clone(w.rows)
		want = slices.Sorted(slices.Values(in))
		w.partition(rows)
		got := make([]uint32, n)
		scatter(got, in, w.rows)
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		w.eachRun(rows, func(row, from, to int) {
			for _, r := range got[from:to] {
				if int(r) != row {
					t.Fatalf("run of row %d has row %d", row, r)
				}
			}
			n -= to - from
		})
		if n != 0 {
			t.Fatalf("%d events are in no run", n)
		}
	}
}
