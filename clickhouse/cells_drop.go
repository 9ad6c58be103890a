package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// What goes here counts for nobody any more. It stays for readersGone after it was
// first seen to be so, as readers may have begun by an older view.

const (
	// dropEvery is how often partitions of a rollup are looked at.
	dropEvery = 10 * time.Minute
	// manyReplaced are so many that they are deleted at once: each is a condition of
	// every query of its time.
	manyReplaced = 64
)

// ripe reports whether something was seen first at least readersGone ago.
func (c *cellState) ripe(thing string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]time.Time{}
	}
	first, known := c.seen[thing]
	if !known || now.Before(first) {
		c.seen[thing] = now
		return false
	}
	return now.Sub(first) >= readersGone
}

func (c *cellState) forget(thing string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, thing)
}

// forgetReplaced deletes rows that were replaced, and then forgets that they were.
func (db *DB) forgetReplaced(ctx context.Context, _ *snapshot, k *cube, now time.Time) (bool, error) {
	var old []replaced
	for _, r := range k.levels.Replaced {
		if db.cells.ripe(k.replacedKey(&r), now) || len(k.levels.Replaced) > manyReplaced {
			old = append(old, r)
		}
	}
	if len(old) == 0 {
		return false, nil
	}
	for i := range tables {
		var parts []string
		for j := range old {
			parts = append(parts, "("+old[j].where(i)+")")
		}
		if err := db.deleteSome(ctx, k.table(i), strings.Join(parts, " OR ")); err != nil {
			return false, err
		}
	}
	for _, r := range old {
		if r.Sets != nil {
			continue
		}
		where := fmt.Sprintf("rollup = %s AND hour >= %d AND hour < %d AND %s", quote(k.name), r.From, r.To, r.flushes())
		if err := db.deleteSome(ctx, cellPeriods.name, where); err != nil {
			return false, err
		}
	}
	if err := failpoint.Hit("forget"); err != nil {
		return false, err
	}
	return true, db.changeLevels(ctx, k.name, func(_ *cube, lv *levels) bool {
		lv.Replaced = slices.DeleteFunc(lv.Replaced, func(r replaced) bool {
			return slices.ContainsFunc(old, func(o replaced) bool { return o.From == r.From && o.To == r.To && o.Upto == r.Upto })
		})
		for i := range old {
			db.cells.forget(k.replacedKey(&old[i]))
		}
		return true
	})
}

func (k *cube) replacedKey(r *replaced) string {
	return fmt.Sprintf("%s %d %d %d", k.name, r.From, r.To, r.Upto)
}

// deleteSome deletes rows if there are any: a deletion looks at every part.
func (db *DB) deleteSome(ctx context.Context, table, where string) error {
	n, err := db.scalar(ctx, "look for rows of "+table, "SELECT toInt64(count()) FROM "+db.table(table)+" WHERE "+where)
	if err != nil || n == 0 {
		return err
	}
	return db.deleteRows(ctx, table, where)
}

// partition is what a partition has, of flushes up to newest.
type partition struct {
	id      string
	newest  int64
	settled int64 // the last row, Unix seconds by the clock of Commits
	buckets []int64
}

// dropPartitions drops partitions of which nothing counts any more: deltas that
// were merged, minutes and hours that retention has dropped.
func (db *DB) dropPartitions(ctx context.Context, _ *snapshot, k *cube, now time.Time) (bool, error) {
	key := "partitions of " + k.name
	db.cells.mu.Lock()
	last, known := db.cells.seen[key]
	db.cells.mu.Unlock()
	if known && !now.Before(last) && now.Sub(last) < dropEvery {
		return false, nil
	}
	for _, find := range []func(context.Context, *cube, time.Time) (int, []string, error){db.mergedDeltas, db.expiredMinutes, db.expiredHours} {
		table, ids, err := find(ctx, k, now)
		if err != nil {
			return false, err
		}
		for _, id := range ids {
			thing := k.table(table) + " " + id
			if !db.cells.ripe(thing, now) {
				continue
			}
			if err := db.exec(ctx, "drop a partition of "+k.table(table), "ALTER TABLE "+db.local(k.table(table))+" DROP PARTITION ID "+quote(id)); err != nil {
				return false, err
			}
			db.cells.forget(thing)
		}
	}
	db.cells.forget(key)
	db.cells.ripe(key, now)
	return false, nil
}

