package query

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// PeriodsRequest asks a rollup how much there was in several periods: for each what
// Rollup answers for it alone with CellsOnly, but read from the cells at once. Where
// periods overlap a cell is read once and counts in all of them.
type PeriodsRequest struct {
	Rollup  string
	Count   string // a metric that counts
	Uniques string // a metric that counts distinct values; "" if no period asks
	By      string // dimension; "" is the whole
	Filter  *millrace.Filter
	// Fold names the values of By anew: those of one name are counted as one, with
	// merged sketches, so that uniques count once; a value without a name is left
	// out. It is called once, with distinct values. Nil names each after itself.
	Fold    func(values []string) (names map[string]string, err error)
	Periods []Period
}

// Period is one range of a PeriodsRequest.
type Period struct {
	Range     Range
	ExactFrom bool          // as in RollupRequest
	Step      time.Duration // whole minutes since 1970; 0: no steps
	Uniques   bool
}

// PeriodsResult is the answer, with an entry of Periods for each that was asked for.
type PeriodsResult struct {
	CompleteUntil time.Time
	Periods       []PeriodNumbers
}

// PeriodNumbers is what there was in one period by name, "" for the whole. Names with
// nothing are left out.
type PeriodNumbers struct {
	Count   map[string]int64
	Uniques map[string]int64           // estimates; nil unless asked for
	Steps   map[string]map[int64]int64 // counts by beginning of the step in Unix seconds; nil without steps
}

