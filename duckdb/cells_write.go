package duckdb

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

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
		byRollup[k] = append(byRollup[k], b)
	}
	arrived, owner := c.LastArrival(cells), int64(0)
	err = db.insist(ctx, func() error {
		return db.write(ctx, "rollup", func(w *writer) error {
			m, id, err := db.periods(w)
			if err != nil {
				return fmt.Errorf("periods: %w", err)
			}
			owner = id
			for k, batches := range byRollup {
				if err := db.writeDeltas(w, m, k, batches, arrived); err != nil {
					return fmt.Errorf("deltas of %s: %w", k.schema.Name, err)
				}
			}
			return db.writeCommit(w, c)
		})
	})
	if err == nil {
		db.settlePeriods(owner)
	}
	return err
}

func (db *DB) writeDeltas(w *writer, m *periodMirror, k *cube, batches []*millrace.CellBatch, arrived int64) error {
	hours := map[int64]bool{}
	var d *deltaWriter
	for _, b := range batches {
		if b.Len() == 0 {
			continue
		}
		if d == nil {
			t, err := w.table("deltas_" + k.schema.Name)
			if err != nil {
				return err
			}
			d = newDeltaWriter(k, t, arrived)
		}
		touchedHours(hours, b.Bucket)
		if err := d.write(b); err != nil {
			return err
		}
	}
	if d == nil {
		return nil
	}
	return db.touch(w, m, k.schema.Name, hours, arrived)
}

// deltaWriter fills deltas_NAME. It exists so that the order of the columns is
// looked up once per flush and scratch is shared by its batches.
type deltaWriter struct {
	k       *cube
	t       *table
	arrived int64
	dims    []int // per column of the table: dimension of the definition, or -1
	states  []int // likewise, index in the definition's states
	bucket  []int64
	hour    []int64
	floats  []float64
}

// fixedColumns are set_id, bucket, hour and arrived.
const fixedColumns = 4

func newDeltaWriter(k *cube, t *table, arrived int64) *deltaWriter {
	d := &deltaWriter{
		k: k, t: t, arrived: arrived,
		bucket: make([]int64, chunkRows), hour: make([]int64, chunkRows), floats: make([]float64, chunkRows),
	}
	names := make([]string, len(k.states))
	for i, spec := range k.states {
		names[i] = stateColumn(&k.schema, spec)
	}
	for _, c := range k.columns {
		dim := -1
		if name, ok := strings.CutPrefix(c, "d_"); ok {
			dim = slices.Index(k.schema.Dimensions, name)
		}
		d.dims = append(d.dims, dim)
		d.states = append(d.states, slices.Index(names, c))
	}
	return d
}

func (d *deltaWriter) write(b *millrace.CellBatch) error {
	id := int32(d.k.setID(b.Set))
	return chunks(b.Len(), func(from, k int) error {
		for i, s := range b.Bucket[from : from+k] {
			d.bucket[i] = s * 1e6
			d.hour[i] = millrace.Hour.Floor(s) * 1e6
		}
		d.t.sameInt32(0, k, id)
		d.t.int64s(1, d.bucket[:k])
		d.t.int64s(2, d.hour[:k])
		d.t.sameInt64(3, k, d.arrived)
		for col := fixedColumns; col < len(d.dims); col++ {
			dim, state := slices.Index(b.Set.Dims, d.dims[col]), d.states[col]
			switch {
			case d.dims[col] >= 0 && dim >= 0:
				d.t.strings(col, valid8(b.Dims[dim][from:from+k]))
			case state >= 0:
				d.state(col, &b.States[state], from, k)
			default: // not in this set, or no longer in the definition
				d.t.nulls(col, k)
			}
		}
		return d.t.emit(k)
	})
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

// valid8 returns the strings, or repaired copies if one is not valid UTF-8.
func valid8(in []string) []string {
	for i, s := range in {
		v := validText(s)
		if v == s {
			continue
		}
		out := slices.Clone(in)
		for j := i; j < len(out); j++ {
			out[j] = validText(out[j])
		}
		return out
	}
	return in
}
