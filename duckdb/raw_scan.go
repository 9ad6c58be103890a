package duckdb

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// ScanEvents implements millrace.Store. Answers are streamed, a chunk of
// DuckDB's at a time, and events borrow from it.
func (db *DB) ScanEvents(ctx context.Context, q millrace.EventScan, take func([]millrace.Event) error) error {
	left := q.MaxRows
	return db.snapshot(ctx, "scan events", func(c *conn) error {
		gone, err := exists(ctx, c, fmt.Sprintf("SELECT 1 FROM dropped_days WHERE min_time < %d AND max_time >= %d", q.To, q.From))
		if err != nil {
			return err
		}
		if gone {
			return rollupdef.RowsDropped()
		}
		segs, err := loadSegments(ctx, c)
		if err != nil {
			return err
		}
		for _, g := range overlapping(segs, q.From, q.To) {
			lay, err := layoutFor(ctx, c, g.name, q.Filter)
			if err != nil {
				return fmt.Errorf("scan %s: %w", g.name, err)
			}
			cond := condition{layout: lay}
			cond.within(q.From, q.To)
			cond.selection(millrace.EventQuery{Project: q.Project, Filter: q.Filter})
			err = scanTable(ctx, c, g.name, q.Fields, cond.sql.String(), func(_ int64, events []millrace.Event) error {
				if left -= int64(len(events)); left < 0 {
					return rollupdef.TooManyRows(q.MaxRows)
				}
				return take(events)
			}, cond.args...)
			if err != nil {
				return fmt.Errorf("scan %s: %w", g.name, err)
			}
		}
		return nil
	})
}

// scanTable hands the rows of a day table that fulfil a condition to take, in
// batches that are valid until it returns, with the latest arrival (ns) in each.
// Events carry time, kind, weight and the fields named. No other statement may
// run on c meanwhile.
func scanTable(ctx context.Context, c *conn, table string, fields []string, where string,
	take func(arrived int64, events []millrace.Event) error, args ...any,
) error {
	s, err := newScan(ctx, c, table, fields)
	if err != nil {
		return err
	}
	r, err := c.stream(ctx, "SELECT "+strings.Join(s.columns, ", ")+" FROM "+ident(table)+" WHERE "+where, args...)
	if err != nil {
		return err
	}
	defer r.close()
	arrived := int64(math.MinInt64)
	for r.next() {
		if err := s.add(r); err != nil {
			return err
		}
		arrived = max(arrived, r.int64(3))
		if r.i == r.n { // the chunk ends, and with it what events borrow
			if err := take(arrived, s.events); err != nil {
				return err
			}
			s.events = s.events[:0]
		}
	}
	return r.err
}

// scan reads the events of one day table.
type scan struct {
	columns []string
	fields  []scanField
	attrs   int             // the column attrs, -1 if it is not read
	names   map[string]bool // attributes to look for there
	events  []millrace.Event
}

// scanField puts a column into an event.
type scanField struct {
	col int
	set func(r *rows, col int, e *millrace.Event)
}

// newScan chooses the columns that have what is asked for.
func newScan(ctx context.Context, c *conn, table string, fields []string) (*scan, error) {
	asked := &millrace.Filter{Op: millrace.FilterAnd}
	for _, name := range fields { // layoutFor looks at the fields of a filter
		asked.Sub = append(asked.Sub, &millrace.Filter{Op: millrace.FilterNe, Field: name})
	}
	lay, err := layoutFor(ctx, c, table, asked)
	if err != nil {
		return nil, err
	}
	s := &scan{attrs: -1, names: map[string]bool{}, columns: []string{"epoch_ns(time)", "kind::VARCHAR", "weight", "epoch_ns(arrived)"}}
	add := func(sql string, set func(r *rows, col int, e *millrace.Event)) {
		s.fields = append(s.fields, scanField{len(s.columns), set})
		s.columns = append(s.columns, sql)
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(fields))) {
		if name == "kind" || name == "weight" {
			continue
		}
		if text, ok := lay.texts[name]; ok {
			add(text, setText(name))
			continue
		}
		a, ok := lay.attrs[name]
		if ok {
			add(a.scanned(), a.restore)
		}
		if !ok || !a.full {
			s.names[name] = true
		}
	}
	if len(s.names) > 0 {
		s.attrs = len(s.columns)
		s.columns = append(s.columns, "attrs::VARCHAR")
	}
	return s, nil
}