// mergedDeltas returns the partitions of deltas that were merged, but for the
// newest, and those into which an open flush may still write.
func (db *DB) mergedDeltas(ctx context.Context, k *cube, _ time.Time) (int, []string, error) {
	cut, err := db.commits.Cut(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("look for open flushes: %w", err)
	}
	all, err := db.partitions(ctx, k, tableDeltas, "true", "emptyArrayInt64()")
	if err != nil || len(all) == 0 {
		return 0, nil, err
	}
	before := millrace.Hour.Floor(all[len(all)-1].settled)
	for i := range cut.Open {
		if f := &cut.Open[i]; f.Sink == millrace.SinkRollup {
			before = min(before, millrace.Hour.Floor(f.Begun.Unix()))
		}
	}
	var out []string
	for _, p := range all {
		if p.newest <= k.levels.Merged[0] && p.settled < before {
			out = append(out, p.id)
		}
	}
	return tableDeltas, out, nil
}

func (db *DB) expiredMinutes(ctx context.Context, k *cube, now time.Time) (int, []string, error) {
	ids, err := db.expiredPartitions(ctx, k, tableMinutes, millrace.Hour, now.Add(-db.opt.Retention.MinuteCells.Std()), func(hour int64) bool {
		return contains(k.levels.Minutes, hour) || contains(k.levels.Hours, hour)
	})
	return tableMinutes, ids, err
}

func (db *DB) expiredHours(ctx context.Context, k *cube, now time.Time) (int, []string, error) {
	ids, err := db.expiredPartitions(ctx, k, tableHours, millrace.Day, now.Add(-db.opt.Retention.HourCells.Std()), func(day int64) bool {
		return contains(k.levels.Hours, day)
	})
	return tableHours, ids, err
}

// expiredPartitions returns those of which all periods are gone, and all rows were
// merged into the next table.
func (db *DB) expiredPartitions(ctx context.Context, k *cube, table int, g millrace.Granularity, before time.Time, gone func(start int64) bool) ([]string, error) {
	all, err := db.partitions(ctx, k, table, fmt.Sprintf("settled < toDateTime(%d, 'UTC')", millrace.Day.Floor(before.Unix())),
		fmt.Sprintf("groupUniqArray(bucket - positiveModulo(bucket, %d))", int64(g)))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range all {
		kept := slices.ContainsFunc(p.buckets, func(b int64) bool { return !gone(b) })
		if !kept && p.newest <= k.levels.Merged[table] {
			out = append(out, p.id)
		}
	}
	return out, nil
}

// partitions lists those of a table, in the order of time.
func (db *DB) partitions(ctx context.Context, k *cube, table int, where, buckets string) ([]partition, error) {
	var out []partition
	err := db.query(ctx, "look at partitions of "+k.table(table), fmt.Sprintf(
		"SELECT _partition_id, toInt64(max(flush)), toInt64(toUnixTimestamp(max(settled))) AS last, %s FROM %s WHERE %s GROUP BY _partition_id ORDER BY last",
		buckets, db.table(k.table(table)), where), func(rows driver.Rows) error {
		var p partition
		err := rows.Scan(&p.id, &p.newest, &p.settled, &p.buckets)
		out = append(out, p)
		return err
	})
	return out, err
}

// cellStats fills in Deltas, Cells, DirtyHours and RollupBytes. There are no dirty
// hours here: late deltas are one more row of theirs.
func (db *DB) cellStats(ctx context.Context, into *millrace.StoreStats) error {
	s, err := db.rollups(ctx)
	if err != nil {
		return err
	}
	var selects, names []string
	for _, k := range s.sorted() {
		selects = append(selects,
			fmt.Sprintf("SELECT count() AS d, 0 AS c FROM %s WHERE flush > %d AND %s", db.table(k.table(tableDeltas)), k.levels.Merged[0], db.visible()),
			fmt.Sprintf("SELECT 0 AS d, count() AS c FROM %s WHERE flush <= %d AND %s", db.table(k.table(tableMinutes)), k.levels.Last, db.visible()))
		for i := range tables {
			names = append(names, quote(k.table(i)), quote(k.table(i)+localSuffix))
		}
	}
	if len(selects) == 0 {
		return nil
	}
	query := "SELECT toInt64(sum(d)), toInt64(sum(c)) FROM (" + strings.Join(selects, " UNION ALL ") + ")"
	err = db.query(ctx, "count cells", query, func(rows driver.Rows) error { return rows.Scan(&into.Deltas, &into.Cells) })
	if err != nil {
		return err
	}
	into.RollupBytes, err = db.partBytes(ctx, "table IN ("+strings.Join(names, ", ")+")")
	return err
}
