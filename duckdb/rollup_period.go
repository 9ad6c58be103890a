package duckdb

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// The states of a period, an hour or a day of a rollup that has cells. Those
// of an hour say where its cells are read from:
//
//	open, dirty  from minutes_NAME and deltas_NAME; hours_NAME may hold remains
//	clean        from hours_NAME; minutes and deltas hold the same once more
//	sealed       from hours_NAME and deltas_NAME; the minutes are dropped
//	gone         the hours are dropped too; deltas belong to days_NAME
//
// and those of a day likewise, with hours in place of minutes:
//
//	open, dirty  from its hours, each by its own state
//	clean        from days_NAME
//	sealed       from days_NAME and the deltas of its hours, which are gone
const (
	periodOpen   = 0
	periodClean  = 1
	periodDirty  = 2
	periodSealed = 3
	periodGone   = 4
)

// lateness is how long after its end an hour or a day still counts as open:
// clients' clocks and retries are seldom later.
const lateness = 10 * time.Minute

// settled is how long a period must have been left alone before it is computed
// while deltas of it are still to be compacted. It keeps an import of old logs
// from computing the same hours after every flush.
const settled = 10 * time.Minute

type periodKey struct {
	rollup      string
	granularity millrace.Granularity
	start       int64 // Unix seconds
}

// periodMirror is the table cell_periods in memory, so that a flush that
// touches the same open hours as the one before it writes nothing there. Under
// DB.writeMu.
type periodMirror struct {
	trust
	states map[periodKey]int8
}

// periods returns the mirror for use in an open transaction, and the pledge to
// settle after it.
func (db *DB) periods(w *writer) (*periodMirror, pledge, error) {
	m := &db.rollups.known
	if m.states == nil || m.owner != 0 {
		m.states = map[periodKey]int8{}
		err := each(w.ctx, w.c, "SELECT rollup, granularity, bucket, state FROM cell_periods", func(r *rows) error {
			m.states[periodKey{r.str(0), millrace.Granularity(r.int64(1)), r.int64(2) / 1e6}] = int8(r.int64(3))
			return nil
		})
		if err != nil {
			m.states = nil
			return nil, pledge{}, err
		}
	}
	return m, pledge{&m.trust, m.distrust()}, nil
}

// touchedHours returns the hours, distinct, of the buckets.
func touchedHours(into map[int64]bool, buckets []int64) {
	lastTime, last := int64(math.MinInt64), int64(math.MinInt64)
	for _, t := range buckets {
		if t == lastTime { // as nearly always: a division saved
			continue
		}
		lastTime = t
		if h := millrace.Hour.Floor(t); h != last {
			last = h
			into[h] = true
		}
	}
}

// touch notes that deltas of hours of a rollup arrived: unknown hours and days
// become open, clean ones dirty.
func (db *DB) touch(w *writer, m *periodMirror, rollup string, hours map[int64]bool, arrived int64) error {
	var fresh []freshPeriod
	dirty := map[millrace.Granularity][]int64{}
	visit := func(g millrace.Granularity, start int64, state int8) {
		key := periodKey{rollup, g, start}
		have, known := m.states[key]
		switch {
		case !known:
			m.states[key] = state
			fresh = append(fresh, freshPeriod{g, start, state})
		case have == periodClean:
			m.states[key] = periodDirty
			dirty[g] = append(dirty[g], start)
		}
		if db.rollups.job.is(key) {
			db.rollups.job = nil
		}
	}
	for h := range hours {
		day := millrace.Day.Floor(h)
		visit(millrace.Day, day, periodOpen)
		state := int8(periodOpen)
		if m.states[periodKey{rollup, millrace.Day, day}] == periodSealed {
			state = periodGone
		}
		visit(millrace.Hour, h, state)
	}
	for g, starts := range dirty {
		_, err := w.exec(fmt.Sprintf("UPDATE cell_periods SET state = %d, changed = %d WHERE rollup = %s AND granularity = %d AND bucket IN (%s)",
			periodDirty, arrived, quote(rollup), g, timestamps(starts)))
		if err != nil {
			return err
		}
	}
	return insertPeriods(w, rollup, fresh, arrived)
}

type freshPeriod struct {
	granularity millrace.Granularity
	start       int64
	state       int8
}

func insertPeriods(w *writer, rollup string, fresh []freshPeriod, arrived int64) error {
	if len(fresh) == 0 {
		return nil
	}
	t, err := w.table("cell_periods")
	if err != nil {
		return err
	}
	return chunks(len(fresh), func(from, k int) error {
		var granularity []int32
		var bucket []int64
		var state []uint8
		for _, p := range fresh[from : from+k] {
			granularity, bucket = append(granularity, int32(p.granularity)), append(bucket, p.start*1e6)
			state = append(state, uint8(p.state))
		}
		t.sameString(0, k, rollup)
		t.int32s(1, granularity)
		t.int64s(2, bucket)
		t.uint8s(3, state)
		t.sameInt64(4, k, arrived)
		t.sameInt64(5, k, arrived)
		return t.emit(k)
	})
}

// timestamp returns Unix seconds as a SQL literal.
func timestamp(sec int64) string {
	return fmt.Sprintf("make_timestamp(%d)", sec*1e6)
}

// timestamps returns Unix seconds as the elements of an IN list.
func timestamps(secs []int64) string {
	var b strings.Builder
	for i, s := range secs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(timestamp(s))
	}
	return b.String()
}

// among returns the condition that a column is one of the sorted seconds, with
// the range spelled out, by which DuckDB skips row groups.
func among(column string, secs []int64) string {
	if len(secs) == 0 {
		return "false"
	}
	return fmt.Sprintf("%s BETWEEN %s AND %s AND %s IN (%s)",
		column, timestamp(secs[0]), timestamp(secs[len(secs)-1]), column, timestamps(secs))
}
