package query

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// reader counts what reaches a Store that has versions.
type reader struct {
	millrace.Store
	reads int
}

func (r *reader) CellsVersion() uint64 { return r.Store.(versioned).CellsVersion() }

func (r *reader) Cells(ctx context.Context, q millrace.CellQuery) (*millrace.CellBatch, error) {
	r.reads++
	return r.Store.Cells(ctx, q)
}

// TestAnswersAreOfNow writes between questions, and asks each twice: the second time
// nothing is read, and both answers have all that was written.
func TestAnswersAreOfNow(t *testing.T) {
	w := newWorld(t, 8, 200, openDuckDB)
	store := &reader{Store: w.store.Store}
	s := New(Deps{Store: store, Schemas: w.schemas, Now: time.Now}, DefaultOptions())
	req := RollupRequest{Rollup: w.schemas[0].Name, Metrics: []string{"pv"}, Range: Range{w.start, w.start.Add(5 * 24 * time.Hour)}, CellsOnly: true}
	want := int64(0)
	for i := range 20 {
		first, err := s.Rollup(t.Context(), req)
		fail(t, err)
		reads := store.reads
		again, err := s.Rollup(t.Context(), req)
		fail(t, err)
		if store.reads != reads || fmt.Sprint(first.Rows) != fmt.Sprint(again.Rows) {
			t.Fatalf("%d reads, %v, then %v", store.reads-reads, first.Rows, again.Rows)
		}
		got := first.Rows[0][0].(int64)
		if i > 0 && got != want {
			t.Fatalf("write %d: %d, want %d", i, got, want)
		}
		want = got + 1
		w.write(t, store)
	}
}

// write adds one event to every rollup, at the beginning.
func (w *world) write(t *testing.T, store millrace.Store) {
	t.Helper()
	var cells []*millrace.CellBatch
	for i := range w.schemas {
		sc := &w.schemas[i]
		for _, set := range sc.Sets {
			b := &millrace.CellBatch{Rollup: sc.Name, Set: set, Bucket: []int64{w.start.Unix()}}
			for range set.Dims {
				b.Dims = append(b.Dims, []string{"x"})
			}
			for _, st := range sc.States() {
				c := millrace.StateColumn{Kind: st.Kind}
				switch st.Kind {
				case millrace.StateSum:
					c.Ints = []int64{1}
				case millrace.StateMin, millrace.StateMax:
					c.Floats = []float64{1}
				default:
					c.Blobs = [][]byte{nil}
				}
				b.States = append(b.States, c)
			}
			cells = append(cells, b)
		}
	}
	fail(t, store.WriteCells(t.Context(), cells, &millrace.Commit{Sink: millrace.SinkRollup}))
}

// TestAnswersOfManyReaders has readers ask while somebody writes: nobody sees less
// than was written before they asked.
func TestAnswersOfManyReaders(t *testing.T) {
	w := newWorld(t, 9, 100, openDuckDB)
	s := New(Deps{Store: w.store.Store, Schemas: w.schemas, Now: time.Now}, DefaultOptions())
	req := RollupRequest{Rollup: w.schemas[0].Name, Metrics: []string{"pv"}, Range: Range{w.start, w.start.Add(5 * 24 * time.Hour)}, CellsOnly: true}
	ask := func() int64 {
		res, err := s.Rollup(t.Context(), req)
		fail(t, err)
		return res.Rows[0][0].(int64)
	}
	before := ask()
	var mu sync.Mutex
	written, done := int64(0), false
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for {
				mu.Lock()
				least, end := before+written, done
				mu.Unlock()
				if end {
					return
				}
				if got := ask(); got < least {
					t.Errorf("%d, but %d were written", got, least)
					return
				}
			}
		})
	}
	for range 15 {
		w.write(t, w.store.Store)
		mu.Lock()
		written++
		mu.Unlock()
	}
	mu.Lock()
	done = true
	mu.Unlock()
	group.Wait()
}

