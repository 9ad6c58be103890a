package meta

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace"
)

// Commit implements millrace.Commits, in one round trip: what refuses it is
// asked in the same batch, and fails the whole. ErrInvalid: the flush was begun
// by another sink, or for other partitions than those that move.
func (p *Postgres) Commit(ctx context.Context, flush int64, c *millrace.Commit) error {
	const op = "commit flush"
	return p.once(ctx, op, func(ctx context.Context) error {
		return refusal(flush, c, c.Expect, p.batch(ctx, func(b *pgx.Batch) {
			moved := make([]int32, len(c.Positions))
			for i := range c.Positions {
				moved[i] = c.Positions[i].Partition
			}
			b.Queue("SELECT flush_take($1, $2, $3)", flush, string(c.Sink), moved)
			takePositions(b, c)
			takeStates(b, c.Expect, false)
			writePositions(b, c)
			writeClients(b, c)
			writeGaps(b, c.Gaps)
			writeSetAside(b, c.SetAside)
			writeAdmitted(b, c)
			b.Queue(endQuery, flush, flushCommitted)
		}))
	})
}

func takePositions(b *pgx.Batch, c *millrace.Commit) {
	if len(c.From) == 0 {
		return
	}
	col := columnsOf(c.From)
	b.Queue("SELECT positions_take($1, $2, $3, $4, $5, $6)", string(c.Sink), col.partitions, col.generations, col.topics, col.offsets, col.ordinals)
}

func writePositions(b *pgx.Batch, c *millrace.Commit) {
	if len(c.Positions) == 0 {
		return
	}
	col := columnsOf(fresh(c.Positions, func(a, b millrace.Position) int { return cmp.Compare(a.Partition, b.Partition) }))
	b.Queue(`INSERT INTO positions (sink, stored, partition, generation, topic_id, record_offset, ordinal, max_time)
		SELECT $1, true, * FROM unnest($2::int[], $3::bigint[], $4::text[], $5::bigint[], $6::int[], $7::bigint[])
		ON CONFLICT (sink, partition) DO UPDATE SET stored = true, generation = excluded.generation, topic_id = excluded.topic_id,
			record_offset = excluded.record_offset, ordinal = excluded.ordinal, max_time = excluded.max_time`,
		string(c.Sink), col.partitions, col.generations, col.topics, col.offsets, col.ordinals, col.times)
}

// positionColumns are positions as arrays, one per column.
type positionColumns struct {
	partitions, ordinals        []int32
	generations, offsets, times []int64
	topics                      []string
}

func columnsOf(positions []millrace.Position) (c positionColumns) {
	for i := range positions {
		p := &positions[i]
		c.partitions, c.ordinals = append(c.partitions, p.Partition), append(c.ordinals, p.Ordinal)
		c.generations, c.offsets, c.times = append(c.generations, p.Generation), append(c.offsets, p.Offset), append(c.times, p.MaxTime)
		c.topics = append(c.topics, plain(p.TopicID))
	}
	return c
}

// writeClients stores all windows with one statement: with one each, the server
// would be busy a hundred times as long.
func writeClients(b *pgx.Batch, c *millrace.Commit) {
	if len(c.Clients) == 0 {
		return
	}
	var names []string
	var updated []int64
	var states [][]byte
	for _, w := range fresh(c.Clients, func(a, b millrace.ClientWindow) int { return strings.Compare(a.Client, b.Client) }) {
		names, updated, states = append(names, plain(w.Client)), append(updated, w.Updated), append(states, notNil(w.State))
	}
	b.Queue(`INSERT INTO clients (sink, client, updated, state) SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bytea[])
		ON CONFLICT (sink, client) DO UPDATE SET updated = excluded.updated, state = excluded.state`,
		string(c.Sink), names, updated, states)
}

func writeGaps(b *pgx.Batch, gaps []millrace.Gap) {
	for _, g := range gaps {
		b.Queue("INSERT INTO gaps VALUES ($1, $2, $3, $4, $5, $6, $7)",
			string(g.Sink), g.Partition, g.Generation, g.From, g.To, g.Found, plain(g.Reason))
	}
}

func writeSetAside(b *pgx.Batch, records []millrace.SetAside) {
	for i := range records {
		a := &records[i]
		b.Queue("INSERT INTO set_aside VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
			string(a.Sink), a.Partition, a.Generation, a.Offset, a.Ordinal, a.Time,
			plain(a.Project), plain(a.Source), plain(a.Stage), plain(a.Reason), notNil(a.Payload))
	}
}

func writeAdmitted(b *pgx.Batch, c *millrace.Commit) {
	if len(c.Retired) > 0 {
		rollups, dimensions, values := admissionColumns(c.Retired)
		b.Queue(`DELETE FROM admitted a USING unnest($1::text[], $2::text[], $3::bytea[]) AS r (rollup, dimension, value)
			WHERE a.rollup = r.rollup AND a.dimension = r.dimension AND a.digest = sha256(r.value)`, rollups, dimensions, values)
	}
	if len(c.Admitted) > 0 {
		rollups, dimensions, values := admissionColumns(c.Admitted)
		b.Queue(`INSERT INTO admitted (rollup, dimension, value) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])
			ON CONFLICT DO NOTHING`, rollups, dimensions, values)
	}
}

