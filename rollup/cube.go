package rollup

import (
	"cmp"
	"slices"

	"github.com/millrace/millrace"
)

// cube is one rollup's part of the engine.
type cube struct {
	*Rollup
	layout  *layout
	dicts   []*dict // per dimension; nil if no set has it
	encoder *encoder
	cols    *columns // events taken in, not yet in cells
	limit   int      // events that cols holds at most
	full    bool     // what is left of cols does not fit into the memory
	growth  float64  // bytes of cells per event, expected
	memory  int64    // Limits.Memory
	starts  []int64  // the minutes of open cells, Unix seconds
	minutes map[int64]uint32
	ids     []uint32 // scratch: index in starts of the minutes of a chunk

	planning planning
	nodes    []planNode
	tables   []*table   // per node: nil if it is derived
	fed      []int      // indexes of nodes that are fed, costliest first
	children [][]int    // per node: what is derived from it
	limiters []*limiter // per set
}

// chunks: how many events are in cells together.
const (
	// maxChunk is where more events make no loop faster.
	maxChunk = 1 << 18
	// probe is how many events are tried first if memory is scarce.
	probe = 1 << 14
	// denseShare is the part of the memory that dense indexes take at most.
	denseShare = 4
	// minChunk is where fewer events would make the loops slow.
	minChunk = 1 << 10
)

func newCube(r *Rollup, lim Limits) *cube {
	c := &cube{Rollup: r, layout: newLayout(r), dicts: make([]*dict, len(r.Dimensions)), minutes: map[int64]uint32{}, memory: lim.Memory}
	for i, name := range r.Dimensions {
		if c.layout.used[i] {
			c.dicts[i] = newDict(name, lim.Values)
		}
	}
	c.encoder = newEncoder(r, c.layout, c.dicts)
	c.cols = newColumns(c.layout)
	c.limiters = newLimiters(r, lim)
	c.adopt(c.directPlan(), nil)
	c.planning.rows = make([]float64, len(c.nodes))
	return c
}

// sets returns the dimensions of each requested set.
func (c *cube) sets() []dims {
	out := make([]dims, len(c.Sets))
	for i, s := range c.Sets {
		for _, d := range s.Dims {
			out[i] |= 1 << d
		}
	}
	return out
}

// directPlan feeds every set: right for a trickle, and before anything is known.
func (c *cube) directPlan() []planNode {
	var nodes []planNode
	for i, d := range c.sets() {
		nodes = append(nodes, planNode{dims: d, from: -1, set: i})
	}
	return nodes
}

// adopt makes the tables of a plan, of those in spare and new ones. The tables
// of the plan before, which are empty, are added to spare; it returns the rest.
func (c *cube) adopt(nodes []planNode, spare []*table) []*table {
	for _, t := range c.tables {
		if t != nil {
			spare = append(spare, t)
		}
	}
	c.nodes, c.fed = nodes, c.fed[:0]
	c.tables, c.children = make([]*table, len(nodes)), make([][]int, len(nodes))
	for i, n := range nodes {
		if n.from >= 0 {
			c.children[n.from] = append(c.children[n.from], i)
			continue
		}
		c.fed = append(c.fed, i)
	}
	if c.memory > 0 {
		share := c.memory / denseShare / 4 / int64(len(c.fed))
		c.layout.maxDense = uint64(max(1<<10, min(share, maxDense)))
	}
	for _, i := range c.fed {
		t := &table{}
		if k := len(spare); k > 0 {
			t, spare = spare[k-1], spare[:k-1]
		}
		t.open(c.layout, nodes[i].dims)
		c.tables[i] = t
	}
	slices.SortStableFunc(c.fed, func(a, b int) int {
		return cmp.Compare(c.nodes[b].rows, c.nodes[a].rows)
	})
	return spare
}

// rows returns the number of open cells.
func (c *cube) rows() int {
	n := 0
	for _, i := range c.fed {
		n += c.tables[i].len()
	}
	return n
}

// source describes the chunk for tables: the minutes get their numbers.
func (c *cube) source(cols *columns) source {
	c.ids = c.ids[:0]
	for _, start := range cols.starts {
		i, ok := c.minutes[start]
		if !ok {
			i = uint32(len(c.starts))
			c.minutes[start] = i
			c.starts = append(c.starts, start)
		}
		c.ids = append(c.ids, i)
	}
	return source{n: cols.n, minutes: cols.minutes, ids: c.ids, counts: cols.counts, codes: cols.codes}
}

// reset forgets the cells, which have been drained.
func (c *cube) reset() {
	for _, i := range c.fed {
		c.tables[i].reset()
	}
	clear(c.minutes)
	c.starts = c.starts[:0]
}

// name returns what a set is called in accounts.
func (c *cube) name(set int) string { return c.SetName(c.Sets[set]) }

// admission names a value of a dimension.
func (c *cube) admission(d *dict, value string) millrace.Admission {
	return millrace.Admission{Rollup: c.Name, Dimension: d.name, Value: value}
}

// see notes when the values of open cells arrived last: each dimension's are
// those of the smallest table that has it.
func (c *cube) see(arrived int64) {
	for d, dict := range c.dicts {
		if dict == nil {
			continue
		}
		var least *table
		for _, i := range c.fed {
			if t := c.tables[i]; c.nodes[i].dims.has(1<<d) && (least == nil || t.len() < least.len()) {
				least = t
			}
		}
		for _, code := range least.codes[slices.Index(least.dims, d)] {
			dict.seen[code] = arrived
		}
	}
}
