package meta

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"github.com/millrace/millrace"
)

// sqliteNow is the time in Unix nanoseconds, exact to the millisecond.
const sqliteNow = "CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000000"

// inTx runs fn in a transaction, which has SQLite's lock from the start (see
// dsn). Errors of fn that have a code are returned as they are.
func (s *SQLite) inTx(ctx context.Context, op string, fn func(tx *sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return wrap(op, err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := fn(tx); err != nil {
		return wrap(op, err)
	}
	return wrap(op, tx.Commit())
}

// Begin implements millrace.Commits. An id is at least the Unix time in
// milliseconds, so that none is used again after an older copy of the file was
// restored.
func (s *SQLite) Begin(ctx context.Context, sink millrace.Sink, partitions []int32, node string) (*millrace.Flush, error) {
	const op = "begin flush"
	f := &millrace.Flush{Sink: sink, Partitions: sortedPartitions(partitions), Node: node}
	list, err := json.Marshal(f.Partitions)
	if err != nil {
		return nil, err
	}
	err = s.inTx(ctx, op, func(tx *sql.Tx) error {
		if err := s.prune(ctx, tx); err != nil {
			return err
		}
		var begun int64
		err := tx.QueryRowContext(ctx, "UPDATE flush_counter SET id = max(id + 1, "+sqliteNow+" / 1000000), begun = max(begun, "+sqliteNow+
			") RETURNING id, begun").Scan(&f.ID, &begun)
		if err != nil {
			return err
		}
		f.Begun = fromNanos(begun)
		_, err = tx.ExecContext(ctx, "INSERT INTO flushes (id, sink, partitions, node, begun) VALUES (?, ?, ?, ?, ?)",
			f.ID, string(sink), string(list), node, begun)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// prune removes flushes and client windows that nobody needs any more, once
// per pruneEvery by the database's clock.
func (s *SQLite) prune(ctx context.Context, tx *sql.Tx) error {
	var now int64
	if err := tx.QueryRowContext(ctx, "SELECT "+sqliteNow).Scan(&now); err != nil {
		return err
	}
	if last := s.pruned.Load(); now-last < int64(pruneEvery) && now >= last {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM flushes WHERE state = ? AND ended < ? OR state = ? AND ended < ?",
		flushCommitted, now-int64(keepCommitted), flushHidden, now-int64(keepHidden)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM clients WHERE updated < ?", now-int64(keepClients)); err != nil {
		return err
	}
	s.pruned.Store(now)
	return nil
}

// flushOf returns an open flush. ErrConflict: it has ended, or is not known.
func flushOf(ctx context.Context, tx *sql.Tx, op string, id int64) (sink millrace.Sink, partitions []int32, err error) {
	var (
		state int
		list  string
	)
	err = tx.QueryRowContext(ctx, "SELECT sink, partitions, state FROM flushes WHERE id = ?", id).Scan(&sink, &list, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil, goneError(op, millrace.ErrConflict, id)
	case err != nil:
		return "", nil, err
	case state != flushOpen:
		return "", nil, endedError(op, id, state)
	}
	return sink, partitions, json.Unmarshal([]byte(list), &partitions)
}

func endFlush(ctx context.Context, tx *sql.Tx, id int64, state int) error {
	_, err := tx.ExecContext(ctx, "UPDATE flushes SET state = ?, ended = "+sqliteNow+" WHERE id = ?", state, id)
	return err
}

// Settle implements millrace.Commits.
func (s *SQLite) Settle(ctx context.Context, flush int64, states ...millrace.State) error {
	const op = "settle flush"
	return s.inTx(ctx, op, func(tx *sql.Tx) error {
		if _, _, err := flushOf(ctx, tx, op, flush); err != nil {
			return err
		}
		for _, st := range states {
			if err := setState(ctx, tx, op, st); err != nil {
				return err
			}
		}
		return endFlush(ctx, tx, flush, flushCommitted)
	})
}

// Abandon implements millrace.Commits. ErrNotFound: one is not known (any more).
func (s *SQLite) Abandon(ctx context.Context, flushes ...int64) error {
	const op = "abandon flushes"
	var refused error
	err := s.inTx(ctx, op, func(tx *sql.Tx) error {
		for _, id := range flushes {
			var state int
			err := tx.QueryRowContext(ctx, "SELECT state FROM flushes WHERE id = ?", id).Scan(&state)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				refused = moreTelling(refused, goneError(op, millrace.ErrNotFound, id))
			case err != nil:
				return err
			case state == flushCommitted:
				refused = moreTelling(refused, endedError(op, id, state))
			case state == flushOpen:
				if err := endFlush(ctx, tx, id, flushAbandoned); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return refused
}

// moreTelling returns the first error, but a conflict rather than another.
func moreTelling(a, b error) error {
	if a == nil || millrace.ErrorCode(a) != millrace.ErrConflict && millrace.ErrorCode(b) == millrace.ErrConflict {
		return b
	}
	return a
}

// Claim implements millrace.Commits. Nil partitions are all there are.
func (s *SQLite) Claim(ctx context.Context, sink millrace.Sink, partitions []int32) error {
	return s.inTx(ctx, "claim partitions", func(tx *sql.Tx) error {
		open, err := openFlushes(ctx, tx)
		if err != nil {
			return err
		}
		for _, f := range open {
			if f.Sink != sink || !touches(f.Partitions, partitions) {
				continue
			}
			if err := endFlush(ctx, tx, f.ID, flushAbandoned); err != nil {
				return err
			}
		}
		return nil
	})
}

// Abandoned implements millrace.Commits.
func (s *SQLite) Abandoned(ctx context.Context) ([]int64, error) {
	const op = "list abandoned flushes"
	rows, err := s.read.QueryContext(ctx, "SELECT id FROM flushes WHERE state = 2 ORDER BY id")
	if err != nil {
		return nil, wrap(op, err)
	}
	out, err := collect(rows, func(id *int64) []any { return []any{id} })
	return out, wrap(op, err)
}

// Hidden implements millrace.Commits. Flushes that are not abandoned stay as
// they are.
func (s *SQLite) Hidden(ctx context.Context, flushes ...int64) error {
	return s.inTx(ctx, "note hidden flushes", func(tx *sql.Tx) error {
		for _, id := range flushes {
			if _, err := tx.ExecContext(ctx, "UPDATE flushes SET state = ?, ended = "+sqliteNow+" WHERE id = ? AND state = ?",
				flushHidden, id, flushAbandoned); err != nil {
				return err
			}
		}
		return nil
	})
}

// Cut implements millrace.Commits.
func (s *SQLite) Cut(ctx context.Context) (*millrace.Cut, error) {
	const op = "read a cut"
	// A reader's transaction sees the file as it was at its first statement.
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, wrap(op, err)
	}
	defer func() { _ = tx.Rollback() }()
	cut := &millrace.Cut{}
	if err := tx.QueryRowContext(ctx, "SELECT id FROM flush_counter").Scan(&cut.Newest); err != nil {
		return nil, wrap(op, err)
	}
	if cut.Open, err = openFlushes(ctx, tx); err != nil {
		return nil, wrap(op, err)
	}
	cut.Positions, err = positions(ctx, tx, "")
	return cut, wrap(op, err)
}

func openFlushes(ctx context.Context, tx *sql.Tx) ([]millrace.Flush, error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, sink, node, begun, partitions FROM flushes WHERE state = 0 ORDER BY id")
	if err != nil {
		return nil, err
	}
	type row struct {
		millrace.Flush
		begun int64
		list  string
	}
	found, err := collect(rows, func(r *row) []any { return []any{&r.ID, &r.Sink, &r.Node, &r.begun, &r.list} })
	if err != nil {
		return nil, err
	}
	var out []millrace.Flush
	for _, r := range found {
		if err := json.NewDecoder(strings.NewReader(r.list)).Decode(&r.Partitions); err != nil {
			return nil, err
		}
		r.Begun = fromNanos(r.begun)
		out = append(out, r.Flush)
	}
	return out, nil
}

// collect reads all rows, each into the fields that into names, and closes them.
func collect[T any](rows *sql.Rows, into func(*T) []any) ([]T, error) {
	defer func() { _ = rows.Close() }()
	var out []T
	for rows.Next() {
		var v T
		if err := rows.Scan(into(&v)...); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