func admissionColumns(list []millrace.Admission) (rollups, dimensions []string, values [][]byte) {
	list = fresh(list, func(a, b millrace.Admission) int {
		return cmp.Or(strings.Compare(a.Rollup, b.Rollup), strings.Compare(a.Dimension, b.Dimension), strings.Compare(a.Value, b.Value))
	})
	for _, a := range list {
		rollups, dimensions, values = append(rollups, plain(a.Rollup)), append(dimensions, plain(a.Dimension)), append(values, []byte(a.Value))
	}
	return rollups, dimensions, values
}

// plain makes text that PostgreSQL takes: UTF-8 without NUL.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// The SQLSTATEs of our own functions, see the migration.
const (
	sqlFlushGone    = "MR001"
	sqlFlushEnded   = "MR002"
	sqlFlushForeign = "MR003"
	sqlStalePos     = "MR004"
	sqlStaleState   = "MR005"
)

// refusal turns what our functions raise into the errors that Commits promises.
func refusal(flush int64, c *millrace.Commit, states []millrace.State, err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch e.Code {
	case sqlFlushGone:
		return goneError("", millrace.ErrConflict, flush)
	case sqlFlushEnded:
		var state int
		if err := json.Unmarshal([]byte(e.Detail), &state); err != nil {
			return err
		}
		return endedError("", flush, state)
	case sqlFlushForeign:
		var of struct {
			Sink       millrace.Sink
			Partitions []int32
		}
		if err := json.Unmarshal([]byte(e.Detail), &of); err != nil {
			return err
		}
		return or(checkFlush("", flush, of.Sink, of.Partitions, c), err)
	case sqlStalePos:
		var stored []millrace.Position
		if err := json.Unmarshal([]byte(e.Detail), &stored); err != nil {
			return err
		}
		return or(c.CheckFrom(stored), err)
	case sqlStaleState:
		var stored millrace.State
		if err := json.Unmarshal([]byte(e.Detail), &stored); err != nil {
			return err
		}
		for _, s := range states {
			if s.Name == stored.Name {
				return staleState("", s, stored.Version)
			}
		}
	}
	return err
}

// or returns the error that tells more, if there is one: what was refused must
// not become a success because we cannot say why.
func or(telling, err error) error {
	if telling != nil {
		return telling
	}
	return err
}

// Load implements millrace.Commits.
func (p *Postgres) Load(ctx context.Context, sink millrace.Sink) (st *millrace.SinkState, err error) {
	err = p.repeat(ctx, "load positions", func(ctx context.Context) error {
		st = &millrace.SinkState{}
		// Three statements that see one moment.
		opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
		return pgx.BeginTxFunc(ctx, p.pool, opts, func(tx pgx.Tx) error {
			b := &pgx.Batch{}
			queueRows(b, &st.Positions, `SELECT partition, generation, topic_id, record_offset, ordinal, max_time FROM positions
				WHERE sink = $1 AND stored ORDER BY partition`, string(sink))
			queueRows(b, &st.Clients, "SELECT client, updated, state FROM clients WHERE sink = $1 ORDER BY client", string(sink))
			if sink == millrace.SinkRollup {
				queueAdmitted(b, &st.Admitted)
			}
			return tx.SendBatch(ctx, b).Close()
		})
	})
	return st, err
}

func queueAdmitted(b *pgx.Batch, into *[]millrace.Admission) {
	b.Queue("SELECT rollup, dimension, value FROM admitted ORDER BY rollup, dimension, value").Query(func(rows pgx.Rows) error {
		var a millrace.Admission
		var value []byte
		_, err := pgx.ForEachRow(rows, []any{&a.Rollup, &a.Dimension, &value}, func() error {
			a.Value = string(value)
			*into = append(*into, a)
			return nil
		})
		return err
	})
}

// queueRows reads rows into structs whose fields are the columns, in order.
func queueRows[T any](b *pgx.Batch, into *[]T, query string, args ...any) {
	b.Queue(query, args...).Query(func(rows pgx.Rows) (err error) {
		*into, err = pgx.CollectRows(rows, pgx.RowToStructByPos[T])
		return err
	})
}

// Gaps implements millrace.Commits.
func (p *Postgres) Gaps(ctx context.Context) (out []millrace.Gap, err error) {
	err = p.repeat(ctx, "read gaps", func(ctx context.Context) error {
		return p.batch(ctx, func(b *pgx.Batch) {
			queueRows(b, &out, `SELECT sink, partition, generation, from_offset, to_offset, found, reason
				FROM gaps ORDER BY found, sink, partition, from_offset`)
		})
	})
	return out, err
}

// SetAside implements millrace.Commits.
func (p *Postgres) SetAside(ctx context.Context, limit int) (out []millrace.SetAside, err error) {
	err = p.repeat(ctx, "read set-aside records", func(ctx context.Context) error {
		return p.batch(ctx, func(b *pgx.Batch) {
			queueRows(b, &out, `SELECT sink, partition, generation, record_offset, ordinal, time, project, source, stage, reason, payload
				FROM set_aside ORDER BY time DESC, partition DESC, record_offset DESC, ordinal DESC LIMIT $1`, max(limit, 0))
		})
	})
	return out, err
}
