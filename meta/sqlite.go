// Package meta keeps what people change, and what issues are, in SQLite: one file,
// in WAL mode, so that readers never wait for the writer and the CLI can open it
// beside a running server.
//
// Writes go through one connection. SQLite has one writer anyway, and waiting
// in Go keeps the order fair and SQLITE_BUSY to what other processes cause.
package meta

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"

	"github.com/millrace/millrace"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// busyTimeout is how long, in milliseconds, a statement waits for another
// process's write. Our own writes take a few milliseconds; 5 s means that
// somebody holds the file open in a transaction, which is worth an error.
const busyTimeout = 5000

// readers bounds concurrent reads: look-ups take microseconds, so a few
// connections serve thousands of requests per second.
const readers = 4

// SQLite implements millrace.Meta, millrace.Issues and millrace.Commits. Calls are safe for concurrent use, also by
// several processes on one file.
type SQLite struct {
	records              // write has one connection
	pruned  atomic.Int64 // when flushes were, see prune
	locks   processLocks
	nodes   processNodes
}

var (
	_ millrace.Meta    = (*SQLite)(nil)
	_ millrace.Commits = (*SQLite)(nil)
	_ millrace.Locks   = (*SQLite)(nil)
	_ millrace.Nodes   = (*SQLite)(nil)
	_ millrace.Issues  = (*SQLite)(nil)
)

// Open opens or creates the database file at path and brings its schema up to
// date. The file is readable by its owner only. A file written by a newer
// millrace is ErrConflict, one that is no database ErrCorrupt.
func Open(ctx context.Context, path string) (*SQLite, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open meta: %w", err)
	}
	if err := createPrivate(abs); err != nil {
		return nil, openError(path, err)
	}
	s := &SQLite{records: records{engine: sqliteEngine{}}}
	if s.write, err = sql.Open("sqlite", dsn(abs, "&_txlock=immediate")); err != nil {
		return nil, openError(path, err)
	}
	s.write.SetMaxOpenConns(1)
	if err := migrate(ctx, s.write); err != nil {
		_ = s.write.Close()
		return nil, openError(path, err)
	}
	if s.read, err = sql.Open("sqlite", dsn(abs, "&_pragma=query_only(1)")); err != nil {
		_ = s.write.Close()
		return nil, openError(path, err)
	}
	s.read.SetMaxOpenConns(readers)
	return s, nil
}

// createPrivate makes the file with mode 0600 before SQLite would with 0644;
// the -wal and -shm files inherit the mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn names the file as a URI: a path may hold characters that mean something
// in one. synchronous(FULL) makes a revocation survive power loss; writes are
// far too rare for its cost to matter.
func dsn(abs, extra string) string {
	u := url.URL{Path: abs}
	return fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)%s",
		u.EscapedPath(), busyTimeout, extra)
}

func migrate(ctx context.Context, db *sql.DB) error {
	sub, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub)
	if err != nil {
		return err
	}
	return up(ctx, p)
}

// up applies the migrations that are missing. ErrConflict: the schema has some
// that this version does not know.
func up(ctx context.Context, p *goose.Provider) error {
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return millrace.Errorf(millrace.ErrConflict,
			"its schema has version %d, this millrace knows %d: it was written by a newer version", current, target)
	}
	_, err = p.Up(ctx)
	return err
}

// SQLite's primary result codes that say what went wrong with the file.
const (
	sqliteBusy    = 5
	sqliteCorrupt = 11
	sqliteNotADB  = 26
)

func openError(path string, err error) error {
	code := millrace.ErrUnavailable
	hint := "check that the data directory exists, is writable and has space"
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqliteCorrupt, sqliteNotADB:
			code, hint = millrace.ErrCorrupt, "restore the file from a backup, or move it away: keys must then be created anew"
		case sqliteBusy:
			hint = "another process holds the file; try again"
		}
	}
	if millrace.ErrorCode(err) == millrace.ErrConflict {
		code, hint = millrace.ErrConflict, "run the newer version"
	}
	return &millrace.Error{Code: code, Op: "open meta", Message: path, Hint: hint, Err: err}
}

// Close releases the file and all locks. Calls under way fail.
func (s *SQLite) Close() error {
	s.locks.close()
	return errors.Join(s.read.Close(), s.write.Close())
}