// add appends the current row. Events keep their memory for attributes.
func (s *scan) add(r *rows) error {
	if len(s.events) < cap(s.events) {
		s.events = s.events[:len(s.events)+1]
	} else {
		s.events = append(s.events, millrace.Event{})
	}
	e := &s.events[len(s.events)-1]
	attrs := e.Attrs[:0]
	kind, _ := millrace.ParseKind(r.borrowed(1))
	*e = millrace.Event{Time: r.int64(0), Kind: kind, Weight: r.int64(2), HasTime: true, Attrs: attrs}
	for i := range s.fields {
		s.fields[i].set(r, s.fields[i].col, e)
	}
	if s.attrs >= 0 {
		raw, err := longAttrs.unpack(r.bytes(s.attrs))
		if err != nil {
			return err
		}
		millrace.EachAttr(raw, func(key, raw []byte) bool {
			if s.names[string(key)] {
				e.Attrs = append(e.Attrs, millrace.Attr{Key: string(key), Value: millrace.ParseAttr(raw)})
			}
			return true
		})
	}
	return nil
}

// borrowed returns a VARCHAR without copying it; it is valid until the chunk
// ends.
func (r *rows) borrowed(col int) string {
	b := r.bytes(col)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// setText returns how a column of an event is set.
func setText(name string) func(r *rows, col int, e *millrace.Event) {
	field := func(e *millrace.Event) *string {
		return map[string]*string{
			"project": &e.Project, "source": &e.Source, "service": &e.Service, "host": &e.Host, "env": &e.Env,
			"release": &e.Release, "level": &e.Level, "trace_id": &e.TraceID, "message": &e.Message,
		}[name]
	}
	switch name { // the usual ones, without a map per row
	case "service":
		return func(r *rows, col int, e *millrace.Event) { e.Service = r.borrowed(col) }
	case "host":
		return func(r *rows, col int, e *millrace.Event) { e.Host = r.borrowed(col) }
	case "message":
		return func(r *rows, col int, e *millrace.Event) { e.Message = r.borrowed(col) }
	}
	return func(r *rows, col int, e *millrace.Event) {
		if p := field(e); p != nil {
			*p = r.borrowed(col)
		}
	}
}

// scanned returns the SQL of a column that restore reads.
func (a *attrColumn) scanned() string {
	switch a.name {
	case "method":
		return "method::VARCHAR"
	case "client_ip": // concat takes NULL for nothing
		return "CASE WHEN client_ip <> 0 THEN " + ipText + " END"
	}
	return a.name
}

// restore adds the attribute that a column holds, as decoders had made it.
func (a *attrColumn) restore(r *rows, col int, e *millrace.Event) {
	if r.isNull(col) {
		return
	}
	switch a.name {
	case "status", "bytes":
		if n := r.int64(col); n >= 0 {
			e.Attrs = append(e.Attrs, millrace.Attr{Key: a.name, Value: millrace.IntValue(n)})
		}
	case "rt", "rt_backend":
		if d := millrace.Decimal(r.int64(col)); d != millrace.NoDecimal {
			e.Attrs = append(e.Attrs, millrace.Attr{Key: a.name, Value: d.Value()})
		}
	default:
		if s := r.borrowed(col); s != "" {
			e.Attrs = append(e.Attrs, millrace.Attr{Key: a.name, Value: millrace.StringValue(s)})
		}
	}
}
