package clickhouse

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/millrace/millrace"
)

// DB is a millrace.Store on ClickHouse. Any number of processes may have the same
// database open; what they must agree on is in Commits.
type DB struct {
	opt     Options
	addr    *address
	conn    ch.Conn
	commits millrace.Commits
	now     func() time.Time
	log     *slog.Logger
	node    string // names this process in its flushes
	major   int    // of the server's version

	flushes flushes
	upkeep  upkeep
	size    tableSize
	oldest  oldestEvent
	cells   cellState
	layouts layouts

	sqlSlots chan struct{} // statements of users that may run at once
}

var _ millrace.Store = (*DB)(nil)

// Open connects and brings the schema up to date. commits has what goes with the
// rows and outlives the DB; now is the clock of retention.
//
// Errors: ErrUnavailable if no server answers or it cannot be written to;
// ErrUnauthorized for a wrong password; ErrNotFound for an unknown database or
// cluster; ErrConflict if the server is too old, or the schema newer than this
// program; ErrInvalid for options that make no sense.
func Open(ctx context.Context, opt Options, commits millrace.Commits, now func() time.Time, log *slog.Logger) (*DB, error) {
	addr, err := parseAddress(opt.Address)
	if err != nil {
		return nil, err
	}
	db := &DB{
		opt: opt, addr: addr, commits: commits, now: now, log: log, node: nodeName(),
		sqlSlots: make(chan struct{}, sqlConcurrency),
	}
	if db.conn, err = db.dial(); err != nil {
		return nil, err
	}
	if err := db.prepare(ctx); err != nil {
		_ = db.conn.Close() // err says why
		return nil, err
	}
	return db, nil
}

// prepare makes sure that the server can be used.
func (db *DB) prepare(ctx context.Context) error {
	if err := db.checkServer(ctx); err != nil {
		return err
	}
	if err := db.migrate(ctx); err != nil {
		return err
	}
	return db.openCells(ctx)
}

// nodeName is different for every process there ever was: flushes that this one
// began are told from those of its predecessor on the same machine.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // it never fails
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}

// Close implements millrace.Store. Commits stays open.
func (db *DB) Close() error {
	if err := db.conn.Close(); err != nil {
		return fmt.Errorf("close the connections to ClickHouse: %w", err)
	}
	return nil
}

// upkeep is when Maintain did what last.
type upkeep struct {
	mu     sync.Mutex
	ledger time.Time
	purge  time.Time
	hide   time.Time
}

// due reports whether every has passed since *last, and notes now if so. The
// first time everything is due. Called with upkeep's lock held.
func due(last *time.Time, now time.Time, every time.Duration) bool {
	if !last.IsZero() && now.Sub(*last).Abs() < every {
		return false
	}
	*last = now
	return true
}
