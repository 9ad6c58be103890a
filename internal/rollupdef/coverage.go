package rollupdef

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// Never is CompleteFrom of what a definition no longer has: what comes back
// begins anew.
const Never = math.MaxInt64

// Newcomers returns since when what is new at now is complete: an event that was
// folded before lies at most millrace.MaxAhead in the future.
func Newcomers(now time.Time) int64 {
	sec := now.Add(millrace.MaxAhead).Unix()
	return millrace.Minute.Floor(sec) + int64(millrace.Minute)
}

// Complete sets CompleteFrom in def, a Clone, which replaces old (nil: there was
// none). What def adds is complete from since on. What can be computed from
// finer cells is from sealed on, the end of the last hour whose finer cells
// retention has dropped.
func Complete(def, old *millrace.RollupSchema, since, sealed int64) {
	fresh := old == nil || old.Where != def.Where
	for i := range def.Sets {
		set := &def.Sets[i]
		var was *millrace.DimensionSet
		if !fresh {
			was = findByNames(old, names(def, set))
		}
		set.CompleteFrom = make([]int64, len(set.Granularities))
		for j, g := range set.Granularities {
			set.CompleteFrom[j] = completeFrom(was, g, since, sealed)
		}
	}
	for i := range def.Metrics {
		m := &def.Metrics[i]
		m.CompleteFrom = since
		if fresh {
			continue
		}
		for _, o := range old.Metrics {
			same := o.Name == m.Name && o.Func == m.Func && o.Field == m.Field && o.Scale == m.Scale && o.Where == m.Where
			if same && o.CompleteFrom != Never {
				m.CompleteFrom = o.CompleteFrom
			}
		}
	}
}

func completeFrom(was *millrace.DimensionSet, g millrace.Granularity, since, sealed int64) int64 {
	if was == nil {
		return since
	}
	from := since
	for i, have := range was.Granularities {
		old := SetFrom(was, i)
		switch {
		case old == Never:
		case have == g:
			return old
		case have < g: // computed from these, unless they are gone
			from = min(from, max(old, sealed))
		}
	}
	return from
}

// Leave marks all of a definition, a Clone, as no longer kept, and reports
// whether that changes it.
func Leave(def *millrace.RollupSchema) bool {
	changed := false
	for i := range def.Sets {
		set := &def.Sets[i]
		set.CompleteFrom = make([]int64, len(set.Granularities))
		for j := range set.CompleteFrom {
			set.CompleteFrom[j] = Never
		}
	}
	for i := range def.Metrics {
		changed = changed || def.Metrics[i].CompleteFrom != Never
		def.Metrics[i].CompleteFrom = Never
	}
	return changed
}

// SetFrom returns CompleteFrom of the set's granularity i.
func SetFrom(set *millrace.DimensionSet, i int) int64 {
	if i < len(set.CompleteFrom) {
		return set.CompleteFrom[i]
	}
	return 0
}

// names identifies a set whatever the order of the definition's dimensions.
func names(s *millrace.RollupSchema, set *millrace.DimensionSet) string {
	out := make([]string, len(set.Dims))
	for i, d := range set.Dims {
		out[i] = s.Dimensions[d]
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

func findByNames(s *millrace.RollupSchema, want string) *millrace.DimensionSet {
	for i := range s.Sets {
		if names(s, &s.Sets[i]) == want {
			return &s.Sets[i]
		}
	}
	return nil
}

// Clone returns a copy that shares nothing that Complete changes.
func Clone(s *millrace.RollupSchema) millrace.RollupSchema {
	out := *s
	out.Sets, out.Metrics = slices.Clone(s.Sets), slices.Clone(s.Metrics)
	return out
}

// MergeSpans sorts spans and joins those that overlap or touch, in place.
func MergeSpans(spans []millrace.Span) []millrace.Span {
	slices.SortFunc(spans, func(a, b millrace.Span) int { return cmp.Compare(a.From, b.From) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && s.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out
}

// TooManyRows is what a scan over its limit of rows fails with.
func TooManyRows(limit int64) error {
	return &millrace.Error{
		Code:    millrace.ErrTooLarge,
		Message: "the answer needs raw rows, and there are more than " + thousands(limit) + " of them",
		Hint:    "ask for a shorter range or a narrower where, or add a set of dimensions to the rollup that answers",
	}
}

// RowsDropped is what a scan of a time fails with of which retention has dropped
// rows: what is left would be taken for all.
func RowsDropped() error {
	return &millrace.Error{
		Code:    millrace.ErrConflict,
		Message: "the answer needs raw rows, and some of that time have been dropped by retention",
		Hint:    "ask for a later range, or for dimensions that a set of the rollup has",
	}
}

// thousands writes a number in groups of three digits.
func thousands(n int64) string {
	text := ""
	for ; n >= 1000; n /= 1000 {
		text = "," + string([]byte{byte('0' + n%1000/100), byte('0' + n%100/10), byte('0' + n%10)}) + text
	}
	return strings.TrimLeft(string([]byte{byte('0' + n/100), byte('0' + n%100/10), byte('0' + n%10)}), "0") + text
}