// Periods answers a request. Errors are those of Rollup.
func (s *Service) Periods(ctx context.Context, req PeriodsRequest) (*PeriodsResult, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	out := &PeriodsResult{CompleteUntil: s.CompleteUntil(), Periods: make([]PeriodNumbers, len(req.Periods))} // before the read
	plans, err := s.planPeriods(ctx, &req)
	if err != nil {
		return nil, timedOut(ctx, "periods of "+req.Rollup, err)
	}
	// Most of a statement's time is its plan, which one thread makes.
	var reads [2][]*reading
	group, gctx := errgroup.WithContext(ctx)
	for i := range reads {
		group.Go(func() (err error) {
			reads[i], err = s.readPeriods(gctx, those(plans, i == 0))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, timedOut(ctx, "periods of "+req.Rollup, err)
	}
	names, err := req.names(slices.Concat(reads[0], reads[1]))
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		if out.Periods[p.at], err = p.numbers(names); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// periodPlan is how one period is answered.
type periodPlan struct {
	at    int // in the request
	uniq  bool
	q     *question
	line  *timeline
	parts []millrace.CellPart
	read  *reading // that has its cells, among others
}

func those(plans []*periodPlan, uniques bool) (out []*periodPlan) {
	for _, p := range plans {
		if p.uniq == uniques {
			out = append(out, p)
		}
	}
	return out
}

// planPeriods plans each period by itself, as Rollup does: its ends are widened by
// what is there, whatever others ask.
func (s *Service) planPeriods(ctx context.Context, req *PeriodsRequest) ([]*periodPlan, error) {
	sc, err := s.Schema(req.Rollup)
	if err != nil {
		return nil, err
	}
	var plans []*periodPlan
	from, to := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range req.Periods {
		p := &req.Periods[i]
		metrics := []string{req.Count}
		if p.Uniques {
			metrics = append(metrics, req.Uniques)
		}
		one := &RollupRequest{
			Rollup: req.Rollup, Metrics: metrics, Filter: req.Filter, Range: p.Range, ExactFrom: p.ExactFrom, Step: p.Step, CellsOnly: true,
		}
		if req.By != "" {
			one.By = []string{req.By}
		}
		q, err := newQuestion(sc, one)
		if err != nil {
			return nil, err
		}
		if err := q.checkPeriod(); err != nil {
			return nil, err
		}
		plans = append(plans, &periodPlan{at: i, uniq: p.Uniques, q: q})
		from, to = min(from, p.Range.From.Unix()), max(to, ceilSeconds(p.Range.To))
	}
	if len(plans) == 0 {
		return nil, nil
	}
	have, err := s.coverage(ctx, sc.Name, from, to)
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		r, parts, err := s.planRange(ctx, p.q, nil, have)
		if err != nil {
			return nil, err
		}
		if parts == nil {
			return nil, p.q.noCells()
		}
		p.line, p.parts = r.line, parts
	}
	return plans, nil
}

// checkPeriod reports metrics that do not add up, or are no uniques.
func (q *question) checkPeriod() error {
	want := []millrace.MetricFunc{millrace.FuncCount, millrace.FuncUniq}[:len(q.req.Metrics)]
	ok := len(q.cols.all) == len(want)
	for i := range q.cols.all {
		c := &q.cols.all[i]
		ok = ok && c.expr == nil && c.metric.Func == want[i]
	}
	if !ok {
		return millrace.Errorf(millrace.ErrInvalid, "periods: metrics %s: must be count() and, for uniques, uniq() of a field", strings.Join(q.req.Metrics, ", "))
	}
	return nil
}

// readPeriods reads the cells of periods that ask for the same metrics: at once if
// the cells allow it, else one by one.
func (s *Service) readPeriods(ctx context.Context, plans []*periodPlan) ([]*reading, error) {
	if len(plans) == 0 {
		return nil, nil
	}
	if len(plans) > 1 {
		if line := cutPeriods(plans); line != nil {
			have, err := s.coverage(ctx, plans[0].q.schema.Name, line.from, line.to)
			if err != nil {
				return nil, err
			}
			parts, err := s.planParts(ctx, plans[0].q, line, have)
			if err != nil {
				return nil, err
			}
			if parts != nil {
				r, err := s.readCells(ctx, plans[0].q, line, parts)
				for _, p := range plans {
					p.read = r
				}
				return []*reading{r}, err
			}
		}
	}
	var out []*reading
	for _, p := range plans {
		var err error
		if p.read, err = s.readCells(ctx, p.q, p.line, p.parts); err != nil {
			return nil, err
		}
		out = append(out, p.read)
	}
	return out, nil
}

// cutPeriods cuts time where periods and their steps begin and end, such that each
// piece lies in a period, and in one step of it, or outside. Nil: two have steps.
func cutPeriods(plans []*periodPlan) *timeline {
	var stepped *timeline
	var cuts []int64
	for _, p := range plans {
		cuts = append(cuts, p.line.from, p.line.to)
		if p.line.step > 0 && stepped != nil {
			return nil
		}
		if p.line.step > 0 {
			stepped = p.line
		}
	}
	within := func(t *timeline, sec int64) bool { return t.from <= sec && sec < t.to }
	for _, c := range slices.Clone(cuts) {
		if stepped == nil || !within(stepped, c) {
			continue
		}
		if next := ceil(millrace.Granularity(stepped.step), c); next < stepped.to {
			cuts = append(cuts, next)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	t := &timeline{from: cuts[0], to: cuts[len(cuts)-1], loc: time.UTC, only: []millrace.Span{}}
	for i, c := range cuts[:len(cuts)-1] {
		run := millrace.StepRun{From: c}
		if stepped != nil && within(stepped, c) && c%stepped.step == 0 {
			run.Width = stepped.step
		}
		t.runs = append(t.runs, run)
		if !slices.ContainsFunc(plans, func(p *periodPlan) bool { return within(p.line, c) }) {
			continue // between periods
		}
		if n := len(t.only); n > 0 && t.only[n-1].To == c {
			t.only[n-1].To = cuts[i+1]
		} else {
			t.only = append(t.only, millrace.Span{From: c, To: cuts[i+1]})
		}
	}
	return t
}

// names returns the name of each value that was read; nil: each is its own.
func (req *PeriodsRequest) names(reads []*reading) (map[string]string, error) {
	if req.Fold == nil || req.By == "" {
		return nil, nil
	}
	values := map[string]bool{}
	for _, r := range reads {
		for _, v := range r.cells.Dims[0] {
			values[v] = true
		}
	}
	return req.Fold(slices.Collect(maps.Keys(values)))
}

// numbers adds up the cells of the period.
func (p *periodPlan) numbers(names map[string]string) (out PeriodNumbers, err error) {
	cells, at := p.read.cells, p.q.places()
	counts := cells.States[at[p.q.cols.all[0].state]].Ints
	out.Count = map[string]int64{}
	if p.line.step > 0 {
		out.Steps = map[string]map[int64]int64{}
	}
	rows := map[string][]int{}
	for i, bucket := range cells.Bucket {
		if p.read.line != p.line && (bucket < p.line.from || bucket >= p.line.to) {
			continue // of another period
		}
		name := ""
		if len(cells.Dims) > 0 {
			name = cells.Dims[0][i]
		}
		if names != nil {
			var ok bool
			if name, ok = names[name]; !ok {
				continue
			}
		}
		out.Count[name] += counts[i]
		if p.uniq {
			rows[name] = append(rows[name], i)
		}
		if p.line.step > 0 {
			if out.Steps[name] == nil {
				out.Steps[name] = map[int64]int64{}
			}
			out.Steps[name][p.line.stepOf(bucket)] += counts[i]
		}
	}
	if p.uniq {
		out.Uniques, err = p.uniques(&cells.States[at[p.q.cols.all[1].state]], rows)
	}
	return out, err
}

// uniques merges the sketches of each name.
func (p *periodPlan) uniques(in *millrace.StateColumn, rows map[string][]int) (map[string]int64, error) {
	out := make(map[string]int64, len(rows))
	var h sketch.HLL
	for name, list := range rows {
		if len(list) == 1 && len(in.Blobs[list[0]]) > 0 {
			n, err := sketch.EstimateOf(in.Blobs[list[0]])
			if err != nil {
				return nil, corrupt(p.q.cols.all[1].name, err)
			}
			out[name] = int64(n)
			continue
		}
		h.Reset()
		for _, i := range list {
			if len(in.Blobs[i]) == 0 {
				continue
			}
			if err := h.MergeEncoded(in.Blobs[i]); err != nil {
				return nil, corrupt(p.q.cols.all[1].name, err)
			}
		}
		out[name] = int64(h.Estimate())
	}
	return out, nil
}
