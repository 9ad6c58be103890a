package duckdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// DB is a millrace.Store in one DuckDB file.
//
// One connection writes, behind writeMu; readers have a pool of their own and
// are never blocked by it. gate is held shared by everyone who uses the
// instance and exclusively while it is replaced, which happens only after
// DuckDB has declared it unusable (a full disk during a commit, for instance).
type DB struct {
	opt  Options
	path string
	now  func() time.Time
	log  *slog.Logger

	writeMu sync.Mutex
	gate    sync.RWMutex
	inst    *instance // nil after it was lost and could not be opened again; changed under both locks
	closed  bool
	seq     int64 // of the last commit; under writeMu

	index   *eventIndex
	rollups rollupState
	sizes   tableSizes
	upkeep  upkeep

	sqlSlots   chan struct{} // statements of users that may run at once
	statements statements
	clearing   clearing
}

// open paths of this process: DuckDB's own lock holds between processes only.
var (
	openMu    sync.Mutex
	openPaths = map[string]bool{}
)

// Open opens or creates the database at path, a file whose directory is
// created if need be. now is the clock of retention. log receives recoveries
// and checkpoints.
//
// Errors: ErrConflict if it is open already, here or in another process;
// ErrUnavailable if it cannot be written; ErrCorrupt if it cannot be read;
// ErrInvalid if a newer version of millrace wrote it.
func Open(ctx context.Context, opt Options, path string, now func() time.Time, log *slog.Logger) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, wrap(ctx, "open database", err)
	}
	if strings.Contains(abs, "?") { // DuckDB takes what follows for a query
		return nil, millrace.Errorf(millrace.ErrInvalid, "open database: %s: the path must not contain a question mark", abs)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o750); err != nil {
		return nil, &millrace.Error{
			Code: millrace.ErrUnavailable, Op: "open database", Message: "the data directory cannot be made", Err: err,
			Hint: "check the path and that it is writable for the user that runs millrace",
		}
	}
	if !claim(abs) {
		return nil, &millrace.Error{Code: millrace.ErrConflict, Op: "open database", Message: abs + " is open already"}
	}
	db := &DB{opt: opt, path: abs, now: now, log: log, sqlSlots: make(chan struct{}, sqlConcurrency)}
	if err := db.openInstance(ctx); err != nil {
		unclaim(abs)
		return nil, wrap(ctx, "open database "+abs, err)
	}
	db.index = newEventIndex(abs, log)
	if err := db.index.load(ctx, db.inst.writer); err != nil {
		_ = db.Close() // the error before says more
		return nil, wrap(ctx, "open database "+abs, err)
	}
	return db, nil
}

func claim(path string) bool {
	openMu.Lock()
	defer openMu.Unlock()
	if openPaths[path] {
		return false
	}
	openPaths[path] = true
	return true
}

func unclaim(path string) {
	openMu.Lock()
	defer openMu.Unlock()
	delete(openPaths, path)
}

// openInstance opens the file and brings its schema up to date.
func (db *DB) openInstance(ctx context.Context) error {
	inst, err := openInstance(ctx, db.opt, db.path)
	if err != nil {
		return err
	}
	if err := migrate(ctx, inst.writer, db.now()); err != nil {
		inst.close()
		return err
	}
	if err := addDroppedDays(ctx, inst.writer); err != nil {
		inst.close()
		return fmt.Errorf("add dropped_days: %w", err)
	}
	if db.seq, err = loadSeq(ctx, inst.writer); err != nil {
		inst.close()
		return err
	}
	db.inst = inst
	return nil
}

// Close implements millrace.Store. It checkpoints, so that the next start has
// nothing to replay.
func (db *DB) Close() error {
	db.writeMu.Lock()
	defer db.writeMu.Unlock()
	db.gate.Lock()
	defer db.gate.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	defer unclaim(db.path)
	defer db.index.close()
	if db.inst == nil {
		return nil
	}
	_, err := db.inst.writer.exec(context.Background(), "CHECKPOINT")
	db.inst.close()
	db.inst = nil
	return wrap(context.Background(), "close database", err)
}

var errClosed = &millrace.Error{Code: millrace.ErrUnavailable, Message: "the database is closed"}

