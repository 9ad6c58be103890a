package rollup

import (
	"math"
	"runtime"
	"time"

	"github.com/millrace/millrace"
)

// Limits bounds an engine.
type Limits struct {
	// Values is how many distinct values a dimension admits; the rest is "(other)".
	Values int
	// Cells is how many distinct combinations of values a set of dimensions
	// keeps per hour of arrival; the rest is one cell whose values are all
	// "(other)". 0 is unbounded.
	Cells int
	// Age is how long an admitted value stays without being seen, by the time
	// of arrival; 0 is forever.
	Age time.Duration
	// Memory is the size in bytes that the caller keeps the engine below by
	// draining it when Size exceeds it. The engine plans for it. 0 is unbounded.
	Memory int64
	// Workers is how many goroutines update cells; 0 is GOMAXPROCS.
	Workers int
}

// Engine folds events into the open cells of all rollups. Not safe for
// concurrent use. It keeps nothing of an event: values are copied when admitted.
//
// Events are encoded into columns as they come, and put into cells a chunk at a
// time, table by table: each loop does one thing to one table, which stays in
// the cache. Only some tables are fed with events; the other sets are derived
// from these when the engine is drained (Gray et al., Data Cube, 1996; Agarwal
// et al., On the Computation of Multidimensional Aggregates, 1996), since there
// are many more events than rows. If a call panics, the engine must be given up.
type Engine struct {
	limits  Limits
	cubes   []*cube
	workers *workers
	spare   []*table // empty tables, for their memory
	arrived int64    // latest arrival, ns
	cells   int64    // bytes of tables
	base    int64    // bytes of all else
}

// NewEngine returns an empty engine.
func NewEngine(rollups []*Rollup, lim Limits) *Engine {
	if lim.Workers <= 0 {
		lim.Workers = runtime.GOMAXPROCS(0)
	}
	e := &Engine{limits: lim, workers: newWorkers(lim.Workers), arrived: math.MinInt64}
	for _, r := range rollups {
		e.cubes = append(e.cubes, newCube(r, lim))
	}
	for _, c := range e.cubes {
		c.limit = maxChunk
		if lim.Memory > 0 {
			share := lim.Memory / columnShare / int64(len(e.cubes)) / int64(c.layout.eventBytes())
			c.limit = int(max(minChunk, min(maxChunk, share)))
		}
	}
	e.measure()
	return e
}

// columnShare is the part of the memory that columns take at most: an eighth.
const columnShare = 8

// Restore re-admits values committed earlier. Call before the first Fold.
func (e *Engine) Restore(admitted []millrace.Admission) {
	type name struct{ rollup, dimension string }
	dicts := map[name]*dict{}
	for _, c := range e.cubes {
		for _, d := range c.dicts {
			if d != nil {
				dicts[name{c.Name, d.name}] = d
			}
		}
	}
	for _, a := range admitted {
		if d := dicts[name{a.Rollup, a.Dimension}]; d != nil {
			d.admit(a.Value)
		}
	}
	e.measure()
}

// Fold takes events into the open cells of their minutes, in order. arrived is
// when their record arrived, in ns. Most events are only encoded; when there is
// a chunk of them, their cells are updated.
func (e *Engine) Fold(arrived int64, events []millrace.Event) {
	e.arrived = max(e.arrived, arrived)
	for _, c := range e.cubes {
		for rest := events; len(rest) > 0; {
			// If memory does not suffice the caller, who asks Size, drains soon: until
			// then columns grow. One who does not has to live with what it takes.
			limit := c.limit
			if c.full {
				limit *= 2
			}
			rest = rest[c.encoder.encode(c.cols, rest, limit):]
			if c.cols.n >= limit {
				e.work(c, c.full)
			}
		}
	}
	e.measureBase()
}

// Work updates the cells with the events that Fold has only taken in. Callers
// spread the work by calling it now and then; Drain does it too. What does not
// fit into Limits.Memory waits for Drain.
func (e *Engine) Work() {
	for _, c := range e.cubes {
		e.work(c, false)
	}
	e.measure()
}

// work puts a cube's columns into cells.
func (e *Engine) work(c *cube, must bool) {
	if c.full = !e.process(c, c.cols, must); !c.full {
		c.cols.reset()
	}
}

// foldColumns is Fold for events encoded before, which it only reads.
func (e *Engine) foldColumns(cube int, cols *columns) {
	c := e.cubes[cube]
	e.work(c, true)
	cols.done = 0
	e.process(c, cols, true)
}

// Drained is what an engine gives up at a flush barrier.
type Drained struct {
	Cells    []*millrace.CellBatch // empty batches are left out
	Admitted []millrace.Admission
	Retired  []millrace.Admission // not seen for Limits.Age
	Folded   []Folded
}

// Folded says how much was counted under "(other)" because a dimension had more
// values than Limits.Values, or a set more cells than Limits.Cells.
type Folded struct {
	Rollup    string
	Dimension string // empty if a set overflowed
	Set       string // as RollupSchema.SetName has it; empty if a dimension overflowed
	Weight    int64
}

// Drain returns all open cells as deltas and forgets them. The result is the
// caller's. If memory does not suffice for all events at once a set has several
// batches.
func (e *Engine) Drain() Drained {
	var out Drained
	for done := false; !done; {
		done = true
		for _, c := range e.cubes {
			e.work(c, c.rows() == 0)
			done = done && !c.full
		}
		e.emit(&out)
	}
	for _, c := range e.cubes {
		for _, d := range c.dicts {
			if d != nil {
				e.settle(c, d, &out)
			}
		}
	}
	e.trim()
	e.measure()
	return out
}

// settle reports what became of a dimension's values since the last drain.
func (e *Engine) settle(c *cube, d *dict, out *Drained) {
	for _, v := range d.fresh {
		out.Admitted = append(out.Admitted, c.admission(d, v))
	}
	if d.folded > 0 {
		out.Folded = append(out.Folded, Folded{Rollup: c.Name, Dimension: d.name, Weight: d.folded})
	}
	d.fresh, d.folded = d.fresh[:0], 0
	if e.limits.Age > 0 && e.arrived != math.MinInt64 {
		for _, v := range d.retire(e.arrived, e.limits.Age) {
			out.Retired = append(out.Retired, c.admission(d, v))
		}
	}
}

// Rows returns the number of open cells of the tables that are fed; those that
// are derived from them are counted when they are drained.
func (e *Engine) Rows() int {
	n := 0
	for _, c := range e.cubes {
		n += c.rows()
	}
	return n
}
