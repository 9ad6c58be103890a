package duckdb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// retainCells drops cells whose time is over, counted from the last arrival
// that touched their hour or day, so that old logs imported today are kept as
// long as new ones: one slice. What is dropped first was computed into the next
// granularity, and has no deltas left.
func (db *DB) retainCells(ctx context.Context, now time.Time) (bool, error) {
	if db.isQuiet("retention", now) {
		return false, nil
	}
	cubes, err := db.sortedCubes(ctx)
	if err != nil {
		return false, err
	}
	for _, k := range cubes {
		for _, g := range []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day} {
			due := false
			err := db.read(ctx, "look for old cells", func(c *conn) error {
				starts, err := db.droppable(ctx, c, k, g, now)
				due = len(starts) > 0
				return err
			})
			if err != nil {
				return false, err
			}
			if due {
				db.setQuiet("", now)
				return true, db.write(ctx, "retention", func(w *writer) error { return db.dropSlice(w, k, g, now) })
			}
		}
	}
	db.setQuiet("retention", now)
	return false, nil
}

// dropsPerSlice bounds the periods dropped at once. A delete costs about 0.2 µs
// a row, an hour has some hundred thousand rows at most.
const dropsPerSlice = 8

// droppable returns the starts of hours whose minutes, of days whose hours, or
// of days that can go.
func (db *DB) droppable(ctx context.Context, c *conn, k *cube, g millrace.Granularity, now time.Time) ([]int64, error) {
	period, state, keep := millrace.Day, periodSealed, db.opt.Retention.DayCells
	extra := ""
	switch g {
	case millrace.Minute:
		period, state, keep = millrace.Hour, periodClean, db.opt.Retention.MinuteCells
	case millrace.Hour:
		state, keep = periodClean, db.opt.Retention.HourCells
		extra = fmt.Sprintf(` AND NOT EXISTS (SELECT 1 FROM cell_periods h WHERE h.rollup = p.rollup AND h.granularity = 3600
			AND h.state <> %d AND date_trunc('day', h.bucket) = p.bucket)`, periodSealed)
	}
	var starts []int64
	err := each(ctx, c, fmt.Sprintf(`SELECT p.bucket FROM cell_periods p WHERE p.rollup = %s AND p.granularity = %d AND p.state = %d
		AND p.arrived <= %d AND p.bucket <= %s%s ORDER BY p.bucket`,
		quote(k.schema.Name), period, state, now.Add(-keep.Std()).Unix(),
		timestamp(now.Add(-lateness).Unix()-int64(period)), extra), func(r *rows) error {
		starts = append(starts, r.int64(0)/1e6)
		return nil
	})
	if err != nil || len(starts) == 0 {
		return nil, err
	}
	// What still has deltas waits for their compaction.
	waiting := map[int64]bool{}
	err = each(ctx, c, fmt.Sprintf("SELECT DISTINCT hour FROM %s WHERE hour >= %s AND hour < %s", k.deltas(),
		timestamp(starts[0]), timestamp(starts[len(starts)-1]+int64(period))), func(r *rows) error {
		waiting[period.Floor(r.int64(0)/1e6)] = true
		return nil
	})
	starts = slices.DeleteFunc(starts, func(s int64) bool { return waiting[s] })
	return starts[:min(len(starts), dropsPerSlice)], err
}

func (db *DB) dropSlice(w *writer, k *cube, g millrace.Granularity, now time.Time) error {
	starts, err := db.droppable(w.ctx, w.c, k, g, now)
	if err != nil || len(starts) == 0 {
		return err
	}
	switch g {
	case millrace.Minute:
		err = db.dropMinutes(w, k, starts)
	case millrace.Hour:
		err = db.dropHours(w, k, starts)
	default:
		err = db.dropDays(w, k, starts)
	}
	if err != nil {
		return err
	}
	return failpoint.Hit("retention")
}

func (db *DB) dropMinutes(w *writer, k *cube, hours []int64) error {
	if _, err := w.exec("DELETE FROM " + k.minutes() + " WHERE " + among("hour", hours)); err != nil {
		return err
	}
	return db.setPeriods(w, k, millrace.Hour, hours, periodSealed)
}

func (db *DB) dropHours(w *writer, k *cube, days []int64) error {
	hours := hoursOf(days)
	if _, err := w.exec("DELETE FROM " + k.hours() + " WHERE " + among("bucket", hours)); err != nil {
		return err
	}
	if err := db.setPeriods(w, k, millrace.Hour, hours, periodGone); err != nil {
		return err
	}
	return db.setPeriods(w, k, millrace.Day, days, periodSealed)
}

func (db *DB) dropDays(w *writer, k *cube, days []int64) error {
	db.rollups.known.distrust() // rows of the table go: read it again
	for _, stmt := range []string{
		"DELETE FROM " + k.days() + " WHERE " + among("bucket", days),
		fmt.Sprintf("DELETE FROM cell_periods WHERE rollup = %s AND (granularity = 86400 AND %s OR granularity = 3600 AND %s)",
			quote(k.schema.Name), among("bucket", days), among("bucket", hoursOf(days))),
	} {
		if _, err := w.exec(stmt); err != nil {
			return err
		}
	}
	return nil
}

// hoursOf returns the starts of all hours of some days.
func hoursOf(days []int64) []int64 {
	var out []int64
	for _, d := range days {
		for h := d; h < d+int64(millrace.Day); h += int64(millrace.Hour) {
			out = append(out, h)
		}
	}
	return out
}
