package rollup

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/formula"
	"github.com/millrace/millrace/internal/rollupdef"
)

// Definition is one rollup as the configuration states it.
type Definition struct {
	Name          string
	Where         string                // expression that selects events; empty takes all
	Dimensions    []string              // columns or attributes
	Sets          [][]string            // sets of dimensions kept at every granularity
	SetsAt        map[string][][]string // sets kept only at the granularity named
	Metrics       []NamedMetric
	Granularities []string // of Sets; empty is 1m, 1h, 1d
}

// NamedMetric is a metric's name and its expression: a call, for instance
// "quantiles(rt)", "sum(price, 2)" or "count() where status >= 500", or
// arithmetic over other metrics, "errors / pv".
type NamedMetric struct {
	Name, Expr string
}

// Limits of a definition. A set is a table column group in every Store and a
// map lookup per event, so they are bounded where more is surely a mistake.
const (
	MaxDimensions = 32
	MaxSets       = 1000
	MaxMetrics    = 32
)

// Defaults returns the rollups that exist without any configuration.
func Defaults() []Definition {
	return []Definition{
		{
			Name:       "traffic",
			Where:      `kind == "access"`,
			Dimensions: []string{"service", "host", "url", "method", "status"},
			Sets:       [][]string{{}, {"service"}, {"url"}, {"status"}, {"service", "url"}, {"service", "status"}},
			Metrics: []NamedMetric{
				{"pv", "count()"},
				{"uv", "uniq(client_ip)"},
				{"bytes", "sum(bytes)"},
				{"rt", "quantiles(rt)"},
				{"rt_backend", "quantiles(rt_backend)"},
			},
		},
		{
			Name:       "exceptions",
			Where:      `kind == "exception"`,
			Dimensions: []string{"project", "service", "env", "release", "error_class", "type", "host", "fingerprint"},
			Sets:       exceptionSets(),
			Metrics:    []NamedMetric{{"count", "count()"}, {"users", "uniq(user)"}},
		},
		{
			Name:       "timings",
			Where:      `kind == "metric"`,
			Dimensions: []string{"name", "service", "release", "os", "device"},
			Sets: [][]string{
				{},
				{"name"},
				{"name", "service"},
				{"name", "release"},
				{"name", "os"},
				{"name", "device"},
				{"name", "service", "release"},
				{"name", "os", "device"},
			},
			Metrics: []NamedMetric{{"count", "count()"}, {"value", "quantiles(value)"}},
		},
	}
}

// exceptionSets are those of the default rollup of exceptions: what incident
// responders ask first (how many, of which type, on which host), over all, per
// service and per environment; and what the pages of issues ask, which always
// name a project and the environments that count as one.
func exceptionSets() [][]string {
	var out [][]string
	add := func(scope []string, sets ...[]string) {
		for _, s := range sets {
			out = append(out, append(slices.Clone(scope), s...))
		}
	}
	for _, scope := range [][]string{{}, {"service"}, {"env"}, {"service", "env"}} {
		add(scope, []string{}, []string{"type"}, []string{"host"}, []string{"type", "host"}, []string{"fingerprint"})
	}
	add([]string{"project", "env"},
		[]string{}, []string{"type"}, []string{"fingerprint"}, []string{"error_class"}, []string{"service"}, []string{"release"}, []string{"host"},
		[]string{"fingerprint", "release"}, []string{"fingerprint", "host"}, []string{"fingerprint", "service"},
		[]string{"type", "host"}, []string{"type", "release"}, []string{"error_class", "type"}, []string{"error_class", "fingerprint"})
	return out
}

// Rollup is a checked definition, ready for an Engine.
type Rollup struct {
	millrace.RollupSchema
	where   func(*millrace.Event) bool
	metrics []metric
}

// metric is a compiled metric: where its first state column lies and how an
// event's field is read.
type metric struct {
	fn    millrace.MetricFunc
	field string
	scale float64 // 10^Scale
	state int     // index of its first state column
}

var nameRE = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Compile checks a definition. Every violation is added to v under path; the
// result is nil if there was one.
func Compile(def Definition, path string, v *millrace.Violations) *Rollup {
	c := compiler{def: def, path: path, v: v}
	c.names()
	c.where()
	c.sets()
	c.metrics()
	if c.failed {
		return nil
	}
	return &c.out
}

type compiler struct {
	def    Definition
	path   string
	v      *millrace.Violations
	failed bool
	out    Rollup
}

func (c *compiler) bad(field string, value any, bound string) {
	c.failed = true
	c.v.Add(c.path+"."+field, value, bound)
}

