package pipeline

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
	"github.com/millrace/millrace/sketch"
)

// compare holds what the store has against the oracle: admitted values,
// accounts, and every cell of every set at every granularity.
func (d *driver) compare(ctx context.Context) error {
	if n := len(d.o.pending); n > 0 {
		return fmt.Errorf("%d records are not committed at the end", n)
	}
	if err := d.compareAccounts(ctx); err != nil {
		return err
	}
	for _, r := range d.sc.versions[d.version].rollups {
		for _, set := range r.Sets {
			if err := d.compareSet(ctx, r, set); err != nil {
				return fmt.Errorf("rollup %s, set [%s]: %w", r.Name, r.SetName(set), err)
			}
		}
	}
	return nil
}

func (d *driver) compareAccounts(ctx context.Context) error {
	entries, err := d.store.Ledger(ctx, millrace.LedgerQuery{})
	if err != nil {
		return err
	}
	got := map[millrace.Outcome]millrace.LedgerEntry{}
	for _, e := range entries {
		if e.Outcome == millrace.OutcomeFolded {
			continue
		}
		a := got[e.Outcome]
		a.Events += e.Events
		a.Weight += e.Weight
		got[e.Outcome] = a
	}
	for _, outcome := range []millrace.Outcome{
		millrace.OutcomeReceived, millrace.OutcomeStored, millrace.OutcomeDuplicate, millrace.OutcomeRejected,
	} {
		g, w := got[outcome], d.o.accounts[outcome]
		if g.Events != w.Events || g.Weight != w.Weight {
			return fmt.Errorf("%s: %d events of weight %d, want %d of %d", outcome, g.Events, g.Weight, w.Events, w.Weight)
		}
	}
	for name, dim := range d.o.dims {
		folded := d.o.reported[name]
		if folded < dim.folded || folded > dim.folded+dim.literal {
			return fmt.Errorf("folded at %s: %d, want %d to %d", name, folded, dim.folded, dim.folded+dim.literal)
		}
		if folded > 0 {
			d.stats.FoldedDims++
		}
	}
	return nil
}

// group is the cells of a bucket that have equal values, merged.
type group struct {
	bucket  int64
	other   bool // all values are "(other)"
	weight  int64
	metrics map[string]*naiveMetric
}

func newGroup(bucket int64) *group {
	return &group{bucket: bucket, metrics: map[string]*naiveMetric{}}
}

func (g *group) merge(weight int64, metrics map[string]*naiveMetric) {
	g.weight += weight
	for name, m := range metrics {
		if g.metrics[name] == nil {
			g.metrics[name] = newNaiveMetric()
		}
		g.metrics[name].merge(m)
	}
}

// groups returns the oracle's cells of a set at a granularity.
func (o *oracle) groups(r *rollup.Rollup, set millrace.DimensionSet, g millrace.Granularity) map[string]*group {
	names := setNames(r, set)
	out := map[string]*group{}
	for _, c := range o.bySet[r.Name+" "+strings.Join(names, ",")] {
		bucket := g.Floor(c.minute)
		key := cellKey(r.Name, bucket, names, c.values)
		switch have := out[key]; {
		case have == nil && g == millrace.Minute: // the only one
			out[key] = &group{bucket: bucket, other: allOther(c.values), weight: c.weight, metrics: c.metrics}
			continue
		case have == nil:
			out[key] = newGroup(bucket)
			out[key].other = allOther(c.values)
		}
		out[key].merge(c.weight, c.metrics)
	}
	return out
}

// allOther reports whether values are what a set's cap folds cells into.
func allOther(values []string) bool {
	return len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return v != rollup.Other })
}

// compareSet compares the cells of a set. Where the set's cap has folded cells,
// each cell has at most what the oracle has, what is missing was reported, and
// a bucket's cells together still have everything.
func (d *driver) compareSet(ctx context.Context, r *rollup.Rollup, set millrace.DimensionSet) error {
	reason := r.Name + " [" + r.SetName(set) + "]"
	folded := d.o.reported[reason]
	if folded > 0 {
		d.stats.FoldedSets++
		if err := d.o.capReached(r, set); err != nil {
			return err
		}
	}
	states := make([]int, len(r.States()))
	for i := range states {
		states[i] = i
	}
	coarse := []millrace.Granularity{millrace.Hour, millrace.Day}[d.sc.seed%2]
	for _, g := range set.Granularities {
		if g != millrace.Minute && g != coarse {
			continue // one of the two is enough for a case
		}
		cells, err := d.store.Cells(ctx, millrace.CellQuery{
			Rollup: r.Name, Granularity: g, Set: set, By: set.Dims, States: states, From: -1e10, To: 1e10, Step: int64(g),
		})
		if err != nil {
			return err
		}
		d.stats.Cells += cells.Len()
		want := d.o.groups(r, set, g)
		if folded == 0 {
			err = d.compareCells(r, set, cells, want)
		} else {
			err = d.compareFolded(r, set, cells, want, folded)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", g, err)
		}
	}
	return nil
}

