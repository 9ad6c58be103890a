package meta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"

	"github.com/millrace/millrace"
)

// sqliteEngine runs everything once: the driver waits for other processes by
// itself (see busyTimeout), and nothing else passes soon.
type sqliteEngine struct{}

func (sqliteEngine) repeat(ctx context.Context, op string, fn func(context.Context) error) error {
	return wrap(op, fn(ctx))
}

func (sqliteEngine) once(ctx context.Context, op string, fn func(context.Context) error) error {
	return wrap(op, fn(ctx))
}

func (sqliteEngine) duplicate(err error) bool {
	const constraint = 19
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == constraint
}

func (sqliteEngine) lockRules(context.Context, *sql.Tx) error { return nil }

// wrap names the operation and classifies what is left after the cases a caller
// can act on: the file is locked, unreadable or out of space, all of which may
// pass.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, coded := errors.AsType[*millrace.Error](err); coded {
		return withOp(op, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &millrace.Error{Code: millrace.ErrUnavailable, Op: op, Message: "the state database cannot be used now", Err: err}
}
