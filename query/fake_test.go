package query

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/sketch"
)

// schema is a rollup with every function, for tests.
var schema = millrace.RollupSchema{
	Name: "traffic", Dimensions: []string{"service", "url", "status"},
	Sets: []millrace.DimensionSet{
		{Dims: nil, Granularities: all},
		{Dims: []int{0}, Granularities: all},
		{Dims: []int{2}, Granularities: all},
		{Dims: []int{0, 2}, Granularities: all},
		{Dims: []int{1}, Granularities: []millrace.Granularity{millrace.Hour, millrace.Day}},
	},
	Metrics: []millrace.Metric{
		{Name: "pv", Func: millrace.FuncCount},
		{Name: "rate", Func: millrace.FuncRate},
		{Name: "cost", Func: millrace.FuncSum, Field: "cost", Scale: 2},
		{Name: "size", Func: millrace.FuncAvg, Field: "size", Scale: 1},
		{Name: "least", Func: millrace.FuncMin, Field: "size"},
		{Name: "most", Func: millrace.FuncMax, Field: "size"},
		{Name: "rt", Func: millrace.FuncQuantiles, Field: "rt"},
		{Name: "uv", Func: millrace.FuncUniq, Field: "ip"},
	},
}

var all = []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day}

// spy records the queries that reach the store.
type spy struct {
	*memory.Store
	cells []millrace.CellQuery
	sql   millrace.SQLLimits
	err   error
	// dropped and finer cells are gone by retention.
	dropped millrace.Granularity
}

func (s *spy) Cells(ctx context.Context, q millrace.CellQuery) (*millrace.CellBatch, error) {
	s.cells = append(s.cells, q)
	if s.err != nil {
		return nil, s.err
	}
	return s.Store.Cells(ctx, q)
}

func (s *spy) Coverage(ctx context.Context, rollup string, from, to int64) (*millrace.Coverage, error) {
	c, err := s.Store.Coverage(ctx, rollup, from, to)
	if err != nil {
		return nil, err
	}
	everything := []millrace.Span{{From: from, To: to}}
	if s.dropped >= millrace.Minute {
		c.NoMinutes = everything
	}
	if s.dropped >= millrace.Hour {
		c.NoHours = everything
	}
	return c, nil
}

func (s *spy) SQL(_ context.Context, _ string, lim millrace.SQLLimits) (*millrace.Table, error) {
	s.sql = lim
	return &millrace.Table{}, nil
}

// hit is one request of the test data.
type hit struct {
	at           time.Time
	service, url string
	status       string
	cents        int64
	size, rt     float64
	ip           uint64
}

func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02T15:04:05", "2026-05-20T"+clock)
	if err != nil {
		panic(err)
	}
	return t
}

var hits = []hit{
	{at("10:00:10"), "api", "/a", "200", 150, 10, 0.1, 1},
	{at("10:00:50"), "api", "/b", "200", 25, 20, 0.2, 2},
	{at("10:01:10"), "web", "/a", "500", -1000, 30.5, 0.3, 1},
	{at("10:59:59"), "api", "/a", "200", 0, 40, 0.4, 3},
	{at("11:30:00"), "web", "/c", "404", 100, 50, 0.5, 4},
}

// newService returns a service over a store that holds hits.
func newService(t *testing.T) (*Service, *spy) {
	t.Helper()
	st := &spy{Store: memory.New()}
	must(t, rollupdef.Check(&schema))
	must(t, st.DefineRollups(t.Context(), []millrace.RollupSchema{schema}))
	var cells []*millrace.CellBatch
	for _, set := range schema.Sets {
		cells = append(cells, deltas(set))
	}
	must(t, st.WriteCells(t.Context(), cells, &millrace.Commit{Sink: millrace.SinkRollup}))
	return New(Deps{
		Store: st, Schemas: []millrace.RollupSchema{schema}, Now: func() time.Time { return now },
		Watermark: func() time.Time { return now.Add(-time.Minute) },
	}, DefaultOptions()), st
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// deltas returns one cell per hit: merging is the store's work.
func deltas(set millrace.DimensionSet) *millrace.CellBatch {
	b := &millrace.CellBatch{Rollup: schema.Name, Set: set, Dims: make([][]string, len(set.Dims))}
	for _, s := range schema.States() {
		b.States = append(b.States, millrace.StateColumn{Kind: s.Kind})
	}
	for _, h := range hits {
		b.Bucket = append(b.Bucket, millrace.Minute.Floor(h.at.Unix()))
		for i, d := range set.Dims {
			b.Dims[i] = append(b.Dims[i], []string{h.service, h.url, h.status}[d])
		}
		var hist sketch.Hist
		var hll sketch.HLL
		hist.Add(h.rt, 1)
		hll.AddHash(h.ip * 0x9E3779B97F4A7C15)
		ints := []int64{1, 1, h.cents, int64(h.size * 10), 1} // pv, rate, cost, size, size_n
		for i, v := range ints {
			b.States[i].Ints = append(b.States[i].Ints, v)
		}
		b.States[5].Floats = append(b.States[5].Floats, h.size)
		b.States[6].Floats = append(b.States[6].Floats, h.size)
		b.States[7].Blobs = append(b.States[7].Blobs, hist.AppendTo(nil))
		b.States[8].Blobs = append(b.States[8].Blobs, hll.AppendTo(nil))
	}
	return b
}

func (s *spy) last() millrace.CellQuery { return s.cells[len(s.cells)-1] }

func setName(set millrace.DimensionSet) string { return "(" + schema.SetName(set) + ")" }

func names(list ...string) []string { return slices.Clip(list) }
