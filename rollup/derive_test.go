package rollup

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestWalkHoldsFewTables derives a chain of sets from each other: a source is
// given up as soon as all that is derived from it is there, so two tables do.
func TestWalkHoldsFewTables(t *testing.T) {
	e := NewEngine(compile(t, testDef), Limits{Values: 100, Workers: 1})
	c := e.cubes[0]
	var nodes []planNode
	for i, d := range []dims{15, 7, 3, 1, 0} {
		nodes = append(nodes, planNode{dims: d, from: i - 1, set: slices.Index(c.sets(), d)})
	}
	e.spare = nil
	c.adopt(nodes, nil)
	c.planning.rows = make([]float64, len(nodes))
	e.Fold(0, testEvents(rand.New(rand.NewPCG(1, 1)), 5000))
	out := e.Drain()
	if len(out.Cells) != len(nodes) {
		t.Fatalf("%d sets are drained, want %d", len(out.Cells), len(nodes))
	}
	weights := map[int64]bool{}
	for _, b := range out.Cells {
		sum := int64(0)
		for _, n := range b.States[0].Ints {
			sum += n
		}
		weights[sum] = true
	}
	if len(weights) != 1 {
		t.Errorf("sets differ in weight: %v", weights)
	}
	if len(e.spare) != 2 {
		t.Errorf("%d tables were needed to derive a chain, want 2", len(e.spare))
	}
}

// TestTakeFits takes tables by their size.
func TestTakeFits(t *testing.T) {
	q := &queue{}
	for _, n := range []int{100, 0, 1000, 10} {
		q.give(&table{ints: make([]int64, 0, n)})
	}
	for _, c := range []struct{ size, want int }{{8 * 50, 100}, {8 * 5000, 1000}, {8 * 50, 10}, {0, 0}, {1, 0}} {
		if got := cap(q.take(c.size).ints); got != c.want {
			t.Errorf("for %d bytes a table of %d integers is taken, want %d", c.size, got, c.want)
		}
	}
	if len(q.spare) != 0 {
		t.Errorf("%d tables are left", len(q.spare))
	}
}
