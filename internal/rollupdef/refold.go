package rollupdef

import (
	"reflect"
	"slices"

	"github.com/millrace/millrace"
)

// CheckRefold refuses a range that is not of whole minutes or holds none.
func CheckRefold(q *millrace.RefoldQuery) error {
	if q.From%int64(millrace.Minute) != 0 || q.To%int64(millrace.Minute) != 0 || q.From >= q.To {
		return invalid(&q.Rollup, "refold from %d to %d: must be whole minutes, at least one", q.From, q.To)
	}
	return nil
}

// Same reports whether two definitions make the same cells. Since when they are
// complete does not matter.
func Same(a, b *millrace.RollupSchema) bool {
	x, y := Clone(a), Clone(b)
	for _, s := range []*millrace.RollupSchema{&x, &y} {
		for i := range s.Sets {
			s.Sets[i].CompleteFrom = nil
		}
		for i := range s.Metrics {
			s.Metrics[i].CompleteFrom = 0
		}
		s.Derived = nil
	}
	return reflect.DeepEqual(x, y)
}

// Refolded lowers since when a definition, a Clone, is complete down to from
// (first: there are no earlier events) where it was so from to on or earlier; a
// range that ends before leaves a hole, so that it changes nothing there. It
// reports whether anything changed.
func Refolded(def *millrace.RollupSchema, from, to int64, first bool) bool {
	changed := false
	lower := func(since *int64) {
		if *since <= from || *since > to {
			return
		}
		if *since, changed = from, true; first {
			*since = 0
		}
	}
	for i := range def.Sets {
		set := &def.Sets[i]
		set.CompleteFrom = slices.Clone(set.CompleteFrom) // def shares it with others
		for j := range set.CompleteFrom {
			lower(&set.CompleteFrom[j])
		}
	}
	for i := range def.Metrics {
		lower(&def.Metrics[i].CompleteFrom)
	}
	return changed
}
