package clickhouse

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// cellState is what the cells' half of the store keeps in memory.
type cellState struct{}

var errNoCells = millrace.Errorf(millrace.ErrInternal, "cells are not implemented yet")

// openCells is called once by Open, after the migrations.
func (db *DB) openCells(context.Context) error { return nil }

// maintainCells is called by Maintain.
func (db *DB) maintainCells(context.Context, time.Time) (more bool, err error) { return false, nil }

// rollupNames lists the rollups that SQL may read.
func (db *DB) rollupNames(context.Context) ([]string, error) { return nil, nil }

// cellStats fills in Deltas, Cells, DirtyHours and RollupBytes.
func (db *DB) cellStats(context.Context, *millrace.StoreStats) error { return nil }

func (db *DB) DefineRollups(context.Context, []millrace.RollupSchema) error { return errNoCells }
func (db *DB) WriteCells(context.Context, []*millrace.CellBatch, *millrace.Commit) error {
	return errNoCells
}
func (db *DB) Cells(context.Context, millrace.CellQuery) (*millrace.CellBatch, error) {
	return nil, errNoCells
}
func (db *DB) CountCells(context.Context, string, []millrace.CellPart) ([]int64, error) {
	return nil, errNoCells
}
func (db *DB) Coverage(context.Context, string, int64, int64) (*millrace.Coverage, error) {
	return nil, errNoCells
}
func (db *DB) Refold(context.Context, millrace.RefoldQuery, millrace.Refolder) (*millrace.Refolded, error) {
	return nil, errNoCells
}
