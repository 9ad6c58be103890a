package clickhouse

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/formula"
	"github.com/millrace/millrace/internal/rollupdef"
)

// rollupSQL returns the relation rollup_NAME as a SELECT, to be put before a
// statement as WITH rollup_NAME AS (...): one row per cell of each granularity,
// what is open or late included. Which rows count is spelled out in it, so that
// it says what Cells does at the moment.
//
// granularity is a constant of each branch, so that a filter on it leaves one;
// filters on bucket and dimensions pass through the grouping to the tables.
func (db *DB) rollupSQL(ctx context.Context, name string) (string, error) {
	s, err := db.rollups(ctx)
	if err != nil {
		return "", err
	}
	k, err := s.cube(name)
	if err != nil {
		return "", err
	}
	var branches []string
	for _, g := range []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day} {
		branches = append(branches, db.viewBranch(k, g))
	}
	return strings.Join(branches, "\nUNION ALL "), nil
}

func (db *DB) viewBranch(k *cube, g millrace.Granularity) string {
	sets, names := []int64{}, []string{}
	for i, set := range k.schema.Sets {
		if slices.Contains(set.Granularities, g) {
			sets, names = append(sets, k.setIDs[i]), append(names, quote(k.schema.SetName(set)))
		}
	}
	var parts, aggregates, merged []string
	for _, r := range k.sources(g, sets, allTime) {
		columns := append([]string{"set_id", floorSQL(g, r.table) + " AS step"}, k.dimCols...)
		for i := range k.states {
			columns = append(columns, k.state(i).read(r.table)...)
		}
		parts = append(parts, fmt.Sprintf("SELECT %s FROM %s AS d WHERE %s", list(columns), db.table(k.table(r.table)), db.where(k, &r)))
	}
	for i := range k.states {
		aggregates, merged = append(aggregates, k.state(i).aggregates()...), append(merged, k.state(i).merged()...)
	}
	keys := append([]string{"set_id", "step"}, k.dimCols...)
	inner := fmt.Sprintf("SELECT %s FROM (%s) GROUP BY %s", list(keys, aggregates), strings.Join(parts, "\nUNION ALL "), list(keys))
	// Quantiles are read where all of a metric are known.
	mid := fmt.Sprintf("SELECT %s FROM (%s)", list(keys, merged), inner)
	if q := k.quantileArrays(); len(q) > 0 {
		mid = fmt.Sprintf("SELECT *, %s FROM (%s)", list(q), mid)
	}
	return fmt.Sprintf("SELECT %s FROM (%s)", list(k.viewColumns(g, sets, names)), mid)
}

// quantilesOf returns all quantiles that columns have of a metric, also those of
// derived ones.
func (k *cube) quantilesOf(metric int) []float64 {
	m := &k.schema.Metrics[metric]
	if m.Func != millrace.FuncQuantiles {
		return nil
	}
	out := slices.Clone(rollupdef.Quantiles(m))
	for i := range k.schema.Derived {
		e, err := formula.Number(k.schema.Derived[i].Expr)
		if err != nil {
			continue
		}
		for _, name := range e.Names() {
			if j, q, ok := rollupdef.FindMetric(&k.schema, name); ok && j == metric && q > 0 && !slices.Contains(out, q) {
				out = append(out, q)
			}
		}
	}
	return out
}

func (k *cube) quantileArrays() (out []string) {
	for i := range k.schema.Metrics {
		if qs := k.quantilesOf(i); len(qs) > 0 {
			name := k.schema.Metrics[i].Name
			out = append(out, quantilesSQL(ident("h_"+name), qs)+" AS "+ident("q_"+name))
		}
	}
	return out
}

