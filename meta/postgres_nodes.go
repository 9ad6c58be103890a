package meta

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
)

// Announce implements millrace.Nodes.
func (p *Postgres) Announce(ctx context.Context, n *millrace.Node) (other bool, err error) {
	err = p.repeat(ctx, "announce node", func(ctx context.Context) error {
		if _, err := p.pool.Exec(ctx, "DELETE FROM nodes WHERE seen < now_ns() - $1", millrace.NodeAge.Nanoseconds()); err != nil {
			return err
		}
		return p.pool.QueryRow(ctx, `WITH before AS (SELECT instance FROM nodes WHERE name = $1)
			INSERT INTO nodes (name, instance, info, seen) VALUES ($1, $2, $3, now_ns())
			ON CONFLICT (name) DO UPDATE SET instance = excluded.instance, info = excluded.info, seen = excluded.seen
			RETURNING coalesce((SELECT instance FROM before) <> $2, false)`, plain(n.Name), n.Instance, notNil(n.Info)).Scan(&other)
	})
	return other, err
}

// Nodes implements millrace.Nodes.
func (p *Postgres) Nodes(ctx context.Context) (out []millrace.Node, err error) {
	err = p.repeat(ctx, "list nodes", func(ctx context.Context) error {
		rows, err := p.pool.Query(ctx, "SELECT name, instance, info, greatest(now_ns() - seen, 0) FROM nodes WHERE seen >= now_ns() - $1 ORDER BY name",
			millrace.NodeAge.Nanoseconds())
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n millrace.Node, err error) {
			var age int64
			err = row.Scan(&n.Name, &n.Instance, &n.Info, &age)
			n.Age = time.Duration(age)
			return n, err
		})
		return err
	})
	return out, err
}

// Withdraw implements millrace.Nodes.
func (p *Postgres) Withdraw(ctx context.Context, n *millrace.Node) error {
	return p.repeat(ctx, "withdraw node", func(ctx context.Context) error {
		_, err := p.pool.Exec(ctx, "DELETE FROM nodes WHERE name = $1 AND instance = $2", plain(n.Name), n.Instance)
		return err
	})
}
