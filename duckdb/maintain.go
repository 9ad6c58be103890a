package duckdb

import (
	"context"
	"fmt"
	"time"
)

// task is one kind of upkeep. run does at most one slice of it, which holds the
// writer for at most 500 ms, and returns whether more of it is due at once.
type task struct {
	name string
	run  func(ctx context.Context, now time.Time) (more bool, err error)
}

// upkeep is when the core's tasks ran last and how far they got. Only Maintain
// touches it.
type upkeep struct {
	clients time.Time
	ledger  time.Time
	// compacted is the sequence number up to which ledger_rows is compacted.
	compacted int64
	// walSize and walSince tell how long the write-ahead log has not grown.
	walSize  int64
	walSince time.Time
}

func (db *DB) tasks() []task {
	return append(db.rollupTasks(),
		task{"drop old events", db.dropEvents},
		task{"index events", db.indexEvents},
		task{"compact the ledger", db.compactLedger},
		task{"forget clients", db.compactClients},
		task{"checkpoint", db.checkpoint},
	)
}

// Maintain implements millrace.Store. Each call runs one slice of every task;
// a task that fails does not keep the others from running. One caller at a time.
func (db *DB) Maintain(ctx context.Context, now time.Time) (more bool, err error) {
	for _, t := range db.tasks() {
		m, e := t.run(ctx, now)
		if e != nil && err == nil {
			err = fmt.Errorf("%s: %w", t.name, e)
		}
		more = more || m
	}
	return more, err
}

// due reports whether a task that runs at intervals should run, and notes it.
// The clock may jump either way.
func due(last *time.Time, now time.Time, every time.Duration) bool {
	if !last.IsZero() && now.Sub(*last).Abs() < every {
		return false
	}
	*last = now
	return true
}
