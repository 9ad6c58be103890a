package rollup

import (
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// Limits bounds an engine.
type Limits struct {
	Values int // distinct values admitted per dimension; the rest is "(other)"
}

// Engine folds events into the open cells of all rollups. Not safe for
// concurrent use. It keeps nothing of an event: values are copied when admitted.
type Engine struct {
	cubes   []*cube
	minutes map[int64]uint32 // minute to index, since the last drain
	adds    int64            // sketch insertions since the last drain
}

// cube is one rollup's part of the engine.
type cube struct {
	*Rollup
	dicts   []*dict
	readers []reader
	codes   []uint32 // of the current event, per dimension
	vals    []value  // of the current event, per metric
	tables  []*table
	text    []byte
}

// value is a metric's input of one event.
type value struct {
	ok     bool
	f      float64
	i      int64 // scaled
	bucket sketch.Bucket
	hash   uint64
}

// NewEngine returns an empty engine.
func NewEngine(rollups []*Rollup, lim Limits) *Engine {
	e := &Engine{minutes: map[int64]uint32{}}
	for _, r := range rollups {
		c := &cube{Rollup: r, codes: make([]uint32, len(r.Dimensions)), vals: make([]value, len(r.metrics))}
		for _, d := range r.Dimensions {
			c.dicts = append(c.dicts, newDict(d, lim.Values))
			c.readers = append(c.readers, reader{name: d})
		}
		states := r.States()
		for _, s := range r.Sets {
			c.tables = append(c.tables, newTable(s, states))
		}
		e.cubes = append(e.cubes, c)
	}
	return e
}

// Restore re-admits values committed earlier. Call before the first Fold.
func (e *Engine) Restore(admitted []millrace.Admission) {
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

// Fold adds events to the open cells of their minutes, in order.
func (e *Engine) Fold(events []millrace.Event) {
	for i := range events {
		ev := &events[i]
		for _, c := range e.cubes {
			if c.where(ev) {
				e.foldInto(c, ev)
			}
		}
	}
}

func (e *Engine) foldInto(c *cube, ev *millrace.Event) {
	minute := millrace.Minute.Floor(floorDiv(ev.Time, 1e9))
	mi, ok := e.minutes[minute]
	if !ok {
		mi = uint32(len(e.minutes))
		e.minutes[minute] = mi
	}
	for i := range c.readers {
		c.codes[i] = c.dicts[i].code(c.readers[i].read(ev), ev.Weight)
	}
	e.adds += c.load(ev) * int64(len(c.tables))
	for _, t := range c.tables {
		c.add(t, t.row(minute, mi, c.codes), ev.Weight)
	}
}

// load reads the inputs of all metrics once, so that a value is parsed, put
// into its bucket and hashed once however many sets there are. It returns the
// number of sketch inputs.
func (c *cube) load(ev *millrace.Event) (sketches int64) {
	for i := range c.metrics {
		m, v := &c.metrics[i], &c.vals[i]
		*v = value{}
		if m.field == "" {
			continue
		}
		in, ok := ev.Field(m.field)
		if !ok {
			continue
		}
		if m.fn == millrace.FuncUniq {
			c.text = in.AppendText(c.text[:0])
			v.ok, v.hash = len(c.text) > 0, xxhash.Sum64(c.text)
			sketches++
			continue
		}
		v.f, v.ok = in.Float()
		switch m.fn {
		case millrace.FuncSum, millrace.FuncAvg:
			v.i = fixedPoint(in, v.f, m.scale)
		case millrace.FuncQuantiles:
			v.bucket = sketch.BucketOf(v.f)
			sketches++
		}
	}
	return sketches
}

// add folds the loaded values into a row.
func (c *cube) add(t *table, row uint32, weight int64) {
	for i := range c.metrics {
		m, v := &c.metrics[i], &c.vals[i]
		s := &t.states[m.state]
		if m.field == "" {
			s.ints[row] = addSat(s.ints[row], weight)
			continue
		}
		if !v.ok {
			continue
		}
		switch m.fn {
		case millrace.FuncSum:
			s.ints[row] = addSat(s.ints[row], mulSat(v.i, weight))
		case millrace.FuncAvg:
			s.ints[row] = addSat(s.ints[row], mulSat(v.i, weight))
			n := &t.states[m.state+1]
			n.ints[row] = addSat(n.ints[row], weight)
		case millrace.FuncMin:
			if !(s.floats[row] <= v.f) {
				s.floats[row] = v.f
			}
		case millrace.FuncMax:
			if !(s.floats[row] >= v.f) {
				s.floats[row] = v.f
			}
		case millrace.FuncQuantiles:
			s.hists[row].AddBucket(v.bucket, uint64(weight))
		case millrace.FuncUniq:
			s.hlls[row].AddHash(v.hash)
		}
	}
}

// Drained is what an engine gives up at a flush barrier.
type Drained struct {
	Cells    []*millrace.CellBatch // empty batches are left out
	Admitted []millrace.Admission
	Folded   []Folded
}

// Folded says how much weight a capped dimension counted under "(other)".
type Folded struct {
	Rollup, Dimension string
	Weight            int64
}

// Drain returns all open cells as deltas and forgets them. The result is the
// caller's.
func (e *Engine) Drain() Drained {
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
				out.Folded = append(out.Folded, Folded{c.Name, d.name, d.folded})
			}
			d.fresh, d.folded = nil, 0
		}
	}
	clear(e.minutes)
	e.adds = 0
	return out
}

// Estimated bytes of a row apart from its sketches (key, map entry, columns),
// and of one sketch insertion: an upper bound for small sketches, which are
// nearly all of them.
const (
	rowBytes   = 128
	stateBytes = 40
	addBytes   = 8
)

// Size estimates the memory held by open cells, in bytes.
func (e *Engine) Size() int64 {
	size := e.adds * addBytes
	for _, c := range e.cubes {
		for _, t := range c.tables {
			size += int64(len(t.minutes)) * int64(rowBytes+stateBytes*len(t.states))
		}
	}
	return size
}

// Rows returns the number of open cells.
func (e *Engine) Rows() int {
	n := 0
	for _, c := range e.cubes {
		for _, t := range c.tables {
			n += len(t.minutes)
		}
	}
	return n
}

// fixedPoint returns v scaled and rounded half to even; whole numbers stay exact
// beyond 2^53.
func fixedPoint(v millrace.Value, f, scale float64) int64 {
	if i, ok := v.Int(); ok && v.Kind() == millrace.ValueInt {
		return mulSat(i, int64(scale))
	}
	f = math.RoundToEven(f * scale)
	if f >= math.MaxInt64 {
		return math.MaxInt64
	}
	if f <= math.MinInt64 {
		return math.MinInt64
	}
	return int64(f)
}

// addSat and mulSat saturate: a sum at the limit is visibly wrong, a wrapped one
// is not.
func addSat(a, b int64) int64 {
	s := a + b
	if (a > 0) == (b > 0) && (s > 0) != (a > 0) && a != 0 && b != 0 {
		if a > 0 {
			return math.MaxInt64
		}
		return math.MinInt64
	}
	return s
}

func mulSat(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	if p := a * b; p/b == a {
		return p
	}
	if (a > 0) == (b > 0) {
		return math.MaxInt64
	}
	return math.MinInt64
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
