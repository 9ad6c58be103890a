package duckdb

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/formula"
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

// viewBranch joins the names of sets below the grouping: a condition on
// dimension_set then becomes one on set_id, which reaches the tables.
func (k *cube) viewBranch(g millrace.Granularity) string {
	groups := append([]string{"set_id", "n.name", "bucket"}, k.keys...)
	var states, outer []string
	for i := range k.schema.Dimensions {
		outer = append(outer, k.textSQL(i)+" AS "+ident(k.schema.Dimensions[i]))
	}
	for _, spec := range k.states {
		c := ident(stateColumn(&k.schema, spec))
		states = append(states, merged(spec.Kind, c)+" AS "+c)
	}
	for i := range k.schema.Metrics {
		outer = append(outer, metricSQL(&k.schema.Metrics[i], g)...)
	}
	for i := range k.schema.Derived {
		outer = append(outer, k.derivedSQL(i, g)+" AS "+ident(k.schema.Derived[i].Name))
	}
	joins := ""
	for _, key := range k.keys {
		joins += fmt.Sprintf(" LEFT JOIN %s v_%s ON v_%s.code = c.%s", k.values(), key, key, key)
	}
	return fmt.Sprintf("SELECT %s AS granularity, bucket, name AS dimension_set, %s\nFROM (SELECT %s FROM %s u JOIN %s ON n.id = u.set_id GROUP BY %s) c%s",
		quote(g.String()), list(outer), list(groups, states), k.source(g), k.namesSQL(g), ordinals(len(groups)), joins)
}

// namesSQL returns a relation n(id, name) of the sets kept at a granularity.
func (k *cube) namesSQL(g millrace.Granularity) string {
	rows := []string{}
	for i, set := range k.schema.Sets {
		if slices.Contains(set.Granularities, g) {
			rows = append(rows, fmt.Sprintf("(%d, %s)", k.setIDs[i], quote(k.schema.SetName(set))))
		}
	}
	if len(rows) == 0 {
		rows = []string{"(-1, '')"} // no cell has it
	}
	return "(VALUES " + list(rows) + ") n(id, name)"
}

// textSQL returns the text of a dimension, NULL in cells of sets without it.
func (k *cube) textSQL(dim int) string {
	ids := make([][]string, len(k.keys))
	for i, set := range k.schema.Sets {
		if key := k.keyOf(set, dim); key != "" {
			ids[keyIndex(key)] = append(ids[keyIndex(key)], fmt.Sprint(k.setIDs[i]))
		}
	}
	var b strings.Builder
	for key, sets := range ids {
		if len(sets) > 0 {
			fmt.Fprintf(&b, " WHEN set_id IN (%s) THEN v_%s.value", list(sets), keyColumn(key))
		}
	}
	if b.Len() == 0 {
		return "NULL::VARCHAR"
	}
	return "CASE" + b.String() + " END"
}

// derivedSQL returns the value of a derived metric, computed from merged states.
// The definition was checked: names exist, and an expression parses.
func (k *cube) derivedSQL(i int, g millrace.Granularity) string {
	e, err := formula.Number(k.schema.Derived[i].Expr)
	if err != nil {
		return "NULL::DOUBLE"
	}
	return e.SQL(func(name string) string {
		for j, d := range k.schema.Derived[:i] {
			if d.Name == name {
				return k.derivedSQL(j, g)
			}
		}
		m, q, ok := rollupdef.FindMetric(&k.schema, name)
		if !ok {
			return "NULL"
		}
		metric := k.schema.Metrics[m]
		if q > 0 {
			metric.Quantiles = []float64{q}
		}
		value, _, _ := strings.Cut(metricSQL(&metric, g)[0], " AS "+ident(rollupdef.Columns(&metric)[0]))
		return value
	}, int64(g))
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
