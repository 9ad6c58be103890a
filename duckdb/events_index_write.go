package duckdb

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace"
)

// sealed is a block that waits for its rows to be committed.
type sealed struct {
	table   string
	header  *indexBlock
	payload []byte
}

// follow gathers what the index is to know of rows while they are being written:
// on a goroutine of its own, since it takes as long as a thirtieth of the write.
// The caller calls finish with the write's error, and leaves rows as they are
// until then. One write at a time: finish lets the next one begin.
func (db *DB) follow(ctx context.Context, rows *millrace.EventRows) (finish func(error)) {
	if rows == nil || rows.Len() == 0 || checkColumns(rows) != nil { // the write will say so
		return func(error) {}
	}
	x := db.index
	x.build.Lock()
	parts := splitDays(rows)
	if err := x.recall(ctx, db, parts); err != nil {
		x.log.Warn("rows are not indexed as they come in", "error", err)
		return func(error) {
			x.lose(parts)
			x.build.Unlock()
		}
	}
	var blocks []sealed
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, p := range parts {
			blocks = append(blocks, x.gather(dayTable(dayOf(p.Arrived[0])), p)...)
		}
	}()
	return func(err error) {
		defer x.build.Unlock()
		<-done
		if err == nil {
			err = x.keep(blocks)
		}
		if err != nil {
			x.lose(parts)
		}
		x.publish()
	}
}

// lose notes that nobody knows how many rows the tables of parts have now. Called
// with build.
func (x *eventIndex) lose(parts []*millrace.EventRows) {
	for _, p := range parts {
		table := dayTable(dayOf(p.Arrived[0]))
		x.forget(table)
		x.known[table] = -1
	}
}

// recall looks up how many rows tables have that a failed write may have changed.
// Called with build.
func (x *eventIndex) recall(ctx context.Context, db *DB, parts []*millrace.EventRows) error {
	lost := false
	for _, p := range parts {
		lost = lost || x.known[dayTable(dayOf(p.Arrived[0]))] < 0
	}
	if !lost {
		return nil
	}
	return db.read(ctx, "look up rows", func(c *conn) error {
		segs, err := loadSegments(ctx, c)
		if err != nil {
			return err
		}
		x.learn(segs)
		return nil
	})
}

// learn notes how many rows the tables have. Called with build.
func (x *eventIndex) learn(segs []segment) {
	clear(x.known)
	for _, g := range segs {
		x.known[g.name] = g.rows
	}
}

// gather adds rows of one table to the current block and returns those that are
// full. Called with build.
func (x *eventIndex) gather(table string, rows *millrace.EventRows) []sealed {
	var out []sealed
	n := rows.Len()
	for from := 0; from < n; {
		if x.current == nil || x.current.table != table {
			x.current = newBlockBuilder(table, x.known[table])
		}
		to := min(n, from+x.blockRows-x.current.rows)
		x.current.add(rows, from, to)
		x.known[table] += int64(to - from)
		from = to
		if x.current.rows == x.blockRows {
			h, payload := x.current.seal()
			out = append(out, sealed{table, h, payload})
			x.current = nil
		}
	}
	return out
}

func (x *eventIndex) keep(blocks []sealed) error {
	for _, s := range blocks {
		if err := x.add(s.table, s.header, s.payload); err != nil {
			x.log.Warn("rows are stored but not indexed", "table", s.table, "error", err)
			return err
		}
	}
	return nil
}

// publish tells upkeep and searches which rows are about to become a block. Called
// with build.
func (x *eventIndex) publish() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gathering = gathering{}
	if c := x.current; c != nil {
		x.gathering = gathering{c.table, c.first, c.first + int64(c.rows), c.bounds, c.prints.view()}
	}
}

// gathering is the rows of a table that are about to become a block.
type gathering struct {
	table    string
	from, to int64
	blockBounds
	listed listed
}

// rowSpan is a range of rows of a table, to exclusive.
type rowSpan struct {
	table    string
	from, to int64
}

// missing returns the first rows of segs that should be in a block and are not,
// newest day first: at most a whole block's worth.
func (x *eventIndex) missing(segs []segment) (rowSpan, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	size := int64(x.blockRows)
	for i := len(segs) - 1; i >= 0; i-- {
		g := segs[i]
		end := g.rows
		if x.gathering.table == g.name {
			end = min(x.gathering.from, end)
		}
		from := int64(0)
		var blocks []*indexBlock
		if f := x.files[g.name]; f != nil {
			blocks = f.blocks
		}
		for _, b := range blocks {
			if b.first > from {
				return rowSpan{g.name, from, min(b.first, from+size)}, true
			}
			from = b.end()
		}
		if from < end {
			return rowSpan{g.name, from, min(end, from+size)}, true
		}
	}
	return rowSpan{}, false
}

// indexEvents makes one block that is missing: of rows that came in small numbers
// before a restart, or that a release without an index stored. A block takes some
// 50 ms of reading and holds up no writer. There is no hurry: one for each call.
func (db *DB) indexEvents(ctx context.Context, _ time.Time) (more bool, err error) {
	if err := db.index.dropBad(); err != nil {
		return false, err
	}
	return false, db.snapshot(ctx, "index events", func(c *conn) error {
		segs, err := loadSegments(ctx, c)
		if err != nil {
			return err
		}
		span, ok := db.index.missing(segs)
		if !ok {
			return nil
		}
		b, err := readBlock(ctx, c, span)
		if err != nil {
			return fmt.Errorf("%s: %w", span.table, err)
		}
		h, payload := b.seal()
		return db.index.add(span.table, h, payload)
	})
}

// readBlock makes a block from stored rows.
func readBlock(ctx context.Context, c *conn, span rowSpan) (*blockBuilder, error) {
	r, err := c.stream(ctx, fmt.Sprintf(`SELECT rowid, time, "partition", "offset", ordinal, weight, trace_uuid, trace_text, message, arrived, attrs
		FROM %s WHERE rowid >= %d AND rowid < %d`, ident(span.table), span.from, span.to))
	if err != nil {
		return nil, err
	}
	defer r.close()
	b := newBlockBuilder(span.table, span.from)
	for r.next() {
		if r.int64(0) != span.from+int64(b.rows) {
			return nil, fmt.Errorf("rows %d to %d: row %d comes after %d others", span.from, span.to, r.int64(0), b.rows)
		}
		switch text := r.bytes(7); {
		case !r.isNull(6):
			id := (*[2]uint64)(r.at(6, 16))
			b.traces = append(b.traces, traceHash(id[1]^1<<63, id[0]))
		case len(text) > 0:
			b.addTrace(text)
		}
		message, err := longMessage.unpack(r.bytes(8))
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", r.int64(0), err)
		}
		attrs, err := longAttrs.unpack(r.bytes(10))
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", r.int64(0), err)
		}
		t := r.int64(1)
		b.prints.add(attrs, t, uint32(b.rows))
		b.addRow(t, r.int64(9), r.int64(5), message)
		b.last = place{t, int32(r.int64(2)), r.int64(3), int32(r.int64(4))}
	}
	if r.err != nil {
		return nil, r.err
	}
	if int64(b.rows) != span.to-span.from {
		return nil, fmt.Errorf("rows %d to %d: %d are there", span.from, span.to, b.rows)
	}
	return b, nil
}
