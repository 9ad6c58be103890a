package rollup

// Memory is counted by what is held, kept for reuse or not: capacities, not
// lengths. What the runtime adds is a few percent (size classes).

// mapEntryBytes is about what an entry of a map of minutes takes.
const mapEntryBytes = 32

// Size returns the memory that the engine holds, in bytes. It exceeds
// Limits.Memory too if a drain is needed before events that were taken in can be
// put into cells. Callers drain an engine whose Size exceeds it.
func (e *Engine) Size() int64 {
	size := e.cells + e.base
	for _, c := range e.cubes {
		if c.full {
			return max(size, e.limits.Memory+1)
		}
	}
	return size
}

// measure counts the memory anew.
func (e *Engine) measure() {
	e.cells = 0
	for _, t := range e.spare {
		e.cells += int64(t.bytes())
	}
	for _, c := range e.cubes {
		for _, i := range c.fed {
			e.cells += int64(c.tables[i].bytes())
		}
	}
	e.measureBase()
}

// measureBase counts the memory apart from tables anew.
func (e *Engine) measureBase() {
	e.base = int64(e.workers.bytes())
	for _, c := range e.cubes {
		e.base += int64(c.bytes())
	}
}

// bytes returns the memory of a cube apart from its tables.
func (c *cube) bytes() int {
	n := c.cols.bytes() + 12*cap(c.starts) + mapEntryBytes*len(c.minutes)
	for _, d := range c.dicts {
		if d != nil {
			n += d.bytes()
		}
	}
	for _, l := range c.limiters {
		n += l.bytes()
	}
	return n
}

// bytes returns the memory of a table.
func (t *table) bytes() int {
	n := 4*cap(t.minutes) + 8*cap(t.ints)
	for _, c := range t.codes[:cap(t.codes)] {
		n += 4 * cap(c)
	}
	for _, f := range t.floats[:cap(t.floats)] {
		n += 8 * cap(f)
	}
	hists, hlls := t.hists[:cap(t.hists)], t.hlls[:cap(t.hlls)]
	for i := range hists {
		n += hists[i].Bytes()
	}
	for i := range hlls {
		n += hlls[i].Bytes()
	}
	for _, l := range t.levels[:cap(t.levels)] {
		n += 4*(cap(l.dense)+cap(l.slabs)+cap(l.owners)) + 8*cap(l.bases) + l.hash.bytes()
	}
	return n
}

// trim gives memory back if t, which is empty, holds more than limit bytes.
func (t *table) trim(limit int) {
	if t.bytes() <= limit {
		return
	}
	*t = table{
		layout: t.layout, dims: t.dims, stride: t.stride, mass: t.mass,
		codes: make([][]uint32, len(t.codes)), floats: make([]column, len(t.floats)),
	}
	t.hists, t.hlls = sizedColumns(t.hists, len(t.layout.hists)), sizedColumns(t.hlls, len(t.layout.hlls))
}

// bytes returns the memory of an index.
func (x *index) bytes() int { return 16 * cap(x.slots) }

// trim bounds what is kept for reuse after a drain.
func (e *Engine) trim() {
	if e.limits.Memory <= 0 {
		return
	}
	var all []*table
	all = append(all, e.spare...)
	for _, c := range e.cubes {
		for _, i := range c.fed {
			all = append(all, c.tables[i])
		}
	}
	held := 0
	for _, t := range all {
		held += t.bytes()
	}
	e.measure()
	keep := max(0, int(e.limits.Memory-e.base)/keptShare)
	if held <= keep {
		return
	}
	// The largest give most.
	for _, t := range all {
		t.trim(keep / len(all))
	}
}

// keptShare is the part of what dictionaries and columns leave of the memory that
// is kept for reuse at most: half.
const keptShare = 2
