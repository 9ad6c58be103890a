package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

const (
	// settleAge is how long deltas lie before they are merged, and how often that is,
	// so that the flushes of several minutes and workers become one row per cell.
	settleAge = 5 * time.Minute
	// backlogRows is how many deltas are not left to lie so long.
	backlogRows = 3_000_000
	// lateness is how long after its end an hour or a day still counts as open:
	// clients' clocks and retries are seldom later.
	lateness = 10 * time.Minute
	// settleRows is about how many rows one statement merges: a second or two, and
	// memory that every server has.
	settleRows = 500_000
	// quietFor is how long upkeep that found nothing to do for a rollup does not look
	// again.
	quietFor = 10 * time.Second
	// refoldLease is how long a refold may take to end. Its node has died if it takes
	// longer.
	refoldLease = 15 * time.Minute
)

// maintainCells is called by Maintain: it does the next thing that is due.
func (db *DB) maintainCells(ctx context.Context, now time.Time) (more bool, err error) {
	s, err := db.rollups(ctx)
	if err != nil {
		return false, err
	}
	for _, k := range s.sorted() {
		if db.cells.isQuiet(k.name, now) {
			continue
		}
		did, err := db.maintainRollup(ctx, s, k, now)
		if err != nil && millrace.ErrorCode(err) == millrace.ErrConflict {
			return true, nil // definitions or a refold were faster: begin anew
		}
		if err != nil {
			return false, fmt.Errorf("upkeep of rollup %s: %w", k.name, err)
		}
		if did {
			return true, nil
		}
		db.cells.setQuiet(k.name, now)
	}
	return false, nil
}

func (db *DB) maintainRollup(ctx context.Context, s *snapshot, k *cube, now time.Time) (did bool, err error) {
	if k.levels.Refold != 0 {
		return db.endRefold(ctx, k)
	}
	for level := range len(k.levels.Merged) {
		upto, err := db.dueToSettle(ctx, k, level, now)
		if err != nil {
			return false, err
		}
		if upto > 0 {
			return true, db.settle(ctx, s, k, level, upto, now)
		}
	}
	for _, task := range []func(context.Context, *snapshot, *cube, time.Time) (bool, error){db.retainCells, db.forgetReplaced, db.dropPartitions} {
		if did, err := task(ctx, s, k, now); did || err != nil {
			return did, err
		}
	}
	return false, nil
}

// endRefold frees a rollup whose refold has ended in whatever way. It reports
// whether it did; if not, the refold goes on.
func (db *DB) endRefold(ctx context.Context, k *cube) (bool, error) {
	cut, err := db.commits.Cut(ctx)
	if err != nil {
		return false, fmt.Errorf("look for a refold: %w", err)
	}
	for i := range cut.Open {
		f := &cut.Open[i]
		if f.ID != k.levels.Refold {
			continue
		}
		if db.now().Sub(f.Begun) < refoldLease {
			return false, nil
		}
		if _, err := db.abandon(ctx, f.ID); err != nil {
			return false, err
		}
	}
	flush := k.levels.Refold
	return true, db.changeLevels(ctx, k.name, func(_ *cube, lv *levels) bool {
		was := lv.Refold == flush
		if was {
			lv.Refold = 0
		}
		return was
	})
}

// dueToSettle returns up to which flush the rows of table level are to be merged
// into the next one; 0 if nothing is due.
func (db *DB) dueToSettle(ctx context.Context, k *cube, level int, now time.Time) (int64, error) {
	if level > tableDeltas {
		return db.dueToFloor(ctx, k, level, now)
	}
	// Deltas of flushes that have not ended may still come, so that merging stops
	// below the first of them.
	cut, err := db.commits.Cut(ctx)
	if err != nil {
		return 0, fmt.Errorf("look for open flushes: %w", err)
	}
	upto := cut.Newest
	for i := range cut.Open {
		if cut.Open[i].Sink == millrace.SinkRollup {
			upto = min(upto, cut.Open[i].ID-1)
		}
	}
	if upto <= k.levels.Merged[0] {
		return 0, nil
	}
	var n, oldest int64
	err = db.query(ctx, "look for deltas of "+k.name, fmt.Sprintf("SELECT toInt64(count()), min(arrived) FROM %s WHERE flush > %d AND flush <= %d",
		db.table(k.table(tableDeltas)), k.levels.Merged[0], upto), func(rows driver.Rows) error { return rows.Scan(&n, &oldest) })
	wait := settleAge
	if n >= backlogRows {
		wait = time.Minute
	}
	if err != nil || n == 0 || oldest > now.Add(-wait).Unix() {
		return 0, err
	}
	// Arrivals of a replay are old: then it is how often that bounds the work.
	if since := now.Sub(time.Unix(k.levels.At[0], 0)); since >= 0 && since < wait {
		return 0, nil
	}
	return upto, nil
}

