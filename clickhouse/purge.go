package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const (
	purgeEvery = 10 * time.Minute
	// hiddenLife is how long after a flush was abandoned its rows may still arrive,
	// from a worker that slept or a server that was cut off.
	hiddenLife = 24 * time.Hour
	// purgeAtOnce bounds the ids in one statement, which stay far below
	// max_query_size.
	purgeAtOnce = 1000
)

// purgeHidden deletes rows of flushes that were hidden a day ago, and then their
// ids. An id goes in a later run than its rows: only when none was found.
func (db *DB) purgeHidden(ctx context.Context, now time.Time) error {
	ids, err := db.texts(ctx, "list hidden flushes", fmt.Sprintf(
		"SELECT DISTINCT toString(flush) FROM %s WHERE hidden < fromUnixTimestamp64Milli(%d, 'UTC') ORDER BY flush LIMIT %d",
		db.hiddenTable(), now.Add(-hiddenLife).UnixMilli(), purgeAtOnce))
	if err != nil || len(ids) == 0 {
		return err
	}
	tables, err := db.flushTables(ctx)
	if err != nil {
		return err
	}
	in := "flush IN (" + strings.Join(ids, ", ") + ")"
	found := false
	for _, t := range tables {
		n, err := db.scalar(ctx, "look for hidden rows", "SELECT toInt64(count()) FROM "+db.table(t)+" WHERE "+in)
		if err != nil {
			return err
		}
		if n > 0 {
			found = true
			if err := db.deleteRows(ctx, t, in); err != nil {
				return err
			}
			db.log.Info("deleted rows of abandoned flushes", "table", t, "rows", n)
		}
	}
	if found {
		return nil
	}
	return db.exec(ctx, "forget hidden flushes", "DELETE FROM "+db.hiddenTable()+db.onCluster()+" WHERE "+in)
}

// flushTables lists the tables whose rows belong to flushes, by the name to read
// them by.
func (db *DB) flushTables(ctx context.Context) ([]string, error) {
	like := ""
	if db.addr.cluster != "" {
		like = " AND endsWith(table, " + quote(localSuffix) + ")"
	}
	names, err := db.texts(ctx, "list tables", fmt.Sprintf(
		"SELECT table FROM system.columns WHERE database = %s AND name = 'flush' AND table != 'hidden_flushes'%s ORDER BY table",
		quote(db.addr.database), like))
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], localSuffix)
	}
	return names, err
}

// texts returns the one column of an answer.
func (db *DB) texts(ctx context.Context, op, query string) ([]string, error) {
	var out []string
	err := db.query(ctx, op, query, func(rows driver.Rows) error {
		var s string
		err := rows.Scan(&s)
		out = append(out, s)
		return err
	})
	return out, err
}
