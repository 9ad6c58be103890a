package rollup

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/internal/gen"
)

// TestSampleEstimates compares what a sample of the first eighth of the
// benchmarks' stream says of the hundred sets with all of it.
func TestSampleEstimates(t *testing.T) {
	const all, first = 1 << 17, 1 << 14
	r := newRun(t, load{noHours: true})
	c := r.engine.cubes[0]
	stream := gen.NewStreamAt(1, benchStart, r.shop)
	cols := newColumns(c.layout)
	newColumnCoder(stream, r.engine).fill(stream, c.layout, cols, all)
	s := newSample(cols.codes, cols.minutes, first)
	good, n := 0, 0
	for _, d := range c.sets() {
		truth := float64(countKeys(c, cols, d))
		n++
		switch got := s.distinct(d, all, math.Inf(1)); {
		case got <= 2*truth && truth <= 2*got:
			good++
		default:
			t.Logf("%012b: %.0f rows, estimated %.0f", d, truth, got)
		}
	}
	if good*100 < 95*n {
		t.Errorf("%d of %d sets are estimated within a factor of two", good, n)
	}
}

// countKeys counts the cells of a set.
func countKeys(c *cube, cols *columns, d dims) int {
	var seen index
	for i, minute := range cols.minutes[:cols.n] {
		key := uint64(minute)
		for j, dict := range c.dicts {
			if d.has(1 << j) {
				key = key*uint64(len(dict.values)) + uint64(cols.codes[j][i])
			}
		}
		if _, ok := seen.find(key); !ok {
			seen.put(key, 0)
		}
	}
	return seen.n
}

// TestSampleCounts checks that what lies within the sample is counted, not
// estimated, and that bounds hold.
func TestSampleCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 5000
	codes := zipfColumns(rng, n, 7, 300, 40)
	codes = append(codes, nil) // no set has it
	minutes := make([]uint32, n)
	for i := range minutes {
		minutes[i] = uint32(i * 3 / n)
	}
	s := newSample(codes, minutes, n)
	for d := range dims(8) {
		seen := map[[4]uint32]bool{}
		for i := range n {
			key := [4]uint32{minutes[i]}
			for j := range 3 {
				if d.has(1 << j) {
					key[1+j] = codes[j][i]
				}
			}
			seen[key] = true
		}
		if got, want := s.distinct(d, n, math.Inf(1)), float64(len(seen)); math.Abs(got-want) > 2 { // hashes may collide
			t.Errorf("%03b: %.1f rows of %.0f", d, got, want)
		}
		if got := s.distinct(d, 1e9, math.Inf(1)); got > 3*7*300*40 || got < float64(len(seen)) {
			t.Errorf("%03b: %.1f rows after 1e9 events", d, got)
		}
		if got := s.distinct(d, 10, math.Inf(1)); got > 10 || got < 1 {
			t.Errorf("%03b: %.1f rows after 10 events", d, got)
		}
	}
	if got := newSample(nil, nil, 0).distinct(0, 1e6, 1); got != 1 {
		t.Errorf("an empty sample has %.1f rows", got)
	}
}

// TestSampleStopsEarly checks that a set of more rows than matter is told from
// part of the sample, and correctly when asked again.
func TestSampleStopsEarly(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 1 << 15
	codes := zipfColumns(rng, n, 5000, 5000, 5000)
	s, fresh := newSample(codes, nil, n), newSample(codes, nil, n)
	if got := s.distinct(7, 1e6, 1000); got < 1000 {
		t.Errorf("%.0f rows", got)
	}
	if g := s.known[7]; g.rows >= n {
		t.Errorf("%d rows were looked at to see that there are more than 1000", g.rows)
	}
	if got, want := s.distinct(7, 1e6, 1e6), fresh.distinct(7, 1e6, 1e6); got != want {
		t.Errorf("%.0f rows when asked again, %.0f if asked once", got, want)
	}
}
