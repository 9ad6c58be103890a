package duckdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace"
)

const dayNS = int64(24 * time.Hour)

// WriteEvents implements millrace.Store. Flushes of 122,880 rows (a row group
// of DuckDB) are fastest: they go straight to the file, while smaller ones pass
// through the write-ahead log and are written again by a checkpoint.
func (db *DB) WriteEvents(ctx context.Context, rows *millrace.EventRows, c *millrace.Commit) (err error) {
	if rows == nil {
		rows = &millrace.EventRows{} // a commit alone, for instance of refusals
	}
	finish := db.follow(ctx, rows)
	err = errPanicked
	defer func() { finish(err) }()
	err = db.insist(ctx, func() error {
		return db.write(ctx, "events", func(w *writer) error {
			for _, part := range splitDays(rows) {
				if err := writeDay(w, part); err != nil {
					return err
				}
			}
			return db.writeCommit(w, c)
		})
	})
	return err
}

// errPanicked is what the index is told of a write that did not return.
var errPanicked = errors.New("the write panicked")

func dayOf(ns int64) int64 {
	d := ns / dayNS
	if ns%dayNS < 0 {
		d--
	}
	return d
}

func dayTable(day int64) string {
	return time.Unix(0, 0).UTC().AddDate(0, 0, int(day)).Format("events_20060102")
}

// splitDays returns rows by day of arrival: rows itself, unless it spans midnight.
func splitDays(rows *millrace.EventRows) []*millrace.EventRows {
	if rows.Len() == 0 {
		return nil
	}
	first, same := dayOf(rows.Arrived[0]), true
	for _, a := range rows.Arrived {
		if dayOf(a) != first {
			same = false
			break
		}
	}
	if same {
		return []*millrace.EventRows{rows}
	}
	var out []*millrace.EventRows
	days := map[int64]*millrace.EventRows{}
	for i, a := range rows.Arrived {
		part := days[dayOf(a)]
		if part == nil {
			part = &millrace.EventRows{}
			days[dayOf(a)] = part
			out = append(out, part)
		}
		copyRow(part, rows, i)
	}
	return out
}

func copyRow(dst, src *millrace.EventRows, i int) {
	dst.Partition = append(dst.Partition, src.Partition[i])
	dst.Offset = append(dst.Offset, src.Offset[i])
	dst.Ordinal = append(dst.Ordinal, src.Ordinal[i])
	dst.Arrived = append(dst.Arrived, src.Arrived[i])
	dst.Time = append(dst.Time, src.Time[i])
	dst.Kind = append(dst.Kind, src.Kind[i])
	dst.Weight = append(dst.Weight, src.Weight[i])
	dst.AppendRow(&src.AttrColumns, i)
	to := textColumns(dst)
	for j, col := range textColumns(src) {
		to[j].Append(string(col.At(i)))
	}
}

// textColumns lists the text columns that are not in AttrColumns.
func textColumns(r *millrace.EventRows) []*millrace.Strings {
	return []*millrace.Strings{
		&r.Project, &r.Source, &r.Service, &r.Host, &r.Env, &r.Release, &r.Level, &r.TraceID, &r.Message, &r.Attrs,
	}
}

// writeDay appends rows that all arrived on one day.
func writeDay(w *writer, rows *millrace.EventRows) error {
	s := segment{name: dayTable(dayOf(rows.Arrived[0])), day: dayOf(rows.Arrived[0])}
	s.measure(rows)
	if err := s.record(w); err != nil {
		return fmt.Errorf("segment %s: %w", s.name, err)
	}
	if err := checkColumns(rows); err != nil {
		return err
	}
	return w.feed(s.name, rows.Len(), newDayRows(rows).fill)
}

// segment is the catalog's entry of a day table.
type segment struct {
	name             string
	day              int64 // of arrival, days since 1970
	minTime, maxTime int64 // event time, ns
	rows, bytes      int64 // bytes of long texts before compression
}

func (s *segment) measure(rows *millrace.EventRows) {
	s.minTime, s.maxTime = rows.Time[0], rows.Time[0]
	for _, t := range rows.Time {
		s.minTime, s.maxTime = min(s.minTime, t), max(s.maxTime, t)
	}
	s.rows, s.bytes = int64(rows.Len()), int64(rows.Bytes())
}

// record adds the segment to the catalog, creating its table on the first
// flush of the day.
func (s *segment) record(w *writer) error {
	n, err := w.exec(`UPDATE segments SET min_time = least(min_time, ?), max_time = greatest(max_time, ?),
		"rows" = "rows" + ?, bytes = bytes + ? WHERE name = ?`,
		timeNS(s.minTime), timeNS(s.maxTime), s.rows, s.bytes, s.name)
	if err != nil || n == 1 {
		return err
	}
	if _, err := w.exec("CREATE TABLE " + ident(s.name) + " " + eventColumns); err != nil {
		return err
	}
	_, err = w.exec("INSERT INTO segments VALUES (?, DATE '1970-01-01' + ?::INTEGER, ?, ?, ?, ?)",
		s.name, s.day, timeNS(s.minTime), timeNS(s.maxTime), s.rows, s.bytes)
	if err != nil {
		return err
	}
	return refreshView(w)
}

// refreshView makes the views the unions of all day tables in the catalog.
func refreshView(w *writer) error {
	segs, err := loadSegments(w.ctx, w.c)
	if err != nil {
		return err
	}
	names := make([]string, len(segs))
	for i, s := range segs {
		names[i] = s.name
	}
	return makeViews(w.ctx, w.c, names)
}

// loadSegments returns the catalog, oldest day first.
func loadSegments(ctx context.Context, c *conn) ([]segment, error) {
	r, err := c.query(ctx, `SELECT name, day, min_time, max_time, "rows", bytes FROM segments ORDER BY day`)
	if err != nil {
		return nil, err
	}
	defer r.close()
	var out []segment
	for r.next() {
		out = append(out, segment{
			name: r.str(0), day: r.int64(1), minTime: r.int64(2), maxTime: r.int64(3), rows: r.int64(4), bytes: r.int64(5),
		})
	}
	return out, r.err
}
