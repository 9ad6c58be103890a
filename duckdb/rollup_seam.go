package duckdb

// What the core (db.go, schema.go, instance.go, maintain.go) takes from the
// rollup half of the package.

// rollupTables is the rollup part of schema version 1.
var rollupTables []string

// rollupFunctions are registered with every instance that is opened, before
// its configuration is locked.
var rollupFunctions []registerFunc

// rollupState is what the rollup half keeps in DB.
type rollupState struct{}

// rollupTasks are the rollup half's upkeep, in the order of urgency.
func (db *DB) rollupTasks() []task { return nil }