// dueToFloor is dueToSettle for minutes and hours: once an hour, or a day, some
// minutes after it began, if there are rows of one that is over.
func (db *DB) dueToFloor(ctx context.Context, k *cube, level int, now time.Time) (int64, error) {
	lv, g := k.levels, granularities[level+1]
	open := g.Floor(now.Add(-lateness).Unix())
	if lv.Last <= lv.Merged[level] || g.Floor(lv.At[level]-int64(lateness/time.Second)) >= open {
		return 0, nil
	}
	var least int64
	err := db.query(ctx, "look for cells of "+k.name, fmt.Sprintf("SELECT if(count() = 0, %d, min(bucket)) FROM %s WHERE flush > %d AND flush <= %d",
		open, db.table(k.table(level)), lv.Merged[level], lv.Last), func(rows driver.Rows) error { return rows.Scan(&least) })
	if err != nil || least >= open {
		return 0, err
	}
	return lv.Last, nil
}

// settle merges the rows of a table up to a flush into the next one.
func (db *DB) settle(ctx context.Context, s *snapshot, k *cube, level int, upto int64, now time.Time) error {
	if err := db.hideAbandoned(ctx); err != nil { // of those that have ended it must be known how
		return err
	}
	if err := db.syncReplicas(ctx, k.table(level)); err != nil {
		return err
	}
	rows := cellRows{table: level, above: k.levels.Merged[level], upto: upto, spans: allTime, g: granularities[level+1]}
	return db.flush(ctx, upkeepSink, nil, func(f *millrace.Flush) error {
		if err := db.abandonOlder(ctx, f); err != nil {
			return err
		}
		if level == tableDeltas {
			if err := db.notePeriods(ctx, k, f, &rows); err != nil {
				return err
			}
		}
		if err := db.mergeUp(ctx, k, f, &rows, level+1); err != nil {
			return err
		}
		return failpoint.Hit("settle")
	}, func(flush int64) error {
		lv := k.levels.clone()
		lv.Merged[level], lv.At[level], lv.Last, lv.Newest[level] = upto, now.Unix(), flush, flush
		st, err := s.withLevels(k.name, lv)
		if err != nil {
			return err
		}
		if err := db.commits.Settle(ctx, flush, st); err != nil {
			return err
		}
		return failpoint.Hit("settle.after")
	})
}

// allTime holds every bucket.
var allTime = []millrace.Span{{From: clampSecond(-1 << 62), To: clampSecond(1 << 62)}}

// abandonOlder abandons the flushes of upkeep that were begun before f, and hides
// their rows: when f ends well, readers look at rows of flushes up to it. Whoever
// still works on one cannot end it, since what it would change has changed.
func (db *DB) abandonOlder(ctx context.Context, f *millrace.Flush) error {
	cut, err := db.commits.Cut(ctx)
	if err != nil {
		return fmt.Errorf("look for open flushes: %w", err)
	}
	for i := range cut.Open {
		if o := &cut.Open[i]; o.Sink == upkeepSink && o.ID < f.ID {
			if err := db.commits.Abandon(ctx, o.ID); err != nil && millrace.ErrorCode(err) != millrace.ErrConflict {
				return fmt.Errorf("abandon flush %d: %w", o.ID, err)
			}
		}
	}
	return db.hideAbandoned(ctx)
}

// syncReplicas makes a replica have all rows that any has: those of a table are
// about to be merged for good.
func (db *DB) syncReplicas(ctx context.Context, table string) error {
	if db.addr.cluster == "" {
		return nil
	}
	return db.exec(ctx, "wait for replicas of "+table, "SYSTEM SYNC REPLICA"+db.onCluster()+" "+db.table(table+localSuffix))
}

// settleTimeout bounds one statement of settling.
const settleTimeout = 5 * time.Minute

// insertSelect runs an INSERT SELECT of upkeep once: after an error nobody knows
// whether its rows are there.
func (db *DB) insertSelect(ctx context.Context, op, query string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	settings := ch.Settings{
		"max_execution_time": int(settleTimeout / time.Second), "max_query_size": 64 << 20, "compile_expressions": 0,
		// Rows may become several parts: none is looked at before all are there.
		"max_insert_block_size": 1 << 18, "min_insert_block_size_rows": 1 << 18, "min_insert_block_size_bytes": 256 << 20,
		"max_partitions_per_insert_block": 0,
	}
	return wrap(ctx, op, db.conn.Exec(with(ctx, []ch.Settings{settings}), query))
}

