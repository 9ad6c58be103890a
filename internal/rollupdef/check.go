package rollupdef

import (
	"slices"

	"github.com/millrace/millrace"
)

// CheckBatch reports ErrInvalid if a batch of minute deltas does not fit the
// definition: another set, lengths that differ, or a bucket that is no minute.
func CheckBatch(s *millrace.RollupSchema, b *millrace.CellBatch) error {
	if _, ok := FindSet(s, b.Set); !ok {
		return invalid(s, "deltas of an unknown set %v", b.Set.Dims)
	}
	n, states := b.Len(), s.States()
	if len(b.Dims) != len(b.Set.Dims) || len(b.States) != len(states) {
		return invalid(s, "deltas of %d dimensions and %d states: want %d and %d",
			len(b.Dims), len(b.States), len(b.Set.Dims), len(states))
	}
	for i, d := range b.Dims {
		if len(d) != n {
			return invalid(s, "deltas: dimension %d has %d values, want %d", i, len(d), n)
		}
	}
	for i := range b.States {
		c := &b.States[i]
		have := len(c.Ints)
		switch c.Kind {
		case millrace.StateMin, millrace.StateMax:
			have = len(c.Floats)
		case millrace.StateHist, millrace.StateHLL:
			have = len(c.Blobs)
		}
		if c.Kind != states[i].Kind || have != n {
			return invalid(s, "deltas: state %s has %d values of kind %d, want %d of kind %d",
				states[i].Name, have, c.Kind, n, states[i].Kind)
		}
	}
	for _, t := range b.Bucket {
		if millrace.Minute.Floor(t) != t || t > MaxBucket || t < -MaxBucket {
			return invalid(s, "deltas: bucket %d is not the start of a minute from 1677 to 2262", t)
		}
	}
	return nil
}

// CheckQuery reports ErrNotFound if the set is not kept at the granularity, and
// ErrInvalid if the query asks for what the set does not have.
func CheckQuery(s *millrace.RollupSchema, q *millrace.CellQuery) error {
	set, ok := FindSet(s, q.Set)
	if !ok || !slices.Contains(set.Granularities, q.Granularity) {
		return millrace.Errorf(millrace.ErrNotFound,
			"rollup %s has no such set of dimensions at granularity %s", s.Name, q.Granularity)
	}
	if q.Step < 0 {
		return invalid(s, "step %d: must not be negative", q.Step)
	}
	for _, d := range q.By {
		if !slices.Contains(q.Set.Dims, d) {
			return invalid(s, "by: dimension %d is not in set [%s]", d, s.SetName(set))
		}
	}
	for _, i := range q.States {
		if i < 0 || i >= len(s.States()) {
			return invalid(s, "there is no state %d", i)
		}
	}
	fields := map[string]bool{}
	q.Where.Fields(fields)
	for _, d := range q.Set.Dims {
		delete(fields, s.Dimensions[d])
	}
	for f := range fields {
		return invalid(s, "where: %q is not a dimension of set [%s]", f, s.SetName(set))
	}
	return nil
}
