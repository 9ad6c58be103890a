package rollup

import (
	"slices"

	"github.com/millrace/millrace"
)

// periods computes cells of hours and days from those of minutes, as a Store
// does, so that benchmarks include what that costs: the rows of the fed tables
// are merged into tables of hours before each drain; when a period is closed, or
// the plan changes, the other sets are derived from them as they are for
// minutes.
type periods struct {
	e     *Engine
	nodes []planNode // of the plan that hours has tables for
	hours *cube
	days  *cube
}

func newPeriods(e *Engine) *periods { return &periods{e: e} }

// coarser returns a cube with the plan of c and empty tables.
func (p *periods) coarser(c *cube) *cube {
	out := &cube{Rollup: c.Rollup, layout: c.layout, dicts: c.dicts, minutes: map[int64]uint32{}, limiters: make([]*limiter, len(c.Sets))}
	p.e.spare = out.adopt(c.nodes, p.e.spare)
	return out
}

// absorb merges the open cells of minutes into hours. It returns the cells of
// hours and days if these had to be closed because the plan has changed.
func (p *periods) absorb() (closed []*millrace.CellBatch) {
	p.e.Work()
	c := p.e.cubes[0]
	if p.hours != nil && !slices.Equal(p.nodes, c.nodes) {
		closed = p.close()
	}
	if p.hours == nil {
		p.nodes = slices.Clone(c.nodes)
		p.hours, p.days = p.coarser(c), p.coarser(c)
	}
	p.merge(p.hours, c, millrace.Hour)
	return closed
}

// merge merges the fed tables of from into those of to.
func (p *periods) merge(to, from *cube, g millrace.Granularity) {
	ids := make([]uint32, len(from.starts))
	for i, start := range from.starts {
		start = g.Floor(start)
		id, ok := to.minutes[start]
		if !ok {
			id = uint32(len(to.starts))
			to.minutes[start] = id
			to.starts = append(to.starts, start)
		}
		ids[i] = id
	}
	p.e.workers.each(len(from.fed), false, func(w *worker, i int) {
		node := from.fed[i]
		from.tables[node].settle()
		src := from.tables[node].source(from)
		src.ids = ids
		to.tables[node].derive(w, from.tables[node], &src, from.dicts)
	})
}

// close returns the cells of hours and days and forgets them.
func (p *periods) close() []*millrace.CellBatch {
	p.merge(p.days, p.hours, millrace.Day)
	var out Drained
	for _, c := range []*cube{p.hours, p.days} {
		e := Engine{limits: p.e.limits, cubes: []*cube{c}, workers: p.e.workers, spare: p.e.spare}
		e.emit(&out)
		for _, i := range c.fed {
			e.spare = append(e.spare, c.tables[i])
		}
		p.e.spare = e.spare
	}
	p.hours, p.days = nil, nil
	return out.Cells
}
