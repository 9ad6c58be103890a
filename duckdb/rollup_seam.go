package duckdb

// What the core (db.go, schema.go, instance.go, maintain.go) takes from the
// rollup half of the package.

// rollupTables is the rollup part of the schema.
//
// Per rollup NAME there are five tables more, made by DefineRollups:
// deltas_NAME (as written), minutes_NAME (minute cells, from compaction),
// hours_NAME and days_NAME (caches over them), and values_NAME (code, value),
// the texts of dimensions. A cell has set_id (cell_sets) and bucket; in k1, k2,
// ... the codes of its values, in the order of the names of the set's
// dimensions, 0 where it has fewer; and its states in columns s_METRIC, for
// averages also n_METRIC. A cell may have several rows, which add up to it.
var rollupTables = []string{
	// The definitions, as JSON; they outlive the configuration that named them.
	"CREATE TABLE rollups (name VARCHAR NOT NULL, definition VARCHAR NOT NULL)",
	// What each metric there ever was means: Func and Scale never change.
	"CREATE TABLE cell_metrics (rollup VARCHAR NOT NULL, metric VARCHAR NOT NULL, func VARCHAR NOT NULL, scale INTEGER NOT NULL)",
	// Sets by the sorted names of their dimensions: a definition may reorder them.
	"CREATE TABLE cell_sets (rollup VARCHAR NOT NULL, set_id INTEGER NOT NULL, names VARCHAR NOT NULL)",
	// Hours and days that have cells; see period.
	`CREATE TABLE cell_periods (
		rollup VARCHAR NOT NULL, granularity INTEGER NOT NULL, bucket TIMESTAMP NOT NULL, state TINYINT NOT NULL,
		arrived BIGINT NOT NULL, changed BIGINT NOT NULL)`,
}

// rollupTasks are the rollup half's upkeep, in the order of urgency.
func (db *DB) rollupTasks() []task {
	return []task{
		{"compact cells", db.compact},
		{"compute hours and days", db.computePeriods},
		{"drop old cells", db.retainCells},
		{"forget values", db.forgetValues},
	}
}
