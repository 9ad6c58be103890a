package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// Rollups are definitions by name; nil removes a default.
type Rollups map[string]*Rollup

// Rollup is one definition as written in YAML.
type Rollup struct {
	Where         string        `yaml:"where" doc:"Condition in expr-lang's syntax that selects the events; empty takes all." example:"kind == \"access\" and status >= 500"`
	Dimensions    []string      `yaml:"dimensions" doc:"Columns or attributes to group by." example:"service,url,status"`
	Sets          any           `yaml:"sets" doc:"Sets of dimensions to keep: a list of lists, cube(N) for all sets of at most N, or a map from granularity to one of these." example:"[[], [service], [service, url]]"`
	Metrics       yaml.MapSlice `yaml:"metrics" doc:"Metrics by name: count(), rate(), sum(field), sum(field, digits), avg(field), min(field), max(field), quantiles(field), quantiles(field, 0.5, 0.99), uniq(field), each perhaps with a condition: count() where status >= 500. Or arithmetic over other metrics, computed when asked: errors / pv, rate(bytes) * 8, rt_p99 - rt_p50." example:"pv: count()"`
	Granularities []string      `yaml:"granularities" doc:"Some of 1m, 1h, 1d; all by default." example:"1m,1h"`
}

// compile compiles the defaults and what replaces or joins them.
func (c *Config) compile(v *millrace.Violations) []*rollup.Rollup {
	defs := map[string]rollup.Definition{}
	for _, d := range rollup.Defaults() {
		defs[d.Name] = d
	}
	for _, name := range slices.Sorted(maps.Keys(c.Rollups)) {
		r := c.Rollups[name]
		if r == nil {
			delete(defs, name)
			continue
		}
		defs[name] = r.definition(name, v)
	}
	var out []*rollup.Rollup
	for _, name := range slices.Sorted(maps.Keys(defs)) {
		if r := rollup.Compile(defs[name], "rollups."+name, v); r != nil {
			out = append(out, r)
		}
	}
	return out
}

func (r *Rollup) definition(name string, v *millrace.Violations) rollup.Definition {
	def := rollup.Definition{Name: name, Where: r.Where, Dimensions: r.Dimensions, Granularities: r.Granularities}
	path := "rollups." + name
	for _, m := range r.Metrics {
		def.Metrics = append(def.Metrics, rollup.NamedMetric{Name: fmt.Sprint(m.Key), Expr: fmt.Sprint(m.Value)})
	}
	if byGranularity, ok := r.Sets.(map[string]any); ok {
		def.SetsAt = map[string][][]string{}
		for g, sets := range byGranularity {
			def.SetsAt[g] = parseSets(sets, r.Dimensions, path+".sets."+g, v)
		}
		return def
	}
	def.Sets = parseSets(r.Sets, r.Dimensions, path+".sets", v)
	return def
}

const setsBound = "a list of lists of dimensions, or cube(N)"

// parseSets reads cube(N), or a list of lists and cubes.
func parseSets(sets any, dims []string, path string, v *millrace.Violations) [][]string {
	switch s := sets.(type) {
	case string:
		num, ok := strings.CutPrefix(s, "cube(")
		n, err := strconv.Atoi(strings.TrimSuffix(num, ")"))
		if !ok || err != nil || n < 0 || n > len(dims) {
			v.Add(path, s, fmt.Sprintf("%s with N from 0 to %d", setsBound, len(dims)))
			return nil
		}
		return rollup.Cube(dims, n)
	case []any:
		var out [][]string
		for _, item := range s {
			names, ok := item.([]any)
			if !ok {
				out = append(out, parseSets(item, dims, path, v)...)
				continue
			}
			set := make([]string, len(names))
			for i, n := range names {
				set[i] = fmt.Sprint(n)
			}
			out = append(out, set)
		}
		return out
	}
	v.Add(path, fmt.Sprint(sets), setsBound)
	return nil
}
