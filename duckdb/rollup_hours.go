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
	key   periodKey
	rows  int64 // below it
	share *share
}

func (j *periodJob) is(key periodKey) bool { return j != nil && j.key == key }

// of reports whether the job belongs to a rollup and granularity.
func (j *periodJob) of(k *cube, g millrace.Granularity) bool {
	return j != nil && j.key.rollup == k.schema.Name && j.key.granularity == g
}

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
				starts, err := k.duePeriods(ctx, c, g, now)
				due = len(starts) > 0
				return err
			})
			if err != nil {
				return false, err
			}
			if !due {
				continue
			}
			db.setQuiet("", now)
			return true, db.slice(ctx, "hours", func(w *writer) (*pace, int64, error) { return db.periodSlice(w, k, g, now) })
		}
	}
	db.setQuiet("hours", now)
	return false, nil
}

// duePeriods returns the starts of periods to compute, at most maxPeriods. A
// period is left alone while deltas of it are uncompacted, unless it has waited
// long already; a day waits for its hours.
func (k *cube) duePeriods(ctx context.Context, c *conn, g millrace.Granularity, now time.Time) ([]int64, error) {
	ended, waits := now.Add(-lateness-time.Duration(g)*time.Second).Unix(), "true"
	if g == millrace.Day {
		waits = fmt.Sprintf(`NOT EXISTS (SELECT 1 FROM cell_periods h WHERE h.rollup = p.rollup AND h.granularity = 3600
			AND h.state IN (%d, %d) AND date_trunc('day', h.bucket) = p.bucket)`, periodOpen, periodDirty)
	}
	settledBy := now.Add(-settled).Unix()
	var due []int64
	fresh := map[int64]bool{}
	err := each(ctx, c, fmt.Sprintf(`SELECT p.bucket, p.changed FROM cell_periods p WHERE p.rollup = %s AND p.granularity = %d
		AND p.state IN (%d, %d) AND p.bucket <= %s AND %s ORDER BY p.bucket LIMIT %d`,
		quote(k.schema.Name), g, periodOpen, periodDirty, timestamp(ended), waits, maxPeriods), func(r *rows) error {
		due = append(due, r.int64(0)/1e6)
		if r.int64(1) > settledBy {
			fresh[r.int64(0)/1e6] = true
		}
		return nil
	})
	if err != nil || len(fresh) == 0 || g == millrace.Day {
		return due, err
	}
	waiting, err := k.hoursWithDeltas(ctx, c, due)
	return slices.DeleteFunc(due, func(h int64) bool { return fresh[h] && waiting[h] }), err
}

// hoursWithDeltas returns the hours from the first to the last of some that
// have deltas. Only upkeep that has found work asks: it reads a column.
func (k *cube) hoursWithDeltas(ctx context.Context, c *conn, hours []int64) (map[int64]bool, error) {
	found := map[int64]bool{}
	err := each(ctx, c, fmt.Sprintf("SELECT DISTINCT hour FROM %s WHERE hour BETWEEN %s AND %s", k.deltas(),
		timestamp(slices.Min(hours)), timestamp(slices.Max(hours))), func(r *rows) error {
		found[r.int64(0)/1e6] = true
		return nil
	})
	return found, err
}

// periodSlice goes on with the job, or computes the oldest due periods, as many
// as the pace allows; one that is too large becomes a job.
func (db *DB) periodSlice(w *writer, k *cube, g millrace.Granularity, now time.Time) (*pace, int64, error) {
	pace, job := db.paceOf(g.String(), k), db.rollups.job
	if !job.of(k, g) {
		job = nil
	}
	work := periodWork{k: k, g: g, part: "true"}
	if job == nil {
		var err error
		if work.starts, work.rows, err = k.planPeriods(w, g, now, pace.rows); err != nil || len(work.starts) == 0 {
			return pace, 0, err
		}
		if len(work.starts) == 1 && work.rows > pace.rows {
			if job, err = k.planJob(w, &work); err != nil {
				return pace, 0, err
			}
		}
		work.large = work.rows/int64(len(work.starts)) >= sortedRows
	}
	if job != nil {
		work.starts, work.large = []int64{job.key.start}, job.rows >= sortedRows
		work.part, work.rows = job.share.next(pace.rows)
	}
	if err := db.computePart(w, &work); err != nil {
		return pace, work.rows, err
	}
	db.rollups.job = nil
	if job != nil && !job.share.done() {
		db.rollups.job = job
	} else if err := db.setPeriods(w, k, g, work.starts, periodClean); err != nil {
		return pace, work.rows, err
	}
	return pace, work.rows, failpoint.Hit("hours")
}

