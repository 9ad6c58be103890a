package meta

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/millrace/millrace"
)

//go:embed migrations/postgres/*.sql
var postgresMigrations embed.FS

const (
	// minPostgres is the oldest major version that its developers still mend.
	minPostgres = 14
	// connectTimeout is for one server; the URL may name several.
	connectTimeout = 5 * time.Second
	// poolSize suffices for one node: it commits a few times a second and looks
	// up keys that it does not know. A hundred nodes need 500 connections then,
	// with one each for locks.
	poolSize = 4
	// pingTimeout is how long a connection that was idle may take to answer
	// before another one is opened.
	pingTimeout = 2 * time.Second
	// migrateTimeout is how long a node waits for another's migration, too.
	migrateTimeout = 10 * time.Minute
)

// Keys of advisory locks, any numbers that others in the database do not use.
const (
	lockMigrate = 0x6d696c6c_00000001
	lockBegin   = 0x6d696c6c_00000002 // shared by Begin, alone for Cut
	lockIssues  = 0x6d696c6c_00000003 // shared by See, alone for Regroup and settings
)

// Postgres implements millrace.Meta, millrace.Commits and millrace.Locks for
// many nodes. Calls are safe for concurrent use.
//
// Commits are only as durable as the server's: after a failover to a standby
// that lagged behind, what it had not got yet was never committed, although
// nodes were told so and rows in the Store count. So standbys must be
// synchronous.
type Postgres struct {
	records
	pool   *pgxpool.Pool
	engine *postgresEngine
	pruned atomic.Int64 // when flushes were, see prune
	locks  locker
}

var (
	_ millrace.Meta    = (*Postgres)(nil)
	_ millrace.Commits = (*Postgres)(nil)
	_ millrace.Locks   = (*Postgres)(nil)
	_ millrace.Nodes   = (*Postgres)(nil)
	_ millrace.Issues  = (*Postgres)(nil)
)

// OpenPostgres connects to a database of its own and brings its schema up to
// date; of many nodes that start at once, one does that and the others wait.
// url is a connection URL as libpq has it, with the parameters of TLS (sslmode,
// sslrootcert, sslcert, sslkey) and of pgxpool (pool_max_conns).
//
// ErrInvalid: the URL, the password, the database's name or the server's version
// is wrong; ErrConflict: the schema was made by a newer millrace;
// ErrUnavailable: what may pass; it is not tried again.
func OpenPostgres(ctx context.Context, url string) (*Postgres, error) {
	cfg, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, openPostgresError(cfg.ConnConfig, err)
	}
	db := stdlib.OpenDBFromPool(pool)
	p := &Postgres{pool: pool, engine: &postgresEngine{limit: tryTimeout, reset: pool.Reset}}
	p.records = records{read: db, write: db, engine: p.engine}
	p.locks.connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, cfg.ConnConfig.Copy()) }
	if err := p.prepare(ctx, db); err != nil {
		_ = p.Close()
		return nil, openPostgresError(cfg.ConnConfig, err)
	}
	return p, nil
}

func postgresConfig(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The error names what is wrong and hides the password.
		return nil, &millrace.Error{
			Code: millrace.ErrInvalid, Op: "open meta", Message: "the address of PostgreSQL cannot be used", Err: err,
			Hint: "write it as postgres://user:password@host:5432/database?sslmode=verify-full, with % for special characters in the password",
		}
	}
	c := cfg.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "millrace"
	}
	if c.ValidateConnect == nil { // the URL has no target_session_attrs
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if !strings.Contains(url, "pool_max_conns") {
		cfg.MaxConns = poolSize
	}
	cfg.PingTimeout = pingTimeout
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		// What Commits promises rests on both, whatever the server's defaults.
		_, err := conn.Exec(ctx, "SET synchronous_commit = on; SET default_transaction_isolation = 'read committed'",
			pgx.QueryExecModeSimpleProtocol)
		return err
	}
	return cfg, nil
}

// prepare checks what the server is and migrates the schema.
func (p *Postgres) prepare(ctx context.Context, db *sql.DB) error {
	err := p.engine.try(ctx, func(ctx context.Context) error {
		var version int
		var encoding string
		err := p.pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')").Scan(&version, &encoding)
		if err != nil {
			return err
		}
		return checkServer(version, encoding)
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	return p.migrate(ctx, db)
}

func checkServer(version int, encoding string) error {
	if version/10000 < minPostgres {
		e := millrace.Errorf(millrace.ErrInvalid, "PostgreSQL %d is too old: at least %d is needed", version/10000, minPostgres)
		e.Hint = "upgrade the server, or name another"
		return e
	}
	if encoding != "UTF8" {
		e := millrace.Errorf(millrace.ErrInvalid, "the database has the encoding %s, not UTF8", encoding)
		e.Hint = "create another: CREATE DATABASE millrace ENCODING 'UTF8' TEMPLATE template0"
		return e
	}
	return nil
}

// migrate brings the schema up to date while it has the lock, which ends with
// the connection, should this node die. That is none of the pool's: a pool may
// have only one, which the migration needs.
func (p *Postgres) migrate(ctx context.Context, db *sql.DB) error {
	conn, err := p.locks.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(lockMigrate)); err != nil {
		return err
	}
	sub, err := fs.Sub(postgresMigrations, "migrations/postgres")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, sub, goose.WithTableName("millrace_schema"))
	if err != nil {
		return err
	}
	if err := up(ctx, provider); err != nil {
		return err
	}
	if err := addAdditions(ctx, conn); err != nil {
		return err
	}
	return raiseFlushIDs(ctx, conn)
}

// raiseFlushIDs sees to it that no number is used again after an older backup
// was restored: numbers start at the time, in milliseconds, whenever a node
// does, and a system begins fewer than a thousand flushes a second.
func raiseFlushIDs(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockBegin)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT setval('flush_ids', greatest(last_value, now_ns() / 1000000)) FROM flush_ids")
		return err
	})
}

// Close ends all connections, and with them what locks are held.
func (p *Postgres) Close() error {
	p.engine.closed.Store(true)
	p.locks.close()
	err := p.write.Close()
	p.pool.Close()
	return err
}
