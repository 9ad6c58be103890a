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

// question is one question to the rollup.
type question struct {
	by    string // a dimension, "" for the whole
	r     query.Range
	exact bool // r begins at a minute and must not be widened before it
	step  time.Duration
	only  *millrace.Filter // a further condition
	fold  func(string) (string, bool)
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

// ask answers from cells alone: of raw rows there are samples. What was counted
// before the rollup could tell is left out; known is false if that is the range's
// beginning.
func (sc *scope) ask(ctx context.Context, q question) (*answer, error) {
	out := &answer{count: map[string]int64{}, users: map[string]int64{}, steps: map[string]map[int64]int64{}, known: true}
	if q.r.From.Before(sc.since) {
		out.known = false
		if q.r.From, q.exact = sc.since, true; !q.r.To.After(q.r.From) {
			return out, nil
		}
	}
	req := query.RollupRequest{
		Rollup: Rollup, Metrics: []string{"count"}, Filter: sc.filter, Range: q.r, ExactFrom: q.exact, Step: q.step, Fold: q.fold,
		CellsOnly: true, Order: []string{"-count"}, Limit: query.MaxRows,
	}
	if q.users {
		req.Metrics = append(req.Metrics, "users")
	}
	if q.by != "" {
		req.By = []string{q.by}
	}
	if q.only != nil {
		req.Filter = &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{sc.filter, q.only}}
	}
	res, err := sc.s.deps.Query.Rollup(ctx, req)
	if err != nil {
		return nil, err
	}
	out.complete = res.CompleteUntil
	out.read(res, q.by != "", q.step > 0, q.users)
	return out, nil
}

func (a *answer) read(res *query.RollupResult, by, steps, users bool) {
	for _, row := range res.Rows {
		var bucket int64
		if steps {
			t, _ := row[0].(time.Time)
			bucket, row = t.Unix(), row[1:]
		}
		value := ""
		if by {
			value, _ = row[0].(string)
			row = row[1:]
		}
		n := int64(query.Float(row[0]))
		a.count[value] += n
		if users {
			a.users[value] = int64(query.Float(row[1]) + 0.5)
		}
		if steps {
			if a.steps[value] == nil {
				a.steps[value] = map[int64]int64{}
			}
			a.steps[value][bucket] += n
		}
	}
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

// trend asks how often it was before the range, a day and a week before.
func (sc *scope) trend(ctx context.Context, q question) (t trend, err error) {
	r := q.r
	q.step, q.users = 0, false
	for _, p := range []struct {
		into **answer
		by   time.Duration
	}{{&t.before, r.To.Sub(r.From)}, {&t.yesterday, day}, {&t.lastWeek, week}} {
		q.r = earlier(r, p.by)
		if *p.into, err = sc.ask(ctx, q); err != nil {
			return t, err
		}
	}
	return t, nil
}
