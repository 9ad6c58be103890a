package rollup

import (
	"cmp"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/gen"
)

// TestPlanCosts measures what newPlanCosts states: tables of every size fed with
// 2M events, and derived from each other. MILLRACE_BENCH=1 runs it.
func TestPlanCosts(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("a measurement; MILLRACE_BENCH=1 runs it")
	}
	for _, sketches := range []bool{false, true} {
		measureCosts(t, load{sets: 300, sketches: sketches, events: 2_000_000, cores: 1})
	}
}

// threadTime is the CPU time that the calling thread has used: others on the
// machine do not count.
func threadTime(t *testing.T) time.Duration {
	const thread = 1 // RUSAGE_THREAD of Linux
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// moreNodes adds unions of sets, as plans have them.
func moreNodes(nodes []planNode) []planNode {
	rng := rand.New(rand.NewPCG(1, 1))
	seen := map[dims]bool{}
	for len(seen) < 100 {
		var d dims
		for range 2 + rng.IntN(3) {
			d |= nodes[rng.IntN(len(nodes))].dims
		}
		if bits.OnesCount32(uint32(d)) > 3 && !seen[d] {
			seen[d] = true
			nodes = append(nodes, planNode{dims: d, from: -1, set: -1})
		}
	}
	return nodes
}

func measureCosts(t *testing.T, l load) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := newRun(t, l)
	s := gen.NewStreamAt(1, benchStart, r.shop)
	c := r.engine.cubes[0]
	coder, cols := newColumnCoder(s, r.engine), newColumns(c.layout)
	w := r.engine.workers.all[0]
	c.adopt(moreNodes(c.nodes), nil)
	took := make([]time.Duration, len(c.fed))
	for n := 0; n < l.events; n += benchChunk {
		coder.fill(s, c.layout, cols, benchChunk)
		src := c.source(cols)
		for i, node := range c.fed {
			start := threadTime(t)
			tab := c.tables[node]
			tab.begin(&src, c.dicts)
			tab.expect(cols.mass)
			tab.feed(w, &src, cols, 0, cols.n)
			took[i] += threadTime(t) - start
		}
	}
	type class struct {
		n                int
		rows, span, dims float64
		ns               float64
	}
	type kind struct{ levels, rows int }
	fed := map[kind]*class{}
	for i, node := range c.fed {
		tab := c.tables[node]
		k := kind{len(tab.levels), bits.Len(uint(tab.len()))}
		if fed[k] == nil {
			fed[k] = &class{}
		}
		b := fed[k]
		b.n++
		b.rows += float64(tab.len())
		b.dims += float64(len(tab.dims))
		b.ns += float64(took[i].Nanoseconds()) / float64(l.events)
	}
	for levels := range 9 {
		for rows := range 24 {
			if b := fed[kind{levels, rows}]; b != nil {
				n := float64(b.n)
				fmt.Printf("%s: %d levels, %8.0f rows, %.1f dimensions: %6.1f ns/event (%d tables)\n", l.what(), levels, b.rows/n, b.dims/n, b.ns/n, b.n)
			}
		}
	}
	// Each table derived from each that has one dimension more.
	order := slices.Clone(c.fed)
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(c.tables[a].len(), c.tables[b].len()) })
	for _, a := range order {
		c.tables[a].settle()
	}
	type pair struct{ from, to int }
	derived := map[pair]*class{}
	for _, a := range order {
		from := c.tables[a]
		for _, b := range order {
			if !c.nodes[a].dims.has(c.nodes[b].dims) || len(c.tables[a].dims) != len(c.tables[b].dims)+1 {
				continue
			}
			k := pair{bits.Len(uint(from.len())), bits.Len(uint(c.tables[b].len()))}
			if derived[k] == nil {
				derived[k] = &class{}
			}
			if derived[k].n > 5 {
				continue
			}
			src := from.source(c)
			to := &table{}
			for range 2 {
				to.open(c.layout, c.nodes[b].dims)
				start := threadTime(t)
				to.derive(w, from, &src, c.dicts)
				d := float64((threadTime(t) - start)) / float64(from.len())
				if derived[k].n++; derived[k].n%2 == 0 { // with memory as large as needed
					derived[k].ns += d
					derived[k].rows += float64(from.len())
					derived[k].span += float64(to.len())
				}
				to.reset()
			}
		}
	}
	for a := range 24 {
		for b := range 24 {
			if d := derived[pair{a, b}]; d != nil && d.n > 1 {
				h := float64(d.n / 2)
				fmt.Printf("%s: derived, %8.0f rows from %8.0f: %6.1f ns/row\n", l.what(), d.span/h, d.rows/h, d.ns/h)
			}
		}
	}
}