// mergeUp inserts rows, merged, into a table above theirs, under a flush.
func (db *DB) mergeUp(ctx context.Context, k *cube, f *millrace.Flush, r *cellRows, into int) error {
	parts, err := db.shares(ctx, k, r)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := db.insertSelect(ctx, "merge cells of "+k.name, db.mergeSQL(k, f, r, into, part)); err != nil {
			return err
		}
	}
	return nil
}

// mergeSQL merges the rows that fulfil a further condition.
func (db *DB) mergeSQL(k *cube, f *millrace.Flush, r *cellRows, into int, part string) string {
	var names, read, aggregates, merged []string
	for _, c := range k.columns(into) {
		names = append(names, c[0])
	}
	for _, st := range k.stored {
		read, aggregates, merged = append(read, st.read(r.table)...), append(aggregates, st.aggregates()...), append(merged, st.merged()...)
	}
	keys := append([]string{"set_id", "step"}, k.dimCols...)
	bucket := floorSQL(granularities[into], r.table) + " AS step"
	rows := fmt.Sprintf("SELECT %s FROM %s AS d WHERE %s AND %s",
		list([]string{"set_id", bucket, "arrived"}, k.dimCols, read), db.table(k.table(r.table)), db.where(k, r), part)
	inner := fmt.Sprintf("SELECT %s FROM (%s) GROUP BY %s", list(keys, []string{"max(arrived) AS last"}, aggregates), rows, list(keys))
	return fmt.Sprintf("INSERT INTO %s (flush, settled, arrived, set_id, bucket%s) SELECT %d, toDateTime(%d, 'UTC'), last, %s FROM (%s)",
		db.table(k.table(into)), comma(names), f.ID, f.Begun.Unix(), list(keys, merged), inner)
}

func comma(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", " + strings.Join(names, ", ")
}

// shares cuts rows into conditions that select about settleRows each, so that all
// rows of a cell come together: by sets, large ones by the hash of the key.
func (db *DB) shares(ctx context.Context, k *cube, r *cellRows) ([]string, error) {
	var parts []string
	var sets []int64
	var pending int64
	key := "cityHash64(" + list([]string{floorSQL(max(r.g, granularities[r.table]), r.table)}, k.dimCols) + ")"
	end := func() {
		if len(sets) > 0 {
			parts = append(parts, setsSQL(sets))
		}
		sets, pending = nil, 0
	}
	err := db.query(ctx, "count cells of "+k.name, fmt.Sprintf("SELECT toInt64(set_id), toInt64(count()) FROM %s WHERE %s GROUP BY set_id ORDER BY set_id",
		db.table(k.table(r.table)), db.where(k, r)), func(rows driver.Rows) error {
		var set, n int64
		if err := rows.Scan(&set, &n); err != nil {
			return err
		}
		if n > settleRows+settleRows/2 {
			for i, of := int64(0), 1+(n-1)/settleRows; i < of; i++ {
				parts = append(parts, fmt.Sprintf("set_id = %d AND %s %% %d = %d", set, key, of, i))
			}
			return nil
		}
		if pending+n > settleRows {
			end()
		}
		sets, pending = append(sets, set), pending+n
		return nil
	}, cellSettings)
	end()
	return parts, err
}

// notePeriods stores when what arrived for which hour.
func (db *DB) notePeriods(ctx context.Context, k *cube, f *millrace.Flush, r *cellRows) error {
	return db.insertSelect(ctx, "note arrivals of "+k.name, fmt.Sprintf(
		"INSERT INTO %s (rollup, hour, arrived, flush) SELECT %s, %s AS h, max(arrived), %d FROM %s WHERE %s GROUP BY h",
		db.table(cellPeriods.name), quote(k.name), floorSQL(millrace.Hour, r.table), f.ID, db.table(k.table(r.table)), db.where(k, r)))
}

// isQuiet reports whether nothing was due for a rollup shortly before now.
func (c *cellState) isQuiet(rollup string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, known := c.quiet[rollup]
	return known && !now.Before(since) && now.Sub(since) < quietFor
}

func (c *cellState) setQuiet(rollup string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quiet == nil {
		c.quiet = map[string]time.Time{}
	}
	c.quiet[rollup] = now
}
