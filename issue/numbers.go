package issue

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// other is the value that the rollup counts what it folds under.
const other = "(other)"

// unknownCount is a count that nobody can tell.
const unknownCount = -1

// scope is which exceptions are counted: of one project, in some environments and
// as conditions say.
type scope struct {
	s      *Service
	filter *millrace.Filter
	fields []string // that the filter reads
	// since is from when cells can answer; zero: always.
	since time.Time
}

// scope returns the scope of a request. fields are the dimensions that questions
// will ask by.
func (s *Service) scope(ctx context.Context, project, env, where, errorClass string, fields ...string) (*scope, error) {
	if s.deps.Query == nil {
		return nil, millrace.Errorf(millrace.ErrUnavailable, "this node answers no questions: ask one with the role query")
	}
	f, err := query.Parse(where)
	if err != nil {
		return nil, err
	}
	all := []*millrace.Filter{equal("project", project)}
	if e := s.envFilter(env); e != nil {
		all = append(all, e)
	}
	if errorClass != "" {
		all = append(all, equal("error_class", errorClass))
	}
	if f != nil {
		all = append(all, f)
	}
	sc := &scope{s: s, filter: &millrace.Filter{Op: millrace.FilterAnd, Sub: all}}
	names := map[string]bool{"env": true}
	sc.filter.Fields(names)
	for _, name := range fields {
		names[name] = true
	}
	sc.fields = slices.Sorted(maps.Keys(names))
	sc.since, err = s.deps.Query.CompleteFrom(ctx, Rollup, sc.fields, []string{"count", "users"})
	return sc, err
}

func equal(field, value string) *millrace.Filter {
	return &millrace.Filter{Op: millrace.FilterEq, Field: field, Value: value}
}

// anyOf is a condition that holds for each of the values.
func anyOf(field string, values []string) *millrace.Filter {
	f := &millrace.Filter{Op: millrace.FilterOr}
	for _, v := range values {
		f.Sub = append(f.Sub, equal(field, v))
	}
	return f
}

// envFilter returns which environments a name in a request stands for, nil for all.
func (s *Service) envFilter(env string) *millrace.Filter {
	switch env {
	case EnvAll:
		return nil
	case "", EnvProduction:
		return anyOf("env", append([]string{""}, s.deps.Options.Production...))
	}
	return equal("env", env)
}

// question is one question to the rollup about some periods.
type question struct {
	by   string           // a dimension, "" for the whole
	only *millrace.Filter // a further condition
	fold func(values []string) (map[string]string, error)
}

// period is a range that a question is about.
type period struct {
	r     query.Range
	exact bool // r begins at a minute and must not be widened before it
	step  time.Duration
	users bool
}

// answer is counts and users by value of the dimension asked by, and by step.
type answer struct {
	count map[string]int64
	users map[string]int64
	steps map[string]map[int64]int64 // value, beginning of the step in Unix seconds
	// known is false if nothing was counted such that it can be told.
	known    bool
	complete time.Time
}

// ask answers for each period from cells alone: of raw rows there are samples. What
// was counted before the rollup could tell is left out; known is false if that is the
// period's beginning.
func (sc *scope) ask(ctx context.Context, q question, periods ...period) ([]*answer, error) {
	req := query.PeriodsRequest{Rollup: Rollup, Count: "count", Uniques: "users", By: q.by, Filter: sc.filter, Fold: q.fold}
	if q.only != nil {
		req.Filter = &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{sc.filter, q.only}}
	}
	out := make([]*answer, len(periods))
	var at []int // the periods that are asked for
	for i, p := range periods {
		out[i] = &answer{known: !p.r.From.Before(sc.since)}
		if !out[i].known {
			if p.r.From, p.exact = sc.since, true; !p.r.To.After(p.r.From) {
				continue
			}
		}
		at = append(at, i)
		req.Periods = append(req.Periods, query.Period{Range: p.r, ExactFrom: p.exact, Step: p.step, Uniques: p.users})
	}
	if len(at) == 0 {
		return out, nil
	}
	res, err := sc.s.deps.Query.Periods(ctx, req)
	if err != nil {
		return nil, err
	}
	for k, i := range at {
		n := &res.Periods[k]
		out[i].count, out[i].users, out[i].steps, out[i].complete = n.Count, n.Uniques, n.Steps, res.CompleteUntil
	}
	return out, nil
}

// of returns a count, unknownCount if it is not known.
func (a *answer) of(value string) int64 {
	if !a.known {
		return unknownCount
	}
	return a.count[value]
}

// total returns the count of all values.
func (a *answer) total() (n int64) {
	for _, c := range a.count {
		n += c
	}
	return n
}

// sum is total, unknownCount if it is not known.
func (a *answer) sum() int64 {
	if !a.known {
		return unknownCount
	}
	return a.total()
}

// rest is the value under which a breakdown has what does not fit.
const rest = "(rest)"

// shares returns the values with the most counts, at most MaxShares of them, and
// what is left as rest. Users of the rest are not known: they overlap.
func (a *answer) shares() []Share {
	out := []Share{}
	for v, n := range a.count {
		out = append(out, Share{v, n, a.users[v]})
	}
	slices.SortFunc(out, func(x, y Share) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), strings.Compare(x.Value, y.Value))
	})
	if len(out) <= MaxShares {
		return out
	}
	left := Share{Value: rest, Users: unknownCount}
	for _, s := range out[MaxShares:] {
		left.Count += s.Count
	}
	return append(out[:MaxShares:MaxShares], left)
}

// spark returns the counts of a value by step.
func (a *answer) spark(value string, times []time.Time) []float64 {
	out := make([]float64, len(times))
	for i, t := range times {
		out[i] = float64(a.steps[value][t.Unix()])
	}
	return out
}

// timesOf returns the beginnings of the steps of a range: multiples since 1970.
func timesOf(r query.Range, step time.Duration) (times []time.Time) {
	width := int64(step / time.Second)
	for t := millrace.Granularity(width).Floor(r.From.Unix()); t < r.To.Unix(); t += width {
		times = append(times, time.Unix(t, 0).UTC())
	}
	return times
}

// stepOf returns the step of a series of about so many points.
func stepOf(r query.Range, step time.Duration, points int) (time.Duration, error) {
	span := r.To.Sub(r.From)
	if step == 0 {
		return max(query.NiceStep(span, points), time.Minute), nil
	}
	if step < time.Minute || step%time.Minute != 0 || span/step > maxPoints {
		return 0, millrace.Errorf(millrace.ErrInvalid, "step %s: must be whole minutes, and at most %d of them in the range", step, maxPoints)
	}
	return step, nil
}

// maxPoints bounds a series.
const maxPoints = 1000

// The periods that a range is compared with.
const (
	day  = 24 * time.Hour
	week = 7 * day
)

func earlier(r query.Range, by time.Duration) query.Range {
	return query.Range{From: r.From.Add(-by), To: r.To.Add(-by)}
}

// trend is the counts of earlier periods.
type trend struct{ before, yesterday, lastWeek *answer }

// trendOf returns the periods of a trend: as long a time before the range, a day and
// a week before.
func trendOf(r query.Range) []period {
	return []period{{r: earlier(r, r.To.Sub(r.From))}, {r: earlier(r, day)}, {r: earlier(r, week)}}
}

// newTrend takes the answers for trendOf.
func newTrend(a []*answer) trend { return trend{a[0], a[1], a[2]} }
