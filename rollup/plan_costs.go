package rollup

import (
	"math"
	"math/bits"

	"github.com/millrace/millrace"
)

// planCosts is what the planner knows of the engine's speed, in ns on one core.
// Plans follow from the ratios; measured by TestPlanCosts.
type planCosts struct {
	lookup curve   // find the row of an event or of a row, and add the integers
	sketch curve   // per event of a fed table and pair of sketches
	pairs  float64 // how many sketches a row has, in pairs of a histogram and a HyperLogLog
	merge  float64 // per row of the source of a derived table, and pair
	entry  float64 // per entry of the pair
	drain  float64 // per event, if there is a drain more
	bytes  float64 // memory of a row of a fed table
}

// curve is a cost by the number of rows of a table: at[i] for 2^i rows and
// linear between. It rises where the rows, the index and the sketches no longer
// fit a level of the cache, and with the rows that are made.
type curve []float64

func (c curve) cost(rows float64) float64 {
	x := math.Log2(max(1, rows))
	i := min(int(x), len(c)-1)
	if i+1 >= len(c) {
		return c[i]
	}
	return c[i] + (x-float64(i))*(c[i+1]-c[i])
}

// Powers of two, from 1 to 4M rows.
var (
	lookupCurve = curve{4.7, 4.7, 4.7, 4.7, 4.7, 4.7, 4.7, 4.7, 4.8, 5, 5.4, 5.7, 6, 6.5, 9, 13, 20, 33, 55, 85, 120, 150, 180}
	sketchCurve = curve{13, 13, 13, 13, 13, 13, 13, 13, 15, 18, 23, 28, 33, 37, 44, 50, 57, 72, 86, 100, 110, 120, 130}
)

// Up to narrow dimensions a row is found by one lookup; each further one adds a
// part of another, for one or two share a level (see table.locate).
const (
	narrow   = 3
	perLevel = 0.375
)

// find returns the cost of a lookup in a table of a set and so many rows.
func (c *planCosts) find(d dims, rows float64) float64 {
	return c.lookup.cost(rows) * (1 + perLevel*float64(max(0, bits.OnesCount32(uint32(d))-narrow)))
}

// entriesMax is what the sketches of one row hold at most, roughly.
const entriesMax = 600

// newPlanCosts returns the costs of tables with such states.
func newPlanCosts(states []millrace.StateSpec) planCosts {
	c := planCosts{lookup: lookupCurve, sketch: sketchCurve, merge: 160, entry: 2, drain: 100, bytes: 48}
	for _, s := range states {
		switch s.Kind {
		case millrace.StateHist, millrace.StateHLL:
			c.pairs += 0.5
			c.bytes += 160
			c.drain += 400
		default:
			c.bytes += 8
		}
	}
	return c
}

// event returns the cost of an event in a fed table that has rows rows at the
// drain.
func (c *planCosts) event(d dims, rows float64) float64 {
	ns := c.find(d, rows)
	if c.pairs > 0 {
		ns += c.pairs * c.sketch.cost(rows)
	}
	return ns
}

// derive returns the cost of deriving a set of so many rows from one of from
// rows that took events events.
func (c *planCosts) derive(from float64, d dims, rows, events float64) float64 {
	return from*c.find(d, rows) + c.merges(from, events)
}

// merges is the part of the sketches in derive. Few rows take most events, so
// that sketches have fewer entries than if all took the same.
func (c *planCosts) merges(from, events float64) float64 {
	return c.pairs * (from*c.merge + c.entry*min(events, from*entriesMax))
}
