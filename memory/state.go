package memory

import (
	"math"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// state is one aggregate of one cell.
type state struct {
	kind  millrace.StateKind
	sum   int64
	float float64
	hist  sketch.Hist
	hll   sketch.HLL
}

func newState(kind millrace.StateKind) *state { return &state{kind: kind, float: math.NaN()} }

// add merges value i of a column. Bad bytes were not checked at the door, as in
// no Store, so they are a broken invariant here.
func (s *state) add(c *millrace.StateColumn, i int) {
	var err error
	switch s.kind {
	case millrace.StateSum:
		s.sum = addSaturated(s.sum, c.Ints[i])
	case millrace.StateMin, millrace.StateMax:
		s.addFloat(c.Floats[i])
	case millrace.StateHist:
		if len(c.Blobs[i]) > 0 {
			err = s.hist.MergeEncoded(c.Blobs[i])
		}
	case millrace.StateHLL:
		if len(c.Blobs[i]) > 0 {
			err = s.hll.MergeEncoded(c.Blobs[i])
		}
	}
	if err != nil {
		panic("BUG: memory: a delta holds " + err.Error())
	}
}

func (s *state) addFloat(v float64) {
	switch {
	case math.IsNaN(v):
	case math.IsNaN(s.float),
		s.kind == millrace.StateMin && v < s.float,
		s.kind == millrace.StateMax && v > s.float:
		s.float = v
	}
}

// merge adds another state of the same kind.
func (s *state) merge(o *state) {
	s.sum = addSaturated(s.sum, o.sum)
	s.addFloat(o.float)
	s.hist.Merge(&o.hist)
	s.hll.Merge(&o.hll)
}

// appendTo appends the state to a column of an answer; an empty sketch is nil.
func (s *state) appendTo(c *millrace.StateColumn) {
	switch s.kind {
	case millrace.StateSum:
		c.Ints = append(c.Ints, s.sum)
	case millrace.StateMin, millrace.StateMax:
		c.Floats = append(c.Floats, s.float)
	case millrace.StateHist:
		var blob []byte
		if !s.hist.Empty() {
			blob = s.hist.AppendTo(nil)
		}
		c.Blobs = append(c.Blobs, blob)
	case millrace.StateHLL:
		var blob []byte
		if !s.hll.Empty() {
			blob = s.hll.AppendTo(nil)
		}
		c.Blobs = append(c.Blobs, blob)
	}
}

// addSaturated adds and stops at the ends of int64 instead of wrapping around.
func addSaturated(a, b int64) int64 {
	sum := a + b
	if a > 0 && b > 0 && sum < 0 {
		return math.MaxInt64
	}
	if a < 0 && b < 0 && sum >= 0 {
		return math.MinInt64
	}
	return sum
}
