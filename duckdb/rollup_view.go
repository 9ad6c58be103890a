package duckdb

import (
	"fmt"
	"math"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// view returns the statement that defines rollup_NAME: one row per cell of each
// granularity, what is open or late included.
//
// granularity is a constant of each branch, so that a filter on it leaves one;
// filters on bucket and dimensions pass through the grouping to the tables; and
// metrics that are not selected are not merged.
func (k *cube) view() string {
	var branches []string
	for _, g := range []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day} {
		branches = append(branches, k.viewBranch(g))
	}
	return fmt.Sprintf("CREATE OR REPLACE VIEW %s AS %s", ident("rollup_"+k.schema.Name), strings.Join(branches, "\nUNION ALL "))
}

func (k *cube) viewBranch(g millrace.Granularity) string {
	keys := []string{"set_id", "bucket"}
	var dims, outer []string
	for _, d := range k.schema.Dimensions {
		dims = append(dims, ident(dimColumn(d)))
		outer = append(outer, ident(dimColumn(d))+" AS "+ident(d))
	}
	var states []string
	for _, spec := range k.states {
		c := ident(stateColumn(&k.schema, spec))
		states = append(states, merged(spec.Kind, c)+" AS "+c)
	}
	for i := range k.schema.Metrics {
		outer = append(outer, metricSQL(&k.schema.Metrics[i], g)...)
	}
	return fmt.Sprintf("SELECT %s AS granularity, bucket, %s AS dimension_set, %s\nFROM (SELECT %s FROM %s WHERE set_id IN (%s) GROUP BY %s)",
		quote(g.String()), k.setNameSQL(), list(outer),
		list(keys, dims, states), k.source(g), k.keptAt(g), ordinals(len(keys)+len(dims)))
}

// setNameSQL returns the name of a row's set.
func (k *cube) setNameSQL() string {
	var b strings.Builder
	b.WriteString("CASE set_id")
	for i, set := range k.schema.Sets {
		fmt.Fprintf(&b, " WHEN %d THEN %s", k.setIDs[i], quote(k.schema.SetName(set)))
	}
	b.WriteString(" ELSE '' END")
	if len(k.schema.Sets) == 0 {
		return "''"
	}
	return b.String()
}

// metricSQL returns the columns of a metric, computed from its merged states.
func metricSQL(m *millrace.Metric, g millrace.Granularity) []string {
	state, count := ident("s_"+m.Name), ident("n_"+m.Name)
	as := " AS " + ident(m.Name)
	switch m.Func {
	case millrace.FuncRate:
		return []string{fmt.Sprintf("coalesce(%s, 0) / %d.0::DOUBLE%s", state, g, as)}
	case millrace.FuncSum:
		if m.Scale > 0 {
			// Exact: a product of decimals, where a division would be a DOUBLE.
			unit := fmt.Sprintf("0.%0*d", m.Scale, 1)
			return []string{fmt.Sprintf("coalesce(%s, 0)::DECIMAL(19, 0) * %s::DECIMAL(%d, %d)%s", state, unit, m.Scale, m.Scale, as)}
		}
		return []string{"coalesce(" + state + ", 0)" + as}
	case millrace.FuncAvg:
		return []string{fmt.Sprintf("%s / %d::DOUBLE / nullif(%s, 0)%s", state, int64(math.Pow10(m.Scale)), count, as)}
	case millrace.FuncMin, millrace.FuncMax:
		return []string{state + as}
	case millrace.FuncQuantiles:
		var out []string
		for _, q := range rollupdef.Quantiles(m) {
			out = append(out, fmt.Sprintf("millrace_quantile(%s, %v) AS %s", state, q, ident(rollupdef.QuantileColumn(m.Name, q))))
		}
		return out
	case millrace.FuncUniq:
		return []string{"coalesce(millrace_uniq(" + state + "), 0)" + as}
	}
	return []string{"coalesce(" + state + ", 0)" + as}
}
