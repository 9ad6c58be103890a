// Package rollupdef checks the definitions of rollups, deltas against them and
// queries over them: the rules that every Store enforces alike.
package rollupdef

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// MaxName bounds names, so that every name fits a table of the pages and an
// identifier of every database.
const MaxName = 48

// MaxBucket bounds buckets, in Unix seconds on either side of 1970: what
// nanoseconds in an int64 can express, 1677 to 2262.
const MaxBucket = math.MaxInt64 / 1_000_000_000

var nameRE = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// DefaultQuantiles are the columns of a quantiles metric that names none.
var DefaultQuantiles = []float64{0.5, 0.75, 0.9, 0.95, 0.99}

// Quantiles returns the quantiles a metric offers as columns.
func Quantiles(m *millrace.Metric) []float64 {
	if len(m.Quantiles) == 0 {
		return DefaultQuantiles
	}
	return m.Quantiles
}

// QuantileColumn returns the column of a quantile: rt_p50 for 0.5, rt_p99_9 for
// 0.999.
func QuantileColumn(metric string, q float64) string {
	text := strconv.FormatFloat(math.Round(q*1e10)/1e8, 'f', -1, 64)
	return metric + "_p" + strings.ReplaceAll(text, ".", "_")
}

// Columns returns the columns of a metric in SQL.
func Columns(m *millrace.Metric) []string {
	if m.Func != millrace.FuncQuantiles {
		return []string{m.Name}
	}
	var out []string
	for _, q := range Quantiles(m) {
		out = append(out, QuantileColumn(m.Name, q))
	}
	return out
}

// Check reports the first thing wrong with a definition, as ErrInvalid.
func Check(s *millrace.RollupSchema) error {
	if err := checkName("rollup", s.Name); err != nil {
		return err
	}
	used := map[string]bool{"granularity": true, "bucket": true, "dimension_set": true}
	claim := func(kind, name string) error {
		if used[name] {
			return invalid(s, "%s %q: the name is taken by another column", kind, name)
		}
		used[name] = true
		return nil
	}
	for _, d := range s.Dimensions {
		if err := checkName("dimension", d); err != nil {
			return err
		}
		if err := claim("dimension", d); err != nil {
			return err
		}
	}
	for i := range s.Metrics {
		m := &s.Metrics[i]
		if err := checkMetric(s, m); err != nil {
			return err
		}
		for _, c := range Columns(m) {
			if err := claim("metric", c); err != nil {
				return err
			}
		}
	}
	if err := checkStates(s); err != nil {
		return err
	}
	for i, d := range s.Derived {
		if err := checkName("metric", d.Name); err != nil {
			return err
		}
		if err := claim("metric", d.Name); err != nil {
			return err
		}
		if err := CheckDerived(s, i); err != nil {
			return invalid(s, "metric %s: %q must be %v", d.Name, d.Expr, err)
		}
	}
	return checkSets(s)
}

func checkMetric(s *millrace.RollupSchema, m *millrace.Metric) error {
	if err := checkName("metric", m.Name); err != nil {
		return err
	}
	switch m.Func {
	case millrace.FuncCount, millrace.FuncRate, millrace.FuncSum, millrace.FuncAvg,
		millrace.FuncMin, millrace.FuncMax, millrace.FuncQuantiles, millrace.FuncUniq:
	default:
		return invalid(s, "metric %s: unknown function %q", m.Name, m.Func)
	}
	if m.Scale < 0 || m.Scale > 9 {
		return invalid(s, "metric %s: scale %d: must be between 0 and 9", m.Name, m.Scale)
	}
	for _, q := range m.Quantiles {
		if !(q > 0 && q < 1) {
			return invalid(s, "metric %s: quantile %v: must be above 0 and below 1", m.Name, q)
		}
	}
	return nil
}

func checkStates(s *millrace.RollupSchema) error {
	seen := map[string]bool{}
	for _, st := range s.States() {
		if seen[st.Name] {
			return invalid(s, "metric %s: the name is taken by the state of another metric", st.Name)
		}
		seen[st.Name] = true
	}
	return nil
}

func checkSets(s *millrace.RollupSchema) error {
	seen := map[string]bool{}
	for _, set := range s.Sets {
		for i, d := range set.Dims {
			if d < 0 || d >= len(s.Dimensions) {
				return invalid(s, "a set names dimension %d of %d", d, len(s.Dimensions))
			}
			if i > 0 && d <= set.Dims[i-1] {
				return invalid(s, "set [%s]: dimensions must ascend in the order of the definition", s.SetName(set))
			}
		}
		if name := s.SetName(set); seen[name] {
			return invalid(s, "set [%s] is named twice", name)
		}
		seen[s.SetName(set)] = true
		if len(set.Granularities) == 0 {
			return invalid(s, "set [%s] is kept at no granularity", s.SetName(set))
		}
		for _, g := range set.Granularities {
			if _, ok := millrace.ParseGranularity(g.String()); !ok {
				return invalid(s, "set [%s]: unknown granularity of %d s", s.SetName(set), int64(g))
			}
		}
	}
	return nil
}

func checkName(kind, name string) error {
	if len(name) > MaxName || !nameRE.MatchString(name) {
		return millrace.Errorf(millrace.ErrInvalid,
			"%s %q: a name is a lower-case letter, then letters, digits and _, at most %d in all", kind, name, MaxName)
	}
	return nil
}

func invalid(s *millrace.RollupSchema, format string, args ...any) error {
	err := millrace.Errorf(millrace.ErrInvalid, format, args...)
	err.Message = "rollup " + s.Name + ": " + err.Message
	return err
}

// Def is what is remembered of a metric for ever: states already stored mean
// this and nothing else.
type Def struct {
	Func  millrace.MetricFunc
	Scale int
}

// CheckChange reports ErrConflict if s gives a metric that existed another
// function or scale.
func CheckChange(old map[string]Def, s *millrace.RollupSchema) error {
	for _, m := range s.Metrics {
		was, ok := old[m.Name]
		if !ok || was == (Def{m.Func, m.Scale}) {
			continue
		}
		return millrace.Errorf(millrace.ErrConflict,
			"rollup %s: metric %s was %s with scale %d and cannot become %s with scale %d: use another name",
			s.Name, m.Name, was.Func, was.Scale, m.Func, m.Scale)
	}
	return nil
}

// FindSet returns the set of s with the dimensions of set.
func FindSet(s *millrace.RollupSchema, set millrace.DimensionSet) (millrace.DimensionSet, bool) {
	for _, have := range s.Sets {
		if slices.Equal(have.Dims, set.Dims) {
			return have, true
		}
	}
	return millrace.DimensionSet{}, false
}
