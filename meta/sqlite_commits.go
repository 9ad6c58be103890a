package meta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
)

// Commit implements millrace.Commits. ErrInvalid: the flush was begun by
// another sink, or for other partitions than those that move.
func (s *SQLite) Commit(ctx context.Context, flush int64, c *millrace.Commit) error {
	const op = "commit flush"
	return s.inTx(ctx, op, func(tx *sql.Tx) error {
		sink, partitions, err := flushOf(ctx, tx, op, flush)
		if err != nil {
			return err
		}
		if err := checkFlush(op, flush, sink, partitions, c); err != nil {
			return err
		}
		if c.From != nil {
			stored, err := positions(ctx, tx, c.Sink)
			if err != nil {
				return err
			}
			if err := c.CheckFrom(stored[c.Sink]); err != nil {
				return err
			}
		}
		for _, st := range c.Expect {
			if err := expectState(ctx, tx, op, st); err != nil {
				return err
			}
		}
		if err := writeCommit(ctx, tx, c); err != nil {
			return err
		}
		return endFlush(ctx, tx, flush, flushCommitted)
	})
}

func writeCommit(ctx context.Context, tx *sql.Tx, c *millrace.Commit) error {
	sink := string(c.Sink)
	err := each(ctx, tx, "positions", "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?, ?, ?)", c.Positions,
		func(p millrace.Position) []any {
			return []any{sink, p.Partition, p.Generation, p.TopicID, p.Offset, p.Ordinal, p.MaxTime}
		})
	if err == nil {
		err = each(ctx, tx, "client windows", "INSERT OR REPLACE INTO clients VALUES (?, ?, ?, ?)", c.Clients,
			func(w millrace.ClientWindow) []any { return []any{sink, w.Client, w.Updated, notNil(w.State)} })
	}
	if err == nil {
		err = each(ctx, tx, "gaps", "INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?)", c.Gaps,
			func(g millrace.Gap) []any {
				return []any{string(g.Sink), g.Partition, g.Generation, g.From, g.To, g.Found, g.Reason}
			})
	}
	if err == nil {
		err = each(ctx, tx, "set aside", "INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", c.SetAside,
			func(a millrace.SetAside) []any {
				return []any{
					string(a.Sink), a.Partition, a.Generation, a.Offset, a.Ordinal, a.Time,
					a.Project, a.Source, a.Stage, a.Reason, notNil(a.Payload),
				}
			})
	}
	if err == nil {
		err = each(ctx, tx, "retired values", "DELETE FROM admitted WHERE rollup = ? AND dimension = ? AND value = ?", c.Retired, admissionArgs)
	}
	if err == nil {
		err = each(ctx, tx, "admitted values", "INSERT OR IGNORE INTO admitted VALUES (?, ?, ?)", c.Admitted, admissionArgs)
	}
	return err
}

func admissionArgs(a millrace.Admission) []any {
	return []any{a.Rollup, a.Dimension, []byte(a.Value)}
}

// each runs a prepared statement once per row. In SQLite that is as fast as a
// statement of many rows: there is no round trip.
func each[T any](ctx context.Context, tx *sql.Tx, what, query string, rows []T, args func(T) []any) error {
	if len(rows) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = stmt.Close() }()
	for i := range rows {
		if _, err := stmt.ExecContext(ctx, args(rows[i])...); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// positions returns those of one sink, or of all.
func positions(ctx context.Context, tx *sql.Tx, only millrace.Sink) (map[millrace.Sink][]millrace.Position, error) {
	rows, err := tx.QueryContext(ctx, "SELECT sink, partition, generation, topic_id, record_offset, ordinal, max_time FROM positions "+
		"WHERE sink = ?1 OR ?1 = '' ORDER BY sink, partition", string(only))
	if err != nil {
		return nil, err
	}
	type row struct {
		millrace.Position
		sink millrace.Sink
	}
	found, err := collect(rows, func(r *row) []any {
		return []any{&r.sink, &r.Partition, &r.Generation, &r.TopicID, &r.Offset, &r.Ordinal, &r.MaxTime}
	})
	out := map[millrace.Sink][]millrace.Position{}
	for _, r := range found {
		out[r.sink] = append(out[r.sink], r.Position)
	}
	return out, err
}

// Load implements millrace.Commits.
func (s *SQLite) Load(ctx context.Context, sink millrace.Sink) (*millrace.SinkState, error) {
	const op = "load positions"
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, wrap(op, err)
	}
	defer func() { _ = tx.Rollback() }()
	st := &millrace.SinkState{}
	stored, err := positions(ctx, tx, sink)
	if err != nil {
		return nil, wrap(op, err)
	}
	st.Positions = stored[sink]
	rows, err := tx.QueryContext(ctx, "SELECT client, updated, state FROM clients WHERE sink = ? ORDER BY client", string(sink))
	if err != nil {
		return nil, wrap(op, err)
	}
	st.Clients, err = collect(rows, func(w *millrace.ClientWindow) []any { return []any{&w.Client, &w.Updated, (*blob)(&w.State)} })
	if err != nil || sink != millrace.SinkRollup {
		return st, wrap(op, err)
	}
	if rows, err = tx.QueryContext(ctx, "SELECT rollup, dimension, value FROM admitted ORDER BY rollup, dimension, value"); err != nil {
		return nil, wrap(op, err)
	}
	st.Admitted, err = collect(rows, func(a *millrace.Admission) []any { return []any{&a.Rollup, &a.Dimension, &a.Value} })
	return st, wrap(op, err)
}

