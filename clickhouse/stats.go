package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
)

// Stats implements millrace.Store. Sizes are those of one replica of every shard,
// compressed. MemoryBytes is what this process's server uses of what it may.
func (db *DB) Stats(ctx context.Context) (*millrace.StoreStats, error) {
	s := &millrace.StoreStats{}
	query := "SELECT toInt64(count()), toUnixTimestamp64Nano(min(time)) FROM " + db.table("events_rows") + " WHERE " + db.visible()
	err := db.query(ctx, "read stats", query, func(rows driver.Rows) error {
		var oldest int64
		err := rows.Scan(&s.Events, &oldest)
		if s.Events > 0 {
			s.OldestEvent = time.Unix(0, oldest).UTC()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.EventBytes, err = db.partBytes(ctx, "table IN ('events_rows', 'events_rows"+localSuffix+"')"); err != nil {
		return nil, err
	}
	if s.TotalBytes, err = db.partBytes(ctx, "1"); err != nil {
		return nil, err
	}
	if s.MemoryBytes, err = db.scalar(ctx, "read stats", "SELECT toInt64(value) FROM system.metrics WHERE metric = 'MemoryTracking'"); err != nil {
		return nil, err
	}
	return s, db.cellStats(ctx, s)
}

// partBytes adds up the parts of tables: of one replica of every shard of a cluster.
func (db *DB) partBytes(ctx context.Context, tables string) (int64, error) {
	parts := "system.parts"
	if db.addr.cluster != "" {
		parts = "cluster(" + quote(db.addr.cluster) + ", system.parts)"
	}
	return db.scalar(ctx, "read stats", fmt.Sprintf("SELECT toInt64(sum(bytes_on_disk)) FROM %s WHERE active AND database = %s AND %s",
		parts, quote(db.addr.database), tables))
}
