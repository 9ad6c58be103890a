package query

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// Limits of the rows of a rollup's answer. Without a limit more than
// DefaultRows is an error rather than a silent cut; MaxRows bounds memory.
const (
	DefaultRows = 10_000
	MaxRows     = 100_000
)

// RollupRequest asks for the cells of one rollup.
type RollupRequest struct {
	Rollup  string
	Metrics []string // see the metric names of the rollup; any quantile as rt_p95; empty is all
	By      []string // dimensions
	Where   string   // search language over dimensions
	Range   Range    // widened to whole buckets where it does not fit any granularity
	Step    time.Duration
	Order   string // a column, with a leading - for descending; empty is bucket, then dimensions
	Limit   int    // 0: no limit, but more than DefaultRows is ErrTooLarge
}

// RollupResult is the answer. The columns are bucket (only with a step), the
// dimensions of By, then the metrics. Values are nil, string, int64, float64,
// json.Number or time.Time (bucket).
type RollupResult struct {
	CompleteUntil time.Time `json:"complete_until,omitzero"`
	Source        string    `json:"source"` // granularity the answer was read from
	Columns       []string  `json:"columns"`
	Rows          [][]any   `json:"rows"`
}

// Rollup answers from the smallest set and the coarsest granularity that do.
// ErrInvalid: unknown names, a bad filter, no set that has all dimensions.
// ErrNotFound: no such rollup. ErrTooLarge: more rows than allowed.
func (s *Service) Rollup(ctx context.Context, req RollupRequest) (*RollupResult, error) {
	sc, err := s.Schema(req.Rollup)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	q, cols, err := s.planRollup(ctx, sc, &req)
	if err != nil {
		return nil, err
	}
	complete := s.CompleteUntil() // before the read, so that it never promises too much
	cells, err := s.deps.Store.Cells(ctx, q)
	if err != nil {
		return nil, timedOut(ctx, "rollup "+sc.Name, err)
	}
	res := &RollupResult{CompleteUntil: complete, Source: q.Granularity.String()}
	if err := res.fill(sc, &q, cols, cells); err != nil {
		return nil, err
	}
	if err := res.order(req.Order); err != nil {
		return nil, err
	}
	if err := res.limit(req.Limit); err != nil {
		return nil, err
	}
	return res, nil
}

// planRollup checks the request and turns it into a query of the Store.
func (s *Service) planRollup(ctx context.Context, sc *millrace.RollupSchema, req *RollupRequest) (millrace.CellQuery, []column, error) {
	fail := func(err error) (millrace.CellQuery, []column, error) { return millrace.CellQuery{}, nil, err }
	if err := req.Range.check(); err != nil {
		return fail(err)
	}
	if req.Limit < 0 || req.Limit > MaxRows {
		return fail(millrace.Errorf(millrace.ErrInvalid, "limit %d: must be between 0 and %d", req.Limit, MaxRows))
	}
	if req.Step < 0 || req.Step%time.Minute != 0 {
		return fail(millrace.Errorf(millrace.ErrInvalid, "step %s: must be whole minutes, or 0 for one bucket", req.Step))
	}
	cols, err := columns(sc, req.Metrics)
	if err != nil {
		return fail(err)
	}
	by, err := dimensions(sc, "by", req.By)
	if err != nil {
		return fail(err)
	}
	where, err := Parse(req.Where)
	if err != nil {
		return fail(prefix("where", err))
	}
	need, err := checkWhere(sc, where)
	if err != nil {
		return fail(err)
	}
	set, err := chooseSet(sc, append(slices.Clone(by), need...))
	if err != nil {
		return fail(err)
	}
	plans, err := choosePlans(set, req.Range, req.Step, s.Now(), map[millrace.Granularity]time.Duration{
		millrace.Minute: s.opts.KeepMinute.Std(), millrace.Hour: s.opts.KeepHour.Std(),
	})
	if err != nil {
		return fail(err)
	}
	p, err := s.firstComplete(ctx, sc, plans)
	if err != nil {
		return fail(timedOut(ctx, "rollup "+sc.Name, err))
	}
	return millrace.CellQuery{
		Rollup: sc.Name, Granularity: p.gran, Set: p.set, From: p.from, To: p.to, Step: p.step,
		By: by, Where: where, States: neededStates(cols),
	}, cols, nil
}

