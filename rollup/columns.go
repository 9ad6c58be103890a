package rollup

import (
	"github.com/millrace/millrace/sketch"
)

// columns is a chunk of one rollup's events, encoded: what its cells need of
// them, a column each, and nothing of the events themselves. Several metrics of
// one input share its column.
type columns struct {
	n       int
	unit    bool     // every weight is 1
	starts  []int64  // the minutes that occur, Unix seconds
	minutes []uint32 // index in starts
	weights []int64
	codes   [][]uint32        // per dimension; nil if no set has it
	sums    [][]int64         // per layout.sums: scaled, times the weight; 0 if there is no value
	mass    []uint64          // per layout.sums: the sum of magnitudes, saturated
	floats  [][]float64       // per layout.floats; NaN if there is no value
	buckets [][]sketch.Bucket // per layout.hists; NoBucket if there is no value
	hashes  [][]uint64        // per layout.hlls; 0 if there is no value
}