func (c *compiler) names() {
	if !nameRE.MatchString(c.def.Name) {
		c.bad("name", fmt.Sprintf("%q", c.def.Name), "a lower-case letter, then at most 62 of a-z, 0-9 and _")
	}
	if n := len(c.def.Dimensions); n > MaxDimensions {
		c.bad("dimensions", n, fmt.Sprintf("at most %d", MaxDimensions))
	}
	seen := map[string]bool{}
	for _, d := range c.def.Dimensions {
		if d == "" || len(d) > 63 || reserved[d] || seen[d] {
			c.bad("dimensions", fmt.Sprintf("%q", d), "a distinct field name of 1 to 63 bytes, not granularity, bucket or dimension_set")
		}
		seen[d] = true
	}
	c.out.Name, c.out.Where, c.out.Dimensions = c.def.Name, c.def.Where, c.def.Dimensions
}

// reserved are the other columns of a rollup's SQL view.
var reserved = map[string]bool{"granularity": true, "bucket": true, "dimension_set": true}

func (c *compiler) where() {
	f, err := compileWhere(c.def.Where)
	if err != nil {
		c.bad("where", fmt.Sprintf("%q", c.def.Where), err.Error())
		return
	}
	c.out.where = f
}

func (c *compiler) sets() {
	all := map[string]*millrace.DimensionSet{}
	grans := c.def.Granularities
	if len(grans) == 0 {
		grans = []string{"1m", "1h", "1d"}
	}
	for _, g := range grans {
		c.addSets(all, g, c.def.Sets)
	}
	for _, g := range slices.Sorted(maps.Keys(c.def.SetsAt)) {
		c.addSets(all, g, c.def.SetsAt[g])
	}
	if len(all) == 0 || len(all) > MaxSets {
		c.bad("sets", len(all), fmt.Sprintf("1 to %d sets", MaxSets))
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		set := all[name]
		slices.Sort(set.Granularities)
		c.out.Sets = append(c.out.Sets, *set)
	}
	sort.SliceStable(c.out.Sets, func(i, j int) bool { return len(c.out.Sets[i].Dims) < len(c.out.Sets[j].Dims) })
}

func (c *compiler) addSets(all map[string]*millrace.DimensionSet, granularity string, sets [][]string) {
	g, ok := millrace.ParseGranularity(granularity)
	if !ok {
		c.bad("granularities", granularity, "1m, 1h or 1d")
		return
	}
	for _, names := range sets {
		var dims []int
		for _, n := range names {
			i := slices.Index(c.def.Dimensions, n)
			if i < 0 || slices.Contains(dims, i) {
				c.bad("sets", "["+strings.Join(names, ", ")+"]", "distinct names from dimensions; "+n+" is not")
				return
			}
			dims = append(dims, i)
		}
		slices.Sort(dims)
		name := c.out.SetName(millrace.DimensionSet{Dims: dims})
		set := all[name]
		if set == nil {
			set = &millrace.DimensionSet{Dims: dims}
			all[name] = set
		}
		if !slices.Contains(set.Granularities, g) {
			set.Granularities = append(set.Granularities, g)
		}
	}
}

func (c *compiler) metrics() {
	if n := len(c.def.Metrics); n == 0 || n > MaxMetrics {
		c.bad("metrics", n, fmt.Sprintf("1 to %d", MaxMetrics))
	}
	seen := map[string]bool{}
	for _, d := range c.def.Dimensions {
		seen[d] = true
	}
	for _, nm := range c.def.Metrics {
		if !nameRE.MatchString(nm.Name) || seen[nm.Name] || reserved[nm.Name] {
			c.bad("metrics."+nm.Name, nm.Expr, "named with a-z, 0-9 and _, unlike any other metric or dimension")
			continue
		}
		seen[nm.Name] = true
		if !IsCall(nm.Expr) && formula.IsArithmetic(nm.Expr) {
			c.out.Derived = append(c.out.Derived, millrace.Derived{Name: nm.Name, Expr: nm.Expr})
			continue
		}
		m, err := ParseMetric(nm.Name, nm.Expr)
		if err != nil {
			c.bad("metrics."+nm.Name, nm.Expr, err.Error())
			continue
		}
		c.out.Metrics = append(c.out.Metrics, m)
		pow := 1.0
		for range m.Scale {
			pow *= 10
		}
		c.out.metrics = append(c.out.metrics, metric{fn: m.Func, field: conditional(m.Field, m.Where), scale: pow})
	}
	for i, d := range c.out.Derived {
		if err := rollupdef.CheckDerived(&c.out.RollupSchema, i); err != nil {
			c.bad("metrics."+d.Name, d.Expr, err.Error())
		}
	}
	for i, s := range slices.Backward(c.out.States()) {
		c.out.metrics[s.Metric].state = i
	}
}
