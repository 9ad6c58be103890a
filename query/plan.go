package query

import (
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// plan is where a rollup's answer is read from.
type plan struct {
	set      millrace.DimensionSet
	gran     millrace.Granularity
	from, to int64 // Unix seconds, multiples of gran
	step     int64 // seconds, a multiple of gran, or 0
}

// chooseSet returns the smallest set that has all the dimensions needed, the
// first declared of equal ones.
func chooseSet(sc *millrace.RollupSchema, need []int) (millrace.DimensionSet, error) {
	best := -1
	for i, set := range sc.Sets {
		if containsAll(set.Dims, need) && (best < 0 || len(set.Dims) < len(sc.Sets[best].Dims)) {
			best = i
		}
	}
	if best >= 0 {
		return sc.Sets[best], nil
	}
	names := make([]string, len(need))
	for i, d := range need {
		names[i] = sc.Dimensions[d]
	}
	sets := make([]string, len(sc.Sets))
	for i, set := range sc.Sets {
		sets[i] = "(" + sc.SetName(set) + ")"
	}
	return millrace.DimensionSet{}, &millrace.Error{
		Code: millrace.ErrInvalid,
		Message: "rollup " + sc.Name + " keeps no set with " + strings.Join(names, " and ") +
			" (of by and where together); there are " + strings.Join(sets, ", "),
		Hint: "add the set to the rollup's configuration, or ask the raw rows by SQL",
	}
}

func containsAll(have, need []int) bool {
	for _, n := range need {
		if !slices.Contains(have, n) {
			return false
		}
	}
	return true
}

// choosePlans returns where an answer may be read from, best first. The first
// plan has the coarsest granularity whose buckets the range and the step
// consist of; a range that fits none exactly is widened to whole minutes (or
// the finest the set has). The others are widened to coarser buckets, for when
// finer ones are no longer kept; the last of them surely is.
//
// Retention counts from arrival and a range is of event time, so that only the
// Store can tell whether cells that old are still there: an import of old logs
// has them all. Within the time that cells are kept there is one plan.
func choosePlans(set millrace.DimensionSet, r Range, step time.Duration, now time.Time, keep map[millrace.Granularity]time.Duration) ([]plan, error) {
	st := int64(step / time.Second)
	grans := slices.Clone(set.Granularities)
	slices.Sort(grans)
	fit := slices.DeleteFunc(slices.Clone(grans), func(g millrace.Granularity) bool { return st%int64(g) != 0 })
	if len(fit) == 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid,
			"step %s: this set is kept at %s and coarser; step must be a multiple of it", millrace.Duration(step), grans[0])
	}
	best := 0
	for i, g := range fit {
		if aligned(g, r.From, r.To) {
			best = i
		}
	}
	var plans []plan
	for _, g := range fit[best:] {
		from, to := g.Floor(r.From.Unix()), g.Floor(ceilSeconds(r.To)+int64(g)-1)
		plans = append(plans, plan{set: set, gran: g, from: from, to: to, step: st})
		if kept(g, r.From, now, keep) {
			break
		}
	}
	return plans, nil
}

func aligned(g millrace.Granularity, times ...time.Time) bool {
	for _, t := range times {
		if t.Nanosecond() != 0 || g.Floor(t.Unix()) != t.Unix() {
			return false
		}
	}
	return true
}

func kept(g millrace.Granularity, from, now time.Time, keep map[millrace.Granularity]time.Duration) bool {
	d, limited := keep[g]
	return !limited || now.Sub(from) <= d
}

func ceilSeconds(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return s
}

// dimensions returns the indexes of names in the rollup's dimensions.
func dimensions(sc *millrace.RollupSchema, what string, names []string) ([]int, error) {
	out := make([]int, 0, len(names))
	for _, n := range names {
		i := slices.Index(sc.Dimensions, n)
		if i < 0 {
			return nil, millrace.Errorf(millrace.ErrInvalid, "%s: rollup %s has no dimension %q; there are %s",
				what, sc.Name, n, nameList(sc.Dimensions))
		}
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out, nil
}

// checkWhere refuses conditions that cells cannot answer and returns the
// dimensions the filter reads.
func checkWhere(sc *millrace.RollupSchema, f *millrace.Filter) ([]int, error) {
	if readsText(f) {
		return nil, millrace.Errorf(millrace.ErrInvalid,
			"where: plain words search messages, which rollups do not keep; use a dimension such as %s", example(sc))
	}
	fields := map[string]bool{}
	f.Fields(fields)
	names := make([]string, 0, len(fields))
	for n := range fields {
		names = append(names, n)
	}
	slices.Sort(names)
	return dimensions(sc, "where", names)
}

func readsText(f *millrace.Filter) bool {
	if f == nil {
		return false
	}
	return f.Op == millrace.FilterText || slices.ContainsFunc(f.Sub, readsText)
}

func example(sc *millrace.RollupSchema) string {
	if len(sc.Dimensions) == 0 {
		return "(none: this rollup has no dimensions)"
	}
	return sc.Dimensions[0] + ":value"
}

// nameList joins names for an error message.
func nameList(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