// write runs fn in one transaction on the writer. After nil everything fn did
// is durable. After an error nothing of it is, with one exception: if COMMIT
// itself reports an error its effect is unknown, and Load tells. The name
// prefixes the failpoints NAME.commit and NAME.commit.after.
func (db *DB) write(ctx context.Context, name string, fn func(*writer) error) error {
	db.writeMu.Lock()
	defer db.writeMu.Unlock()
	if err := db.restore(ctx); err != nil {
		return wrap(ctx, "write "+name, err)
	}
	if name != "events" {
		defer db.rollups.commits.Add(1) // whatever comes of it: see CellsVersion
	}
	clean := false
	var err error
	defer func() {
		if !clean {
			db.replaceWriter(err)
		}
	}()
	err = db.transact(ctx, name, fn)
	clean = err == nil
	return wrap(ctx, "write "+name, err)
}

func (db *DB) transact(ctx context.Context, name string, fn func(*writer) error) (err error) {
	db.gate.RLock()
	defer db.gate.RUnlock()
	w := &writer{ctx: ctx, c: db.inst.writer, now: db.now()}
	if _, err := w.c.exec(ctx, "BEGIN TRANSACTION"); err != nil {
		return err
	}
	committed := false
	defer func() {
		if errClass(err) == "Out of Memory" {
			// Undoing needs memory as well, and DuckDB ends the process without.
			defer db.clearStatements(ctx)()
		}
		w.release() // before ROLLBACK: see table.release
		if !committed {
			// The connection is replaced next, which rolls back too; this is for
			// the case that it is shared with a statement that still runs.
			_, _ = w.c.exec(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	if err := fn(w); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.release()
	if err := failpoint.Hit(name + ".commit"); err != nil {
		return err
	}
	if _, err := w.c.exec(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return failpoint.Hit(name + ".commit.after")
}

// replaceWriter gives the writer a fresh connection after a failed
// transaction: appenders and transactions that failed once are not to be
// trusted. If the whole instance is unusable it goes too. Called with writeMu.
func (db *DB) replaceWriter(cause error) {
	ctx := context.Background()
	if !fatal(cause) {
		err := db.replaceConnection(ctx)
		if err == nil {
			return
		}
		cause = errors.Join(cause, err)
	}
	db.gate.Lock() // waits for readers, whose statements fail by themselves now
	defer db.gate.Unlock()
	if db.inst == nil {
		return
	}
	db.log.Error("the database instance failed and is opened again", "path", db.path, "error", cause)
	db.inst.close()
	db.inst = nil
	if err := db.openInstance(ctx); err != nil {
		db.log.Error("the database could not be opened again; the next write tries once more", "path", db.path, "error", err)
	}
}

// replaceConnection connects the writer anew and sees whether the database
// answers. Readers go on meanwhile.
func (db *DB) replaceConnection(ctx context.Context) error {
	db.gate.RLock()
	defer db.gate.RUnlock()
	if db.inst == nil {
		return nil
	}
	if err := db.inst.replaceWriter(); err != nil {
		return err
	}
	_, err := loadPositions(ctx, db.inst.writer)
	return err
}

// restore opens the instance again if it was lost. Called with writeMu.
func (db *DB) restore(ctx context.Context) error {
	db.gate.RLock()
	open, closed := db.inst != nil, db.closed
	db.gate.RUnlock()
	if closed {
		return errClosed
	}
	if open {
		return nil
	}
	db.gate.Lock() // nobody reads from an instance that is not there
	defer db.gate.Unlock()
	return db.openInstance(ctx)
}

// read runs fn on a reader connection. Statements of fn see what is committed
// when each starts.
func (db *DB) read(ctx context.Context, op string, fn func(*conn) error) error {
	var used *instance
	err := db.withReader(ctx, func(c *conn) error {
		used = db.inst
		return fn(c)
	})
	if fatal(err) {
		db.writeMu.Lock()
		if db.inst == used { // others may have had the same error
			db.replaceWriter(err)
		}
		db.writeMu.Unlock()
	}
	return wrap(ctx, op, err)
}

func (db *DB) withReader(ctx context.Context, fn func(*conn) error) error {
	db.gate.RLock()
	defer db.gate.RUnlock()
	if db.closed {
		return errClosed
	}
	if db.inst == nil {
		return &millrace.Error{Code: millrace.ErrUnavailable, Message: "the database is being recovered"}
	}
	c, err := db.inst.reader(ctx)
	if err != nil {
		return err
	}
	defer db.inst.put(c)
	return fn(c)
}

// snapshot is read with all statements of fn seeing the same state.
func (db *DB) snapshot(ctx context.Context, op string, fn func(*conn) error) error {
	return db.read(ctx, op, func(c *conn) error {
		if _, err := c.exec(ctx, "BEGIN TRANSACTION READ ONLY"); err != nil {
			return err
		}
		defer func() { _, _ = c.exec(context.WithoutCancel(ctx), "ROLLBACK") }()
		return fn(c)
	})
}
