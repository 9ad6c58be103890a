package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
)

// Stats implements millrace.Store. Sizes are those of one replica of every shard,
// compressed. MemoryBytes is what the server that answers uses in all. OldestEvent
// lags behind by up to a minute.
func (db *DB) Stats(ctx context.Context) (*millrace.StoreStats, error) {
	s := &millrace.StoreStats{}
	rows := db.table("events_rows")
	var err error
	// Both are known without reading: the number of rows, and where hidden ones may be.
	if s.Events, err = db.scalar(ctx, "read stats", fmt.Sprintf("SELECT toInt64(a) - toInt64(b) FROM (SELECT (SELECT count() FROM %s) AS a, (SELECT count() FROM %s WHERE NOT (%s)) AS b)",
		rows, rows, db.visible())); err != nil {
		return nil, err
	}
	if s.OldestEvent, err = db.oldest.get(ctx, db); err != nil {
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

// partBytes adds up the parts of tables.
func (db *DB) partBytes(ctx context.Context, tables string) (int64, error) {
	return db.scalar(ctx, "read stats", "SELECT toInt64(sum(bytes_on_disk)) FROM "+db.parts()+" WHERE active AND database = "+
		quote(db.addr.database)+" AND "+tables)
}

// parts is the table of parts: of one replica of every shard of a cluster.
func (db *DB) parts() string {
	if db.addr.cluster == "" {
		return "system.parts"
	}
	return "cluster(" + quote(db.addr.cluster) + ", system.parts)"
}

// oldestEvery bounds how often days are looked at whose rows have changed.
const oldestEvery = time.Minute

// oldestEvent caches the least event time of every day of arrival, which costs a
// look at all its rows. A day whose number of rows has not changed is not looked at
// again.
type oldestEvent struct {
	mu   sync.Mutex
	at   time.Time
	days map[string]oldestOfDay
}

type oldestOfDay struct {
	rows, time int64
	visible    bool // some row is
}

func (o *oldestEvent) get(ctx context.Context, db *DB) (time.Time, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if due(&o.at, db.now(), oldestEvery) {
		if err := o.refresh(ctx, db); err != nil {
			o.at = time.Time{}
			return time.Time{}, err
		}
	}
	var out time.Time
	for _, d := range o.days {
		if t := time.Unix(0, d.time).UTC(); d.visible && (out.IsZero() || t.Before(out)) {
			out = t
		}
	}
	return out, nil
}

func (o *oldestEvent) refresh(ctx context.Context, db *DB) error {
	next := map[string]oldestOfDay{}
	var changed []string
	err := db.query(ctx, "read stats", "SELECT partition, toInt64(sum(rows)) FROM "+db.parts()+" WHERE active AND database = "+quote(db.addr.database)+
		" AND table IN ('events_rows', 'events_rows"+localSuffix+"') GROUP BY partition", func(rows driver.Rows) error {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			return err
		}
		next[name] = o.days[name]
		if next[name].rows != n {
			next[name] = oldestOfDay{rows: n}
			changed = append(changed, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		err = db.query(ctx, "read stats", fmt.Sprintf(
			"SELECT toString(toYYYYMMDD(arrived)) AS d, toUnixTimestamp64Nano(min(time)) FROM %s WHERE toYYYYMMDD(arrived) IN (%s) AND %s GROUP BY d",
			db.table("events_rows"), strings.Join(changed, ", "), db.visible()), func(rows driver.Rows) error {
			var name string
			var at int64
			if err := rows.Scan(&name, &at); err != nil {
				return err
			}
			next[name] = oldestOfDay{next[name].rows, at, true}
			return nil
		})
	}
	if err == nil {
		o.days = next
	}
	return err
}