// periodWork is what one slice computes.
type periodWork struct {
	k      *cube
	g      millrace.Granularity
	starts []int64
	part   string // condition on set_id and keys
	rows   int64  // below the periods or the part
	large  bool   // the periods have sortedRows or more below them
}

// planPeriods picks due periods with about as many rows below them as the pace
// allows, at least one.
func (k *cube) planPeriods(w *writer, g millrace.Granularity, now time.Time, pace int64) ([]int64, int64, error) {
	due, err := k.duePeriods(w.ctx, w.c, g, now)
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

// planJob cuts a single period into parts.
func (k *cube) planJob(w *writer, work *periodWork) (*periodJob, error) {
	s, err := newShare(w.ctx, w.c, k, k.source(work.g), work.where(), 0)
	if err != nil {
		return nil, fmt.Errorf("plan parts: %w", err)
	}
	return &periodJob{key: periodKey{k.schema.Name, work.g, work.starts[0]}, rows: work.rows, share: s}, nil
}

// table returns where the periods go, and the sets that have them.
func (p *periodWork) table() (name, sets string) {
	if p.g == millrace.Day {
		return p.k.days(), p.k.keptAt(millrace.Day)
	}
	return p.k.hours(), p.k.keptAt(millrace.Hour, millrace.Day)
}

// where selects the cells below the periods.
func (p *periodWork) where() string {
	_, sets := p.table()
	return fmt.Sprintf("set_id IN (%s) AND %s", sets, among("bucket", p.starts))
}

// computePart replaces the cells of periods, or of a part of one.
func (db *DB) computePart(w *writer, p *periodWork) error {
	if p.g == millrace.Day && p.large {
		if err := db.sortHours(w, p); err != nil {
			return fmt.Errorf("sort hours: %w", err)
		}
	}
	table, _ := p.table()
	if _, err := w.exec(fmt.Sprintf("DELETE FROM %s WHERE %s AND %s", table, among("bucket", p.starts), p.part)); err != nil {
		return fmt.Errorf("delete what was computed before: %w", err)
	}
	keys := []string{"set_id", "bucket"}
	_, err := w.exec(fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s AND %s GROUP BY %s ORDER BY 1, 2",
		table, list(keys, p.k.keys, p.k.stateColumns()), list(keys, p.k.keys, p.k.mergedStates()),
		p.k.source(p.g), p.where(), p.part, ordinals(len(keys)+len(p.k.keys))))
	if err != nil {
		return fmt.Errorf("compute %d periods of %s: %w", len(p.starts), p.g, err)
	}
	return nil
}

// sortedRows is from how many rows on the hours of a day are sorted: less are
// read as a whole as fast.
const sortedRows = 50_000

// sortHours rewrites the hours of days that are computed for the first time,
// sorted by set and hour: written hour by hour, every set is spread over all of
// them, and a chart of a month would read 720 places in place of 30.
func (db *DB) sortHours(w *writer, p *periodWork) error {
	m, _, err := db.periods(w)
	if err != nil {
		return err
	}
	for _, day := range p.starts {
		if m.states[periodKey{p.k.schema.Name, p.g, day}] != periodOpen {
			return nil
		}
	}
	hours := p.k.hours()
	where := fmt.Sprintf("%s AND %s", among("bucket", hoursOf(p.starts)), p.part)
	for _, stmt := range []string{
		fmt.Sprintf("CREATE TEMP TABLE sorted_hours AS SELECT * FROM %s WHERE %s ORDER BY set_id, bucket", hours, where),
		fmt.Sprintf("DELETE FROM %s WHERE %s", hours, where),
		fmt.Sprintf("INSERT INTO %s SELECT * FROM sorted_hours", hours),
		"DROP TABLE sorted_hours",
	} {
		if _, err := w.exec(stmt); err != nil {
			return fmt.Errorf("%.60s…: %w", stmt, err)
		}
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
