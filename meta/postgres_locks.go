package meta

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
)

// How holders and the server find out about each other. A holder that cannot
// reach the server knows after at most lockPing + lockPingTimeout that its
// leases may be lost; the server, which hears nothing from a holder that is
// paused or cut off, frees its locks only after lockSilence, which is longer.
const (
	lockPing        = time.Second
	lockPingTimeout = 3 * time.Second
	lockSilence     = 8 * time.Second
)

// locker holds advisory locks on one connection of its own: they end with its
// session, whatever ends that.
type locker struct {
	connect func(ctx context.Context) (*pgx.Conn, error)

	mu     sync.Mutex // also of conn, which serves one call at a time
	conn   *pgx.Conn  // nil while there is none
	held   map[string]*lease
	closed bool
}

// TryLock implements millrace.Locks. Advisory locks belong to a session: behind
// a pooler that shares sessions (PgBouncer's transaction mode) they do not work.
func (p *Postgres) TryLock(ctx context.Context, name string) (millrace.Lease, error) {
	var l *lease
	err := p.once(ctx, "take lock", func(ctx context.Context) (err error) {
		l, err = p.locks.take(ctx, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Lock implements millrace.Locks. Faults that pass are waited for.
func (p *Postgres) Lock(ctx context.Context, name string) (millrace.Lease, error) {
	return waitLock(ctx, name, p.TryLock)
}

// lockKey makes a number of a name; two installations may share a database if
// each has a schema of its own.
const lockKey = "hashtextextended('millrace/' || current_schema() || '/' || $1, 0)"

func (k *locker) take(ctx context.Context, name string) (*lease, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[name] != nil {
		return nil, heldError(name) // the server would give it to the same session twice
	}
	if err := k.ensure(ctx); err != nil {
		return nil, err
	}
	var got bool
	if err := k.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock("+lockKey+")", name).Scan(&got); err != nil {
		k.drop()
		return nil, err
	}
	if !got {
		return nil, heldError(name)
	}
	l := newLease(name, k.release)
	k.held[name] = l
	return l, nil
}

// ensure connects, and keeps the connection awake until it ends.
func (k *locker) ensure(ctx context.Context) error {
	if k.closed {
		return errClosed
	}
	if k.conn != nil {
		return nil
	}
	conn, err := k.connect(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, sessionSettings, pgx.QueryExecModeSimpleProtocol); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return err
	}
	k.conn, k.held = conn, map[string]*lease{}
	go k.keepAwake(conn)
	return nil
}

// sessionSettings make the server end a session that it hears nothing of. TCP's
// own limits are for a machine that is gone in the middle of an answer.
var sessionSettings = fmt.Sprintf("SET idle_session_timeout = %[1]d; SET tcp_user_timeout = %[1]d; "+
	"SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 4", lockSilence.Milliseconds())

// keepAwake asks the server something until that fails: then no lease is sure.
func (k *locker) keepAwake(conn *pgx.Conn) {
	for {
		time.Sleep(lockPing)
		k.mu.Lock()
		if k.conn != conn {
			k.mu.Unlock()
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), lockPingTimeout)
		err := conn.Ping(ctx)
		cancel()
		if err != nil {
			k.drop()
		}
		k.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// drop ends the connection and all leases. The caller has mu.
func (k *locker) drop() {
	for _, l := range k.held {
		l.end()
	}
	clear(k.held)
	if k.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockPingTimeout)
	defer cancel()
	_ = k.conn.Close(ctx) // the server frees what is left when it notices
	k.conn = nil
}

func (k *locker) release(ctx context.Context, l *lease) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.end()
	if k.held[l.name] != l {
		return nil // lost or released before
	}
	delete(k.held, l.name)
	ctx, cancel := context.WithTimeout(ctx, lockPingTimeout)
	defer cancel()
	if _, err := k.conn.Exec(ctx, "SELECT pg_advisory_unlock("+lockKey+")", l.name); err != nil {
		k.drop()
		return postgresError(ctx, "release lock", err)
	}
	return nil
}

func (k *locker) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.drop()
}