// viewColumns returns the columns of a branch.
func (k *cube) viewColumns(g millrace.Granularity, sets []int64, names []string) []string {
	setName := "''"
	if len(sets) > 0 {
		setName = fmt.Sprintf("transform(set_id, CAST([%s], 'Array(UInt32)'), [%s], '')", numbers(sets), strings.Join(names, ", "))
	}
	out := []string{quote(g.String()) + " AS granularity", "toDateTime64(step, 0, 'UTC') AS bucket", setName + " AS dimension_set"}
	for i, name := range k.schema.Dimensions {
		out = append(out, k.dimText(i)+" AS "+ident(name))
	}
	for i := range k.schema.Metrics {
		for _, c := range k.metricSQL(i, rollupdef.Quantiles(&k.schema.Metrics[i]), g) {
			out = append(out, c[1]+" AS "+ident(c[0]))
		}
	}
	for i := range k.schema.Derived {
		out = append(out, k.derivedSQL(i, g)+" AS "+ident(k.schema.Derived[i].Name))
	}
	return out
}

// dimText returns the text of a dimension, NULL in cells of sets without it.
func (k *cube) dimText(dim int) string {
	var with []int64
	for i, set := range k.schema.Sets {
		if slices.Contains(set.Dims, dim) {
			with = append(with, k.setIDs[i])
		}
	}
	if len(with) == 0 {
		return "CAST(NULL, 'Nullable(String)')"
	}
	return fmt.Sprintf("if(%s, toNullable(toString(%s)), NULL)", setsSQL(with), dimColumn(k.schema.Dimensions[dim]))
}

// derivedSQL returns the value of a derived metric, computed from merged states.
// The definition was checked: names exist, and an expression parses.
func (k *cube) derivedSQL(i int, g millrace.Granularity) string {
	const none = "CAST(NULL, 'Nullable(Float64)')"
	e, err := formula.Number(k.schema.Derived[i].Expr)
	if err != nil {
		return none
	}
	sql := e.SQL(func(name string) string {
		for j, d := range k.schema.Derived[:i] {
			if d.Name == name {
				return k.derivedSQL(j, g)
			}
		}
		m, q, ok := rollupdef.FindMetric(&k.schema, name)
		if !ok {
			return none
		}
		return "toFloat64(" + k.metricSQL(m, []float64{q}, g)[0][1] + ")"
	}, int64(g))
	// A cast to DOUBLE refuses NULL here. Names are of Float64 already, and division
	// of whole numbers is exact.
	return strings.ReplaceAll(sql, "::DOUBLE", "")
}

// metricSQL returns names and values of the columns of a metric, computed from its
// merged states.
func (k *cube) metricSQL(i int, quantiles []float64, g millrace.Granularity) [][2]string {
	m := &k.schema.Metrics[i]
	sum, number := ident("s_"+m.Name), ident("n_"+m.Name)
	one := func(value string) [][2]string { return [][2]string{{m.Name, value}} }
	switch m.Func {
	case millrace.FuncRate:
		return one(fmt.Sprintf("%s / %d.", sum, g))
	case millrace.FuncSum:
		if m.Scale > 0 {
			// Exact: a product of decimals, where a division would be a Float64.
			return one(fmt.Sprintf("toDecimal128(%s, 0) * toDecimal128('0.%0*d', %d)", sum, m.Scale, 1, m.Scale))
		}
	case millrace.FuncAvg:
		return one(fmt.Sprintf("%s / toFloat64(%d) / nullIf(%s, 0)", sum, int64(math.Pow10(m.Scale)), number))
	case millrace.FuncMin, millrace.FuncMax:
		return one(ident("f_" + m.Name))
	case millrace.FuncQuantiles:
		var out [][2]string
		for _, q := range quantiles {
			value := fmt.Sprintf("if(empty(%s), NULL, %s[%d])", ident("h_"+m.Name), ident("q_"+m.Name), 1+slices.Index(k.quantilesOf(i), q))
			out = append(out, [2]string{rollupdef.QuantileColumn(m.Name, q), value})
		}
		return out
	case millrace.FuncUniq:
		return one(state{metric: m.Name}.uniqSQL())
	}
	return one(sum)
}
