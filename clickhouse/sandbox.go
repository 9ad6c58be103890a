package clickhouse

import (
	"context"

	"github.com/millrace/millrace"
)

// sqlConcurrency is how many statements of users run at once, from this process.
const sqlConcurrency = 4

// SQL implements millrace.Store.
func (db *DB) SQL(context.Context, string, millrace.SQLLimits) (*millrace.Table, error) {
	return nil, millrace.Errorf(millrace.ErrInvalid, "sql: not available yet")
}
