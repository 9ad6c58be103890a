package meta

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// additions are no part of the versioned schema: a node of the version before
// must start and work while they are there, since upgrades go node by node and
// back. So they only add, and what they add is filled in by itself for rows that
// such a node writes. Each has a question that is asked first: a change of a
// table waits for all that use it, which no start should do for nothing.
var additions = []struct{ have, make string }{
	{
		// What it holds is announced anew every two seconds: it needs no log that
		// survives a crash of the server.
		"SELECT to_regclass('nodes') IS NOT NULL",
		`CREATE UNLOGGED TABLE nodes (
			name     text COLLATE "C" PRIMARY KEY,
			instance bigint NOT NULL,
			info     bytea NOT NULL,
			seen     bigint NOT NULL  -- by the server's clock, Unix nanoseconds
		) WITH (fillfactor = 50)`,
	},
	{
		// A node of the version before does not know that a key expires.
		"SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = 'keys'::regclass AND attname = 'day_bytes' AND NOT attisdropped)",
		`ALTER TABLE keys
			ADD COLUMN expires     bigint NOT NULL DEFAULT 0, -- Unix nanoseconds, 0 is never
			ADD COLUMN event_rate  bigint NOT NULL DEFAULT 0, -- per second; 0 is no limit, here and below
			ADD COLUMN byte_rate   bigint NOT NULL DEFAULT 0,
			ADD COLUMN event_burst bigint NOT NULL DEFAULT 0,
			ADD COLUMN byte_burst  bigint NOT NULL DEFAULT 0,
			ADD COLUMN day_events  bigint NOT NULL DEFAULT 0,
			ADD COLUMN day_bytes   bigint NOT NULL DEFAULT 0`,
	},
	{
		"SELECT to_regclass('key_usage') IS NOT NULL",
		`CREATE TABLE key_usage (
			day      bigint NOT NULL,          -- since 1970-01-01
			key      text COLLATE "C" NOT NULL, -- the id; empty: unknown
			reason   text COLLATE "C" NOT NULL, -- empty: taken
			writer   bigint NOT NULL,          -- the process that counted
			seq      bigint NOT NULL,          -- of the writer's last change
			requests bigint NOT NULL,
			events   bigint NOT NULL,
			bytes    bigint NOT NULL,
			PRIMARY KEY (day, key, reason, writer)
		) WITH (fillfactor = 50)`,
	},
	// A node of the version before tells nobody of exceptions; what it stored of
	// them is there, and counts.
	{"SELECT to_regclass('issues') IS NOT NULL", issuesTables},
}

// addAdditions runs while the caller has the lock of migrations.
func addAdditions(ctx context.Context, conn *pgx.Conn) error {
	for _, a := range additions {
		var have bool
		if err := conn.QueryRow(ctx, a.have).Scan(&have); err != nil {
			return err
		}
		if have {
			continue
		}
		if _, err := conn.Exec(ctx, a.make); err != nil {
			return err
		}
	}
	return nil
}
