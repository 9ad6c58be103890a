package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// period is an hour or a day that has, or had, cells.
type period struct {
	start   int64
	arrived int64 // the last arrival in it
}

// retainCells drops cells whose time is over, counted from the last arrival that
// touched their hour or day, so that old logs imported today are kept as long as
// new ones. What is dropped does not count from the moment on at which the levels
// say so; its rows go later, see dropPartitions.
func (db *DB) retainCells(ctx context.Context, _ *snapshot, k *cube, now time.Time) (bool, error) {
	hours, err := db.periods(ctx, k)
	if err != nil {
		return false, err
	}
	minutes, days, gone := db.expired(k.levels, hours, now)
	if len(minutes)+len(days)+len(gone) == 0 {
		return false, nil
	}
	cut, err := db.commits.Cut(ctx)
	if err != nil {
		return false, fmt.Errorf("look for open flushes: %w", err)
	}
	var open []int64
	for i := range cut.Open {
		open = append(open, cut.Open[i].ID)
	}
	version := k.levels.Last
	return true, db.changeLevels(ctx, k.name, func(_ *cube, lv *levels) bool {
		if lv.Last != version || lv.Refold != 0 {
			return false // look again
		}
		lv.Minutes = rollupdef.MergeSpans(append(lv.Minutes, minutes...))
		lv.Hours = rollupdef.MergeSpans(append(lv.Hours, days...))
		lv.Minutes, lv.Hours = without(lv.Minutes, gone), without(lv.Hours, gone)
		for _, s := range gone {
			lv.Replaced = append(lv.Replaced, replaced{From: s.From, To: s.To, Upto: cut.Newest, Except: open})
		}
		return true
	})
}

// expired returns the hours whose minutes are to go, the days whose hours are, and
// the days that are to go altogether.
func (db *DB) expired(lv *levels, hours []period, now time.Time) (minutes, days, gone []millrace.Span) {
	keep := &db.opt.Retention
	due := func(p period, g millrace.Granularity, life time.Duration) bool {
		return p.start+int64(g) <= now.Add(-lateness).Unix() && p.arrived <= now.Add(-life).Unix()
	}
	all := map[int64]period{}
	open := map[int64]bool{} // days with an hour whose minutes are kept
	for _, h := range hours {
		day := millrace.Day.Floor(h.start)
		all[day] = period{day, max(h.arrived, all[day].arrived)}
		switch {
		case contains(lv.Minutes, h.start) || contains(lv.Hours, h.start):
		case due(h, millrace.Hour, keep.MinuteCells.Std()):
			minutes = append(minutes, millrace.Span{From: h.start, To: h.start + int64(millrace.Hour)})
		default:
			open[day] = true
		}
	}
	for _, start := range slices.Sorted(maps.Keys(all)) {
		d, span := all[start], millrace.Span{From: start, To: start + int64(millrace.Day)}
		dropped := contains(lv.Hours, start)
		if !dropped && !open[start] && due(d, millrace.Day, keep.HourCells.Std()) {
			days, dropped = append(days, span), true
		}
		if dropped && due(d, millrace.Day, keep.DayCells.Std()) {
			gone = append(gone, span)
		}
	}
	return minutes, days, rollupdef.MergeSpans(gone)
}

// periods returns the hours that have cells, of those that are not gone.
func (db *DB) periods(ctx context.Context, k *cube) ([]period, error) {
	notGone := func(bucket string) string {
		out := ""
		for _, r := range k.levels.Replaced {
			if r.Sets == nil { // retention's
				out += fmt.Sprintf(" AND NOT (%[1]s >= %[2]d AND %[1]s < %[3]d AND %[4]s)", bucket, r.From, r.To, r.flushes())
			}
		}
		return out
	}
	query := fmt.Sprintf(`SELECT h, max(a) FROM (
		SELECT hour AS h, arrived AS a FROM %s WHERE rollup = %s AND flush <= %d AND %s%s
		UNION ALL SELECT %s AS h, arrived AS a FROM %s WHERE flush > %d AND %s%s) GROUP BY h ORDER BY h`,
		db.table(cellPeriods.name), quote(k.name), k.levels.Last, db.visible(), notGone("hour"),
		floorSQL(millrace.Hour, tableDeltas), db.table(k.table(tableDeltas)), k.levels.Merged[0], db.visible(), notGone("bucket"))
	var out []period
	err := db.query(ctx, "look for old cells", query, func(rows driver.Rows) error {
		var p period
		err := rows.Scan(&p.start, &p.arrived)
		out = append(out, p)
		return err
	}, cellSettings)
	return out, err
}
