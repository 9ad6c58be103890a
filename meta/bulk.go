package meta

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// input is rows that a statement gets, whatever their number: it knows them as n.
// Values are string, int64 or []byte, the last only in what is written.
type input struct {
	names string // of the columns, separated by commas
	types string // one letter per column: t text, i bigint, b bytes
	rows  [][]any
}

// newInput describes the columns: "project t", "at i".
func newInput(columns ...string) *input {
	in := &input{}
	for i, c := range columns {
		name, typ, _ := strings.Cut(c, " ")
		if i > 0 {
			in.names += ", "
		}
		in.names += name
		in.types += typ
	}
	return in
}

func (in *input) add(row ...any) { in.rows = append(in.rows, row) }

// bulk is how a database takes input: PostgreSQL all of it as arrays, one round
// trip; SQLite a row at a time where it writes, which costs it no trip.
type bulk interface {
	// source returns a WITH clause that begins a query of all rows, and its
	// arguments, which are those from parameter $from on. Column nth ascends with
	// the rows.
	source(in *input, from int) (with string, args []any)
	// bulkWrite runs a statement once for all rows, in their order, or once for each. It
	// calls scan with each row that the statement returns; nil scan if it returns none.
	bulkWrite(ctx context.Context, tx *sql.Tx, in *input, stmt string, scan func(func(...any) error) error) error
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// selectRows runs a query over input and calls scan with each row.
func (r *records) selectRows(ctx context.Context, q querier, in *input, query string, scan func(func(...any) error) error, args ...any) error {
	with, first := r.source(in, 1)
	rows, err := q.QueryContext(ctx, with+query, append(first, args...)...)
	if err != nil {
		return err
	}
	return eachRow(rows, scan)
}

// eachRow calls scan with each row and closes rows.
func eachRow(rows *sql.Rows, scan func(func(...any) error) error) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// writeRows is bulkWrite, but does nothing for no rows, and says what failed.
func (r *records) writeRows(ctx context.Context, tx *sql.Tx, what string, in *input, stmt string, scan func(func(...any) error) error) error {
	if len(in.rows) == 0 {
		return nil
	}
	if err := r.bulkWrite(ctx, tx, in, stmt, scan); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// inTransaction runs fn in a transaction of the writer; run is repeat or once.
func (r *records) inTransaction(ctx context.Context, op string, run func(context.Context, string, func(context.Context) error) error, fn func(context.Context, *sql.Tx) error) error {
	return run(ctx, op, func(ctx context.Context) error {
		tx, err := r.write.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return commit(tx)
	})
}

// commit ends a transaction. Of one whose answer was lost the driver may say that
// the connection is closed, as if it had asked for nothing.
func commit(tx *sql.Tx) error {
	if err := tx.Commit(); err != nil {
		return &commitError{err}
	}
	return nil
}

// commitError is of a transaction that may have happened, unless the database
// says what was wrong with it.
type commitError struct{ error }

func (e *commitError) Unwrap() error { return e.error }
