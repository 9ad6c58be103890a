package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/millrace/millrace"
)

// Limits of users' statements besides those of SQLLimits.
const (
	maxSQLText   = 16 << 10 // longer ones are generated; each term multiplies what a row may need
	maxSQLAnswer = 64 << 20 // bytes of values in an answer, which is held in memory
	// defaultSQLTimeout serves callers that set none.
	defaultSQLTimeout = 30 * time.Second
	defaultSQLRows    = 10000
	// sqlConcurrency is how many statements run at once: they share the memory
	// that the writer needs too.
	sqlConcurrency = 2
)

// errSQLMemory is the cause of an interrupt by the memory watch.
var errSQLMemory = &millrace.Error{
	Code: millrace.ErrTooLarge, Message: "sql: the statement needs more memory than statements may use",
	Hint: "ask for fewer rows or groups, or raise duckdb.memory",
}

// SQL implements millrace.Store. The sandbox has layers, each of which would
// do against an honest mistake:
//
//   - the instance cannot reach files other than its own, load extensions or
//     change settings (configure);
//   - the statement must parse as one SELECT that names documented tables and
//     harmless functions only (checkStatement), which also keeps it from
//     reading the database's own file;
//   - it runs in a read-only transaction;
//   - time, rows, bytes and memory are bounded, and only two statements run at
//     once, so that the writer always finds memory.
func (db *DB) SQL(ctx context.Context, query string, lim millrace.SQLLimits) (*millrace.Table, error) {
	if lim.Timeout <= 0 {
		lim.Timeout = defaultSQLTimeout
	}
	if lim.Rows <= 0 {
		lim.Rows = defaultSQLRows
	}
	switch {
	case len(query) > maxSQLText:
		return nil, millrace.Errorf(millrace.ErrTooLarge, "sql: the statement has %d bytes; at most %d are allowed", len(query), maxSQLText)
	case strings.ContainsRune(query, 0) || !utf8.ValidString(query):
		return nil, millrace.Errorf(millrace.ErrInvalid, "sql: the statement contains a NUL byte or is not UTF-8")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timeout := time.AfterFunc(lim.Timeout, func() {
		cancel(millrace.Errorf(millrace.ErrTimeout, "sql: the statement ran longer than %v", lim.Timeout))
	})
	defer timeout.Stop()
	select {
	case db.sqlSlots <- struct{}{}:
		defer func() { <-db.sqlSlots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer db.statements.add(&cancel)()
	var out *millrace.Table
	err := db.read(ctx, "sql", func(c *conn) error {
		defer db.watchMemory(ctx, cancel)()
		var err error
		out, err = runSQL(ctx, c, query, lim)
		return sqlError(ctx, err)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func runSQL(ctx context.Context, c *conn, query string, lim millrace.SQLLimits) (*millrace.Table, error) {
	if err := checkStatement(ctx, c, query); err != nil {
		return nil, err
	}
	if _, err := c.exec(ctx, "BEGIN TRANSACTION READ ONLY"); err != nil {
		return nil, err
	}
	defer func() { _, _ = c.exec(context.WithoutCancel(ctx), "ROLLBACK") }()
	r, err := c.stream(ctx, query)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if mapping.ResultStatementType(r.res) != mapping.StatementTypeSelect {
		return nil, millrace.Errorf(millrace.ErrInvalid, "sql: only SELECT is allowed")
	}
	return r.table(lim.Rows)
}

// table reads the whole answer.
func (r *rows) table(limit int) (*millrace.Table, error) {
	t := &millrace.Table{Rows: [][]any{}}
	for i := range r.cols {
		t.Columns = append(t.Columns, mapping.ColumnName(&r.res, mapping.IdxT(i)))
		t.Types = append(t.Types, typeName(r.cols[i].logical))
	}
	size := 0
	for r.next() {
		if len(t.Rows) == limit {
			return nil, millrace.Errorf(millrace.ErrTooLarge, "sql: the answer has more than %d rows; use LIMIT or an aggregate", limit)
		}
		row := make([]any, len(r.cols))
		for i := range row {
			v := reader{vec: r.cols[i].vec, typ: r.cols[i].logical, size: &size}
			var err error
			if row[i], err = v.value(r.i - 1); err != nil {
				return nil, fmt.Errorf("column %s: %w", t.Columns[i], err)
			}
		}
		if size > maxSQLAnswer {
			return nil, millrace.Errorf(millrace.ErrTooLarge, "sql: the answer has more than %d MiB; select fewer columns or rows", maxSQLAnswer>>20)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, r.err
}

// sqlError says what a user may know: whatever DuckDB reports about a
// statement that parsed as a query is the statement's fault.
func sqlError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if fatal(err) {
		return err
	}
	e, ok := errors.AsType[*dbError](err)
	if !ok {
		return err
	}
	switch e.class {
	case "Out of Memory":
		return &millrace.Error{Code: errSQLMemory.Code, Message: errSQLMemory.Message, Hint: errSQLMemory.Hint, Err: err}
	case "INTERNAL":
		return &millrace.Error{Code: millrace.ErrInvalid, Message: "sql: the database cannot run this statement", Err: err}
	}
	msg, _, _ := strings.Cut(e.message, "\n\nSee also")
	return millrace.Errorf(millrace.ErrInvalid, "sql: %s", strings.TrimSpace(msg))
}
