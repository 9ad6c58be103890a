package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// maxRawValues bounds the distinct values of one field in an answer from raw
// rows, and rawMemory what their aggregates take.
const (
	maxRawValues = 1_000_000
	rawMemory    = 256 << 20
)

// readRaw aggregates stored events with the engine that makes cells, so that an
// answer is the same from either, to the last bit of a sketch.
func (s *Service) readRaw(ctx context.Context, q *question, t *timeline) (*millrace.CellBatch, error) {
	def, err := q.rawRollup()
	if err != nil {
		return nil, err
	}
	a := &rawAggregate{
		line: t, engine: rollup.NewEngine([]*rollup.Rollup{def}, rollup.Limits{Values: maxRawValues, Workers: 1}),
		steps: map[int64]int64{},
	}
	scan := millrace.EventScan{Filter: q.where, Fields: def.Fields(), MaxRows: s.opts.RawRows}
	scan.From, scan.To = q.exact(t)
	if kind, ok := rollup.WhereKind(q.schema.Where); ok {
		only := &millrace.Filter{Op: millrace.FilterEq, Field: "kind", Value: kind.String()}
		scan.Filter = only
		if q.where != nil {
			scan.Filter = &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{only, q.where}}
		}
	}
	if err := s.unsampled(ctx, q, scan.From); err != nil {
		return nil, err
	}
	if err := s.deps.Store.ScanEvents(ctx, scan, a.take); err != nil {
		return nil, err
	}
	return a.result(q, def)
}

// rawRollup defines a rollup of just what is asked for.
func (q *question) rawRollup() (*rollup.Rollup, error) {
	def := rollup.Definition{
		Name: "raw", Where: q.schema.Where, Dimensions: q.req.By, Sets: [][]string{q.req.By}, Granularities: []string{"1m"},
	}
	for _, m := range q.rawMetrics() {
		def.Metrics = append(def.Metrics, rollup.NamedMetric{Name: "m" + strconv.Itoa(len(def.Metrics)) + "_", Expr: callOf(m)})
	}
	var v millrace.Violations
	r := rollup.Compile(def, "query", &v)
	if err := v.Err(); err != nil {
		return nil, millrace.Errorf(millrace.ErrInvalid, "from raw rows: %s", err)
	}
	return r, nil
}

// rawMetrics returns the metrics whose states the columns need, in the order of
// columnSet.states.
func (q *question) rawMetrics() []*millrace.Metric {
	var out []*millrace.Metric
	specs := q.cols.schema.States()
	for _, i := range q.cols.states() {
		m := &q.cols.schema.Metrics[specs[i].Metric]
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	if len(out) == 0 { // nothing but constants is asked for
		out = append(out, &millrace.Metric{Func: millrace.FuncCount})
	}
	return out
}

// callOf writes a metric as a definition has it.
func callOf(m *millrace.Metric) string {
	args := m.Field
	if m.Func == millrace.FuncSum || m.Func == millrace.FuncAvg {
		args += ", " + strconv.Itoa(m.Scale)
	}
	text := string(m.Func) + "(" + args + ")"
	if m.Where != "" {
		text += " where " + m.Where
	}
	return text
}

// exact returns the range in ns. Exact ends may lie within a minute; those of an
// earlier period lie where they do in the range asked for.
func (q *question) exact(t *timeline) (from, to int64) {
	from, to = t.from*1e9, t.to*1e9
	lo, hi := q.ends(millrace.Minute, millrace.Minute)
	if q.req.ExactFrom {
		from += q.req.Range.From.UnixNano() - lo*1e9
	}
	if q.req.ExactTo {
		to += q.req.Range.To.UnixNano() - hi*1e9
	}
	return from, to
}

// rawAggregate is events being folded. The engine counts by the minute: each step
// gets a minute of its own.
type rawAggregate struct {
	line   *timeline
	engine *rollup.Engine
	steps  map[int64]int64 // start of a step to its number
	starts []int64
	events int
}

func (a *rawAggregate) take(events []millrace.Event) error {
	last, until, number := int64(0), int64(0), int64(-1)
	for i := range events {
		e := &events[i]
		if number < 0 || e.Time < last || e.Time >= until {
			minute := millrace.Minute.Floor(floorDiv(e.Time, 1e9))
			number, last, until = a.step(a.line.stepOf(minute)), minute*1e9, (minute+int64(millrace.Minute))*1e9
		}
		e.Time = number * int64(millrace.Minute) * 1e9
	}
	a.engine.Fold(0, events)
	if a.events += len(events); a.events >= rawCheckEvery {
		a.events = 0
		a.engine.Work()
	}
	if a.engine.Size() > rawMemory {
		return &millrace.Error{
			Code: millrace.ErrTooLarge, Message: fmt.Sprintf("the aggregates of raw rows take more than %d MiB", rawMemory>>20),
			Hint: "ask by fields of fewer values, for a longer step or a narrower where",
		}
	}
	return nil
}

// rawCheckEvery is after how many events what the engine has put off is done, to
// see what it takes.
const rawCheckEvery = 64 << 10

// step returns the number of the step that begins at start.
func (a *rawAggregate) step(start int64) int64 {
	n, ok := a.steps[start]
	if !ok {
		n = int64(len(a.starts))
		a.steps[start] = n
		a.starts = append(a.starts, start)
	}
	return n
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// result returns the merged states in the order of a Store's answer.
func (a *rawAggregate) result(q *question, def *rollup.Rollup) (*millrace.CellBatch, error) {
	drained := a.engine.Drain()
	for _, f := range drained.Folded {
		return nil, millrace.Errorf(millrace.ErrTooLarge, "by: %s has more than %d values among the raw rows of the range", f.Dimension, maxRawValues)
	}
	out := &millrace.CellBatch{Dims: make([][]string, len(q.req.By))}
	for _, s := range def.States() {
		out.States = append(out.States, millrace.StateColumn{Kind: s.Kind})
	}
	type place struct {
		b   *millrace.CellBatch
		row int
	}
	var all []place
	for _, b := range drained.Cells {
		for i := range b.Bucket {
			b.Bucket[i] = a.starts[b.Bucket[i]/int64(millrace.Minute)]
			all = append(all, place{b, i})
		}
	}
	slices.SortFunc(all, func(x, y place) int {
		c := cmp.Compare(x.b.Bucket[x.row], y.b.Bucket[y.row])
		for d := 0; c == 0 && d < len(x.b.Dims); d++ {
			c = strings.Compare(x.b.Dims[d][x.row], y.b.Dims[d][y.row])
		}
		return c
	})
	for _, p := range all {
		out.Bucket = append(out.Bucket, p.b.Bucket[p.row])
		for d := range out.Dims {
			out.Dims[d] = append(out.Dims[d], p.b.Dims[d][p.row])
		}
		for j := range out.States {
			appendState(&out.States[j], &p.b.States[j], p.row)
		}
	}
	return out, nil
}

func appendState(dst, src *millrace.StateColumn, i int) {
	switch src.Kind {
	case millrace.StateSum:
		dst.Ints = append(dst.Ints, src.Ints[i])
	case millrace.StateMin, millrace.StateMax:
		dst.Floats = append(dst.Floats, src.Floats[i])
	default:
		dst.Blobs = append(dst.Blobs, src.Blobs[i])
	}
}
