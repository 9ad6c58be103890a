package query

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// cellsOf counts the cells of a set by bucket, from the events.
func (w *world) cellsOf(schema *millrace.RollupSchema, set millrace.DimensionSet, g millrace.Granularity) map[int64]int64 {
	key := fmt.Sprint(schema.Name, set.Dims, g)
	if have := w.cells[key]; have != nil {
		return have
	}
	distinct := map[string]int64{}
	for i := range w.events {
		e := &w.events[i]
		if schema.Where != "" && e.Kind != millrace.KindAccess {
			continue
		}
		bucket := e.Time / 1e9 / int64(g) * int64(g)
		cell := fmt.Sprint(bucket)
		for _, d := range set.Dims {
			v, _ := e.Field(schema.Dimensions[d])
			cell += "\x00" + v.String()
		}
		distinct[cell] = bucket
	}
	out := map[int64]int64{}
	for _, bucket := range distinct {
		out[bucket]++
	}
	if w.cells == nil {
		w.cells = map[string]map[int64]int64{}
	}
	w.cells[key] = out
	return out
}

// stepsOf returns the start of the step of each minute of the range.
func stepsOf(req RollupRequest) map[int64]int64 {
	out := map[int64]int64{}
	for m := req.Range.From.Unix(); m < req.Range.To.Unix(); m += 60 {
		out[m] = naiveStep(time.Unix(m, 0), req).Unix()
	}
	return out
}

// usable returns the buckets of the range that lie in one step each and in no
// bucket of taken.
func usable(req RollupRequest, g millrace.Granularity, steps map[int64]int64, taken map[int64]bool) []int64 {
	var out []int64
	for b := ceil(g, req.Range.From.Unix()); b+int64(g) <= req.Range.To.Unix(); b += int64(g) {
		if !taken[b/60] && steps[b] == steps[b+int64(g)-60] {
			out = append(out, b)
		}
	}
	return out
}

func take(buckets []int64, g millrace.Granularity, taken map[int64]bool) {
	for _, b := range buckets {
		for m := b; m < b+int64(g); m += 60 {
			taken[m/60] = true
		}
	}
}

// plans returns the least cost of all plans that take days from one set, or none,
// what is left in hours from another, and the rest in minutes from a third. ok is
// false if there is no such plan.
func (w *world) plans(req RollupRequest, schema *millrace.RollupSchema, need []string) (least int64, ok bool) {
	if req.Range.From.Unix()%60 != 0 || req.Range.To.Unix()%60 != 0 {
		return 0, false
	}
	minutes := int((req.Range.To.Unix() - req.Range.From.Unix()) / 60)
	// cheapest returns the least cost of some buckets over all sets that have them.
	cheapest := func(g millrace.Granularity, buckets []int64) (int64, bool) {
		best := int64(math.MaxInt64)
		for _, set := range schema.Sets {
			names := make([]string, len(set.Dims))
			for i, d := range set.Dims {
				names[i] = schema.Dimensions[d]
			}
			if !slices.Contains(set.Granularities, g) || !containsAll(names, need) {
				continue
			}
			cells, cost := w.cellsOf(schema, set, g), int64(0)
			for _, b := range buckets {
				cost += cells[b]
			}
			best = min(best, cost)
		}
		return best, best < math.MaxInt64
	}
	least = math.MaxInt64
	steps := stepsOf(req)
	for combination := range 8 {
		taken, cost, possible := map[int64]bool{}, int64(0), true
		for i, g := range levels {
			if combination>>i&1 == 0 {
				continue
			}
			buckets := usable(req, g, steps, taken)
			if len(buckets) == 0 {
				continue
			}
			c, ok := cheapest(g, buckets)
			possible = possible && ok
			cost += c
			take(buckets, g, taken)
		}
		if possible && len(taken) == minutes {
			least = min(least, cost)
		}
	}
	return least, least < math.MaxInt64
}

// checkPlan compares what was read with all plans that there are, and with what
// the Store says it reads if that is to be asked.
func (w *world) checkPlan(t *testing.T, req RollupRequest, source string, ask bool) {
	t.Helper()
	schema, err := w.service.Schema(req.Rollup)
	fail(t, err)
	q, err := newQuestion(schema, &req)
	fail(t, err)
	least, ok := int64(0), false
	if containsAll(schema.Dimensions, q.fields) && !q.text && len(q.cols.schema.Metrics) == len(schema.Metrics) {
		least, ok = w.plans(req, schema, q.fields)
	}
	if ok != (source != SourceRaw) {
		t.Fatalf("%+v: answered from %s, cells can answer: %v", req, source, ok)
	}
	if !ok {
		return
	}
	read := int64(0)
	for _, p := range w.store.parts {
		cells := w.cellsOf(schema, p.Set, p.Granularity)
		for _, s := range p.Spans {
			for b := s.From; b < s.To; b += int64(p.Granularity) {
				read += cells[b]
			}
		}
	}
	if ask {
		w.checkCount(t, req, read)
	}
	if read > least {
		t.Fatalf("%+v: reads %d cells from %s, %d would do", req, read, showParts(w.store.parts), least)
	}
}

// checkCount compares what the Store says that a plan reads with what it does.
func (w *world) checkCount(t *testing.T, req RollupRequest, read int64) {
	t.Helper()
	counts, err := w.store.CountCells(t.Context(), req.Rollup, w.store.parts)
	fail(t, err)
	for _, n := range counts {
		read -= n
	}
	if read != 0 {
		t.Fatalf("%+v: the store counts %v cells for %s, %d less than there are", req, counts, showParts(w.store.parts), read)
	}
}
