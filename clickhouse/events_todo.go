package clickhouse

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// sqlConcurrency is how many statements run at once.
const sqlConcurrency = 2

var errTodo = millrace.Errorf(millrace.ErrInternal, "not implemented yet")

func (db *DB) WriteEvents(context.Context, *millrace.EventRows, *millrace.Commit) error {
	return errTodo
}
func (db *DB) Maintain(context.Context, time.Time) (bool, error) { return false, errTodo }
func (db *DB) Events(context.Context, millrace.EventQuery) (*millrace.EventPage, error) {
	return nil, errTodo
}
func (db *DB) CountEvents(context.Context, millrace.EventQuery, int64) ([]millrace.TimeCount, error) {
	return nil, errTodo
}
func (db *DB) ScanEvents(context.Context, millrace.EventScan, func([]millrace.Event) error) error {
	return errTodo
}
func (db *DB) Ledger(context.Context, millrace.LedgerQuery) ([]millrace.LedgerEntry, error) {
	return nil, errTodo
}
func (db *DB) SQL(context.Context, string, millrace.SQLLimits) (*millrace.Table, error) {
	return nil, errTodo
}
func (db *DB) Stats(context.Context) (*millrace.StoreStats, error) { return nil, errTodo }
