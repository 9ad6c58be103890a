package rollupdef

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/formula"
)

// FindMetric returns the index of the metric that has a column: a metric's name,
// or that of a quantiles metric with any quantile, rt_p95, rt_p99_9 or rt_p99.9.
// q is 0 where the name says none.
func FindMetric(s *millrace.RollupSchema, name string) (metric int, q float64, ok bool) {
	for i := range s.Metrics {
		if s.Metrics[i].Name == name {
			return i, 0, true
		}
	}
	for i := range s.Metrics {
		rest, found := strings.CutPrefix(name, s.Metrics[i].Name+"_p")
		if !found || s.Metrics[i].Func != millrace.FuncQuantiles {
			continue
		}
		if q, ok := ParseQuantile(rest); ok {
			return i, q, true
		}
	}
	return -1, 0, false
}

// ParseQuantile reads the percentile behind _p: 95, 99_9 or 99.9.
func ParseQuantile(s string) (float64, bool) {
	s = strings.Replace(s, "_", ".", 1)
	if s == "" || strings.Trim(s, "0123456789.") != "" || strings.Count(s, ".") > 1 || s[0] == '.' || s[len(s)-1] == '.' {
		return 0, false
	}
	p, err := strconv.ParseFloat(s, 64)
	return p / 100, err == nil && p > 0 && p < 100
}

// CheckDerived reports what is wrong with derived metric i of a definition: it
// must be arithmetic over metrics, quantiles of them, and derived metrics before
// it.
func CheckDerived(s *millrace.RollupSchema, i int) error {
	d := s.Derived[i]
	e, err := formula.Number(d.Expr)
	if err != nil {
		return fmt.Errorf("arithmetic over metrics such as errors / pv: %w", err)
	}
	if len(e.Names()) == 0 {
		return errors.New("arithmetic over metrics such as errors / pv; it names none")
	}
	for _, n := range e.Names() {
		if slices.ContainsFunc(s.Derived[:i], func(o millrace.Derived) bool { return o.Name == n }) {
			continue
		}
		m, q, ok := FindMetric(s, n)
		if !ok {
			return fmt.Errorf("made of metrics that exist; there is no %q (a derived metric must stand before those that use it)", n)
		}
		if q == 0 && s.Metrics[m].Func == millrace.FuncQuantiles {
			return fmt.Errorf("made of numbers; %s is quantiles: name one, such as %s_p95", n, n)
		}
	}
	return nil
}

// QuantileText writes a quantile as SQL does.
func QuantileText(q float64) string { return strconv.FormatFloat(math.Round(q*1e10)/1e10, 'f', -1, 64) }
