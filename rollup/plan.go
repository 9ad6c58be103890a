package rollup

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// dims is a set of dimensions of a rollup: bit i is dimension i.
type dims uint32

func (d dims) has(sub dims) bool { return d&sub == sub }

// planNode is a table of the engine: a requested set of dimensions, or an
// auxiliary one that others are derived from.
type planNode struct {
	dims dims
	from int     // index of the node it is derived from, smaller than its own; -1 is the events
	set  int     // index of the requested set, -1 for an auxiliary one
	rows float64 // expected at a drain
}

// makePlan says which tables are fed with events and which are derived at the
// drain from a table with more dimensions. sets are the requested ones, without
// duplicates; distinct estimates the rows of a set after events events, where an
// answer above enough need not be close; memory is what rows may take in bytes, 0 if that does not matter. The result has
// every requested set once, and sources before what is derived from them.
//
// The choice of views to materialise is NP-hard; the greedy algorithm is within
// 63% of the best benefit (Harinarayan, Rajaraman, Ullman 1996). Here events
// stand where the full cube stands there, and what is saved is time: at first
// every set is fed, then, as long as one lowers the modelled cost, the best
// table is added: the union of two sets, from which these and whatever else lies
// below it are derived if that is cheaper for them, each from its smallest
// source (Gray et al. 1996; Agarwal et al. 1996).
func makePlan(sets []dims, distinct func(d dims, enough float64) float64, events float64, costs planCosts, memory int64) []planNode {
	p := newPlanner(sets, distinct, events, costs, memory)
	// A source that appears makes sets below it cheaper to add: a few rounds
	// until there is nothing to gain.
	for range maxRounds {
		if !p.grow() {
			break
		}
		p.prune()
	}
	return p.nodes()
}

const maxRounds = 4

// planner is the state of the search. Tables are kept by falling rows: a
// source has at least as many rows as what is derived from it.
type planner struct {
	costs    planCosts
	distinct func(d dims, enough float64) float64
	events   float64
	memory   float64
	rows     map[dims]float64 // good estimates
	bounds   map[dims]float64 // of others, from below
	tables   []planTable
	at       map[dims]int // index in tables
	fed      float64      // bytes of the rows of fed tables
}

type planTable struct {
	dims dims
	set  int // -1: auxiliary
	rows float64
	find float64 // ns to find one of its rows
	from dims    // source, if derived
	cost float64 // as it is fed or derived now, ns
	fed  bool
}

func newPlanner(sets []dims, distinct func(d dims, enough float64) float64, events float64, costs planCosts, memory int64) *planner {
	p := &planner{
		costs: costs, distinct: distinct, events: max(1, events), memory: float64(memory),
		rows: make(map[dims]float64, 8*len(sets)), bounds: map[dims]float64{}, at: make(map[dims]int, 2*len(sets)),
	}
	for i, d := range sets {
		rows, _ := p.estimate(d, p.events)
		p.at[d] = len(p.tables)
		p.tables = append(p.tables, planTable{
			dims: d, set: i, rows: rows, find: costs.find(d, rows), cost: p.events * costs.event(d, rows), fed: true,
		})
		p.fed += rows * costs.bytes
	}
	return p
}

// estimate returns the rows of a set, at least those of a subset already known
// to be a table, and whether it is a good estimate: if there are more than
// enough rows it need only be a bound.
func (p *planner) estimate(d dims, enough float64) (rows float64, good bool) {
	if r, ok := p.rows[d]; ok {
		return r, true
	}
	rows = max(p.atLeast(d), min(p.distinct(d, enough), p.events))
	if rows > enough {
		p.bounds[d] = enough
		return enough, false
	}
	p.rows[d] = rows
	return rows, true
}

// atLeast bounds the rows of a set from below: it has those of its subsets.
func (p *planner) atLeast(d dims) float64 {
	r := max(1, p.bounds[d])
	for i := range p.tables {
		if t := &p.tables[i]; t.rows > r && d.has(t.dims) {
			r = t.rows
		}
	}
	return min(r, p.events)
}

