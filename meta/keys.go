package meta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/millrace/millrace"
)

const keyColumns = "id, name, project, scopes, hash, created, revoked"

// CreateKey implements millrace.Meta. A second key of the same ID or hash is ErrConflict.
func (s *SQLite) CreateKey(ctx context.Context, k *millrace.Key) error {
	_, err := s.write.ExecContext(ctx, "INSERT INTO keys ("+keyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)",
		k.ID, k.Name, k.Project, joinScopes(k.Scopes), k.Hash, nanos(k.Created), nanos(k.Revoked))
	const constraint = 19
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == constraint {
		return &millrace.Error{Code: millrace.ErrConflict, Op: "create key", Message: "a key with this id exists"}
	}
	return wrap("create key", err)
}

// KeyByHash implements millrace.Meta.
func (s *SQLite) KeyByHash(ctx context.Context, hash string) (*millrace.Key, error) {
	row := s.read.QueryRowContext(ctx, "SELECT "+keyColumns+" FROM keys WHERE hash = ?", hash)
	k, err := scanKey(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &millrace.Error{Code: millrace.ErrNotFound, Op: "find key", Message: "no such key"}
	}
	return k, wrap("find key", err)
}

// Keys implements millrace.Meta.
func (s *SQLite) Keys(ctx context.Context) ([]*millrace.Key, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT "+keyColumns+" FROM keys ORDER BY created DESC, id")
	if err != nil {
		return nil, wrap("list keys", err)
	}
	defer func() { _ = rows.Close() }()
	var out []*millrace.Key
	for rows.Next() {
		k, err := scanKey(rows.Scan)
		if err != nil {
			return nil, wrap("list keys", err)
		}
		out = append(out, k)
	}
	return out, wrap("list keys", rows.Err())
}

// RevokeKey implements millrace.Meta. Revoking again keeps the first time.
func (s *SQLite) RevokeKey(ctx context.Context, id string, at time.Time) error {
	res, err := s.write.ExecContext(ctx,
		"UPDATE keys SET revoked = CASE revoked WHEN 0 THEN ? ELSE revoked END WHERE id = ?", nanos(at), id)
	if err != nil {
		return wrap("revoke key", err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return &millrace.Error{Code: millrace.ErrNotFound, Op: "revoke key", Message: fmt.Sprintf("no key with id %q", id)}
	}
	return wrap("revoke key", err)
}

// HasKey implements millrace.Meta. It asks for the scope itself: a valid admin
// key does not count as an ingest key.
func (s *SQLite) HasKey(ctx context.Context, scope millrace.Scope) (bool, error) {
	var has bool
	err := s.read.QueryRowContext(ctx,
		"SELECT EXISTS (SELECT 1 FROM keys WHERE revoked = 0 AND ',' || scopes || ',' LIKE '%,' || ? || ',%')",
		string(scope)).Scan(&has)
	return has, wrap("look for a key", err)
}

func scanKey(scan func(...any) error) (*millrace.Key, error) {
	var (
		k                millrace.Key
		scopes           string
		created, revoked int64
	)
	if err := scan(&k.ID, &k.Name, &k.Project, &scopes, &k.Hash, &created, &revoked); err != nil {
		return nil, err
	}
	for s := range strings.SplitSeq(scopes, ",") {
		k.Scopes = append(k.Scopes, millrace.Scope(s))
	}
	k.Created, k.Revoked = fromNanos(created), fromNanos(revoked)
	return &k, nil
}

func joinScopes(scopes []millrace.Scope) string {
	parts := make([]string, len(scopes))
	for i, s := range scopes {
		parts[i] = string(s)
	}
	return strings.Join(parts, ",")
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// wrap classifies what is left after the cases a caller can act on: the file
// is locked, unreadable or out of space, all of which may pass.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &millrace.Error{Code: millrace.ErrUnavailable, Op: op, Message: "the state database cannot be used now", Err: err}
}
