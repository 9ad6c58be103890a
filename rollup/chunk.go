package rollup

// process puts the events that a rollup's columns hold into cells. With a bound
// of memory it goes by steps: what a probe of events takes up says how many of
// the rest fit into what is left. It reports whether all are done; if not, a
// drain is needed first. must takes one step at any rate.
func (e *Engine) process(c *cube, cols *columns, must bool) bool {
	if cols.done == cols.n {
		return true
	}
	if cols.done == 0 && c.rows() == 0 {
		c.replan(e, cols)
	}
	src := c.source(cols)
	for cols.done < cols.n {
		left := cols.n - cols.done
		n := e.step(c, cols)
		if n == 0 && !must {
			return false
		}
		must = false
		e.feed(c, &src, cols, cols.done+max(n, min(probe, left)))
	}
	c.planning.events += float64(cols.n)
	return true
}

// feed puts a part of a chunk into the fed tables.
func (e *Engine) feed(c *cube, src *source, cols *columns, to int) {
	from, rows := cols.done, c.rows()
	few := (to-from)*len(c.fed) < fewUpdates
	e.workers.each(len(c.fed), few, func(w *worker, i int) {
		t := c.tables[c.fed[i]]
		t.begin(src, c.dicts)
		if from == 0 {
			t.expect(cols.mass)
		}
		t.feed(w, src, cols, from, to)
	})
	cols.done = to
	before := e.cells
	e.measure()
	if n := to - from; n >= probe/4 {
		// Memory kept from before a drain is filled first: rows tell more.
		made := float64(c.rows()-rows) * float64(c.layout.rowBytes())
		c.growth = max(float64(e.cells-before), made, 1) / float64(n)
	}
}

// jumpShare is the part of the memory that is left free, a quarter: what grows
// does so by jumps, a hash index by its size.
const jumpShare = 4

// fewUpdates is how many events times tables one goroutine does sooner than two.
const fewUpdates = 1 << 12

// step returns how many of the events that are left can be put into cells before
// memory is used up: 0 if not even a probe.
func (e *Engine) step(c *cube, cols *columns) int {
	n := cols.n - cols.done
	left := float64(e.limits.Memory - e.limits.Memory/jumpShare - e.cells - e.base)
	switch {
	case e.limits.Memory <= 0 || float64(n*len(c.fed)*c.layout.rowBytes()) < left:
		return n // though every event made a row of every table
	case left <= 0:
		return 0
	case cols.done == 0 || c.growth == 0:
		return min(n, probe)
	}
	fit := left / c.growth
	if fit >= float64(n) {
		return n
	}
	if fit < probe {
		return 0
	}
	return int(fit)
}
