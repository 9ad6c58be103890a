package query

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/formula"
	"github.com/millrace/millrace/internal/rollupdef"
	"github.com/millrace/millrace/rollup"
	"github.com/millrace/millrace/sketch"
)

// column makes one value of a row: of a metric's state, or of other columns.
type column struct {
	name   string
	metric millrace.Metric
	index  int     // in the schema's Metrics; -1 if it is computed from others
	q      float64 // of quantiles
	state  int     // index in RollupSchema.States
	second int     // avg: state of the number of values, else -1

	expr *formula.Expr  // computed
	refs map[string]int // its names: indexes in columnSet.all
}

// columnSet is the columns of an answer, and those that they, having and order
// need besides. A column comes after those that it is computed from.
type columnSet struct {
	schema millrace.RollupSchema // with the metrics that a question defines itself
	all    []column
	shown  []int
}

// newColumns resolves what is asked for: names of metrics, derived or not; any
// quantile as rt_p95 or rt_p99.9; metrics defined on the spot, such as
// sum(price, 2) or p=errors/pv. The bare name of a quantiles metric stands for
// the quantiles declared. Nothing stands for all metrics of the rollup.
func newColumns(sc *millrace.RollupSchema, items []string) (*columnSet, error) {
	cs := &columnSet{schema: rollupdef.Clone(sc)}
	if len(items) == 0 {
		for _, m := range sc.Metrics {
			items = append(items, m.Name)
		}
		for _, d := range sc.Derived {
			items = append(items, d.Name)
		}
	}
	for _, item := range items {
		at, err := cs.item(item)
		if err != nil {
			return nil, err
		}
		for _, i := range at {
			if !slices.Contains(cs.shown, i) {
				cs.shown = append(cs.shown, i)
			}
		}
	}
	return cs, nil
}

var aliasRE = regexp.MustCompile(`^\s*([a-z][a-z0-9_]*)\s*=([^=].*)$`)

// item returns the columns of one item of the list.
func (cs *columnSet) item(item string) ([]int, error) {
	alias, expr := "", strings.TrimSpace(item)
	if m := aliasRE.FindStringSubmatch(item); m != nil {
		alias, expr = m[1], strings.TrimSpace(m[2])
		if slices.Contains(cs.schema.Dimensions, alias) || cs.find(alias) >= 0 || cs.known(alias) {
			return nil, millrace.Errorf(millrace.ErrInvalid, "metrics: %q: the name is taken", alias)
		}
	}
	switch {
	case cs.known(expr) && alias == "":
		return cs.named(expr)
	case rollup.IsCall(expr):
		return cs.call(alias, expr)
	case alias != "" || strings.ContainsAny(expr, "+-*/("):
		name := alias
		if name == "" {
			name = strings.Join(strings.Fields(expr), "")
		}
		return cs.computed(name, expr)
	}
	return cs.named(expr)
}

// known reports whether the rollup has a metric of that name.
func (cs *columnSet) known(name string) bool {
	_, _, ok := rollupdef.FindMetric(&cs.schema, name)
	return ok || slices.ContainsFunc(cs.schema.Derived, func(d millrace.Derived) bool { return d.Name == name })
}

func (cs *columnSet) find(name string) int {
	return slices.IndexFunc(cs.all, func(c column) bool { return c.name == name })
}

// named returns the columns of a metric of the rollup.
func (cs *columnSet) named(name string) ([]int, error) {
	if i := cs.find(name); i >= 0 {
		return []int{i}, nil
	}
	for _, d := range cs.schema.Derived {
		if d.Name == name {
			return cs.computed(name, d.Expr)
		}
	}
	m, q, ok := rollupdef.FindMetric(&cs.schema, name)
	if !ok {
		return nil, cs.unknown(name)
	}
	return cs.metric(m, name, q), nil
}

func (cs *columnSet) unknown(name string) error {
	var have []string
	for _, m := range cs.schema.Metrics {
		if rest, ok := strings.CutPrefix(name, m.Name+"_p"); ok && m.Func == millrace.FuncQuantiles {
			return millrace.Errorf(millrace.ErrInvalid,
				"metrics: %q: a quantile is written %s_p95 or %s_p99.9, between 0 and 100, not %s", name, m.Name, m.Name, rest)
		}
		if m.Func == millrace.FuncQuantiles {
			have = append(have, m.Name+"_p95 (any quantile)")
		} else {
			have = append(have, m.Name)
		}
	}
	for _, d := range cs.schema.Derived {
		have = append(have, d.Name)
	}
	return millrace.Errorf(millrace.ErrInvalid, "metrics: rollup %s has no metric %q; there are %s", cs.schema.Name, name, nameList(have))
}

// metric returns the columns of metric m: of one quantile if q is not 0, of all
// that are declared if it is one of quantiles.
func (cs *columnSet) metric(m int, name string, q float64) []int {
	if cs.schema.Metrics[m].Func != millrace.FuncQuantiles || q > 0 {
		return []int{cs.add(cs.stateColumn(m, name, q))}
	}
	var out []int
	for _, q := range rollupdef.Quantiles(&cs.schema.Metrics[m]) {
		out = append(out, cs.add(cs.stateColumn(m, rollupdef.QuantileColumn(name, q), q)))
	}
	return out
}

