package rollup

import (
	"math"

	"github.com/millrace/millrace"
)

// planCosts is what the planner knows of the engine's speed, in ns on one core.
// Plans follow from the ratios; measured by BenchmarkPlanCosts.
type planCosts struct {
	lookup curve   // per event and fed table: find the row and add the integers
	sketch curve   // per event, fed table and pair of sketches
	pairs  float64 // how many sketches a row has, in pairs of a histogram and a HyperLogLog
	row    float64 // per row of the source of a derived table
	merge  float64 // per pair of sketches merged
	entry  float64 // per entry of the pair
	drain  float64 // per event folded between two drains, if there is a drain more
	bytes  float64 // memory of a row of a fed table
}

// curve is a cost by the number of rows: at[i] for 2^i rows and linear between.
// It rises where the rows, the index and the sketches no longer fit a level of
// the cache.
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
	lookupCurve = curve{2, 2, 2, 2, 2, 2, 2, 2, 2.2, 2.4, 2.6, 2.8, 3, 3.3, 3.6, 4, 5, 6, 8, 10, 13, 16, 20}
	sketchCurve = curve{8, 8, 8, 8, 8, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19, 22, 26, 30, 36, 44, 52, 60, 70}
)

// entriesMax is what the sketches of one row hold at most, roughly.
const entriesMax = 600

// newPlanCosts returns the costs of tables with such states.
func newPlanCosts(states []millrace.StateSpec) planCosts {
	c := planCosts{lookup: lookupCurve, sketch: sketchCurve, row: 8, merge: 60, entry: 4, drain: 20, bytes: 48}
	for _, s := range states {
		switch s.Kind {
		case millrace.StateHist, millrace.StateHLL:
			c.pairs += 0.5
			c.bytes += 160
			c.drain += 20
		default:
			c.row += 1
			c.bytes += 8
		}
	}
	return c
}

// event returns the cost of an event in a fed table that will have rows rows.
func (c *planCosts) event(rows, events float64) float64 {
	ns := c.lookup.cost(rows)
	if c.pairs > 0 {
		ns += c.pairs * c.sketch.cost(rows)
	}
	// A row that is made costs more than one that is found.
	return ns + (c.row+c.pairs*c.merge)*rows/max(1, events)
}

// derive returns the cost of deriving a table from one of so many rows that
// took events events.
func (c *planCosts) derive(rows, events float64) float64 {
	ns := rows * c.row
	if c.pairs > 0 {
		// Few rows take most events, so that sketches have fewer entries than
		// if all took the same.
		ns += c.pairs * (rows*c.merge + c.entry*min(events, rows*entriesMax))
	}
	return ns
}
