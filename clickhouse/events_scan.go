package clickhouse

import (
	"context"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// scanBatch is how many events ScanEvents hands on at once.
const scanBatch = 4096

// ScanEvents implements millrace.Store. The answer is streamed.
func (db *DB) ScanEvents(ctx context.Context, q millrace.EventScan, take func([]millrace.Event) error) error {
	refuse := func() error {
		gone, err := db.rowsDropped(ctx, q.From, q.To)
		if err == nil && gone {
			err = rollupdef.RowsDropped()
		}
		return err
	}
	if err := refuse(); err != nil {
		return err
	}
	conditions := db.selection(millrace.EventQuery{Project: q.Project, Filter: q.Filter}, q.From, q.To)
	left := q.MaxRows
	err := db.scanWhere(ctx, "scan events", conditions, q.Fields, func(events []millrace.Event) error {
		if left -= int64(len(events)); left < 0 {
			return rollupdef.TooManyRows(q.MaxRows)
		}
		return take(events)
	})
	if err != nil {
		return err
	}
	return refuse() // while it ran
}

// scanWhere hands the rows that fulfil one of the conditions to take, with the
// fields named, in batches that are valid until it returns.
func (db *DB) scanWhere(ctx context.Context, op string, conditions, fields []string, take func([]millrace.Event) error) error {
	s := newScan(fields)
	var batch []millrace.Event
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := take(batch)
		batch = batch[:0]
		return err
	}
	query := "SELECT * FROM " + db.union(strings.Join(s.columns, ", "), conditions, "")
	err := db.query(ctx, op, query, func(rows driver.Rows) error {
		if err := rows.Scan(s.dest...); err != nil {
			return err
		}
		if len(batch) < cap(batch) {
			batch = batch[:len(batch)+1]
		} else {
			batch = append(batch, millrace.Event{})
		}
		s.fill(&batch[len(batch)-1])
		if len(batch) == scanBatch {
			return flush()
		}
		return nil
	}, readSettings)
	if err != nil {
		return err
	}
	return flush()
}

// scan reads chosen fields of rows.
type scan struct {
	columns []string
	dest    []any
	row     eventRow
	names   map[string]bool // attributes asked for

	attrs []byte // of the row, and what they are made of
	cells millrace.AttrColumns
}

func newScan(fields []string) *scan {
	s := &scan{names: map[string]bool{}}
	add := func(sql string, dest any) {
		s.columns, s.dest = append(s.columns, sql), append(s.dest, dest)
	}
	r := &s.row
	e := &r.e
	add("toUnixTimestamp64Nano(time) AS t", &r.time)
	add("kind", &e.Kind)
	add("weight", &e.Weight)
	texts := map[string]*string{
		"project": &e.Project, "source": &e.Source, "service": &e.Service, "host": &e.Host, "env": &e.Env,
		"release": &e.Release, "level": &e.Level, "trace_id": &e.TraceID, "message": &e.Message,
	}
	columns := map[string]any{
		millrace.AttrMethod: &r.method, millrace.AttrURL: &r.url, millrace.AttrStatus: &r.status, millrace.AttrBytes: &r.bytes,
		millrace.AttrRT: &r.rt, millrace.AttrRTBackend: &r.backend, millrace.AttrClientIP: &r.ip, millrace.AttrUserAgent: &r.agent,
	}
	r.status, r.bytes, r.rt, r.backend = -1, -1, int64(millrace.NoDecimal), int64(millrace.NoDecimal)
	attributes, elsewhere := false, false
	for _, name := range slices.Compact(slices.Sorted(slices.Values(fields))) {
		if name == "kind" || name == "weight" {
			continue
		}
		if dest, ok := texts[name]; ok {
			add(name, dest)
			continue
		}
		attributes, s.names[name] = true, true
		if dest, ok := columns[name]; ok {
			add(name, dest)
		} else {
			elsewhere = true
		}
	}
	switch {
	case elsewhere:
		add("attrs", &r.attrs)
	case attributes: // they have columns, which tell for rows that are not odd
		add("if(odd = 0, '{}', attrs) AS odd_attrs", &r.attrs)
	}
	return s
}

// fill makes the event of the row that was scanned.
func (s *scan) fill(e *millrace.Event) {
	kept := e.Attrs[:0]
	r := s.row.e
	kind, _ := millrace.ParseKind(r.Kind)
	*e = millrace.Event{
		Time: s.row.time, Weight: r.Weight, Kind: kind, HasTime: true,
		Project: r.Project, Source: r.Source, Service: r.Service, Host: r.Host, Env: r.Env, Release: r.Release,
		Level: r.Level, TraceID: r.TraceID, Message: r.Message, Attrs: kept,
	}
	if len(s.names) == 0 {
		return
	}
	s.attrs = s.row.appendAttrs(s.attrs[:0], &s.cells)
	millrace.EachAttr(s.attrs, func(key, raw []byte) bool {
		if s.names[string(key)] {
			e.Attrs = append(e.Attrs, millrace.Attr{Key: string(key), Value: millrace.ParseAttr(raw)})
		}
		return true
	})
}
