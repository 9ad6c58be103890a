package meta

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

const keyColumns = "id, name, project, scopes, hash, created, revoked, expires, event_rate, byte_rate, event_burst, byte_burst, day_events, day_bytes"

// CreateKey implements millrace.Meta. A second key of the same ID or hash is ErrConflict.
func (r *records) CreateKey(ctx context.Context, k *millrace.Key) error {
	return r.once(ctx, "create key", func(ctx context.Context) error {
		_, err := r.write.ExecContext(ctx, "INSERT INTO keys ("+keyColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
			append([]any{k.ID, k.Name, k.Project, joinScopes(k.Scopes), k.Hash, nanos(k.Created), nanos(k.Revoked)}, limits(k.Expires, k.Limits)...)...)
		if r.duplicate(err) {
			return millrace.Errorf(millrace.ErrConflict, "a key with this id exists")
		}
		return err
	})
}

// KeyByHash implements millrace.Meta.
func (r *records) KeyByHash(ctx context.Context, hash string) (k *millrace.Key, err error) {
	err = r.repeat(ctx, "find key", func(ctx context.Context) error {
		row := r.read.QueryRowContext(ctx, "SELECT "+keyColumns+" FROM keys WHERE hash = $1", hash)
		var err error
		k, err = scanKey(row.Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return millrace.Errorf(millrace.ErrNotFound, "no such key")
		}
		return err
	})
	return k, err
}

// Keys implements millrace.Meta.
func (r *records) Keys(ctx context.Context) (out []*millrace.Key, err error) {
	err = r.repeat(ctx, "list keys", func(ctx context.Context) error {
		rows, err := r.read.QueryContext(ctx, "SELECT "+keyColumns+" FROM keys ORDER BY created DESC, id")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		out = nil
		for rows.Next() {
			k, err := scanKey(rows.Scan)
			if err != nil {
				return err
			}
			out = append(out, k)
		}
		return rows.Err()
	})
	return out, err
}

// RevokeKey implements millrace.Meta. Revoking again keeps the first time.
func (r *records) RevokeKey(ctx context.Context, id string, at time.Time) error {
	return r.repeat(ctx, "revoke key", func(ctx context.Context) error {
		res, err := r.write.ExecContext(ctx,
			"UPDATE keys SET revoked = CASE revoked WHEN 0 THEN $1 ELSE revoked END WHERE id = $2", nanos(at), id)
		return oneKey(res, err, id)
	})
}

// ChangeKey implements millrace.Meta.
func (r *records) ChangeKey(ctx context.Context, id string, expires time.Time, l millrace.KeyLimits) error {
	return r.repeat(ctx, "change key", func(ctx context.Context) error {
		res, err := r.write.ExecContext(ctx, `UPDATE keys SET expires = $1, event_rate = $2, byte_rate = $3, event_burst = $4,
			byte_burst = $5, day_events = $6, day_bytes = $7 WHERE id = $8`, append(limits(expires, l), id)...)
		return oneKey(res, err, id)
	})
}

// oneKey reports ErrNotFound if a statement met no key.
func oneKey(res sql.Result, err error, id string) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return millrace.Errorf(millrace.ErrNotFound, "no key with id %q", id)
	}
	return err
}

// limits are the values of the columns from expires on.
func limits(expires time.Time, l millrace.KeyLimits) []any {
	return []any{nanos(expires), l.EventRate, l.ByteRate, l.EventBurst, l.ByteBurst, l.DayEvents, l.DayBytes}
}

// HasKey implements millrace.Meta. It asks for the scope itself: a valid admin
// key does not count as an ingest key.
func (r *records) HasKey(ctx context.Context, scope millrace.Scope, now time.Time) (has bool, err error) {
	err = r.repeat(ctx, "look for a key", func(ctx context.Context) error {
		return r.read.QueryRowContext(ctx,
			"SELECT EXISTS (SELECT 1 FROM keys WHERE revoked = 0 AND (expires = 0 OR expires > $2) AND ',' || scopes || ',' LIKE '%,' || $1 || ',%')",
			string(scope), now.UnixNano()).Scan(&has)
	})
	return has, err
}

func scanKey(scan func(...any) error) (*millrace.Key, error) {
	var (
		k                         millrace.Key
		scopes                    string
		created, revoked, expires int64
		l                         = &k.Limits
	)
	if err := scan(&k.ID, &k.Name, &k.Project, &scopes, &k.Hash, &created, &revoked, &expires,
		&l.EventRate, &l.ByteRate, &l.EventBurst, &l.ByteBurst, &l.DayEvents, &l.DayBytes); err != nil {
		return nil, err
	}
	for s := range strings.SplitSeq(scopes, ",") {
		k.Scopes = append(k.Scopes, millrace.Scope(s))
	}
	k.Created, k.Revoked, k.Expires = fromNanos(created), fromNanos(revoked), fromNanos(expires)
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
