package duckdb

import (
	"context"
	"fmt"
	"time"
	"unsafe"

	"github.com/millrace/millrace"
)

const dayNS = int64(24 * time.Hour)

// WriteEvents implements millrace.Store. Flushes of 122,880 rows (a row group
// of DuckDB) are fastest: they go straight to the file, while smaller ones pass
// through the write-ahead log and are written again by a checkpoint.
func (db *DB) WriteEvents(ctx context.Context, rows *millrace.EventRows, c *millrace.Commit) error {
	if rows == nil {
		rows = &millrace.EventRows{} // a commit alone, for instance of refusals
	}
	return db.insist(ctx, func() error {
		return db.write(ctx, "events", func(w *writer) error {
			for _, part := range splitDays(rows) {
				if err := writeDay(w, part); err != nil {
					return err
				}
			}
			return db.writeCommit(w, c)
		})
	})
}

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
	to := textColumns(dst)
	for j, col := range textColumns(src) {
		to[j].s.Append(string(col.s.At(i)))
	}
}

// textColumn is a text column of EventRows and its index in eventColumns.
type textColumn struct {
	s   *millrace.Strings
	col int
}

// textColumns lists the text columns; the trace id comes last, since it is
// split in two when written.
func textColumns(r *millrace.EventRows) []textColumn {
	return []textColumn{
		{&r.Project, colProject},
		{&r.Source, colSource},
		{&r.Service, colService},
		{&r.Host, colHost},
		{&r.Env, colEnv},
		{&r.Release, colRelease},
		{&r.Level, colLevel},
		{&r.Message, colMessage},
		{&r.Attrs, colAttrs},
		{&r.TraceID, colTraceText},
	}
}

// writeDay appends rows that all arrived on one day.
func writeDay(w *writer, rows *millrace.EventRows) error {
	s := segment{name: dayTable(dayOf(rows.Arrived[0])), day: dayOf(rows.Arrived[0])}
	s.measure(rows)
	if err := s.record(w); err != nil {
		return fmt.Errorf("segment %s: %w", s.name, err)
	}
	t, err := w.table(s.name)
	if err != nil {
		return err
	}
	text := textColumns(rows)
	for i := range text {
		if text[i].s.Len() != rows.Len() {
			return millrace.Errorf(millrace.ErrInvalid, "event rows: column %d has %d values for %d rows", text[i].col, text[i].s.Len(), rows.Len())
		}
		text[i].s = validStrings(text[i].s)
	}
	trace := text[len(text)-1].s
	text = text[:len(text)-1]
	return chunks(rows.Len(), func(from, k int) error {
		to := from + k
		t.timesNS(colTime, rows.Time[from:to])
		t.kinds(colKind, rows.Kind[from:to])
		for _, c := range text {
			t.arena(c.col, c.s.Data, c.s.End, from, k)
		}
		t.traces(trace, from, k)
		t.int64s(colWeight, rows.Weight[from:to])
		t.timesNS(colArrived, rows.Arrived[from:to])
		t.int32s(colPartition, rows.Partition[from:to])
		t.int64s(colOffset, rows.Offset[from:to])
		t.int32s(colOrdinal, rows.Ordinal[from:to])
		return t.emit(k)
	})
}

// traces fills both trace columns.
func (t *table) traces(s *millrace.Strings, from, k int) {
	t.pin(s.Data)
	mask := t.mask(colTraceUUID)
	ids := unsafe.Slice((*[2]uint64)(t.data(colTraceUUID)), chunkRows)
	texts := t.data(colTraceText)
	for i := range k {
		v := s.At(from + i)
		if hi, lo, ok := parseTrace(v); ok {
			ids[i] = [2]uint64{lo, hi ^ 1<<63} // a UUID is a HUGEINT that sorts as its text does
			v = nil
		} else {
			mask.null(i)
		}
		putString(unsafe.Add(texts, i*16), v)
	}
}

// parseTrace parses 32 lower-case hex digits, the form that survives the way
// through a UUID unchanged.
func parseTrace(s []byte) (hi, lo uint64, ok bool) {
	if len(s) != 32 {
		return 0, 0, false
	}
	for i, c := range s {
		d := uint64(c - '0')
		if c >= 'a' && c <= 'f' {
			d = uint64(c-'a') + 10
		} else if c < '0' || c > '9' {
			return 0, 0, false
		}
		if i < 16 {
			hi = hi<<4 | d
		} else {
			lo = lo<<4 | d
		}
	}
	return hi, lo, true
}

// kinds fills a VARCHAR column with the names of kinds, all of them short
// enough to be inline.
func (t *table) kinds(col int, src []millrace.Kind) {
	var names [256][2]uint64
	for k := millrace.KindLog; k <= millrace.KindCost; k++ {
		putString(unsafe.Pointer(&names[k]), []byte(k.String()))
	}
	dst := unsafe.Slice((*[2]uint64)(t.data(col)), chunkRows)
	for i, k := range src {
		dst[i] = names[k]
	}
}

// segment is the catalog's entry of a day table.
type segment struct {
	name             string
	day              int64 // of arrival, days since 1970
	minTime, maxTime int64 // event time, ns
	rows, bytes      int64 // bytes of message and attrs before compression
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

// refreshView makes the view events the union of all day tables in the catalog.
func refreshView(w *writer) error {
	segs, err := loadSegments(w.ctx, w.c)
	if err != nil {
		return err
	}
	names := make([]string, len(segs))
	for i, s := range segs {
		names[i] = s.name
	}
	_, err = w.exec(eventsView(names))
	return err
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
