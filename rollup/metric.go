package rollup

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// DefaultQuantiles are the columns a quantiles metric offers unless it names
// its own. Any other quantile can still be asked for through the API.
var DefaultQuantiles = []float64{0.5, 0.75, 0.9, 0.95, 0.99}

var metricRE = regexp.MustCompile(`(?s)^\s*([a-z]+)\s*\(\s*([^(),\s]*)\s*((?:,[^(),]*)*)\)\s*(?:where\s+(.*))?$`)

// IsCall reports whether an expression is a call that events feed, such as
// count() or sum(bytes), and not arithmetic over metrics.
func IsCall(expr string) bool {
	match := metricRE.FindStringSubmatch(expr)
	return match != nil && (match[1] != string(millrace.FuncRate) || match[2] == "")
}

// ParseMetric parses FUNC(), FUNC(field), sum(field, digits), avg(field,
// digits) and quantiles(field, q…), each with a condition: count() where status
// >= 500.
func ParseMetric(name, expr string) (millrace.Metric, error) {
	m := millrace.Metric{Name: name}
	match := metricRE.FindStringSubmatch(expr)
	if match == nil {
		return m, fmt.Errorf("a call such as count(), sum(bytes) or quantiles(rt), perhaps with a condition: count() where status >= 500")
	}
	m.Func, m.Field, m.Where = millrace.MetricFunc(match[1]), match[2], strings.TrimSpace(match[4])
	var args []string
	for a := range strings.SplitSeq(strings.TrimPrefix(match[3], ","), ",") {
		if a = strings.TrimSpace(a); a != "" {
			args = append(args, a)
		}
	}
	if err := parseArgs(&m, args); err != nil {
		return m, err
	}
	if _, err := compileWhere(m.Where); err != nil {
		return m, err
	}
	return m, nil
}

func parseArgs(m *millrace.Metric, args []string) error {
	needsField := true
	switch m.Func {
	case millrace.FuncCount, millrace.FuncRate:
		needsField = false
	case millrace.FuncSum, millrace.FuncAvg:
		return scaleArg(m, args)
	case millrace.FuncQuantiles:
		return quantileArgs(m, args)
	case millrace.FuncMin, millrace.FuncMax, millrace.FuncUniq:
	default:
		return fmt.Errorf("one of count, rate, sum, avg, min, max, quantiles, uniq")
	}
	if needsField != (m.Field != "") || len(args) > 0 {
		want := "()"
		if needsField {
			want = "(field)"
		}
		return fmt.Errorf("%s%s", m.Func, want)
	}
	return nil
}

func scaleArg(m *millrace.Metric, args []string) error {
	if m.Field == "" || len(args) > 1 {
		return fmt.Errorf("%s(field) or %s(field, decimal digits)", m.Func, m.Func)
	}
	if len(args) == 1 {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 0 || n > 9 {
			return fmt.Errorf("%s(field, digits) with 0 to 9 digits", m.Func)
		}
		m.Scale = n
	} else if m.Func == millrace.FuncAvg {
		m.Scale = 6 // an average of whole numbers only would surprise
	}
	return nil
}

func quantileArgs(m *millrace.Metric, args []string) error {
	if m.Field == "" {
		return fmt.Errorf("quantiles(field) or quantiles(field, 0.5, 0.99)")
	}
	m.Quantiles = DefaultQuantiles
	if len(args) == 0 {
		return nil
	}
	m.Quantiles = nil
	for _, a := range args {
		q, err := strconv.ParseFloat(a, 64)
		if err != nil || q <= 0 || q >= 1 || slices.Contains(m.Quantiles, q) {
			return fmt.Errorf("distinct quantiles between 0 and 1; %s is not", a)
		}
		m.Quantiles = append(m.Quantiles, q)
	}
	slices.Sort(m.Quantiles)
	return nil
}

// Cube returns every set of at most n of the dimensions, the empty one included.
func Cube(dimensions []string, n int) [][]string {
	sets := [][]string{{}}
	for _, d := range dimensions {
		for _, s := range sets {
			if len(s) < n {
				sets = append(sets, append(slices.Clone(s), d))
			}
		}
	}
	return sets
}