// capReached checks that nothing was folded while there was room.
func (o *oracle) capReached(r *rollup.Rollup, set millrace.DimensionSet) error {
	combos, names := map[string]bool{}, setNames(r, set)
	for _, c := range o.bySet[r.Name+" "+strings.Join(names, ",")] {
		combos[cellKey("", 0, names, c.values)] = true
	}
	if len(combos) <= o.opts.SetCells {
		return fmt.Errorf("folded although there are %d combinations, and room for %d", len(combos), o.opts.SetCells)
	}
	return nil
}

// rowKey returns the key of a row of an answer, and its values in that order.
func rowKey(r *rollup.Rollup, set millrace.DimensionSet, names []string, cells *millrace.CellBatch, row int) (string, []string) {
	values := make([]string, len(names))
	for i, d := range set.Dims {
		at, _ := slices.BinarySearch(names, r.Dimensions[d])
		values[at] = cells.Dims[i][row]
	}
	return cellKey(r.Name, cells.Bucket[row], names, values), values
}

func (d *driver) compareCells(r *rollup.Rollup, set millrace.DimensionSet, cells *millrace.CellBatch, want map[string]*group) error {
	if cells.Len() != len(want) {
		return fmt.Errorf("%d cells, want %d", cells.Len(), len(want))
	}
	names := setNames(r, set)
	for row := range cells.Len() {
		key, _ := rowKey(r, set, names, cells, row)
		w := want[key]
		if w == nil {
			return fmt.Errorf("cell %.200s should not be", key)
		}
		if err := d.compareStates(r, cells, row, w); err != nil {
			return fmt.Errorf("cell %.200s: %w", key, err)
		}
	}
	return nil
}

func (d *driver) compareFolded(r *rollup.Rollup, set millrace.DimensionSet, cells *millrace.CellBatch, want map[string]*group, folded int64) error {
	count := slices.IndexFunc(r.States(), func(s millrace.StateSpec) bool { return s.Name == "count" })
	missing, others := int64(0), int64(0)
	whole := map[int64]*group{} // all cells of a bucket
	for _, w := range want {
		if whole[w.bucket] == nil {
			whole[w.bucket] = newGroup(w.bucket)
		}
		whole[w.bucket].merge(w.weight, w.metrics)
		if w.other {
			others += w.weight
		} else {
			missing += w.weight
		}
	}
	names := setNames(r, set)
	for row := range cells.Len() {
		key, values := rowKey(r, set, names, cells, row)
		weight := cells.States[count].Ints[row]
		if allOther(values) {
			continue
		}
		w := want[key]
		if w == nil || w.weight < weight {
			return fmt.Errorf("cell %.200s of weight %d should be less", key, weight)
		}
		missing -= weight
		if w.weight == weight {
			if err := d.compareStates(r, cells, row, w); err != nil {
				return fmt.Errorf("cell %.200s: %w", key, err)
			}
		}
	}
	if folded < missing || folded > missing+others {
		return fmt.Errorf("folded %d, want %d to %d", folded, missing, missing+others)
	}
	return d.compareWhole(r, cells, whole)
}

// compareWhole merges the cells of each bucket.
func (d *driver) compareWhole(r *rollup.Rollup, cells *millrace.CellBatch, want map[int64]*group) error {
	store := map[int64][]int{}
	for row, b := range cells.Bucket {
		store[b] = append(store[b], row)
	}
	if len(store) != len(want) {
		return fmt.Errorf("%d buckets, want %d", len(store), len(want))
	}
	for bucket, rows := range store {
		merged, err := mergeRows(cells, rows)
		if err != nil {
			return err
		}
		if want[bucket] == nil {
			return fmt.Errorf("bucket %d should not be", bucket)
		}
		if err := d.compareStates(r, merged, 0, want[bucket]); err != nil {
			return fmt.Errorf("all of bucket %d: %w", bucket, err)
		}
	}
	return nil
}

