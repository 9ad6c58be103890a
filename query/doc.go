// Package query answers questions: rollups with exact counts and any quantile,
// raw rows by the search language, guarded SQL, and the accounts. It knows
// Stores only through millrace.Store and owns no state.
//
// Files: lex.go and parse.go hold the search language, plan.go chooses the
// dimension set and granularity, rollup.go and metric.go finish aggregation
// states into numbers, time.go reads instants and ranges.
package query
