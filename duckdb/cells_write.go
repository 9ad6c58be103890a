package duckdb

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// WriteCells implements millrace.Store.
func (db *DB) WriteCells(ctx context.Context, cells []*millrace.CellBatch, c *millrace.Commit) error {
	cubes, err := db.loadCubes(ctx)
	if err != nil {
		return err
	}
	byRollup := map[*cube][]*millrace.CellBatch{}
	for _, b := range cells {
		k := cubes[b.Rollup]
		if k == nil {
			return millrace.Errorf(millrace.ErrInvalid, "deltas of an unknown rollup %q", b.Rollup)
		}
		if err := rollupdef.CheckBatch(&k.schema, b); err != nil {
			return err
		}
		if b.Len() > 0 {
			byRollup[k] = append(byRollup[k], b)
		}
	}
	arrived := c.LastArrival(cells)
	var pledges []pledge
	err = db.insist(ctx, func() error {
		pledges = pledges[:0]
		return db.write(ctx, "rollup", func(w *writer) error {
			m, mine, err := db.periods(w)
			if err != nil {
				return fmt.Errorf("periods: %w", err)
			}
			pledges = append(pledges, mine)
			for k, batches := range byRollup {
				mine, err := db.writeDeltas(w, m, k, batches, arrived)
				if err != nil {
					return fmt.Errorf("deltas of %s: %w", k.schema.Name, err)
				}
				pledges = append(pledges, mine)
			}
			return db.writeCommit(w, c)
		})
	})
	if err == nil {
		db.settle(pledges)
	}
	return err
}

func (db *DB) writeDeltas(w *writer, m *periodMirror, k *cube, batches []*millrace.CellBatch, arrived int64) (pledge, error) {
	v, mine, err := db.vocabularyOf(w, k)
	if err != nil {
		return pledge{}, fmt.Errorf("values: %w", err)
	}
	v.age(db.vocabularySize())
	codes := newCoder(v)
	if !v.whole {
		if err := codes.learn(w, k, batches); err != nil {
			return pledge{}, fmt.Errorf("values: %w", err)
		}
	}
	t, err := w.table("deltas_" + k.schema.Name)
	if err != nil {
		return pledge{}, err
	}
	d, hours, n := newDeltaWriter(k, t, codes, arrived), map[int64]bool{}, 0
	for _, b := range batches {
		touchedHours(hours, b.Bucket)
		if err := d.write(b); err != nil {
			return pledge{}, err
		}
		n += b.Len()
	}
	if err := codes.store(w, k); err != nil {
		return pledge{}, fmt.Errorf("values: %w", err)
	}
	db.backlogOf(k).written += int64(n)
	return mine, db.touch(w, m, k.schema.Name, hours, arrived)
}

// deltaWriter fills deltas_NAME. It exists so that the order of the columns is
// looked up once per flush and scratch is shared by its batches.
type deltaWriter struct {
	k       *cube
	t       *table
	codes   *coder
	arrived int64
	states  []int // per column of the table: index in the definition's states, or -1
	bucket  []int64
	hour    []int64
}

// fixedColumns are set_id, bucket, hour and arrived.
const fixedColumns = 4

func newDeltaWriter(k *cube, t *table, codes *coder, arrived int64) *deltaWriter {
	d := &deltaWriter{
		k: k, t: t, codes: codes, arrived: arrived,
		bucket: make([]int64, chunkRows), hour: make([]int64, chunkRows),
	}
	names := make([]string, len(k.states))
	for i, spec := range k.states {
		names[i] = stateColumn(&k.schema, spec)
	}
	for _, c := range k.columns {
		d.states = append(d.states, slices.Index(names, c))
	}
	return d
}

func (d *deltaWriter) write(b *millrace.CellBatch) error {
	id, places := int32(d.k.setID(b.Set)), d.k.places(b.Set)
	return chunks(b.Len(), func(from, k int) error {
		d.times(b.Bucket[from : from+k])
		d.t.sameInt32(0, k, id)
		d.t.int64s(1, d.bucket[:k])
		d.t.int64s(2, d.hour[:k])
		d.t.sameInt64(3, k, d.arrived)
		for col := fixedColumns; col < len(d.k.columns); col++ {
			switch key, state := d.k.keyAt[col], d.states[col]; {
			case key >= len(places):
				clear(d.t.uint32s(col, k)) // the set has fewer dimensions
			case key >= 0:
				d.texts(col, b.Dims[places[key]][from:from+k])
			case state >= 0:
				d.state(col, &b.States[state], from, k)
			default: // no longer in the definition
				d.t.nulls(col, k)
			}
		}
		return d.t.emit(k)
	})
}

// times fills bucket and hour. Cells of a set come minute by minute, mostly.
func (d *deltaWriter) times(seconds []int64) {
	last, bucket, hour := int64(math.MinInt64), int64(0), int64(0)
	for i, s := range seconds {
		if s != last {
			last, bucket, hour = s, s*1e6, millrace.Hour.Floor(s)*1e6
		}
		d.bucket[i], d.hour[i] = bucket, hour
	}
}

// texts fills a key column with the numbers of texts.
func (d *deltaWriter) texts(col int, texts []string) {
	out := d.t.uint32s(col, len(texts))
	for i, s := range texts {
		out[i] = d.codes.code(s)
	}
}

func (d *deltaWriter) state(col int, c *millrace.StateColumn, from, k int) {
	switch c.Kind {
	case millrace.StateSum:
		d.t.int64s(col, c.Ints[from:from+k])
	case millrace.StateMin, millrace.StateMax:
		// NULL, not NaN, is "no value": to DuckDB NaN is the greatest number.
		d.t.float64s(col, c.Floats[from:from+k])
		var mask validity
		for i, v := range c.Floats[from : from+k] {
			if math.IsNaN(v) {
				if mask == (validity{}) {
					mask = d.t.mask(col)
				}
				mask.null(i)
			}
		}
	default:
		d.t.blobs(col, c.Blobs[from:from+k])
	}
}
