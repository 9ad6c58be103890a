package duckdb

import (
	"context"
	"fmt"
	"time"

	bindings "github.com/duckdb/duckdb-go-bindings"
	"github.com/duckdb/duckdb-go/v2/mapping"
)

// conn is one connection. database/sql hides the handle that appenders and
// streamed results need, hence this thin layer over the C interface. One
// goroutine at a time; only interrupt may come from another.
type conn struct{ raw mapping.Connection }

func connect(db mapping.Database) (*conn, error) {
	c := &conn{}
	if mapping.Connect(db, &c.raw) == mapping.StateError {
		return nil, newDBError("Connection Error: cannot connect to the open database")
	}
	return c, nil
}

// close ends an open transaction without committing it.
func (c *conn) close() { mapping.Disconnect(&c.raw) }

// interruptEvery: DuckDB clears an interrupt when a statement starts, so one
// sent too early is lost; repeating it closes that hole.
const interruptEvery = 20 * time.Millisecond

// watch interrupts the running statement when ctx ends, until the returned
// function is called.
func (c *conn) watch(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		t := time.NewTicker(interruptEvery)
		defer t.Stop()
		for {
			mapping.Interrupt(c.raw)
			select {
			case <-quit:
				return
			case <-t.C:
			}
		}
	})
	return func() {
		if cancel() {
			return
		}
		close(quit)
		<-done
	}
}

// exec runs one statement and returns how many rows it changed. Without args it
// may be several statements.
func (c *conn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	defer c.watch(ctx)()
	var res mapping.Result
	defer mapping.DestroyResult(&res)
	if len(args) == 0 {
		if mapping.Query(c.raw, query, &res) == mapping.StateError {
			return 0, newDBError(mapping.ResultError(&res))
		}
		return int64(mapping.RowsChanged(&res)), nil
	}
	s, err := c.prepare(query, args)
	if err != nil {
		return 0, err
	}
	defer mapping.DestroyPrepare(&s)
	if mapping.ExecutePrepared(s, &res) == mapping.StateError {
		return 0, newDBError(mapping.ResultError(&res))
	}
	return int64(mapping.RowsChanged(&res)), nil
}

// prepare returns a statement with its parameters bound; the caller destroys it.
func (c *conn) prepare(query string, args []any) (mapping.PreparedStatement, error) {
	var s mapping.PreparedStatement
	if mapping.Prepare(c.raw, query, &s) == mapping.StateError {
		err := newDBError(mapping.PrepareError(s))
		mapping.DestroyPrepare(&s)
		return s, err
	}
	for i, a := range args {
		if err := bind(s, mapping.IdxT(i+1), a); err != nil {
			mapping.DestroyPrepare(&s)
			return s, err
		}
	}
	return s, nil
}

func bind(s mapping.PreparedStatement, i mapping.IdxT, arg any) error {
	var st mapping.State
	switch v := arg.(type) {
	case nil:
		st = mapping.BindNull(s, i)
	case bool:
		st = mapping.BindBoolean(s, i, v)
	case int:
		st = mapping.BindInt64(s, i, int64(v))
	case int32:
		st = mapping.BindInt32(s, i, v)
	case int64:
		st = mapping.BindInt64(s, i, v)
	case float64:
		st = mapping.BindDouble(s, i, v)
	case string:
		v = validText(v) // else DuckDB refuses the whole statement
		st = mapping.BindVarcharLength(s, i, v, mapping.IdxT(len(v)))
	case []byte:
		st = mapping.BindBlob(s, i, v)
	case timeNS:
		val := mapping.CreateTimestampNS(mapping.NewTimestampNS(clampNS(int64(v))))
		st = mapping.BindValue(s, i, val)
		mapping.DestroyValue(&val)
	default:
		return fmt.Errorf("bind parameter %d: unsupported type %T", i, arg)
	}
	if st == mapping.StateError {
		return fmt.Errorf("bind parameter %d: %s", i, mapping.PrepareError(s))
	}
	return nil
}

// timeNS is a parameter of type TIMESTAMP_NS, Unix nanoseconds.
type timeNS int64

// query runs one statement and materializes its answer, which the caller
// closes. For answers of bounded size; stream is for the others.
func (c *conn) query(ctx context.Context, query string, args ...any) (*rows, error) {
	return c.run(ctx, query, args, mapping.ExecutePrepared)
}

// stream runs one statement whose answer is produced while it is read. The
// connection serves nothing else before the answer is closed.
func (c *conn) stream(ctx context.Context, query string, args ...any) (*rows, error) {
	return c.run(ctx, query, args, bindings.ExecutePreparedStreaming)
}

func (c *conn) run(ctx context.Context, query string, args []any,
	execute func(mapping.PreparedStatement, *mapping.Result) mapping.State,
) (*rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stop := c.watch(ctx)
	s, err := c.prepare(query, args)
	if err != nil {
		stop()
		return nil, err
	}
	r := &rows{stmt: s, stop: stop}
	if execute(s, &r.res) == mapping.StateError {
		err := newDBError(mapping.ResultError(&r.res))
		r.close()
		return nil, err
	}
	r.open()
	return r, nil
}