func mergeRows(cells *millrace.CellBatch, rows []int) (*millrace.CellBatch, error) {
	out := &millrace.CellBatch{}
	for i := range cells.States {
		s := &cells.States[i]
		one := millrace.StateColumn{Kind: s.Kind, Ints: []int64{0}, Floats: []float64{math.NaN()}, Blobs: [][]byte{nil}}
		var blobs [][]byte
		for _, row := range rows {
			switch s.Kind {
			case millrace.StateSum:
				sum := one.Ints[0] + s.Ints[row]
				if one.Ints[0] > 0 && s.Ints[row] > 0 && sum < 0 {
					sum = math.MaxInt64
				}
				one.Ints[0] = sum
			case millrace.StateMin:
				if v := s.Floats[row]; !math.IsNaN(v) {
					one.Floats[0] = least(one.Floats[0], v)
				}
			case millrace.StateMax:
				if v := s.Floats[row]; !math.IsNaN(v) {
					one.Floats[0] = -least(-one.Floats[0], -v)
				}
			default:
				if len(s.Blobs[row]) > 0 {
					blobs = append(blobs, s.Blobs[row])
				}
			}
		}
		if len(blobs) > 0 {
			merge := sketch.MergeHist
			if s.Kind == millrace.StateHLL {
				merge = sketch.MergeHLL
			}
			blob, err := merge(blobs)
			if err != nil {
				return nil, err
			}
			one.Blobs[0] = blob
		}
		out.States = append(out.States, one)
	}
	return out, nil
}

func (d *driver) compareStates(r *rollup.Rollup, cells *millrace.CellBatch, row int, want *group) error {
	for i, spec := range r.States() {
		m := &r.Metrics[spec.Metric]
		have := want.metrics[m.Name]
		if have == nil {
			have = newNaiveMetric() // the metric is younger than the cell
		}
		if err := d.compareState(m, spec, &cells.States[i], row, have); err != nil {
			return fmt.Errorf("%s: %w", spec.Name, err)
		}
	}
	return nil
}

func (d *driver) compareState(m *millrace.Metric, spec millrace.StateSpec, got *millrace.StateColumn, row int, want *naiveMetric) error {
	switch spec.Kind {
	case millrace.StateSum:
		w := want.total()
		if spec.Name != m.Name { // the count of an average
			w = want.n
		}
		if got.Ints[row] != w {
			return fmt.Errorf("%d, want %d", got.Ints[row], w)
		}
	case millrace.StateMin:
		return sameFloat(got.Floats[row], want.min)
	case millrace.StateMax:
		return sameFloat(got.Floats[row], want.max)
	case millrace.StateHist:
		return compareHist(m, got.Blobs[row], want)
	case millrace.StateHLL:
		return d.compareHLL(got.Blobs[row], len(want.distinct))
	}
	return nil
}

func sameFloat(got, want float64) error {
	if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
		return fmt.Errorf("%g, want %g", got, want)
	}
	return nil
}

// compareHist checks the count exactly and the quantiles within the error that
// the sketch promises, for values within its range.
func compareHist(m *millrace.Metric, blob []byte, want *naiveMetric) error {
	if want.n == 0 || len(blob) == 0 {
		if want.n != 0 || len(blob) != 0 {
			return fmt.Errorf("%d bytes for values of weight %d", len(blob), want.n)
		}
		return nil
	}
	var h sketch.Hist
	if err := h.Decode(blob); err != nil {
		return err
	}
	if h.Count() != uint64(want.n) {
		return fmt.Errorf("%d values, want %d", h.Count(), want.n)
	}
	for _, q := range append([]float64{0, 1}, m.Quantiles...) {
		exact, got := want.quantile(q), h.Quantile(q)
		if math.Abs(exact) < 1e-9 {
			exact = 0
		}
		if exact = max(-1e15, min(1e15, exact)); math.Abs(got-exact) > sketch.RelativeError*math.Abs(exact) {
			return fmt.Errorf("quantile %g is %g, want %g within %g", q, got, exact, sketch.RelativeError)
		}
	}
	return nil
}

// standardError is that of a HyperLogLog with 2^12 registers.
const standardError = 0.01625

// compareHLL checks an estimate: below 1,000 within 1%, or 1 where that is more;
// from there within 3 standard errors, which one in 370 estimates may miss, so
// that those beyond are counted, and 5 that none may miss.
func (d *driver) compareHLL(blob []byte, want int) error {
	if want == 0 || len(blob) == 0 {
		if want != 0 || len(blob) != 0 {
			return fmt.Errorf("%d bytes for %d values", len(blob), want)
		}
		return nil
	}
	estimate, err := sketch.EstimateOf(blob)
	if err != nil {
		return err
	}
	off := math.Abs(float64(estimate) - float64(want))
	bound := max(1, 0.01*float64(want))
	if want >= 1000 {
		d.stats.Uniques++
		if bound = 5 * standardError * float64(want); off > 3*standardError*float64(want) {
			d.stats.WideUniques++
		}
	}
	if off > bound {
		return fmt.Errorf("%d distinct values, want %d within %.0f", estimate, want, bound)
	}
	return nil
}
