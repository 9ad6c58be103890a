package duckdb

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// compactAge is how long after the beginning of their minute of arrival deltas
// are compacted: then the minute is over by one minute, and the flushes of that
// minute, some twelve of them, become one.
const compactAge = 2 * time.Minute

// pace is how many rows a slice of upkeep may handle so that it takes about
// sliceTarget. It follows what slices really take, as this depends on the
// machine and on the sketches of the rollup.
type pace struct{ rows int64 }

const (
	// sliceTarget leaves room below the 500 ms for which a slice may hold the
	// writer: rows differ in size, and the commit comes on top.
	sliceTarget = 200 * time.Millisecond
	firstPace   = 20_000
	minPace     = 2_000
	maxPace     = 400_000
	// maxPeriods bounds the buckets of a slice, and so the length of its SQL.
	maxPeriods = 2000
)

// paceOf returns the pace of a kind of work on a rollup. Under DB.writeMu.
func (db *DB) paceOf(kind string, k *cube) *pace {
	if db.rollups.pace == nil {
		db.rollups.pace = map[string]*pace{}
	}
	key := kind + " " + k.schema.Name
	if db.rollups.pace[key] == nil {
		db.rollups.pace[key] = &pace{cmp.Or(db.rollups.firstPace, firstPace)}
	}
	return db.rollups.pace[key]
}

// learn adapts the pace to a slice that handled rows in a time.
func (p *pace) learn(rows int64, took time.Duration) {
	switch {
	case took > sliceTarget && rows > 0:
		p.rows = max(minPace, int64(float64(rows)*float64(sliceTarget)/float64(took)))
	case took < sliceTarget/2 && rows > p.rows/2:
		p.rows = min(maxPace, p.rows*3/2)
	}
}

// compact merges deltas of one rollup into cells: one slice. What it adds is
// merged by readers with cells that exist; nothing is rewritten, so late deltas
// cost no more than others.
func (db *DB) compact(ctx context.Context, now time.Time) (bool, error) {
	cubes, err := db.sortedCubes(ctx)
	if err != nil {
		return false, err
	}
	cutoff := now.Add(-compactAge).Unix()
	for _, k := range cubes {
		due := false
		err := db.read(ctx, "look for deltas", func(c *conn) (err error) {
			due, err = exists(ctx, c, fmt.Sprintf("SELECT 1 FROM %s WHERE arrived <= %d", k.deltas(), cutoff))
			return err
		})
		if err != nil {
			return false, err
		}
		if !due {
			continue
		}
		db.setQuiet("", now)
		err = db.write(ctx, "compaction", func(w *writer) error { return db.compactSlice(w, k, cutoff) })
		if err == nil {
			err = failpoint.Hit("compaction.after")
		}
		return true, err
	}
	return false, nil
}

func exists(ctx context.Context, c *conn, query string) (bool, error) {
	r, err := c.query(ctx, query+" LIMIT 1")
	if err != nil {
		return false, err
	}
	defer r.close()
	return r.next(), r.err
}

// slice is a part of the deltas that goes to one table.
type slice struct {
	state   int8    // of the hours
	minutes []int64 // ascending
	rows    int64
	parts   int64 // 1, or the slice is one of so many parts of a single minute
}

// compactSlice plans and does one slice inside a transaction.
func (db *DB) compactSlice(w *writer, k *cube, cutoff int64) error {
	start, pace := time.Now(), db.paceOf("compact", k)
	s, err := planCompaction(w, k, cutoff, pace.rows)
	if err != nil || s == nil {
		return err
	}
	where := fmt.Sprintf("arrived <= %d AND %s", cutoff, among("bucket", s.minutes))
	if s.parts > 1 {
		where += fmt.Sprintf(" AND hash(%s) %% %d = 0", list([]string{"set_id"}, k.dims), s.parts)
	}
	if err := db.moveDeltas(w, k, s, where); err != nil {
		return err
	}
	pace.learn(s.rows/s.parts, time.Since(start))
	return failpoint.Hit("compaction")
}

// planCompaction picks the oldest minutes whose hours are in the same state, as
// many as the pace allows; of a minute beyond it, a part.
func planCompaction(w *writer, k *cube, cutoff, pace int64) (*slice, error) {
	var s *slice
	full := false
	err := each(w.ctx, w.c, fmt.Sprintf(`SELECT d.bucket, d.n, p.state FROM
			(SELECT bucket, hour, count(*) AS n FROM %s WHERE arrived <= %d GROUP BY ALL ORDER BY bucket LIMIT %d) d
		JOIN cell_periods p ON p.rollup = %s AND p.granularity = 3600 AND p.bucket = d.hour
		ORDER BY d.bucket`, k.deltas(), cutoff, maxPeriods, quote(k.schema.Name)), func(r *rows) error {
		bucket, n, state := r.int64(0)/1e6, r.int64(1), destination(int8(r.int64(2)))
		switch {
		case s == nil:
			s = &slice{state: state, minutes: []int64{bucket}, rows: n, parts: 1 + (n-1)/pace}
		case !full && s.state == state && s.rows+n <= pace:
			s.minutes, s.rows = append(s.minutes, bucket), s.rows+n
		default:
			full = true
		}
		return nil
	})
	return s, err
}

// destination reduces the state of an hour to what matters here: where deltas
// of it go.
func destination(state int8) int8 {
	if state == periodSealed || state == periodGone {
		return state
	}
	return periodOpen
}

// moveDeltas merges the deltas that fulfil a condition into the table their
// hours are kept in.
func (db *DB) moveDeltas(w *writer, k *cube, s *slice, where string) error {
	table, bucket, columns, sets := k.minutes(), "bucket", "set_id, bucket, hour", ""
	switch s.state {
	case periodSealed:
		table, bucket, columns = k.hours(), "hour", "set_id, bucket"
		sets = " AND set_id IN (" + k.keptAt(millrace.Hour, millrace.Day) + ")"
	case periodGone:
		table, bucket, columns = k.days(), "date_trunc('day', hour)", "set_id, bucket"
		sets = " AND set_id IN (" + k.keptAt(millrace.Day) + ")"
	}
	keys := "set_id, " + bucket + " AS bucket"
	if s.state == periodOpen {
		keys += ", hour"
	}
	groups := len(k.dims) + strings.Count(columns, ",") + 1
	for _, stmt := range []string{
		fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s%s GROUP BY %s ORDER BY 1, 2",
			table, list([]string{columns}, k.dims, k.stateColumns()), list([]string{keys}, k.dims, k.mergedStates()),
			k.deltas(), where, sets, ordinals(groups)),
		arrivedUpdate(k, millrace.Hour, "hour", where),
		arrivedUpdate(k, millrace.Day, "date_trunc('day', hour)", where),
		fmt.Sprintf("DELETE FROM %s WHERE %s", k.deltas(), where),
	} {
		if _, err := w.exec(stmt); err != nil {
			return fmt.Errorf("%.60s…: %w", stmt, err)
		}
	}
	return nil
}

// arrivedUpdate carries the arrival of deltas over to their periods, from where
// retention counts.
func arrivedUpdate(k *cube, g millrace.Granularity, start, where string) string {
	return fmt.Sprintf(`UPDATE cell_periods SET arrived = d.arrived FROM
			(SELECT %s AS start, max(arrived) AS arrived FROM %s WHERE %s GROUP BY 1) d
		WHERE cell_periods.rollup = %s AND granularity = %d AND bucket = d.start AND cell_periods.arrived < d.arrived`,
		start, k.deltas(), where, quote(k.schema.Name), g)
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