// firstComplete returns the first plan whose cells are all there still: their
// counts add up to those of the last plan, over the same range.
func (s *Service) firstComplete(ctx context.Context, sc *millrace.RollupSchema, plans []plan) (plan, error) {
	last := plans[len(plans)-1]
	count := slices.IndexFunc(sc.States(), func(st millrace.StateSpec) bool {
		f := sc.Metrics[st.Metric].Func
		return f == millrace.FuncCount || f == millrace.FuncRate
	})
	if len(plans) == 1 || count < 0 { // without a count nothing tells what is missing
		return last, nil
	}
	total := func(g millrace.Granularity) (int64, error) {
		cells, err := s.deps.Store.Cells(ctx, millrace.CellQuery{
			Rollup: sc.Name, Granularity: g, Set: last.set, From: last.from, To: last.to, States: []int{count},
		})
		if err != nil || cells.Len() == 0 {
			return 0, err
		}
		return cells.States[0].Ints[0], nil
	}
	want, err := total(last.gran)
	if err != nil {
		return plan{}, err
	}
	for _, p := range plans[:len(plans)-1] {
		have, err := total(p.gran)
		if err != nil {
			return plan{}, err
		}
		if have == want {
			return p, nil
		}
	}
	return last, nil
}

func neededStates(cols []column) []int {
	var out []int
	for _, c := range cols {
		for _, i := range []int{c.state, c.second} {
			if i >= 0 && !slices.Contains(out, i) {
				out = append(out, i)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (res *RollupResult) fill(sc *millrace.RollupSchema, q *millrace.CellQuery, cols []column, cells *millrace.CellBatch) error {
	at := make(map[int]int, len(q.States))
	for i, st := range q.States {
		at[st] = i
	}
	seconds := float64(q.Step)
	if q.Step > 0 {
		res.Columns = append(res.Columns, "bucket")
	} else {
		seconds = float64(q.To - q.From)
	}
	for _, d := range q.By {
		res.Columns = append(res.Columns, sc.Dimensions[d])
	}
	for i := range cols {
		res.Columns = append(res.Columns, cols[i].name)
	}
	res.Rows = make([][]any, cells.Len())
	for r := range res.Rows {
		row := make([]any, 0, len(res.Columns))
		if q.Step > 0 {
			row = append(row, time.Unix(cells.Bucket[r], 0).UTC())
		}
		for d := range q.By {
			row = append(row, cells.Dims[d][r])
		}
		for i := range cols {
			v, err := cols[i].value(cells.States, at, r, seconds)
			if err != nil {
				return err
			}
			row = append(row, v)
		}
		res.Rows[r] = row
	}
	return nil
}

// order sorts rows by a column; equal rows keep the order of the Store, by
// bucket and dimensions, so that an answer is the same every time. Missing
// values come last either way.
func (res *RollupResult) order(by string) error {
	if by == "" {
		return nil
	}
	name, desc := strings.CutPrefix(by, "-")
	col := slices.Index(res.Columns, name)
	if col < 0 {
		return millrace.Errorf(millrace.ErrInvalid, "order: the answer has no column %q; there are %s", name, nameList(res.Columns))
	}
	slices.SortStableFunc(res.Rows, func(a, b []any) int {
		x, y := a[col], b[col]
		switch {
		case x == nil || y == nil:
			return boolInt(x == nil) - boolInt(y == nil)
		case desc:
			x, y = y, x
		}
		return compareValues(x, y)
	})
	return nil
}

// limit cuts the rows, which are in order.
func (res *RollupResult) limit(n int) error {
	if n == 0 && len(res.Rows) > DefaultRows {
		return millrace.Errorf(millrace.ErrTooLarge,
			"the answer has %d rows, over %d; give limit (at most %d), a longer step or a narrower where", len(res.Rows), DefaultRows, MaxRows)
	}
	if n > 0 && len(res.Rows) > n {
		res.Rows = res.Rows[:n]
	}
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func compareValues(x, y any) int {
	switch a := x.(type) {
	case string:
		b, _ := y.(string)
		return strings.Compare(a, b)
	case time.Time:
		b, _ := y.(time.Time)
		return a.Compare(b)
	case int64:
		if b, ok := y.(int64); ok {
			return cmp.Compare(a, b)
		}
	}
	return cmp.Compare(Float(x), Float(y))
}

// Float returns a value of an answer as a number, NaN if it is none.
func Float(v any) float64 {
	switch x := v.(type) {
	case int64:
		return float64(x)
	case float64:
		return x
	case json.Number:
		if f, err := x.Float64(); err == nil {
			return f
		}
	}
	return math.NaN()
}

// timedOut says so if err is the end of the time that one question may take.
func timedOut(ctx context.Context, what string, err error) error {
	if ctx.Err() == context.DeadlineExceeded && millrace.ErrorCode(err) == millrace.ErrInternal {
		return &millrace.Error{Code: millrace.ErrTimeout, Op: what, Message: what + " took longer than its limit; ask for a shorter range", Err: err}
	}
	return err
}