// Gaps implements millrace.Commits.
func (s *SQLite) Gaps(ctx context.Context) ([]millrace.Gap, error) {
	const op = "read gaps"
	rows, err := s.read.QueryContext(ctx, `SELECT sink, partition, generation, from_offset, to_offset, found, reason
		FROM gaps ORDER BY found, sink, partition, from_offset`)
	if err != nil {
		return nil, wrap(op, err)
	}
	out, err := collect(rows, func(g *millrace.Gap) []any {
		return []any{&g.Sink, &g.Partition, &g.Generation, &g.From, &g.To, &g.Found, &g.Reason}
	})
	return out, wrap(op, err)
}

// SetAside implements millrace.Commits.
func (s *SQLite) SetAside(ctx context.Context, limit int) ([]millrace.SetAside, error) {
	const op = "read set-aside records"
	rows, err := s.read.QueryContext(ctx, `SELECT sink, partition, generation, record_offset, ordinal, time, project, source, stage, reason, payload
		FROM set_aside ORDER BY time DESC, partition DESC, record_offset DESC, ordinal DESC LIMIT ?`, max(limit, 0))
	if err != nil {
		return nil, wrap(op, err)
	}
	out, err := collect(rows, func(a *millrace.SetAside) []any {
		return []any{&a.Sink, &a.Partition, &a.Generation, &a.Offset, &a.Ordinal, &a.Time, &a.Project, &a.Source, &a.Stage, &a.Reason, (*blob)(&a.Payload)}
	})
	return out, wrap(op, err)
}

// State implements millrace.Commits.
func (s *SQLite) State(ctx context.Context, name string) (millrace.State, error) {
	st := millrace.State{Name: name}
	err := s.read.QueryRowContext(ctx, "SELECT version, value FROM states WHERE name = ?", name).Scan(&st.Version, (*blob)(&st.Value))
	if errors.Is(err, sql.ErrNoRows) {
		return st, nil
	}
	return st, wrap("read state", err)
}

// SetState implements millrace.Commits.
func (s *SQLite) SetState(ctx context.Context, st millrace.State) error {
	const op = "set state"
	return s.inTx(ctx, op, func(tx *sql.Tx) error { return setState(ctx, tx, op, st) })
}

func setState(ctx context.Context, tx *sql.Tx, op string, st millrace.State) error {
	if err := expectState(ctx, tx, op, st); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO states VALUES (?, ?, ?)", st.Name, st.Version+1, notNil(st.Value))
	return err
}

// expectState returns ErrConflict if a state has another version.
func expectState(ctx context.Context, tx *sql.Tx, op string, st millrace.State) error {
	var stored int64
	err := tx.QueryRowContext(ctx, "SELECT version FROM states WHERE name = ?", st.Name).Scan(&stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if stored != st.Version {
		return staleState(op, st, stored)
	}
	return nil
}

// blob scans bytes; the driver gives nil for empty ones.
type blob []byte

// Scan implements sql.Scanner.
func (b *blob) Scan(v any) error {
	data, _ := v.([]byte)
	*b = append(blob{}, data...)
	return nil
}