func TestAnswersAreBounded(t *testing.T) {
	var a answers
	for i := range 100 {
		a.put(1, fmt.Sprint(i), i, maxAnswers/10)
	}
	if a.bytes > maxAnswers || len(a.kept) > 10 || a.get(1, "99") != 99 {
		t.Errorf("%d bytes in %d answers", a.bytes, len(a.kept))
	}
	a.put(1, "large", 0, maxAnswers)
	a.put(0, "old", 0, 1)
	if a.get(1, "large") != nil || a.get(1, "old") != nil || a.get(0, "old") != nil {
		t.Error("keeps what it should not")
	}
	a.put(2, "new", 1, 1)
	if a.get(1, "99") != nil || a.get(2, "new") != 1 || len(a.kept) != 1 {
		t.Errorf("%v", a.kept)
	}
}

// TestCellKeys changes each part of a question: no two keys are equal.
func TestCellKeys(t *testing.T) {
	eq := func(field, value string) *millrace.Filter {
		return &millrace.Filter{Op: millrace.FilterEq, Field: field, Value: value}
	}
	part := func(dims []int, g millrace.Granularity, spans ...millrace.Span) millrace.CellPart {
		return millrace.CellPart{Set: millrace.DimensionSet{Dims: dims}, Granularity: g, Spans: spans}
	}
	a, b := millrace.Span{From: 0, To: 60}, millrace.Span{From: 60, To: 120}
	list := []millrace.CellQuery{
		{},
		{Rollup: "a"},
		{Rollup: "a", By: []int{1}},
		{Rollup: "a", States: []int{1}},
		{Rollup: "a", From: 1},
		{Rollup: "a", To: 1},
		{Rollup: "a", Step: 60},
		{Rollup: "a", Granularity: 60},
		{Rollup: "a", Set: millrace.DimensionSet{Dims: []int{1}}},
		{Rollup: "a", Steps: []millrace.StepRun{{From: 1}}},
		{Rollup: "a", Steps: []millrace.StepRun{{Width: 1}}},
		{Rollup: "a", Steps: []millrace.StepRun{{}, {From: 1}}},
		{Rollup: "a", Parts: []millrace.CellPart{part(nil, 60, a)}},
		{Rollup: "a", Parts: []millrace.CellPart{part(nil, 3600, a)}},
		{Rollup: "a", Parts: []millrace.CellPart{part([]int{0}, 60, a)}},
		{Rollup: "a", Parts: []millrace.CellPart{part(nil, 60, a, b)}},
		{Rollup: "a", Parts: []millrace.CellPart{part(nil, 60, a), part(nil, 60, b)}},
		{Rollup: "a", Where: eq("x", "y")},
		{Rollup: "a", Where: eq("xy", "")},
		{Rollup: "a", Where: eq("x", "\xff")},
		{Rollup: "a", Where: eq("x", "\ufffd")},
		{Rollup: "a", Where: eq("x", `"y`)},
		{Rollup: "a", Where: &millrace.Filter{Op: millrace.FilterNe, Field: "x", Value: "y"}},
		{Rollup: "a", Where: &millrace.Filter{Op: millrace.FilterOr, Sub: []*millrace.Filter{eq("x", "y"), eq("x", "z")}}},
		{Rollup: "a", Where: &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{eq("x", "y"), eq("x", "z")}}},
		{Rollup: "a", Where: &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{
			{Op: millrace.FilterOr, Sub: []*millrace.Filter{eq("x", "y")}}, eq("x", "z"),
		}}},
		{Rollup: "a", Where: &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{
			{Op: millrace.FilterOr, Sub: []*millrace.Filter{eq("x", "y"), eq("x", "z")}},
		}}},
	}
	var keys []string
	for i := range list {
		keys = append(keys, string(cellKey(&list[i])))
	}
	slices.Sort(keys)
	if n := len(slices.Compact(slices.Clone(keys))); n != len(list) {
		t.Errorf("%d keys of %d questions: %q", n, len(list), keys)
	}
}
