package meta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace"
)

const (
	// tryTimeout ends a try whose answer does not come: the server or the way to
	// it is gone without a word.
	tryTimeout = 10 * time.Second
	// retryFor bounds how long a call is tried again. It bridges what passes
	// quickly, such as a connection that was cut; callers know better what to do
	// while a server restarts.
	retryFor   = 3 * time.Second
	firstPause = 20 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// postgresEngine runs calls with a time limit and, where that is safe, again.
type postgresEngine struct {
	limit  time.Duration // of one try
	reset  func()        // drops all connections
	closed atomic.Bool
}

// errClosed is of calls after Close.
var errClosed = millrace.Errorf(millrace.ErrUnavailable, "the connections to PostgreSQL were closed")

var _ engine = (*postgresEngine)(nil)

func (e *postgresEngine) repeat(ctx context.Context, op string, fn func(context.Context) error) error {
	return e.run(ctx, op, fn, mayPass)
}

func (e *postgresEngine) once(ctx context.Context, op string, fn func(context.Context) error) error {
	return e.run(ctx, op, fn, func(err error) bool { return mayPass(err) && hasNotHappened(err) })
}

func (e *postgresEngine) run(ctx context.Context, op string, fn func(context.Context) error, again func(error) bool) error {
	start, pause := time.Now(), firstPause
	for {
		if e.closed.Load() {
			return fmt.Errorf("%s: %w", op, errClosed)
		}
		err := e.try(ctx, fn)
		if err == nil {
			return nil
		}
		if isCode(err, readOnlyTransaction) {
			e.reset() // the server became a standby under connections that were good
		}
		if ctx.Err() != nil || !again(err) || time.Since(start)+pause > retryFor {
			return postgresError(ctx, op, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return postgresError(ctx, op, err)
		}
		pause = min(2*pause, maxPause)
	}
}

func (e *postgresEngine) try(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, e.limit)
	defer cancel()
	return fn(ctx)
}

func (e *postgresEngine) duplicate(err error) bool { return isCode(err, uniqueViolation) }

// lockRules lets readers read on; it conflicts with itself and with writers.
func (e *postgresEngine) lockRules(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "LOCK TABLE rules IN SHARE ROW EXCLUSIVE MODE")
	return err
}

// SQLSTATEs (PostgreSQL documentation, appendix A) that something is done about.
const (
	uniqueViolation      = "23505"
	badCharacter         = "22021"
	readOnlyTransaction  = "25006"
	badAuthorization     = "28000"
	badPassword          = "28P01"
	noDatabase           = "3D000"
	noTable              = "42P01"
	noPrivilege          = "42501"
	serializationFailure = "40001"
	deadlock             = "40P01"
	diskFull             = "53100"
	tooManyConnections   = "53300"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
	databaseDropped      = "57P04"
)

func isCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}

// mayPass reports whether the same may succeed soon.
func mayPass(err error) bool {
	if _, coded := errors.AsType[*millrace.Error](err); coded {
		return false
	}
	e, answered := errors.AsType[*pgconn.PgError](err)
	switch {
	case !answered:
		// The connection failed. A limit that was reached is worth no second one.
		return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) && !isTLS(err)
	case strings.HasPrefix(e.Code, "08"): // connection exceptions
		return true
	}
	return isCode(err, readOnlyTransaction, serializationFailure, deadlock, tooManyConnections, adminShutdown, crashShutdown, cannotConnectNow)
}

// hasNotHappened reports whether a failed call surely changed nothing: it was
// never sent, or the server says that it was rolled back. What came of a call
// that was cut off is open, also if a shutdown did it.
func hasNotHappened(err error) bool {
	if _, committing := errors.AsType[*commitError](err); committing && !isPgError(err) {
		return false
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return connecting || pgconn.SafeToRetry(err) || isCode(err, readOnlyTransaction, serializationFailure, deadlock)
}
