package duckdb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

const (
	// compactAge is how long deltas lie before they are compacted, so that the
	// flushes of several minutes become one row per cell, sorted by set.
	compactAge = 5 * time.Minute
	// openAge is how old the deltas are at least that a compaction takes: their
	// minute of arrival is over, by one minute.
	openAge = 2 * time.Minute
	// backlogRows is how many deltas are not left to lie for compactAge: reading
	// them takes some ten milliseconds a million.
	backlogRows = 3_000_000
)

// compactJob is the compaction of all deltas of a rollup up to an arrival that
// go to one table. It is done in slices, each a transaction. Nothing else moves
// or adds such deltas, so its plan holds to the end; after a failure, and at a
// restart, what is left is planned anew.
type compactJob struct {
	state int8   // of the hours
	where string // which deltas
	share *share
}

// backlog tells how much of a rollup waits for compaction.
type backlog struct {
	written int64 // deltas since the last job was planned
	job     *compactJob
}

// backlogOf returns the backlog of a rollup. Under DB.writeMu.
func (db *DB) backlogOf(k *cube) *backlog {
	if db.rollups.backlogs == nil {
		db.rollups.backlogs = map[string]*backlog{}
	}
	b := db.rollups.backlogs[k.schema.Name]
	if b == nil {
		b = &backlog{}
		db.rollups.backlogs[k.schema.Name] = b
	}
	return b
}

// compact merges deltas of one rollup into cells: one slice. What it adds is
// merged by readers with cells that exist; nothing is rewritten, so late deltas
// cost no more than others.
func (db *DB) compact(ctx context.Context, now time.Time) (bool, error) {
	cubes, err := db.sortedCubes(ctx)
	if err != nil {
		return false, err
	}
	for _, k := range cubes {
		db.writeMu.Lock()
		b := *db.backlogOf(k)
		db.writeMu.Unlock()
		var plan *compactPlan
		if b.job == nil {
			if plan, err = db.planCompaction(ctx, k, now, b.written); err != nil {
				return false, err
			}
			if plan == nil {
				continue
			}
		}
		db.setQuiet("", now)
		err := db.slice(ctx, "compaction", func(w *writer) (*pace, int64, error) { return db.compactSlice(w, k, plan) })
		if err == nil {
			err = failpoint.Hit("compaction.after")
		}
		return true, err
	}
	return false, nil
}

// compactPlan is a job and the arrivals that its periods have to be given first.
type compactPlan struct {
	job      *compactJob
	arrivals []arrival
}

// arrival is the last arrival of an hour or a day, from where retention counts.
type arrival struct {
	granularity    millrace.Granularity
	start, arrived int64
}

// planCompaction looks whether deltas are due and plans what happens to those
// of them that go to one table. It reads only, so writers do not wait for it.
func (db *DB) planCompaction(ctx context.Context, k *cube, now time.Time, written int64) (*compactPlan, error) {
	age := compactAge
	if written >= backlogRows {
		age = openAge
	}
	var plan *compactPlan
	err := db.snapshot(ctx, "plan compaction", func(c *conn) error {
		due, err := exists(ctx, c, fmt.Sprintf("SELECT 1 FROM %s WHERE arrived <= %d", k.deltas(), now.Add(-age).Unix()))
		if err != nil || !due {
			return err
		}
		cutoff := now.Add(-openAge).Unix()
		hours, err := k.hoursOfDeltas(ctx, c, cutoff)
		if err != nil || len(hours) == 0 {
			return err
		}
		plan = newCompactPlan(k, hours, cutoff)
		plan.job.share, err = newShare(ctx, c, k, k.deltas(), plan.job.where, firstPace)
		return err
	})
	return plan, err
}

func exists(ctx context.Context, c *conn, query string) (bool, error) {
	r, err := c.query(ctx, query+" LIMIT 1")
	if err != nil {
		return false, err
	}
	defer r.close()
	return r.next(), r.err
}

// deltaHour is an hour that has deltas.
type deltaHour struct {
	start   int64
	state   int8  // where its deltas go
	arrived int64 // the last of them
	known   int64 // arrival the period has
}

func (k *cube) hoursOfDeltas(ctx context.Context, c *conn, cutoff int64) ([]deltaHour, error) {
	var out []deltaHour
	err := each(ctx, c, fmt.Sprintf(`SELECT d.hour, p.state::INTEGER, d.arrived, p.arrived FROM
			(SELECT hour, max(arrived) AS arrived FROM %s WHERE arrived <= %d GROUP BY hour) d
		JOIN cell_periods p ON p.rollup = %s AND p.granularity = 3600 AND p.bucket = d.hour`,
		k.deltas(), cutoff, quote(k.schema.Name)), func(r *rows) error {
		out = append(out, deltaHour{r.int64(0) / 1e6, destination(int8(r.int64(1))), r.int64(2), r.int64(3)})
		return nil
	})
	return out, err
}

