package query

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
	"github.com/millrace/millrace/sketch"
)

// column finishes one metric's state into one value of the answer.
type column struct {
	name   string
	metric millrace.Metric
	q      float64 // of quantiles
	state  int     // index in RollupSchema.States
	second int     // avg: state of the number of values, else -1
}

// columns resolves names of metrics. quantiles metrics are named with the
// quantile, rt_p95 or rt_p99_9; the bare name stands for those declared. No
// names stand for all metrics.
func columns(sc *millrace.RollupSchema, names []string) ([]column, error) {
	if len(names) == 0 {
		for _, m := range sc.Metrics {
			names = append(names, m.Name)
		}
	}
	var out []column
	for _, n := range names {
		cols, err := resolve(sc, n)
		if err != nil {
			return nil, err
		}
		for _, c := range cols {
			if !slices.ContainsFunc(out, func(o column) bool { return o.name == c.name }) {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

func resolve(sc *millrace.RollupSchema, name string) ([]column, error) {
	for i, m := range sc.Metrics {
		if m.Name != name {
			continue
		}
		if m.Func != millrace.FuncQuantiles {
			return []column{newColumn(sc, i, name, 0)}, nil
		}
		var out []column
		for _, q := range rollupdef.Quantiles(&sc.Metrics[i]) {
			out = append(out, newColumn(sc, i, rollupdef.QuantileColumn(m.Name, q), q))
		}
		return out, nil
	}
	for i, m := range sc.Metrics {
		rest, ok := strings.CutPrefix(name, m.Name+"_p")
		if !ok || m.Func != millrace.FuncQuantiles {
			continue
		}
		if q, ok := parseQuantile(rest); ok {
			return []column{newColumn(sc, i, name, q)}, nil
		}
		return nil, millrace.Errorf(millrace.ErrInvalid,
			"metrics: %q: a quantile is written %s_p95 or %s_p99_9, between 0 and 100", name, m.Name, m.Name)
	}
	var have []string
	for _, m := range sc.Metrics {
		if m.Func == millrace.FuncQuantiles {
			have = append(have, m.Name+"_p95 (any quantile)")
		} else {
			have = append(have, m.Name)
		}
	}
	return nil, millrace.Errorf(millrace.ErrInvalid, "metrics: rollup %s has no metric %q; there are %s", sc.Name, name, nameList(have))
}

func newColumn(sc *millrace.RollupSchema, metric int, name string, q float64) column {
	c := column{name: name, metric: sc.Metrics[metric], q: q, state: -1, second: -1}
	for i, s := range sc.States() {
		if s.Metric != metric {
			continue
		}
		if c.state < 0 {
			c.state = i
		} else {
			c.second = i
		}
	}
	return c
}

func parseQuantile(s string) (float64, bool) {
	if s == "" || strings.Trim(s, "0123456789_") != "" || strings.Count(s, "_") > 1 || s[0] == '_' || s[len(s)-1] == '_' {
		return 0, false
	}
	p, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", "."), 64)
	return p / 100, err == nil && p > 0 && p < 100
}

// value finishes row i. states holds the columns that were asked for, at maps
// an index of RollupSchema.States to its place there; seconds is the width of
// the row's bucket. It returns nil, int64, float64 or json.Number.
func (c *column) value(states []millrace.StateColumn, at map[int]int, i int, seconds float64) (any, error) {
	st := &states[at[c.state]]
	switch c.metric.Func {
	case millrace.FuncCount:
		return st.Ints[i], nil
	case millrace.FuncRate:
		return finite(float64(st.Ints[i]) / seconds), nil
	case millrace.FuncSum:
		return scaled(st.Ints[i], c.metric.Scale), nil
	case millrace.FuncAvg:
		n := states[at[c.second]].Ints[i]
		return finite(float64(st.Ints[i]) / math.Pow10(c.metric.Scale) / float64(n)), nil
	case millrace.FuncMin, millrace.FuncMax:
		return finite(st.Floats[i]), nil
	case millrace.FuncQuantiles:
		if len(st.Blobs[i]) == 0 {
			return nil, nil
		}
		q, err := sketch.QuantileOf(st.Blobs[i], c.q)
		if err != nil {
			return nil, corrupt(c.name, err)
		}
		return finite(q), nil
	case millrace.FuncUniq:
		if len(st.Blobs[i]) == 0 {
			return int64(0), nil
		}
		n, err := sketch.EstimateOf(st.Blobs[i])
		if err != nil {
			return nil, corrupt(c.name, err)
		}
		return int64(n), nil
	}
	return nil, fmt.Errorf("metric %s: unknown function %q", c.name, c.metric.Func)
}

func corrupt(name string, err error) error {
	return &millrace.Error{
		Code: millrace.ErrCorrupt, Op: "read sketch of " + name,
		Message: "a stored sketch of " + name + " cannot be read", Err: err,
	}
}

// finite returns nil for what JSON cannot say: no value.
func finite(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return f
}

// scaled returns v / 10^scale exactly: an integer, or a decimal without
// trailing zeros.
func scaled(v int64, scale int) any {
	if scale == 0 {
		return v
	}
	neg := v < 0
	digits := strconv.FormatInt(v, 10)
	if neg {
		digits = digits[1:]
	}
	if pad := scale + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	whole, frac := digits[:len(digits)-scale], strings.TrimRight(digits[len(digits)-scale:], "0")
	if frac != "" {
		whole += "." + frac
	}
	if neg {
		whole = "-" + whole
	}
	return json.Number(whole)
}