// enough returns how many rows a set may have at most to save so much.
func (p *planner) enough(d dims, saves float64) float64 {
	low, high := p.atLeast(d), p.events
	for high > 1.1*low {
		if mid := math.Sqrt(low * high); p.saving(d, mid) > saves {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// candidate is a table that might be added, with a bound of what it saves.
type candidate struct {
	dims  dims
	saves float64
}

// grow adds tables until none saves anything. It reports whether it changed
// the plan.
func (p *planner) grow() (changed bool) {
	queue := p.candidates()
	seen := make(map[dims]bool, len(queue))
	for _, c := range queue {
		seen[c.dims] = true
	}
	heapify(queue)
	// What a table saves falls as others are added, so that a bound of earlier
	// is a bound still: only the top of the queue needs to be looked at anew.
	best := 0.0 // what the best of those looked at saves
	for len(queue) > 0 && queue[0].saves > 0 {
		top := &queue[0]
		saves, good := p.refine(top.dims, top.saves, best)
		if good {
			best = max(best, saves)
		}
		if !good || len(queue) > 1 && saves < max(queue[1].saves, at(queue, 2)) {
			top.saves = saves
			sift(queue, 0)
			continue
		}
		added := top.dims
		queue[0] = queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		sift(queue, 0)
		if saves <= 0 {
			continue
		}
		p.add(added)
		changed, best = true, 0
		for i := range p.tables {
			if u := p.tables[i].dims | added; p.tables[i].fed && !seen[u] {
				seen[u] = true
				queue = append(queue, candidate{u, p.saving(u, p.atLeast(u))})
				lift(queue)
			}
		}
	}
	return changed
}

// refine returns what a table saves, with no more effort than it takes to see
// that it is less than best, or half of what was thought; good is whether it
// is more than a bound.
func (p *planner) refine(d dims, saves, best float64) (float64, bool) {
	rows, good := p.rows[d]
	if !good {
		if now := p.saving(d, p.atLeast(d)); now < 0.9*saves {
			return now, false // the bound was of earlier
		}
		rows, good = p.estimate(d, p.enough(d, max(best, saves/2)))
	}
	return p.saving(d, rows), good
}

// candidates are the unions of two tables that lie below the same source, the
// events being one; and every table by itself, as a source of those below it.
func (p *planner) candidates() []candidate {
	masks := make(map[dims]bool, 8*len(p.tables))
	for i := range p.tables {
		a := &p.tables[i]
		masks[a.dims] = true
		for j := range i {
			if b := &p.tables[j]; a.fed == b.fed && (a.fed || a.from == b.from) {
				masks[a.dims|b.dims] = true
			}
		}
	}
	out := make([]candidate, 0, len(masks))
	for m := range masks {
		rows, known := p.rows[m]
		if !known {
			rows = p.atLeast(m)
		}
		if s := p.saving(m, rows); s > 0 {
			out = append(out, candidate{m, s})
		}
	}
	// Maps have no order: equal estimates shall give equal plans.
	slices.SortFunc(out, func(a, b candidate) int { return cmp.Compare(a.dims, b.dims) })
	return out
}

// saving returns by how many ns a drain's work gets cheaper if a set of rows
// rows is a table: fewer if rows is not more than the truth.
func (p *planner) saving(d dims, rows float64) float64 {
	var saves, freed float64
	merge := p.costs.merges(rows, p.events)
	for i := range p.tables {
		t := &p.tables[i]
		if derive := merge + rows*t.find; t.cost > derive && t.dims != d && d.has(t.dims) {
			saves += t.cost - derive
			if t.fed {
				freed += t.rows * p.costs.bytes
			}
		}
	}
	if saves == 0 {
		return 0
	}
	if i, ok := p.at[d]; !ok {
		_, cost, fed := p.source(d, rows)
		saves -= cost
		if fed {
			freed -= rows * p.costs.bytes
		}
	} else if p.tables[i].fed {
		freed += 0 // it stays as it is
	}
	return saves - p.pressure(p.fed-freed) + p.pressure(p.fed)
}

// pressure is what it costs, in ns, that fed tables of so many bytes are held:
// beyond the memory, drains come more often, and each costs what one costs.
func (p *planner) pressure(bytes float64) float64 {
	if p.memory <= 0 || bytes <= p.memory {
		return 0
	}
	return (bytes/p.memory - 1) * p.events * p.costs.drain
}

// source returns where a set of so many rows is best taken from.
func (p *planner) source(d dims, rows float64) (from dims, cost float64, fed bool) {
	cost, fed = p.events*p.costs.event(d, rows), true
	find := p.costs.find(d, rows)
	for i := range p.tables {
		if t := &p.tables[i]; t.dims != d && t.dims.has(d) {
			if c := t.rows*find + p.costs.merges(t.rows, p.events); c < cost {
				from, cost, fed = t.dims, c, false
			}
		}
	}
	return from, cost, fed
}

// add makes d a table, if it is none, and derives from it what gets cheaper.
func (p *planner) add(d dims) {
	rows, _ := p.estimate(d, p.events)
	if _, ok := p.at[d]; !ok {
		from, cost, fed := p.source(d, rows)
		p.at[d] = len(p.tables)
		p.tables = append(p.tables, planTable{
			dims: d, set: -1, rows: rows, find: p.costs.find(d, rows), from: from, cost: cost, fed: fed,
		})
		if fed {
			p.fed += rows * p.costs.bytes
		}
	}
	merge := p.costs.merges(rows, p.events)
	for i := range p.tables {
		t := &p.tables[i]
		if derive := merge + rows*t.find; t.cost > derive && t.dims != d && d.has(t.dims) {
			if t.fed {
				p.fed -= t.rows * p.costs.bytes
			}
			t.from, t.cost, t.fed = d, derive, false
		}
	}
}

// prune drops auxiliary tables that do not pay, for instance since a larger
// one took over what was derived from them.
func (p *planner) prune() {
	for i := len(p.tables) - 1; i >= 0; i-- {
		if p.tables[i].set < 0 {
			p.pruneTable(i)
		}
	}
}

func (p *planner) pruneTable(i int) {
	gone := p.tables[i]
	last := len(p.tables) - 1
	p.tables[i], p.tables[last] = p.tables[last], p.tables[i]
	p.tables = p.tables[:last]
	loss, grown := -gone.cost, 0.0
	if gone.fed {
		grown = -gone.rows * p.costs.bytes
	}
	type move struct {
		table int
		from  dims
		cost  float64
		fed   bool
	}
	var moves []move
	for j := range p.tables {
		t := &p.tables[j]
		if t.fed || t.from != gone.dims {
			continue
		}
		from, cost, fed := p.source(t.dims, t.rows)
		moves = append(moves, move{j, from, cost, fed})
		loss += cost - t.cost
		if fed {
			grown += t.rows * p.costs.bytes
		}
	}
	if loss+p.pressure(p.fed+grown)-p.pressure(p.fed) > 0 {
		p.tables = p.tables[:last+1]
		p.tables[i], p.tables[last] = p.tables[last], p.tables[i]
		return
	}
	for _, m := range moves {
		t := &p.tables[m.table]
		t.from, t.cost, t.fed = m.from, m.cost, m.fed
	}
	p.fed += grown
	delete(p.at, gone.dims)
	if i < last {
		p.at[p.tables[i].dims] = i
	}
}

// nodes orders the tables: a source has a superset of the dimensions, hence
// more of them.
func (p *planner) nodes() []planNode {
	order := slices.Clone(p.tables)
	slices.SortFunc(order, func(a, b planTable) int {
		return cmp.Or(bits.OnesCount32(uint32(b.dims))-bits.OnesCount32(uint32(a.dims)), cmp.Compare(a.dims, b.dims))
	})
	index := make(map[dims]int, len(order))
	out := make([]planNode, len(order))
	for i, t := range order {
		index[t.dims] = i
		out[i] = planNode{dims: t.dims, from: -1, set: t.set, rows: t.rows}
		if !t.fed {
			out[i].from = index[t.from]
		}
	}
	return out
}
