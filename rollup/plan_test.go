package rollup

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/gen"
)

// zipfColumns returns codes of a chunk with so many codes per dimension.
func zipfColumns(rng *rand.Rand, n int, codes ...int) [][]uint32 {
	out := make([][]uint32, len(codes))
	for d, k := range codes {
		z := rand.NewZipf(rng, 1.2, 2, uint64(k-1))
		out[d] = make([]uint32, n)
		for i := range n {
			out[d][i] = uint32(z.Uint64())
		}
	}
	return out
}

// randomSets returns n different sets of at most size of so many dimensions.
func randomSets(rng *rand.Rand, n, dimensions, size int) []dims {
	seen := map[dims]bool{}
	var out []dims
	for tries := 0; len(out) < n && tries < 100*n; tries++ {
		var d dims
		for range rng.IntN(size + 1) {
			d |= 1 << rng.IntN(dimensions)
		}
		if !seen[d] {
			seen[d] = true
			out = append(out, d)
		}
	}
	return out
}

// checkPlan fails the test unless every set is there once, sources come before
// what is derived from them and have all its dimensions.
func checkPlan(t *testing.T, sets []dims, nodes []planNode) {
	t.Helper()
	seen := make([]int, len(sets))
	for i, n := range nodes {
		if n.set >= 0 {
			seen[n.set]++
			if sets[n.set] != n.dims {
				t.Fatalf("node %d is set %d with dimensions %b instead of %b", i, n.set, n.dims, sets[n.set])
			}
		}
		if n.from >= i || n.from >= 0 && (!nodes[n.from].dims.has(n.dims) || nodes[n.from].dims == n.dims) {
			t.Fatalf("node %d (%b) derived from %d", i, n.dims, n.from)
		}
	}
	for i, n := range seen {
		if n != 1 {
			t.Fatalf("set %d is there %d times", i, n)
		}
	}
}

// planCost is what a drain costs by the model, counted afresh.
func planCost(nodes []planNode, events float64, c planCosts) (ns float64) {
	for _, n := range nodes {
		if n.from < 0 {
			ns += events * c.event(n.dims, n.rows)
		} else {
			ns += c.derive(nodes[n.from].rows, n.dims, n.rows, events)
		}
	}
	return ns
}

func TestPlansAreValidAndCheaper(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	const events = 2e6
	for try := range 30 {
		n := 1 + rng.IntN(8)
		codes := make([]int, 0, n)
		for range n {
			codes = append(codes, 2+rng.IntN(1<<rng.IntN(12)))
		}
		s := newSample(zipfColumns(rng, 20_000, codes...), nil, 20_000)
		distinct := func(d dims, enough float64) float64 { return s.distinct(d, events, enough) }
		sets := randomSets(rng, 1+rng.IntN(40), n, 4)
		var states []millrace.StateSpec
		if try%2 == 0 {
			states = []millrace.StateSpec{{Kind: millrace.StateSum}, {Kind: millrace.StateHist}, {Kind: millrace.StateHLL}}
		}
		costs := newPlanCosts(states)
		nodes := makePlan(sets, distinct, events, costs, 0)
		checkPlan(t, sets, nodes)
		all := make([]planNode, len(sets))
		for i, d := range sets {
			all[i] = planNode{dims: d, from: -1, set: i, rows: distinct(d, events)}
		}
		if with, without := planCost(nodes, events, costs), planCost(all, events, costs); with > without*1.001 {
			t.Errorf("%d sets of %d dimensions: %.0f ns, %.0f if all were fed", len(sets), n, with, without)
		}
	}
}

// TestPlansMindTheMemory checks that a union that holds more rows than the sets
// below it is fed only if there is memory for it.
func TestPlansMindTheMemory(t *testing.T) {
	rows := []float64{2: 150_000, 3: 700_000} // by dimensions
	distinct := func(d dims, _ float64) float64 { return rows[bits.OnesCount32(uint32(d))] }
	sets := []dims{0b011, 0b110, 0b101}
	costs := newPlanCosts(nil)
	fed := func(memory int64) (n int) {
		nodes := makePlan(sets, distinct, 2e7, costs, memory)
		checkPlan(t, sets, nodes)
		for _, x := range nodes {
			if x.from < 0 {
				n++
			}
		}
		return n
	}
	if got := fed(0); got != 1 {
		t.Errorf("without a bound %d tables are fed, not the union", got)
	}
	if got := fed(int64(450_000 * costs.bytes)); got != 3 {
		t.Errorf("with memory for the sets %d tables are fed", got)
	}
}

// TestASetBelowAnotherIsDerived is the simplest gain there is.
func TestASetBelowAnotherIsDerived(t *testing.T) {
	rows := map[dims]float64{0: 1, 1: 10, 2: 20, 3: 150}
	nodes := makePlan([]dims{0, 1, 3, 2}, func(d dims, _ float64) float64 { return rows[d] }, 1e6, newPlanCosts(nil), 0)
	checkPlan(t, []dims{0, 1, 3, 2}, nodes)
	fed := 0
	for _, n := range nodes {
		if n.from < 0 {
			fed++
		}
		if n.dims == 0 && nodes[n.from].dims != 1 {
			t.Errorf("the total is derived from %b, not from the smallest source", nodes[n.from].dims)
		}
	}
	if len(nodes) != 4 || fed != 1 {
		t.Errorf("%d nodes, %d fed", len(nodes), fed)
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{10, 100, 300} {
		for _, sketches := range []bool{false, true} {
			l := load{sets: n, sketches: sketches, events: benchChunk}
			b.Run(fmt.Sprintf("%d sets of %s", n, l.what()), func(b *testing.B) {
				r := newRun(b, l)
				c := r.engine.cubes[0]
				cols := newColumns(c.layout)
				stream := gen.NewStreamAt(1, benchStart, r.shop)
				newColumnCoder(stream, r.engine).fill(stream, c.layout, cols, benchChunk)
				const events = 2e6
				for b.Loop() {
					s := newSample(cols.codes, cols.minutes, cols.n)
					makePlan(c.sets(), func(d dims, enough float64) float64 { return s.distinct(d, events, enough) }, events, newPlanCosts(c.States()), 0)
				}
			})
		}
	}
}
