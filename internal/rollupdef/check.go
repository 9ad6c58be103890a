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

// CheckQuery reports ErrNotFound if a set is not kept at the granularity it is
// read at, and ErrInvalid if the query asks for what a set does not have.
func CheckQuery(s *millrace.RollupSchema, q *millrace.CellQuery) error {
	if q.Step < 0 {
		return invalid(s, "step %d: must not be negative", q.Step)
	}
	for i, r := range q.Steps {
		if r.Width < 0 || i > 0 && r.From <= q.Steps[i-1].From {
			return invalid(s, "steps: run %d must begin after the one before and not be negative", i)
		}
	}
	for _, i := range q.States {
		if i < 0 || i >= len(s.States()) {
			return invalid(s, "there is no state %d", i)
		}
	}
	if err := CheckParts(s, q.Pieces()); err != nil {
		return err
	}
	for _, p := range q.Pieces() {
		if err := checkFields(s, q, p.Set); err != nil {
			return err
		}
	}
	return nil
}

// CheckParts reports ErrNotFound if a set is not kept at the granularity it is
// to be read at, and ErrInvalid if a part has no spans in ascending order.
func CheckParts(s *millrace.RollupSchema, parts []millrace.CellPart) error {
	for _, p := range parts {
		set, ok := FindSet(s, p.Set)
		if !ok || !slices.Contains(set.Granularities, p.Granularity) {
			return millrace.Errorf(millrace.ErrNotFound,
				"rollup %s has no such set of dimensions at granularity %s", s.Name, p.Granularity)
		}
		for i, sp := range p.Spans {
			if i > 0 && sp.From < p.Spans[i-1].To {
				return invalid(s, "spans of a part must ascend")
			}
		}
		if len(p.Spans) == 0 {
			return invalid(s, "a part has no spans")
		}
	}
	return nil
}

func checkFields(s *millrace.RollupSchema, q *millrace.CellQuery, set millrace.DimensionSet) error {
	for _, d := range q.By {
		if !slices.Contains(set.Dims, d) {
			return invalid(s, "by: dimension %d is not in set [%s]", d, s.SetName(set))
		}
	}
	fields := map[string]bool{}
	q.Where.Fields(fields)
	for _, d := range set.Dims {
		delete(fields, s.Dimensions[d])
	}
	for f := range fields {
		return invalid(s, "where: %q is not a dimension of set [%s]", f, s.SetName(set))
	}
	return nil
}
