package meta

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
)

// batch runs statements as one transaction in one round trip: without a BEGIN
// the server commits at the end of what is sent together, or nothing of it.
func (p *Postgres) batch(ctx context.Context, fill func(*pgx.Batch)) error {
	b := &pgx.Batch{}
	fill(b)
	return p.pool.SendBatch(ctx, b).Close()
}

// Begin implements millrace.Commits, in one round trip. It may be sent again if
// the answer was lost: the token finds the flush.
func (p *Postgres) Begin(ctx context.Context, sink millrace.Sink, partitions []int32, node string) (*millrace.Flush, error) {
	const op = "begin flush"
	if err := p.prune(ctx); err != nil {
		return nil, err
	}
	f := &millrace.Flush{Sink: sink, Partitions: sortedPartitions(partitions), Node: plain(node)}
	token := rand.Int64() //nolint:gosec // must differ from those of other calls, not be secret
	err := p.repeat(ctx, op, func(ctx context.Context) error {
		var begun int64
		err := p.pool.QueryRow(ctx, "SELECT o_id, o_begun FROM flush_begin($1, $2, $3, $4, $5)",
			string(sink), f.Partitions, f.Node, token, int64(lockBegin)).Scan(&f.ID, &begun)
		f.Begun = fromNanos(begun)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// prune removes flushes and client windows that nobody needs any more, once per
// pruneEvery and process. Rows that another node is removing are left to it. The
// flush that began last stays, since the next begins no earlier.
func (p *Postgres) prune(ctx context.Context) error {
	now := clock().UnixNano() // only says when it is due
	if last := p.pruned.Load(); now-last < int64(pruneEvery) && now >= last {
		return nil
	}
	err := p.repeat(ctx, "remove old flushes", func(ctx context.Context) error {
		return p.batch(ctx, func(b *pgx.Batch) {
			b.Queue(`DELETE FROM flushes WHERE id IN (SELECT id FROM flushes
				WHERE (state = $1 AND ended < now_ns() - $2 OR state = $3 AND ended < now_ns() - $4) AND begun < (SELECT max(begun) FROM flushes)
				FOR UPDATE SKIP LOCKED)`, flushCommitted, int64(keepCommitted), flushHidden, int64(keepHidden))
			b.Queue(`DELETE FROM clients WHERE (sink, client) IN (SELECT sink, client FROM clients WHERE updated < now_ns() - $1
				FOR UPDATE SKIP LOCKED)`, int64(keepClients))
		})
	})
	if err == nil {
		p.pruned.Store(now)
	}
	return err
}

// Settle implements millrace.Commits.
func (p *Postgres) Settle(ctx context.Context, flush int64, states ...millrace.State) error {
	const op = "settle flush"
	return p.once(ctx, op, func(ctx context.Context) error {
		return refusal(flush, nil, states, p.batch(ctx, func(b *pgx.Batch) {
			b.Queue("SELECT flush_take($1, NULL, NULL)", flush)
			setStates(b, states)
			b.Queue(endQuery, flush, flushCommitted)
		}))
	})
}

const endQuery = "UPDATE flushes SET state = $2, ended = now_ns() WHERE id = $1"

// Abandon implements millrace.Commits. ErrNotFound: one is not known (any more).
func (p *Postgres) Abandon(ctx context.Context, flushes ...int64) error {
	const op = "abandon flushes"
	if len(flushes) == 0 {
		return nil
	}
	found := map[int64]int{}
	err := p.repeat(ctx, op, func(ctx context.Context) error {
		clear(found)
		return p.batch(ctx, func(b *pgx.Batch) {
			// The order of locks is one for all.
			b.Queue("SELECT 1 FROM flushes WHERE id = ANY ($1) ORDER BY id FOR UPDATE", flushes)
			b.Queue("UPDATE flushes SET state = $2, ended = now_ns() WHERE id = ANY ($1) AND state = $3", flushes, flushAbandoned, flushOpen)
			b.Queue("SELECT id, state FROM flushes WHERE id = ANY ($1)", flushes).Query(func(rows pgx.Rows) error {
				var id int64
				var state int
				_, err := pgx.ForEachRow(rows, []any{&id, &state}, func() error {
					found[id] = state
					return nil
				})
				return err
			})
		})
	})
	if err != nil {
		return err
	}
	var refused error
	for _, id := range flushes {
		state, known := found[id]
		switch {
		case !known:
			refused = moreTelling(refused, goneError(op, millrace.ErrNotFound, id))
		case state == flushCommitted:
			refused = moreTelling(refused, endedError(op, id, state))
		}
	}
	return refused
}

// Claim implements millrace.Commits. Nil partitions are all there are.
func (p *Postgres) Claim(ctx context.Context, sink millrace.Sink, partitions []int32) error {
	return p.repeat(ctx, "claim partitions", func(ctx context.Context) error {
		_, err := p.pool.Exec(ctx, `UPDATE flushes SET state = $3, ended = now_ns() WHERE state = 0 AND id IN (
			SELECT id FROM flushes WHERE state = 0 AND sink = $1 AND CASE WHEN $2::int[] IS NULL THEN cardinality(partitions) > 0 ELSE partitions && $2 END
			ORDER BY id FOR UPDATE)`, string(sink), partitions, flushAbandoned)
		return err
	})
}

// Abandoned implements millrace.Commits.
func (p *Postgres) Abandoned(ctx context.Context) (ids []int64, err error) {
	err = p.repeat(ctx, "list abandoned flushes", func(ctx context.Context) error {
		rows, err := p.pool.Query(ctx, "SELECT id FROM flushes WHERE state = 2 ORDER BY id")
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	return ids, err
}

// Hidden implements millrace.Commits. Flushes that are not abandoned stay as
// they are.
func (p *Postgres) Hidden(ctx context.Context, flushes ...int64) error {
	if len(flushes) == 0 {
		return nil
	}
	return p.repeat(ctx, "note hidden flushes", func(ctx context.Context) error {
		_, err := p.pool.Exec(ctx, `UPDATE flushes SET state = $2, ended = now_ns() WHERE state = $3 AND id IN (
			SELECT id FROM flushes WHERE id = ANY ($1) ORDER BY id FOR UPDATE)`, flushes, flushHidden, flushAbandoned)
		return err
	})
}

// cutQuery reads everything in one statement, hence of one moment.
const cutQuery = `SELECT json_build_object(
	'Newest', (SELECT last_value FROM flush_ids),
	'Open', (SELECT coalesce(json_agg(json_build_object('ID', id, 'Sink', sink, 'Partitions', partitions, 'Node', node, 'Nanos', begun) ORDER BY id), '[]')
		FROM flushes WHERE state = 0),
	'Positions', (SELECT coalesce(json_agg(json_build_object('Sink', sink, 'Partition', partition, 'Generation', generation, 'TopicID', topic_id,
		'Offset', record_offset, 'Ordinal', ordinal, 'MaxTime', max_time) ORDER BY sink, partition), '[]')
		FROM positions WHERE stored))`

// Cut implements millrace.Commits. It waits for flushes that are being begun,
// and they for it: a flush is in sight, or has a number above Newest.
func (p *Postgres) Cut(ctx context.Context) (*millrace.Cut, error) {
	var doc []byte
	err := p.repeat(ctx, "read a cut", func(ctx context.Context) error {
		return p.batch(ctx, func(b *pgx.Batch) {
			b.Queue("SELECT pg_advisory_xact_lock($1)", int64(lockBegin))
			b.Queue(cutQuery).QueryRow(func(row pgx.Row) error { return row.Scan(&doc) })
		})
	})
	if err != nil {
		return nil, err
	}
	return decodeCut(doc)
}

func decodeCut(doc []byte) (*millrace.Cut, error) {
	var raw struct {
		Newest int64
		Open   []struct {
			millrace.Flush
			Nanos int64
		}
		Positions []struct {
			millrace.Position
			Sink millrace.Sink
		}
	}
	if err := json.Unmarshal(doc, &raw); err != nil {
		return nil, &millrace.Error{Code: millrace.ErrCorrupt, Op: "read a cut", Err: err}
	}
	c := &millrace.Cut{Newest: raw.Newest, Positions: map[millrace.Sink][]millrace.Position{}}
	for _, f := range raw.Open {
		f.Begun = fromNanos(f.Nanos)
		c.Open = append(c.Open, f.Flush)
	}
	for _, p := range raw.Positions {
		c.Positions[p.Sink] = append(c.Positions[p.Sink], p.Position)
	}
	return c, nil
}

// State implements millrace.Commits.
func (p *Postgres) State(ctx context.Context, name string) (millrace.State, error) {
	st := millrace.State{Name: name}
	err := p.repeat(ctx, "read state", func(ctx context.Context) error {
		rows, err := p.pool.Query(ctx, "SELECT version, value FROM states WHERE name = $1 AND version > 0", name)
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(rows, []any{&st.Version, &st.Value}, func() error { return nil })
		return err
	})
	return st, err
}

// SetState implements millrace.Commits.
func (p *Postgres) SetState(ctx context.Context, s millrace.State) error {
	states := []millrace.State{s}
	return p.once(ctx, "set state", func(ctx context.Context) error {
		return refusal(0, nil, states, p.batch(ctx, func(b *pgx.Batch) { setStates(b, states) }))
	})
}

func setStates(b *pgx.Batch, states []millrace.State) {
	if len(states) == 0 {
		return
	}
	takeStates(b, states, true)
	for _, s := range states {
		b.Queue("UPDATE states SET version = version + 1, value = $2 WHERE name = $1", s.Name, notNil(s.Value))
	}
}

func takeStates(b *pgx.Batch, states []millrace.State, change bool) {
	if len(states) == 0 {
		return
	}
	names, versions := make([]string, len(states)), make([]int64, len(states))
	for i, s := range states {
		names[i], versions[i] = s.Name, s.Version
	}
	b.Queue("SELECT states_take($1, $2, $3)", names, versions, change)
}

// fresh returns a sorted copy without all but the last of those with one key:
// a statement can change a row only once, and rows are locked in one order.
func fresh[T any](rows []T, compare func(a, b T) int) []T {
	out := slices.Clone(rows)
	slices.Reverse(out)
	slices.SortStableFunc(out, compare)
	return slices.CompactFunc(out, func(a, b T) bool { return compare(a, b) == 0 })
}
