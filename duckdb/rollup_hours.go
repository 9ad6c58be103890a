package duckdb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// periodJob is a period with too many cells for one slice: it is computed part
// by part, in a transaction each. Its state stays open or dirty, so that the
// parts are not read, until the last is done. A delta that arrives meanwhile
// cancels the job (see touch), a crash forgets it; the next one starts over.
type periodJob struct {
	k     *cube
	key   periodKey
	part  int64
	parts int64
	rows  int64 // of all parts
}

func (j *periodJob) is(key periodKey) bool { return j != nil && j.key == key }

// computePeriods computes hours, or days from hours, that have ended and wait:
// one slice.
func (db *DB) computePeriods(ctx context.Context, now time.Time) (bool, error) {
	if db.isQuiet("hours", now) {
		return false, nil
	}
	cubes, err := db.sortedCubes(ctx)
	if err != nil {
		return false, err
	}
	for _, g := range []millrace.Granularity{millrace.Hour, millrace.Day} {
		for _, k := range cubes {
			due := false
			err := db.read(ctx, "look for hours", func(c *conn) (err error) {
				due, err = exists(ctx, c, k.duePeriods(g, now))
				return err
			})
			if err != nil {
				return false, err
			}
			if !due {
				continue
			}
			db.setQuiet("", now)
			err = db.write(ctx, "hours", func(w *writer) error { return db.periodSlice(w, k, g, now) })
			if err != nil {
				db.cancelJob() // its last part may not be stored
			}
			return true, err
		}
	}
	db.setQuiet("hours", now)
	return false, nil
}

func (db *DB) cancelJob() {
	db.writeMu.Lock()
	db.rollups.job = nil
	db.writeMu.Unlock()
}

// duePeriods selects the starts of periods to compute. A period is left alone
// while deltas of it are uncompacted, unless it has waited long already; a day
// waits for its hours.
func (k *cube) duePeriods(g millrace.Granularity, now time.Time) string {
	ended := now.Add(-lateness - time.Duration(g)*time.Second).Unix()
	waits := fmt.Sprintf(`(p.changed <= %d OR NOT EXISTS (SELECT 1 FROM %s d WHERE d.hour = p.bucket))`,
		now.Add(-settled).Unix(), k.deltas())
	if g == millrace.Day {
		waits = fmt.Sprintf(`NOT EXISTS (SELECT 1 FROM cell_periods h WHERE h.rollup = p.rollup AND h.granularity = 3600
			AND h.state IN (%d, %d) AND date_trunc('day', h.bucket) = p.bucket)`, periodOpen, periodDirty)
	}
	return fmt.Sprintf(`SELECT p.bucket FROM cell_periods p WHERE p.rollup = %s AND p.granularity = %d
		AND p.state IN (%d, %d) AND p.bucket <= %s AND %s ORDER BY p.bucket`,
		quote(k.schema.Name), g, periodOpen, periodDirty, timestamp(ended), waits)
}

// periodSlice computes the oldest due periods, as many as the pace allows, or
// the next part of a single one.
func (db *DB) periodSlice(w *writer, k *cube, g millrace.Granularity, now time.Time) error {
	started, pace := time.Now(), db.paceOf(g.String(), k)
	starts, rows, err := k.planPeriods(w, g, now, pace.rows)
	if err != nil || len(starts) == 0 {
		return err
	}
	job := db.rollups.job
	if key := (periodKey{k.schema.Name, g, starts[0]}); !job.is(key) || job.part == job.parts {
		job = &periodJob{k: k, key: key, parts: 1 + (rows-1)/pace.rows, rows: rows}
		if len(starts) > 1 {
			job.parts = 1
		}
	}
	if job.parts > 1 {
		starts, rows = starts[:1], job.rows/job.parts
	}
	if err := k.computePart(w, g, starts, job); err != nil {
		return err
	}
	db.rollups.job = nil
	if job.part++; job.part < job.parts {
		db.rollups.job = job
	} else if err := db.setPeriods(w, k, g, starts, periodClean); err != nil {
		return err
	}
	pace.learn(rows, time.Since(started))
	return failpoint.Hit("hours")
}

// planPeriods picks due periods with about as many rows below them as the pace
// allows, at least one.
func (k *cube) planPeriods(w *writer, g millrace.Granularity, now time.Time, pace int64) ([]int64, int64, error) {
	var due []int64
	err := each(w.ctx, w.c, k.duePeriods(g, now)+fmt.Sprintf(" LIMIT %d", maxPeriods), func(r *rows) error {
		due = append(due, r.int64(0)/1e6)
		return nil
	})
	if err != nil || len(due) == 0 {
		return nil, 0, err
	}
	counts := map[int64]int64{}
	count := "SELECT hour, count(*) FROM " + k.minutes() + " WHERE " + among("hour", due) + " GROUP BY 1"
	if g == millrace.Day {
		span := fmt.Sprintf("bucket >= %s AND bucket < %s", timestamp(due[0]), timestamp(due[len(due)-1]+int64(g)))
		count = "SELECT date_trunc('day', bucket), count(*) FROM " + k.hours() + " WHERE " + span + " GROUP BY 1"
	}
	err = each(w.ctx, w.c, count, func(r *rows) error {
		counts[r.int64(0)/1e6] = r.int64(1)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	rows, n := counts[due[0]], 1
	for n < len(due) && rows+counts[due[n]] <= pace {
		rows += counts[due[n]]
		n++
	}
	return due[:n], rows, nil
}

// computePart replaces the cells of periods, or those of them that belong to
// the job's part.
func (k *cube) computePart(w *writer, g millrace.Granularity, starts []int64, job *periodJob) error {
	table, sets := k.hours(), k.keptAt(millrace.Hour, millrace.Day)
	if g == millrace.Day {
		table, sets = k.days(), k.keptAt(millrace.Day)
	}
	where := among("bucket", starts)
	if job.parts > 1 {
		where += fmt.Sprintf(" AND hash(%s) %% %d = %d", list([]string{"set_id"}, k.dims), job.parts, job.part)
	}
	if _, err := w.exec("DELETE FROM " + table + " WHERE " + where); err != nil {
		return fmt.Errorf("delete what was computed before: %w", err)
	}
	keys := []string{"set_id", "bucket"}
	_, err := w.exec(fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE set_id IN (%s) AND %s GROUP BY %s ORDER BY 1, 2",
		table, list(keys, k.dims, k.stateColumns()), list(keys, k.dims, k.mergedStates()),
		k.source(g), sets, where, ordinals(len(keys)+len(k.dims))))
	if err != nil {
		return fmt.Errorf("compute %d periods of %s: %w", len(starts), g, err)
	}
	return nil
}

// setPeriods gives periods a state.
func (db *DB) setPeriods(w *writer, k *cube, g millrace.Granularity, starts []int64, state int8) error {
	m, _, err := db.periods(w)
	if err != nil {
		return err
	}
	// The mirror keeps its owner, so that the next flush reads the table again:
	// whether this transaction is committed is not known here.
	for _, s := range starts {
		m.states[periodKey{k.schema.Name, g, s}] = state
	}
	_, err = w.exec(fmt.Sprintf("UPDATE cell_periods SET state = %d WHERE rollup = %s AND granularity = %d AND %s",
		state, quote(k.schema.Name), g, among("bucket", slices.Sorted(slices.Values(starts)))))
	return err
}
