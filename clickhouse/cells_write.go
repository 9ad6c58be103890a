package clickhouse

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
	"github.com/millrace/millrace/internal/rollupdef"
	"github.com/millrace/millrace/sketch"
)

// WriteCells implements millrace.Store.
func (db *DB) WriteCells(ctx context.Context, cells []*millrace.CellBatch, c *millrace.Commit) error {
	s, err := db.foldedBy(ctx)
	if err != nil {
		return err
	}
	byRollup := map[string][]*millrace.CellBatch{}
	for _, b := range cells {
		k := s.cubes[b.Rollup]
		if k == nil {
			return millrace.Errorf(millrace.ErrInvalid, "deltas of an unknown rollup %q", b.Rollup)
		}
		if err := rollupdef.CheckBatch(&k.schema, b); err != nil {
			return err
		}
		if b.Len() > 0 {
			byRollup[b.Rollup] = append(byRollup[b.Rollup], b)
		}
	}
	expecting := *c
	if s.defs.Version > 0 {
		expecting.Expect = append(slices.Clip(c.Expect), millrace.State{Name: definitionsState, Version: s.defs.Version})
	}
	arrived := c.LastArrival(cells)
	err = db.flush(ctx, c.Sink, partitionsOf(c), func(f *millrace.Flush) error {
		for rollup, batches := range byRollup {
			if err := db.insertDeltas(ctx, s.cubes[rollup], f, arrived, batches); err != nil {
				return err
			}
		}
		if err := db.insertLedger(ctx, f, c); err != nil {
			return err
		}
		return failpoint.Hit("rollup.commit")
	}, func(flush int64) error { return db.commits.Commit(ctx, flush, &expecting) })
	if err != nil {
		return db.explainConflict(ctx, s, err)
	}
	return failpoint.Hit("rollup.commit.after")
}

// foldedBy returns the definitions by which this process folds: those of its last
// DefineRollups, or, if it never called it, those that are stored.
func (db *DB) foldedBy(ctx context.Context) (*snapshot, error) {
	db.cells.mu.Lock()
	s := db.cells.defined
	db.cells.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := db.rollups(ctx)
	if err == nil {
		db.cells.define(s)
	}
	return s, err
}

// explainConflict says so if a commit was refused because of the definitions.
func (db *DB) explainConflict(ctx context.Context, folded *snapshot, err error) error {
	if millrace.ErrorCode(err) != millrace.ErrConflict {
		return err
	}
	now, stateErr := db.commits.State(context.WithoutCancel(ctx), definitionsState)
	if stateErr != nil || now.Version == folded.defs.Version {
		return err
	}
	return &millrace.Error{
		Code: millrace.ErrConflict, Op: "write cells", Err: err,
		Message: "another node has defined the rollups differently since this one did",
		Hint:    "this node folds by other definitions: reload its configuration",
	}
}

func (db *DB) insertDeltas(ctx context.Context, k *cube, f *millrace.Flush, arrived int64, batches []*millrace.CellBatch) error {
	columns, err := k.deltaColumns(f, arrived, batches)
	if err != nil {
		return err
	}
	return db.insert(ctx, "insert cells of "+k.name, k.table(tableDeltas), columns...)
}

// deltaColumns lays batches out as one block.
func (k *cube) deltaColumns(f *millrace.Flush, arrived int64, batches []*millrace.CellBatch) ([]column, error) {
	n := 0
	for _, b := range batches {
		n += b.Len()
	}
	sets, buckets := make([]uint32, 0, n), make([]int64, 0, n)
	dims := make([][]string, len(k.Dims))
	for _, b := range batches {
		sets = append(sets, slices.Repeat([]uint32{uint32(k.setID(b.Set))}, b.Len())...)
		buckets = append(buckets, b.Bucket...)
		for i, name := range k.Dims {
			dims[i] = append(dims[i], k.dimTexts(b, name)...)
		}
	}
	out := []column{
		{"flush", slices.Repeat([]uint64{uint64(f.ID)}, n)},
		{"settled", slices.Repeat([]time.Time{f.Begun.UTC()}, n)},
		{"arrived", slices.Repeat([]int64{arrived}, n)},
		{"set_id", sets},
		{"bucket", buckets},
	}
	for i, name := range k.Dims {
		out = append(out, column{"d_" + name, termsOfTexts(dims[i])})
	}
	for j := range k.states {
		columns, err := k.state(j).deltas(batches, j, n)
		if err != nil {
			return nil, &millrace.Error{Code: millrace.ErrInvalid, Op: "write cells", Message: "a sketch of a delta cannot be read", Err: err}
		}
		out = append(out, columns...)
	}
	return out, nil
}

