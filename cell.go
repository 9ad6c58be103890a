package millrace

import "strings"

// Granularity is the width of a bucket in seconds.
type Granularity int64

// The granularities. Buckets are aligned to UTC.
const (
	Minute Granularity = 60
	Hour   Granularity = 3600
	Day    Granularity = 86400
)

// String returns the name used in SQL and the API.
func (g Granularity) String() string {
	switch g {
	case Minute:
		return "1m"
	case Hour:
		return "1h"
	case Day:
		return "1d"
	}
	return "?"
}

// ParseGranularity is the inverse of String.
func ParseGranularity(s string) (Granularity, bool) {
	for _, g := range []Granularity{Minute, Hour, Day} {
		if g.String() == s {
			return g, true
		}
	}
	return 0, false
}

// Floor returns the start of the bucket that holds sec (Unix seconds, also negative).
func (g Granularity) Floor(sec int64) int64 {
	r := sec % int64(g)
	if r < 0 {
		r += int64(g)
	}
	return sec - r
}

// MetricFunc is an aggregation.
type MetricFunc string

// The aggregations. Weight counts occurrences: count is the sum of weights,
// sum of weight times value.
const (
	FuncCount     MetricFunc = "count"
	FuncRate      MetricFunc = "rate" // count per second of the bucket
	FuncSum       MetricFunc = "sum"  // exact: integer or fixed point
	FuncAvg       MetricFunc = "avg"  // exact sum over exact count of values
	FuncMin       MetricFunc = "min"
	FuncMax       MetricFunc = "max"
	FuncQuantiles MetricFunc = "quantiles" // DDSketch
	FuncUniq      MetricFunc = "uniq"      // HyperLogLog++
)

// Metric is one metric of a rollup.
type Metric struct {
	Name      string
	Func      MetricFunc
	Field     string    // column or attribute; empty for count and rate
	Scale     int       // decimal digits that sum and avg keep, 0 to 9
	Quantiles []float64 // columns offered, each in (0,1)
	Where     string    `json:",omitempty"` // further condition on its events; empty takes all of the rollup's
	// CompleteFrom is since when (Unix seconds) cells have the metric; 0 is
	// always. Stores set it when a definition changes.
	CompleteFrom int64 `json:",omitempty"`
}

// Derived is a metric that is computed from others when it is asked for.
type Derived struct {
	Name string
	Expr string // arithmetic over names of metrics, see internal/formula
}

// StateKind is the type of one column of aggregation state.
type StateKind uint8

// The kinds of state and how two merge.
const (
	StateSum  StateKind = iota // int64, added
	StateMin                   // float64, least; NaN is "no value"
	StateMax                   // float64, greatest; NaN is "no value"
	StateHist                  // sketch.Hist encoding, merged; empty is "no value"
	StateHLL                   // sketch.HLL encoding, merged; empty is "no value"
)

// StateSpec names one state column: the metric's name, plus a suffix where a
// metric needs two.
type StateSpec struct {
	Name   string
	Metric int // index in RollupSchema.Metrics
	Kind   StateKind
}

// RollupSchema is what a Store and the query planner know of a rollup.
type RollupSchema struct {
	Name       string
	Where      string // filter expression; informative here
	Dimensions []string
	Sets       []DimensionSet
	Metrics    []Metric
	Derived    []Derived `json:",omitempty"`
}

// DimensionSet is one set of dimensions and the granularities it is kept at.
type DimensionSet struct {
	Dims          []int // indexes in Dimensions, ascending
	Granularities []Granularity
	// CompleteFrom is since when (Unix seconds) cells have the set, per entry of
	// Granularities; 0, or no entry, is always. Stores set it when a definition
	// changes.
	CompleteFrom []int64 `json:",omitempty"`
}

// SetName returns the names of a set's dimensions in the order of Dimensions
// joined by commas, empty for the total: the value of dimension_set in SQL.
func (s *RollupSchema) SetName(set DimensionSet) string {
	names := make([]string, len(set.Dims))
	for i, d := range set.Dims {
		names[i] = s.Dimensions[d]
	}
	return strings.Join(names, ",")
}

// States returns the state columns of the rollup, in order. avg has two:
// NAME (the scaled sum) and NAME_n (how many values, by weight).
func (s *RollupSchema) States() []StateSpec {
	var out []StateSpec
	for i, m := range s.Metrics {
		kind := StateSum
		switch m.Func {
		case FuncMin:
			kind = StateMin
		case FuncMax:
			kind = StateMax
		case FuncQuantiles:
			kind = StateHist
		case FuncUniq:
			kind = StateHLL
		}
		out = append(out, StateSpec{m.Name, i, kind})
		if m.Func == FuncAvg {
			out = append(out, StateSpec{m.Name + "_n", i, StateSum})
		}
	}
	return out
}

// StateColumn holds one state for many cells; the slice used follows the kind.
type StateColumn struct {
	Kind   StateKind
	Ints   []int64
	Floats []float64
	Blobs  [][]byte
}

// CellBatch is deltas or merged cells of one rollup and set, columnar.
// A delta is part of a cell; a cell is the merge of its deltas.
type CellBatch struct {
	Rollup string
	Set    DimensionSet
	Bucket []int64    // start of the bucket, Unix seconds
	Dims   [][]string // one column per dimension of Set
	States []StateColumn
}

// Len returns the number of cells.
func (c *CellBatch) Len() int { return len(c.Bucket) }
