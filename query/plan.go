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

// choosePlan picks the coarsest granularity of the set whose buckets the range
// and the step consist of. A range that fits none exactly is widened to whole
// buckets of the finest granularity still kept for it.
func choosePlan(set millrace.DimensionSet, r Range, step time.Duration, now time.Time, keep map[millrace.Granularity]time.Duration) (plan, error) {
	from, to, st := r.From.Unix(), ceilSeconds(r.To), int64(step/time.Second)
	grans := slices.Clone(set.Granularities)
	slices.Sort(grans)
	finest := millrace.Granularity(0)
	best := plan{set: set}
	for _, g := range grans {
		if st%int64(g) != 0 {
			continue
		}
		if finest == 0 && kept(g, r.From, now, keep) {
			finest = g
		}
		if aligned(g, r.From, r.To) {
			best = plan{set: set, gran: g, from: from, to: to, step: st}
		}
	}
	if best.gran != 0 && (finest == 0 || best.gran >= finest) {
		return best, nil
	}
	if finest == 0 { // nothing is kept that long: the coarsest that divides the step
		for _, g := range grans {
			if st%int64(g) == 0 {
				finest = g
			}
		}
	}
	if finest == 0 {
		return plan{}, millrace.Errorf(millrace.ErrInvalid,
			"step %s: this set is kept at %s and coarser; step must be a multiple of it", millrace.Duration(step), grans[0])
	}
	g := int64(finest)
	return plan{set: set, gran: finest, from: finest.Floor(from), to: finest.Floor(to + g - 1), step: st}, nil
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
