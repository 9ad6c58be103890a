package meta

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// usageChunk is how many rows one statement stores: a round trip for each key
// would make a thousand keys slow, and a statement's parameters are bounded.
const usageChunk = 200

// SetUsage implements millrace.Meta.
func (r *records) SetUsage(ctx context.Context, writer, seq int64, rows []millrace.KeyUsage) error {
	if len(rows) == 0 {
		return nil
	}
	return r.repeat(ctx, "store the usage of keys", func(ctx context.Context) error {
		tx, err := r.write.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		newest := rows[0].Day
		for chunk := range slices.Chunk(rows, usageChunk) {
			if err := setUsage(ctx, tx, writer, seq, chunk); err != nil {
				return err
			}
			for i := range chunk {
				newest = max(newest, chunk[i].Day)
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM key_usage WHERE day < $1", newest-millrace.UsageDays); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// setUsage keeps a row with a higher seq: a try that was cut off may still reach
// the database after those that followed it.
func setUsage(ctx context.Context, tx *sql.Tx, writer, seq int64, rows []millrace.KeyUsage) error {
	var stmt strings.Builder
	stmt.WriteString("INSERT INTO key_usage (day, key, reason, writer, seq, requests, events, bytes) VALUES ")
	args := []any{writer, seq}
	for i := range rows {
		u := &rows[i]
		n := len(args)
		if i > 0 {
			stmt.WriteByte(',')
		}
		fmt.Fprintf(&stmt, "($%d, $%d, $%d, $1, $2, $%d, $%d, $%d)", n+1, n+2, n+3, n+4, n+5, n+6)
		args = append(args, u.Day, u.Key, u.Reason, u.Requests, u.Events, u.Bytes)
	}
	stmt.WriteString(` ON CONFLICT (day, key, reason, writer) DO UPDATE SET seq = excluded.seq, requests = excluded.requests,
		events = excluded.events, bytes = excluded.bytes WHERE excluded.seq > key_usage.seq`)
	_, err := tx.ExecContext(ctx, stmt.String(), args...)
	return err
}

// Usage implements millrace.Meta.
func (r *records) Usage(ctx context.Context, from, but int64) (out []millrace.KeyUsage, err error) {
	err = r.repeat(ctx, "read the usage of keys", func(ctx context.Context) error {
		rows, err := r.read.QueryContext(ctx, `SELECT day, key, reason, CAST(sum(requests) AS bigint), CAST(sum(events) AS bigint), CAST(sum(bytes) AS bigint)
			FROM key_usage WHERE day >= $1 AND writer <> $2 GROUP BY day, key, reason ORDER BY day, key, reason`, from, but)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		out = nil
		for rows.Next() {
			var u millrace.KeyUsage
			if err := rows.Scan(&u.Day, &u.Key, &u.Reason, &u.Requests, &u.Events, &u.Bytes); err != nil {
				return err
			}
			out = append(out, u)
		}
		return rows.Err()
	})
	return out, err
}