func (cs *columnSet) add(c column) int {
	if i := cs.find(c.name); i >= 0 {
		return i
	}
	cs.all = append(cs.all, c)
	return len(cs.all) - 1
}

func (cs *columnSet) stateColumn(metric int, name string, q float64) column {
	c := column{name: name, metric: cs.schema.Metrics[metric], index: metric, q: q, state: -1, second: -1}
	for i, s := range cs.schema.States() {
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

// call returns the columns of a metric that is defined on the spot. If the
// rollup has the same, its cells answer.
func (cs *columnSet) call(alias, expr string) ([]int, error) {
	m, err := rollup.ParseMetric("", expr)
	if err != nil {
		return nil, millrace.Errorf(millrace.ErrInvalid, "metrics: %q: must be %s", expr, err)
	}
	name := alias
	switch {
	case name != "":
	case m.Func == millrace.FuncQuantiles:
		name = m.Field
	default:
		name = strings.Join(strings.Fields(expr), "")
	}
	for i, have := range cs.schema.Metrics {
		if have.Func == m.Func && have.Field == m.Field && have.Scale == m.Scale && have.Where == m.Where {
			if m.Func == millrace.FuncQuantiles && len(m.Quantiles) > 0 {
				return cs.quantilesOf(i, name, m.Quantiles), nil
			}
			return cs.metric(i, name, 0), nil
		}
	}
	// A name for the state; no configured metric has such a one.
	m.Name, m.CompleteFrom = fmt.Sprintf("raw_%d_", len(cs.schema.Metrics)), rollupdef.Never
	cs.schema.Metrics = append(cs.schema.Metrics, m)
	return cs.metric(len(cs.schema.Metrics)-1, name, 0), nil
}

func (cs *columnSet) quantilesOf(m int, name string, qs []float64) []int {
	var out []int
	for _, q := range qs {
		out = append(out, cs.add(cs.stateColumn(m, rollupdef.QuantileColumn(name, q), q)))
	}
	return out
}

// computed returns a column of arithmetic over others.
func (cs *columnSet) computed(name, expr string) ([]int, error) {
	e, err := formula.Number(expr)
	if err != nil {
		return nil, millrace.Errorf(millrace.ErrInvalid, "metrics: %q: %s", expr, err)
	}
	refs, err := cs.refs("metrics", e)
	if err != nil {
		return nil, err
	}
	return []int{cs.add(column{name: name, index: -1, state: -1, second: -1, expr: e, refs: refs})}, nil
}

// refs resolves the names of an expression to single columns.
func (cs *columnSet) refs(what string, e *formula.Expr) (map[string]int, error) {
	refs := map[string]int{}
	for _, n := range e.Names() {
		at, err := cs.named(n)
		if err != nil {
			return nil, err
		}
		if len(at) != 1 {
			return nil, millrace.Errorf(millrace.ErrInvalid, "%s: %s is quantiles; name one, such as %s_p95", what, n, n)
		}
		refs[n] = at[0]
	}
	return refs, nil
}

// states returns which states of the schema all columns need, ascending.
func (cs *columnSet) states() []int {
	var out []int
	for _, c := range cs.all {
		for _, i := range []int{c.state, c.second} {
			if i >= 0 && !slices.Contains(out, i) {
				out = append(out, i)
			}
		}
	}
	slices.Sort(out)
	return out
}

// since returns since when cells have the metrics of all columns. have are the
// Store's metrics; one that it does not know has no cells.
func (cs *columnSet) since(have []millrace.Metric) int64 {
	from := int64(0)
	for _, c := range cs.all {
		if c.index < 0 {
			continue
		}
		at := slices.IndexFunc(have, func(m millrace.Metric) bool { return m.Name == c.metric.Name })
		if at < 0 || c.metric.CompleteFrom == rollupdef.Never {
			return rollupdef.Never
		}
		from = max(from, have[at].CompleteFrom)
	}
	return from
}

// values finishes row i of merged states: a value for each of all columns. at maps
// an index of the schema's states to its place in states; i < 0 stands for
// nothing at all. seconds is the width of the row's step.
func (cs *columnSet) values(states []millrace.StateColumn, at map[int]int, i int, seconds float64) ([]any, error) {
	out := make([]any, len(cs.all))
	for k := range cs.all {
		c := &cs.all[k]
		if c.expr != nil {
			out[k] = finite(c.expr.Value(func(name string) float64 { return Float(out[c.refs[name]]) }, seconds))
			continue
		}
		v, err := c.value(states, at, i, seconds)
		if err != nil {
			return nil, err
		}
		out[k] = v
	}
	return out, nil
}

// value finishes a state into nil, int64, float64 or json.Number.
func (c *column) value(states []millrace.StateColumn, at map[int]int, i int, seconds float64) (any, error) {
	if i < 0 {
		return c.nothing(), nil
	}
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

// nothing is the value where no event is.
func (c *column) nothing() any {
	switch c.metric.Func {
	case millrace.FuncCount, millrace.FuncSum, millrace.FuncUniq:
		return int64(0)
	case millrace.FuncRate:
		return 0.0
	}
	return nil
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
