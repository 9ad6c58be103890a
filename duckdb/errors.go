package duckdb

import (
	"context"
	"errors"
	"strings"

	"github.com/millrace/millrace"
)

// dbError is an error DuckDB reported, with its class, for instance "IO" of
// "IO Error: ...". The C interface has types for some errors only, while every
// message starts with the class.
type dbError struct{ class, message string }

func (e *dbError) Error() string { return e.message }

func newDBError(message string) *dbError {
	class, _, ok := strings.Cut(message, " Error:")
	switch {
	case strings.Contains(message, "failed to allocate data of size"):
		class = "Out of Memory" // an appender's message has no class
	case !ok || len(class) > 40:
		class = ""
	}
	return &dbError{class, message}
}

func errClass(err error) string {
	if e, ok := errors.AsType[*dbError](err); ok {
		return e.class
	}
	return ""
}

// fatal reports whether only a new instance helps: DuckDB refuses everything
// after such an error.
func fatal(err error) bool {
	return errClass(err) == "FATAL" || err != nil && strings.Contains(err.Error(), "database has been invalidated")
}

// wrap gives an error of DuckDB its code, and a hint where one helps.
func wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*millrace.Error](err); ok {
		return err // it says what it is about
	}
	e := &millrace.Error{Code: millrace.ErrInternal, Op: op, Message: "the store failed", Err: err}
	message := err.Error()
	switch {
	case ctx.Err() != nil || errClass(err) == "INTERRUPT":
		e.Code, e.Message = millrace.ErrTimeout, "the store took longer than its time limit"
		if errors.Is(ctx.Err(), context.Canceled) {
			e.Code, e.Message = millrace.ErrUnavailable, "the request was cancelled"
		}
	case strings.Contains(message, "Could not set lock on file"):
		e.Code, e.Message = millrace.ErrConflict, "another process has the database open"
		e.Hint = "stop the other millrace process, or give this one a data directory of its own"
	case strings.Contains(message, "No space left"):
		e.Code, e.Message = millrace.ErrUnavailable, "the disk is full"
		e.Hint = "free space in the data directory or shorten the retention; writing resumes by itself"
	case strings.Contains(message, "Read-only file system"), strings.Contains(message, "Permission denied"),
		strings.Contains(message, "in read-only mode"):
		e.Code, e.Message = millrace.ErrUnavailable, "the data directory is not writable"
		e.Hint = "make the data directory writable for the user that runs millrace"
	case strings.Contains(message, "not a valid DuckDB database file"), strings.Contains(message, "Corrupt"):
		e.Code, e.Message = millrace.ErrCorrupt, "the database file cannot be read"
		e.Hint = "restore it from a backup; do not delete its .wal file"
	case errClass(err) == "Out of Memory":
		e.Code, e.Message = millrace.ErrUnavailable, "the store is out of memory"
		e.Hint = "raise duckdb.memory or run fewer queries at once"
	case errClass(err) == "IO", fatal(err), errClass(err) == "TransactionContext":
		e.Code = millrace.ErrUnavailable
	}
	return e
}