func newCompactPlan(k *cube, hours []deltaHour, cutoff int64) *compactPlan {
	state, mixed := hours[0].state, false
	for _, h := range hours {
		mixed = mixed || h.state != state
	}
	p := &compactPlan{job: &compactJob{state: state, where: fmt.Sprintf("arrived <= %d", cutoff)}}
	if mixed {
		states := map[int8]string{periodOpen: "0, 1, 2", periodSealed: "3", periodGone: "4"}[state]
		p.job.where += " AND hour IN " + k.periodsIn(millrace.Hour, states)
	}
	days := map[int64]int64{}
	for _, h := range hours {
		if h.arrived > h.known {
			p.arrivals = append(p.arrivals, arrival{millrace.Hour, h.start, h.arrived})
			days[millrace.Day.Floor(h.start)] = max(days[millrace.Day.Floor(h.start)], h.arrived)
		}
	}
	for day, arrived := range days {
		p.arrivals = append(p.arrivals, arrival{millrace.Day, day, arrived})
	}
	return p
}

// compactSlice does the next slice of a rollup's job inside a transaction; a
// plan begins one.
func (db *DB) compactSlice(w *writer, k *cube, plan *compactPlan) (*pace, int64, error) {
	b, pace := db.backlogOf(k), db.paceOf("compact", k)
	if plan != nil {
		if err := noteArrivals(w, k, plan.arrivals); err != nil {
			return pace, 0, fmt.Errorf("note arrivals: %w", err)
		}
		b.job, b.written = plan.job, 0
	}
	job := b.job
	if job == nil { // a definition cancelled it
		return pace, 0, nil
	}
	part, rows := job.share.next(pace.rows)
	if err := db.moveDeltas(w, k, job.state, job.where+" AND "+part); err != nil {
		return pace, rows, err
	}
	if job.share.done() {
		b.job = nil
	}
	return pace, rows, failpoint.Hit("compaction")
}

// noteArrivals carries the arrivals of deltas over to their periods.
func noteArrivals(w *writer, k *cube, all []arrival) error {
	return chunks(len(all), func(from, n int) error {
		var g, starts, arrived []string
		for _, a := range all[from : from+n] {
			g, starts = append(g, fmt.Sprint(int64(a.granularity))), append(starts, fmt.Sprint(a.start*1e6))
			arrived = append(arrived, fmt.Sprint(a.arrived))
		}
		_, err := w.exec(fmt.Sprintf(`UPDATE cell_periods SET arrived = d.arrived FROM
				(SELECT unnest([%s]) AS g, unnest([%s]) AS start, unnest([%s]) AS arrived) d
			WHERE rollup = %s AND granularity = d.g AND bucket = make_timestamp(d.start) AND cell_periods.arrived < d.arrived`,
			list(g), list(starts), list(arrived), quote(k.schema.Name)))
		return err
	})
}

// destination reduces the state of an hour to what matters here: where deltas
// of it go.
func destination(state int8) int8 {
	if state == periodSealed || state == periodGone {
		return state
	}
	return periodOpen
}

// moveDeltas merges the deltas that fulfil a condition into the table that
// hours in the given state are kept in.
func (db *DB) moveDeltas(w *writer, k *cube, state int8, where string) error {
	table, bucket, sets := k.minutes(), "bucket", ""
	switch state {
	case periodSealed:
		table, bucket = k.hours(), "hour"
		sets = " AND set_id IN (" + k.keptAt(millrace.Hour, millrace.Day) + ")"
	case periodGone:
		table, bucket = k.days(), "date_trunc('day', hour)"
		sets = " AND set_id IN (" + k.keptAt(millrace.Day) + ")"
	}
	values := append([]string{"set_id", bucket + " AS bucket"}, k.keys...)
	groups, columns := ordinals(len(values)), append([]string{"set_id", "bucket"}, k.keys...)
	if state == periodOpen {
		// Made anew and not grouped by: that would cost more.
		values, columns = append(values, "date_trunc('hour', bucket)"), append(columns, "hour")
	}
	for _, stmt := range []string{
		fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s%s GROUP BY %s ORDER BY 1, 2",
			table, list(columns, k.stateColumns()), list(values, k.mergedStates()), k.deltas(), where, sets, groups),
		fmt.Sprintf("DELETE FROM %s WHERE %s", k.deltas(), where),
	} {
		if _, err := w.exec(stmt); err != nil {
			return fmt.Errorf("%.60s…: %w", stmt, err)
		}
	}
	return nil
}

// ordinals returns "1, 2, ... n".
func ordinals(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, i+1)
	}
	return b.String()
}
