package duckdb

import (
	"context"
	"time"
)

// writer is the open write transaction.
type writer struct {
	ctx    context.Context
	c      *conn
	now    time.Time
	tables []*table
}

// exec runs a statement in the transaction. Rows in a table not yet flushed are
// invisible to it.
func (w *writer) exec(query string, args ...any) (int64, error) {
	return w.c.exec(w.ctx, query, args...)
}

// query runs a query in the transaction; the caller closes the answer before
// anything else.
func (w *writer) query(query string, args ...any) (*rows, error) {
	return w.c.query(w.ctx, query, args...)
}

// table returns an appender for a table, which is flushed before COMMIT.
func (w *writer) table(name string) (*table, error) {
	t, err := newTable(w.c, name)
	if err != nil {
		return nil, err
	}
	w.tables = append(w.tables, t)
	return t, nil
}

// flush makes the rows of all tables part of the transaction.
func (w *writer) flush() error {
	for _, t := range w.tables {
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) release() {
	for _, t := range w.tables {
		t.release()
	}
	w.tables = nil
}
