package rollup

import (
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// previous is the engine before this one: every set updated for every event, a
// hash lookup each. It is what the benchmarks measure the engine against, and as
// fast as it was; and a second oracle of the tests.
type previous struct {
	cubes   []*prevCube
	minutes map[int64]uint32 // minute to index, since the last drain
	starts  []int64          // index to minute
	adds    int64            // sketch insertions since the last drain
}

// chunk is how many events go through a cube together. Table by table over a
// chunk is faster than event by event: each loop does one thing to one table,
// and its cache misses overlap. What a cube reads of a chunk stays in the
// first-level cache.
const prevChunk = 256

// cube is one rollup's part of the engine, with what it read of the events of
// a chunk that it takes, a column per input.
type prevCube struct {
	*Rollup
	dicts   []*prevDict
	readers []reader    // per dimension
	inputs  []prevInput // per metric
	tables  []*prevTable
	weights []int64
	minutes []uint32   // index of the minute
	codes   [][]uint32 // per dimension
	keys    []uint64   // scratch of the table at hand
	rows    []uint32
}

// input is a metric's input. Of the columns, those its function needs are used.
type prevInput struct {
	reader
	ok      []bool
	floats  []float64
	sums    []int64 // scaled, times the weight
	buckets []sketch.Bucket
	hashes  []uint64
}

// NewEngine returns an empty engine.
func newPrevious(rollups []*Rollup, lim Limits) *previous {
	e := &previous{minutes: map[int64]uint32{}}
	for _, r := range rollups {
		e.cubes = append(e.cubes, newPrevCube(r, lim))
	}
	return e
}

func newPrevCube(r *Rollup, lim Limits) *prevCube {
	c := &prevCube{
		Rollup: r, weights: make([]int64, 0, prevChunk), minutes: make([]uint32, 0, prevChunk),
		keys: make([]uint64, 0, prevChunk), rows: make([]uint32, 0, prevChunk),
	}
	for _, d := range r.Dimensions {
		c.dicts = append(c.dicts, newPrevDict(d, lim.Values))
		c.readers = append(c.readers, newReader(d))
		c.codes = append(c.codes, make([]uint32, prevChunk))
	}
	for i := range r.metrics {
		in := prevInput{reader: newReader(r.metrics[i].field)}
		in.ok, in.floats, in.sums = make([]bool, prevChunk), make([]float64, prevChunk), make([]int64, prevChunk)
		in.buckets, in.hashes = make([]sketch.Bucket, prevChunk), make([]uint64, prevChunk)
		c.inputs = append(c.inputs, in)
	}
	states := r.States()
	for _, s := range r.Sets {
		c.tables = append(c.tables, newPrevTable(s, states))
	}
	return c
}

// Restore re-admits values committed earlier. Call before the first Fold.
func (e *previous) Restore(admitted []millrace.Admission) {
	for _, a := range admitted {
		for _, c := range e.cubes {
			if c.Name != a.Rollup {
				continue
			}
			for _, d := range c.dicts {
				if d.name == a.Dimension {
					d.admit(a.Value)
				}
			}
		}
	}
}

// Fold adds events to the open cells of their minutes, in order. arrived is
// when their record arrived, in ns.
func (e *previous) Fold(arrived int64, events []millrace.Event) {
	for len(events) > 0 {
		part := events[:min(prevChunk, len(events))]
		events = events[len(part):]
		for _, c := range e.cubes {
			e.adds += c.read(e, part) * int64(len(c.tables))
			if len(c.weights) == 0 {
				continue
			}
			for _, t := range c.tables {
				t.locate(c, e.starts)
				for i := range c.metrics {
					c.add(t, &c.metrics[i], &c.inputs[i])
				}
			}
		}
	}
}

// minute returns the index of the minute of a time in ns.
func (e *previous) minute(ns int64) uint32 {
	minute := millrace.Minute.Floor(floorDiv(ns, 1e9))
	i, ok := e.minutes[minute]
	if !ok {
		i = uint32(len(e.starts))
		e.minutes[minute] = i
		e.starts = append(e.starts, minute)
	}
	return i
}

// read fills the columns from those of the events that the cube takes. Each
// value is parsed, put into its bucket and hashed once however many sets there
// are. It returns the number of sketch inputs.
func (c *prevCube) read(e *previous, events []millrace.Event) (sketches int64) {
	c.weights, c.minutes = c.weights[:0], c.minutes[:0]
	last, minute := int64(math.MinInt64), uint32(0)
	for i := range events {
		ev := &events[i]
		if !c.where(ev) {
			continue
		}
		if since := floorDiv(ev.Time, 1e9) - last; last == math.MinInt64 || since < 0 || since >= 60 {
			minute = e.minute(ev.Time)
			last = e.starts[minute]
		}
		n := len(c.weights)
		c.weights, c.minutes = append(c.weights, ev.Weight), append(c.minutes, minute)
		for j := range c.readers {
			c.codes[j][n] = c.dicts[j].code(c.readers[j].text(ev), ev.Weight)
		}
		for j := range c.metrics {
			if m := &c.metrics[j]; m.field != "" {
				sketches += c.inputs[j].load(m, n, ev)
			}
		}
	}
	return sketches
}

// load reads a metric's input of an event into row n. It returns the number of
// sketch inputs.
func (in *prevInput) load(m *metric, n int, ev *millrace.Event) (sketches int64) {
	if m.fn == millrace.FuncUniq {
		text := in.text(ev)
		if in.ok[n] = text != ""; in.ok[n] {
			in.hashes[n] = xxhash.Sum64String(text)
			return 1
		}
		return 0
	}
	v, ok := in.value(ev)
	if in.ok[n] = ok; !ok {
		return 0
	}
	f, ok := v.Float()
	if in.ok[n] = ok; !ok {
		return 0
	}
	switch m.fn {
	case millrace.FuncSum, millrace.FuncAvg:
		in.sums[n] = fixedPoint(v, f, m.scale)
		if ev.Weight != 1 {
			in.sums[n] = mulSat(in.sums[n], ev.Weight)
		}
	case millrace.FuncQuantiles:
		in.buckets[n] = sketch.BucketOf(f)
		return 1
	default:
		in.floats[n] = f
	}
	return 0
}

// add folds a metric's column into the rows that the table has located.
func (c *prevCube) add(t *prevTable, m *metric, in *prevInput) {
	rows := c.rows
	weights, ok := c.weights[:len(rows)], in.ok[:len(rows)]
	s := &t.states[m.state]
	switch {
	case m.field == "":
		for i, r := range rows {
			s.ints[r] = addSat(s.ints[r], weights[i])
		}
	case m.fn == millrace.FuncSum, m.fn == millrace.FuncAvg:
		for i, r := range rows {
			if ok[i] {
				s.ints[r] = addSat(s.ints[r], in.sums[i])
			}
		}
		if m.fn == millrace.FuncSum {
			return
		}
		count := &t.states[m.state+1]
		for i, r := range rows {
			if ok[i] {
				count.ints[r] = addSat(count.ints[r], weights[i])
			}
		}
	case m.fn == millrace.FuncMin:
		for i, r := range rows {
			if ok[i] && !(s.floats[r] <= in.floats[i]) {
				s.floats[r] = in.floats[i]
			}
		}
	case m.fn == millrace.FuncMax:
		for i, r := range rows {
			if ok[i] && !(s.floats[r] >= in.floats[i]) {
				s.floats[r] = in.floats[i]
			}
		}
	case m.fn == millrace.FuncQuantiles:
		for i, r := range rows {
			if ok[i] {
				s.hists[r].AddBucket(in.buckets[i], uint64(weights[i]))
			}
		}
	case m.fn == millrace.FuncUniq:
		for i, r := range rows {
			if ok[i] {
				s.hlls[r].AddHash(in.hashes[i])
			}
		}
	}
}

// Drain returns all open cells as deltas and forgets them. The result is the
// caller's.
func (e *previous) Drain() Drained {
	var out Drained
	for _, c := range e.cubes {
		for _, t := range c.tables {
			if len(t.minutes) > 0 {
				out.Cells = append(out.Cells, t.drain(c.Name, c.dicts))
				t.reset()
			}
		}
		for _, d := range c.dicts {
			for _, v := range d.fresh {
				out.Admitted = append(out.Admitted, millrace.Admission{Rollup: c.Name, Dimension: d.name, Value: v})
			}
			if d.folded > 0 {
				out.Folded = append(out.Folded, Folded{Rollup: c.Name, Dimension: d.name, Weight: d.folded})
			}
			d.fresh, d.folded = nil, 0
		}
	}
	clear(e.minutes)
	e.starts = e.starts[:0]
	e.adds = 0
	return out
}
