package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// hideEvery is how often rows of workers that died are hidden if nobody claims
// their partitions.
const hideEvery = 10 * time.Second

// Maintain implements millrace.Store. One node does it at a time; should two, they
// waste work but spoil nothing, since each change is one compare-and-set.
func (db *DB) Maintain(ctx context.Context, now time.Time) (more bool, err error) {
	db.upkeep.mu.Lock()
	defer db.upkeep.mu.Unlock()
	if due(&db.upkeep.hide, now, hideEvery) {
		if err := db.abandonPredecessors(ctx); err != nil {
			return false, err
		}
		if err := db.hideAbandoned(ctx); err != nil {
			return false, err
		}
	}
	if more, err = db.dropEvents(ctx, now); err != nil || more {
		return more, err
	}
	if due(&db.upkeep.ledger, now, mergeEvery) {
		if err := db.maintainLedger(ctx, now); err != nil {
			return false, err
		}
	}
	if due(&db.upkeep.purge, now, purgeEvery) {
		if err := db.purgeHidden(ctx, now); err != nil {
			return false, err
		}
	}
	return db.maintainCells(ctx, now)
}

// abandonPredecessors ends the flushes of upkeep that another node left open: who
// maintains now is the only one.
func (db *DB) abandonPredecessors(ctx context.Context) error {
	cut, err := db.commits.Cut(ctx)
	if err != nil {
		return fmt.Errorf("look for open flushes: %w", err)
	}
	var old []int64
	for i := range cut.Open {
		if f := &cut.Open[i]; f.Sink == upkeepSink && f.Node != db.node {
			old = append(old, f.ID)
		}
	}
	if len(old) == 0 {
		return nil
	}
	if err := db.commits.Abandon(ctx, old...); err != nil && millrace.ErrorCode(err) != millrace.ErrConflict {
		return fmt.Errorf("abandon flushes of another node: %w", err)
	}
	return nil
}

// droppedState names the state with what retention has dropped: spans of event time
// in ns.
const droppedState = "clickhouse.dropped"

func (db *DB) loadDropped(ctx context.Context) ([]millrace.Span, millrace.State, error) {
	s, err := db.commits.State(ctx, droppedState)
	if err != nil {
		return nil, s, fmt.Errorf("read what retention has dropped: %w", err)
	}
	if s.Value == nil {
		return nil, s, nil
	}
	var spans []millrace.Span
	if err := json.Unmarshal(s.Value, &spans); err != nil {
		return nil, s, &millrace.Error{Code: millrace.ErrCorrupt, Op: "read what retention has dropped", Message: "the state cannot be read", Err: err}
	}
	return spans, s, nil
}

// rowsDropped reports whether retention has dropped rows with event times in
// [from, to), ns.
func (db *DB) rowsDropped(ctx context.Context, from, to int64) (bool, error) {
	spans, _, err := db.loadDropped(ctx)
	return slices.ContainsFunc(spans, func(s millrace.Span) bool { return s.From < to && s.To > from }), err
}

// noteDropped adds a span to what retention has dropped.
func (db *DB) noteDropped(ctx context.Context, gone millrace.Span) error {
	spans, state, err := db.loadDropped(ctx)
	if err != nil {
		return err
	}
	if state.Value, err = json.Marshal(rollupdef.MergeSpans(append(spans, gone))); err != nil {
		return err
	}
	if err := db.commits.SetState(ctx, state); err != nil {
		return fmt.Errorf("note what retention drops: %w", err)
	}
	return nil
}

// dropEvents drops the oldest day of arrival if retention no longer keeps it. What
// goes is noted first: after a crash between the two the day is still there, and
// dropped the next time.
func (db *DB) dropEvents(ctx context.Context, now time.Time) (more bool, err error) {
	cutoff := now.Add(-db.opt.Retention.Events.Std()).UTC().Format("20060102") // a day before this one is past
	var old []string
	err = db.query(ctx, "look for old events", fmt.Sprintf(
		"SELECT DISTINCT toString(toYYYYMMDD(arrived)) AS d FROM %s WHERE toYYYYMMDD(arrived) < %s ORDER BY d LIMIT 2",
		db.table("events_rows"), cutoff), func(rows driver.Rows) error {
		var d string
		err := rows.Scan(&d)
		old = append(old, d)
		return err
	})
	if err != nil || len(old) == 0 {
		return false, err
	}
	var gone millrace.Span
	var n int64
	err = db.query(ctx, "look at old events", fmt.Sprintf(
		"SELECT toInt64(count()), toUnixTimestamp64Nano(min(time)), toUnixTimestamp64Nano(max(time)) FROM %s WHERE toYYYYMMDD(arrived) = %s AND %s",
		db.table("events_rows"), old[0], db.visible()), func(rows driver.Rows) error {
		return rows.Scan(&n, &gone.From, &gone.To)
	})
	if err != nil {
		return false, err
	}
	if n > 0 {
		gone.To = satAdd(gone.To, 1)
		if err := db.noteDropped(ctx, gone); err != nil {
			return false, err
		}
	}
	return len(old) > 1, db.exec(ctx, "drop events of "+old[0], "ALTER TABLE "+db.local("events_rows")+" DROP PARTITION "+quote(old[0]))
}

// deleteRows deletes rows of a table, on all servers, and returns when they are gone
// for readers. Their space comes back with the next merge.
func (db *DB) deleteRows(ctx context.Context, table, where string) error {
	return db.execLong(ctx, "delete from "+table, "DELETE FROM "+db.local(table)+" WHERE "+where, ch.Settings{
		"lightweight_deletes_sync": 2, "mutations_sync": 2, "lightweight_delete_mode": "alter_update",
	})
}