// dimTexts returns the texts that the cells of a batch have of a dimension.
func (k *cube) dimTexts(b *millrace.CellBatch, name string) []string {
	for j, d := range b.Set.Dims {
		if k.schema.Dimensions[d] == name {
			return b.Dims[j]
		}
	}
	return make([]string, b.Len())
}

// deltas returns the columns of a state, the j-th of the definition.
func (s state) deltas(batches []*millrace.CellBatch, j, n int) ([]column, error) {
	switch s.kind {
	case millrace.StateSum:
		out := make([]int64, 0, n)
		for _, b := range batches {
			out = append(out, b.States[j].Ints...)
		}
		return []column{{s.prefix + s.metric, out}}, nil
	case millrace.StateMin, millrace.StateMax:
		out := make([]float64, 0, n)
		for _, b := range batches {
			out = append(out, b.States[j].Floats...)
		}
		return []column{{"f_" + s.metric, out}}, nil
	case millrace.StateHist:
		return s.histDeltas(batches, j, n)
	}
	return s.hllDeltas(batches, j, n)
}

func (s state) histDeltas(batches []*millrace.CellBatch, j, n int) ([]column, error) {
	keys, values := newPacked(n), newPacked(n)
	var buckets []uint16
	var counts []uint64
	for _, b := range batches {
		for _, blob := range b.States[j].Blobs {
			buckets, counts = buckets[:0], counts[:0]
			if len(blob) > 0 {
				var err error
				if buckets, counts, err = sketch.AppendHistParts(buckets, counts, blob); err != nil {
					return nil, err
				}
			}
			for i := range buckets {
				keys.buf = binary.LittleEndian.AppendUint16(keys.buf, buckets[i])
				values.buf = binary.LittleEndian.AppendUint64(values.buf, counts[i])
			}
			keys.end()
			values.end()
		}
	}
	return []column{{"hk_" + s.metric, keys.all()}, {"hv_" + s.metric, values.all()}}, nil
}

func (s state) hllDeltas(batches []*millrace.CellBatch, j, n int) ([]column, error) {
	indexes, long, registers := newPacked(n), newPacked(n), newPacked(n)
	var p sketch.HLLParts
	for _, b := range batches {
		for _, blob := range b.States[j].Blobs {
			if len(blob) > 0 {
				if err := p.Decode(blob); err != nil {
					return nil, err
				}
				for _, x := range p.Indexes {
					indexes.buf = binary.LittleEndian.AppendUint32(indexes.buf, x)
				}
				for _, x := range p.Long {
					long.buf = binary.LittleEndian.AppendUint32(long.buf, x)
				}
				registers.buf = append(registers.buf, p.Registers...)
			}
			indexes.end()
			long.end()
			registers.end()
		}
	}
	return []column{{"e_" + s.metric, indexes.all()}, {"z_" + s.metric, long.all()}, {"r_" + s.metric, registers.all()}}, nil
}

// packed collects many texts in one piece of memory.
type packed struct {
	buf  []byte
	ends []int
}

func newPacked(n int) *packed { return &packed{ends: make([]int, 0, n)} }

func (t *packed) end() { t.ends = append(t.ends, len(t.buf)) }

func (t *packed) all() []string {
	whole, from := string(t.buf), 0
	out := make([]string, len(t.ends))
	for i, to := range t.ends {
		out[i], from = whole[from:to], to
	}
	return out
}
