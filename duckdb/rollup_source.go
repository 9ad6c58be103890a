package duckdb

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace"
)

// source returns a relation (set_id, bucket, keys, states) that has every
// cell of a granularity in one row or several, which add up to it. Conditions
// on bucket and set_id put around it reach the tables.
func (k *cube) source(g millrace.Granularity) string {
	hours := func(states string) string {
		return k.periodsIn(millrace.Hour, states)
	}
	// ofDays: hours in some state whose day is open or dirty.
	ofDays := func(states string) string {
		return fmt.Sprintf(`(SELECT h.bucket FROM cell_periods h JOIN cell_periods d
			ON d.rollup = h.rollup AND d.bucket = date_trunc('day', h.bucket)
			WHERE h.rollup = %s AND h.granularity = 3600 AND h.state IN (%s) AND d.granularity = 86400 AND d.state IN (0, 2))`,
			quote(k.schema.Name), states)
	}
	const floor = "date_trunc('day', t.%s)"
	switch g {
	case millrace.Minute:
		return k.union(
			k.branch("t.bucket", k.minutes(), "", ""),
			k.branch("t.bucket", k.deltas(), "hour", hours("0, 1, 2")))
	case millrace.Hour:
		return k.union(
			k.branch("t.bucket", k.hours(), "bucket", hours("1, 3")),
			k.branch("t.hour", k.minutes(), "hour", hours("0, 2")),
			k.branch("t.hour", k.deltas(), "hour", hours("0, 2, 3")))
	}
	return k.union(
		k.branch("t.bucket", k.days(), "bucket", k.periodsIn(millrace.Day, "1, 3")),
		k.branch(fmt.Sprintf(floor, "bucket"), k.hours(), "bucket", ofDays("1, 3")),
		k.branch(fmt.Sprintf(floor, "hour"), k.minutes(), "hour", ofDays("0, 2")),
		k.branch(fmt.Sprintf(floor, "hour"), k.deltas(), "hour", ofDays("0, 2, 3")),
		k.branch(fmt.Sprintf(floor, "hour"), k.deltas(), "hour", hours("4")))
}

// periodsIn returns the starts of periods in one of the states.
func (k *cube) periodsIn(g millrace.Granularity, states string) string {
	return fmt.Sprintf("(SELECT bucket FROM cell_periods WHERE rollup = %s AND granularity = %d AND state IN (%s))",
		quote(k.schema.Name), g, states)
}

// branch reads one table, where column key is among the periods if key is not
// empty. The semi join passes the range of the periods on to the scan.
func (k *cube) branch(bucket, table, key, periods string) string {
	from := " FROM " + table + " t"
	if key != "" {
		from += " SEMI JOIN " + periods + " p ON t." + key + " = p.bucket"
	}
	return "SELECT " + list([]string{"set_id", bucket + " AS bucket"}, k.keys, k.stateColumns()) + from
}

func (k *cube) union(branches ...string) string {
	return "(" + strings.Join(branches, "\nUNION ALL ") + ")"
}

// merged returns the expression that merges a state column over a group.
func merged(kind millrace.StateKind, column string) string {
	switch kind {
	case millrace.StateMin:
		return "min(" + column + ")"
	case millrace.StateMax:
		return "max(" + column + ")"
	case millrace.StateHist:
		return "millrace_merge_hist(list(" + column + ") FILTER (" + column + " IS NOT NULL))"
	case millrace.StateHLL:
		return "millrace_merge_hll(list(" + column + ") FILTER (" + column + " IS NOT NULL))"
	}
	// A sum stops at the ends of BIGINT: an overflow must not make every later
	// query fail.
	return "CAST(least(greatest(sum(" + column + "), -9223372036854775808), 9223372036854775807) AS BIGINT)"
}

// mergedStates returns all states merged over a group, each under its column's
// name.
func (k *cube) mergedStates() []string {
	out := make([]string, len(k.stored))
	for i, s := range k.stored {
		out[i] = merged(s.kind, s.column) + " AS " + s.column
	}
	return out
}
