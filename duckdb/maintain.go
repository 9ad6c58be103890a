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

func (db *DB) tasks() []task {
	return db.rollupTasks()
}

// Maintain implements millrace.Store. Each call runs one slice of every task;
// a task that fails does not keep the others from running.
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
