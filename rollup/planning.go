package rollup

// planning is what a cube knows for choosing which tables are fed and which are
// derived. A plan can change only while no cell is open.
type planning struct {
	planned bool
	events  float64   // in cells since the last drain
	last    float64   // events at the last drain
	rows    []float64 // per node: rows at the last drain
	drains  int       // since the plan was made
	wait    int       // drains until it may be made anew
}

const (
	// minSample is how many events a plan needs to be worth it.
	minSample = 1 << 13
	// maxWait bounds the number of drains between two plans, which doubles with
	// each: estimates that do not come true must not be made over and over.
	maxWait = 64
	// driftRows is what a table has at least if its drift matters.
	driftRows = 1 << 10
	// firstEvents is how many chunks of events a first plan expects in a drain.
	firstEvents = 8
)

// observe begins a drain.
func (p *planning) observe(c *cube) {
	p.last, p.events = p.events, 0
	p.rows = sized(p.rows, len(c.nodes))
	clear(p.rows)
	p.drains++
}

// due reports whether the plan of c should be made anew: rows at the last drain
// were not what it was made for.
func (p *planning) due(c *cube, events int) bool {
	if events < minSample || p.drains < p.wait || len(c.Sets) == 1 {
		return false
	}
	if !p.planned {
		return true
	}
	for i, n := range c.nodes {
		if rows := p.rows[i]; max(rows, n.rows) > driftRows && (rows > 2*n.rows || n.rows > 2*rows) {
			return true
		}
	}
	return false
}

// replan makes a new plan if one is due, from a sample of the chunk at hand and
// from what was observed. No cell of c may be open.
func (c *cube) replan(e *Engine, cols *columns) {
	p := &c.planning
	if !p.due(c, cols.n) {
		return
	}
	events := max(p.last, float64(cols.n))
	if p.last == 0 {
		events *= firstEvents
	}
	known := map[dims]float64{}
	if p.last > events/2 {
		for i, n := range c.nodes {
			known[n.dims] = p.rows[i]
		}
	}
	codes := make([][]uint32, len(cols.codes))
	for d := range codes {
		if codes[d] = cols.codes[d]; codes[d] == nil {
			codes[d] = cols.minutes // no set has it
		}
	}
	s := newSample(codes, cols.minutes, cols.n)
	distinct := func(d dims, enough float64) float64 {
		if rows := known[d]; rows > 0 {
			return rows
		}
		return s.distinct(d, events, enough)
	}
	nodes := makePlan(c.sets(), distinct, events, newPlanCosts(c.States()), e.limits.Memory)
	e.spare = c.adopt(nodes, e.spare)
	p.planned, p.drains, p.wait = true, 0, min(max(2*p.wait, 1), maxWait)
	p.rows = sized(p.rows, len(nodes))
	clear(p.rows)
}
