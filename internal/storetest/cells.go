package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// store writes observations that arrived at a time, as one commit.
func store(t *testing.T, s millrace.Store, def millrace.RollupSchema, arrived time.Time, all []obs) {
	t.Helper()
	check(t, s.WriteCells(t.Context(), deltas(def, all), commitAt(arrived.Unix(), 1)))
}

func define(t *testing.T, s millrace.Store) millrace.RollupSchema {
	t.Helper()
	def := schema()
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{def}))
	return def
}

// sample returns n varied observations from a time on, gap apart.
func sample(from time.Time, gap time.Duration, n int) []obs {
	var out []obs
	for i := range n {
		o := obs{
			at:      from.Add(time.Duration(i) * gap).Unix(),
			service: []string{"web", "api", "", "it's \"quoted\""}[i%4],
			host:    fmt.Sprintf("h%d", i%7), status: []string{"200", "404", "500"}[i%3],
			weight: int64(1 + i%3), bytes: int64(i*37%1000 - 100), rt: float64(i%50) / 16, user: uint64(i % 11),
		}
		if i%5 == 0 {
			o.rt = -1
		}
		out = append(out, o)
	}
	return out
}

func testStates(t *testing.T, s millrace.Store) {
	def := define(t, s)
	a := []obs{
		{at: Base.Unix(), service: "none", weight: 2, bytes: -7, rt: -1},
		{at: Base.Unix(), service: "one", weight: 3, bytes: 5, rt: 0.25, user: 1},
	}
	b := []obs{
		{at: Base.Unix() + 59, service: "one", weight: 1, bytes: 1 << 40, rt: 0, user: 2},
		{at: Base.Unix() + 1, service: "one", weight: 1, rt: -1, user: 1},
		{at: Base.Unix() + 60, service: "one", weight: 1, rt: 1e6, user: 3},
	}
	store(t, s, def, Base, a)
	sameCells(t, s, def, a)
	store(t, s, def, Base, b)
	all := slices.Concat(a, b)
	sameCells(t, s, def, all)
	for _, after := range []time.Duration{2 * time.Minute, time.Hour, 2 * time.Hour, 25 * time.Hour, 30 * time.Hour} {
		settle(t, s, Base.Add(after))
		sameCells(t, s, def, all)
	}
}

func testCellQueries(t *testing.T, s millrace.Store) {
	def := define(t, s)
	all := sample(Base, 97*time.Second, 400) // about eleven hours
	store(t, s, def, Base.Add(time.Hour), all[:200])
	store(t, s, def, Base.Add(11*time.Hour), all[200:])
	// Some hours computed, some open, some minutes compacted, some not.
	settle(t, s, Base.Add(8*time.Hour))
	eq := func(field, value string) *millrace.Filter {
		return &millrace.Filter{Op: millrace.FilterEq, Field: field, Value: value}
	}
	wheres := []*millrace.Filter{
		nil,
		eq("service", "web"), eq("service", ""), eq("service", `it's "quoted"`),
		{Op: millrace.FilterGe, Field: "status", Value: "404"},
		{Op: millrace.FilterGlob, Field: "status", Value: "*0*"},
		{Op: millrace.FilterNe, Field: "status", Value: "200"},
		{Op: millrace.FilterAnd, Sub: []*millrace.Filter{eq("service", "api"), {Op: millrace.FilterNot, Sub: []*millrace.Filter{eq("status", "500")}}}},
		{Op: millrace.FilterOr, Sub: []*millrace.Filter{eq("service", "nope"), eq("status", "404")}},
		{Op: millrace.FilterOr},
		{Op: millrace.FilterText, Value: "web"},
		{Op: millrace.FilterText},
	}
	base, full := Base.Unix(), everything(def, def.Sets[2], millrace.Minute)
	for _, g := range []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day} {
		for _, by := range [][]int{nil, {0}, {2}, {0, 2}, {2, 0}} {
			for _, step := range []int64{0, 60, 3600, 7200, 86400, 7 * 86400, 100} {
				q := full
				q.Granularity, q.By, q.Step, q.States = g, by, step, []int{0}
				sameQuery(t, s, def, all, q)
			}
			for _, where := range wheres {
				q := full
				q.Granularity, q.By, q.Where = g, by, where
				sameQuery(t, s, def, all, q)
			}
		}
		for _, r := range [][2]int64{{base, base}, {base, base + 1}, {base + 1, base + 3600}, {base + 3600, base + 4*3600 + 60}, {base + 7*3600, base + 86400}} {
			q := full
			q.Granularity, q.From, q.To, q.Step = g, r[0], r[1], 0
			sameQuery(t, s, def, all, q)
		}
	}
	for _, states := range [][]int{nil, {0}, {7, 0}, {6, 4, 5}} {
		q := full
		q.States = states
		sameQuery(t, s, def, all, q)
	}
}

func testStrangeDimensions(t *testing.T, s millrace.Store) {
	def := define(t, s)
	var all []obs
	for i, text := range []string{"", " ", "NULL", "zero\x00byte", "☃🚀é", "exactly-12-b", "thirteen byte", "(other)", "a,b", "a'b\"c\\", "Z", "z", "\x01"} {
		all = append(all, obs{at: Base.Unix(), service: text, host: text, status: text, weight: int64(i + 1), rt: 1, user: 5})
	}
	store(t, s, def, Base, all)
	sameCells(t, s, def, all)
	settle(t, s, Base.Add(26*time.Hour))
	sameCells(t, s, def, all)
}

func testCellErrors(t *testing.T, s millrace.Store) {
	def := define(t, s)
	f := func(name string, want millrace.Code, change func(q *millrace.CellQuery)) {
		t.Helper()
		q := everything(def, def.Sets[2], millrace.Minute)
		change(&q)
		if _, err := s.Cells(t.Context(), q); millrace.ErrorCode(err) != want {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	f("as it is", "", func(*millrace.CellQuery) {})
	f("unknown rollup", millrace.ErrNotFound, func(q *millrace.CellQuery) { q.Rollup = "nope" })
	f("unknown set", millrace.ErrNotFound, func(q *millrace.CellQuery) { q.Set, q.By = millrace.DimensionSet{Dims: []int{2}}, nil })
	f("granularity not kept", millrace.ErrNotFound, func(q *millrace.CellQuery) { q.Set, q.By = def.Sets[4], nil })
	f("no granularity", millrace.ErrNotFound, func(q *millrace.CellQuery) { q.Granularity = 7 })
	f("by a dimension the set lacks", millrace.ErrInvalid, func(q *millrace.CellQuery) { q.By = []int{1} })
	f("by no dimension", millrace.ErrInvalid, func(q *millrace.CellQuery) { q.By = []int{-1} })
	f("where on a dimension the set lacks", millrace.ErrInvalid, func(q *millrace.CellQuery) {
		q.Where = &millrace.Filter{Op: millrace.FilterEq, Field: "host", Value: "x"}
	})
	f("where on nothing known", millrace.ErrInvalid, func(q *millrace.CellQuery) {
		q.Where = &millrace.Filter{Op: millrace.FilterEq, Field: `"; drop table x`, Value: "x"}
	})
	f("no such state", millrace.ErrInvalid, func(q *millrace.CellQuery) { q.States = []int{8} })
	f("negative step", millrace.ErrInvalid, func(q *millrace.CellQuery) { q.Step = -60 })
}

func testDefinitions(t *testing.T, s millrace.Store) {
	f := func(name string, want millrace.Code, change func(d *millrace.RollupSchema)) {
		t.Helper()
		d := schema()
		change(&d)
		if err := s.DefineRollups(t.Context(), []millrace.RollupSchema{d}); millrace.ErrorCode(err) != want {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	for _, bad := range []string{"", "Traffic", "1st", "a-b", `a"b`, "a b", "é"} {
		f("rollup "+bad, millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Name = bad })
		f("dimension "+bad, millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Dimensions[1] = bad })
		f("metric "+bad, millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Metrics[1].Name = bad })
	}
	f("reserved name", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Dimensions[0] = "bucket" })
	f("metric named like a dimension", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Metrics[0].Name = "host" })
	f("metric named like a quantile", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Metrics[0].Name = "rt_p50" })
	f("metric named like a state", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Metrics[0].Name = "load_n" })
	f("set out of range", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Sets[1].Dims = []int{3} })
	f("set not ascending", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Sets[1].Dims = []int{2, 0} })
	f("set twice", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Sets[1].Dims = []int{} })
	f("no granularity", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Sets[1].Granularities = nil })
	f("unknown function", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Metrics[0].Func = "median" })
	f("quantile of 1", millrace.ErrInvalid, func(d *millrace.RollupSchema) { d.Metrics[5].Quantiles = []float64{1} })
	f("as it is", "", func(*millrace.RollupSchema) {})
	f("again", "", func(*millrace.RollupSchema) {})
	f("other function", millrace.ErrConflict, func(d *millrace.RollupSchema) { d.Metrics[1].Func = millrace.FuncMax })
	f("other scale", millrace.ErrConflict, func(d *millrace.RollupSchema) { d.Metrics[1].Scale = 2 })
	f("metric gone", "", func(d *millrace.RollupSchema) { d.Metrics = d.Metrics[:6] })
	f("metric back as another", millrace.ErrConflict, func(d *millrace.RollupSchema) { d.Metrics[6].Func = millrace.FuncCount })
	f("names of SQL", "", func(d *millrace.RollupSchema) {
		d.Name, d.Dimensions, d.Metrics[0].Name = "select", []string{"from", "where", "group"}, "order"
	})
}

func testGrowingDefinitions(t *testing.T, s millrace.Store) {
	small := schema()
	small.Dimensions = []string{"service", "host"}
	small.Sets = []millrace.DimensionSet{small.Sets[0], small.Sets[1]}
	small.Metrics = small.Metrics[:2]
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{small}))
	old := sample(Base, time.Minute, 100)
	store(t, s, small, Base.Add(100*time.Minute), old)
	settle(t, s, Base.Add(3*time.Hour))
	sameCells(t, s, small, old)

	def := define(t, s)
	later := sample(Base.Add(90*time.Minute), time.Minute, 100)
	store(t, s, def, Base.Add(190*time.Minute), later)
	for _, now := range []time.Time{Base.Add(3 * time.Hour), Base.Add(40 * time.Hour)} {
		settle(t, s, now)
		// What the old definition had is known of all observations.
		sameCells(t, s, small, slices.Concat(old, later))
		// What is new is known of the later ones only.
		for _, set := range def.Sets[2:] {
			for _, g := range set.Granularities {
				sameQuery(t, s, def, later, everything(def, set, g))
			}
		}
		q := everything(def, def.Sets[1], millrace.Hour)
		q.States = []int{4, 5, 6, 7}
		got, err := s.Cells(t.Context(), q)
		check(t, err)
		for i, bucket := range got.Bucket {
			isOld := bucket < Base.Add(time.Hour).Unix()
			if isOld && (got.States[0].Floats[i] == got.States[0].Floats[i] || len(got.States[2].Blobs[i])+len(got.States[3].Blobs[i]) > 0) {
				t.Fatalf("cell %d, older than its metrics, has values: %s", i, render(got))
			}
		}
	}
	// The same sets under another order of dimensions are the same cells.
	turned := schema()
	turned.Dimensions = []string{"status", "host", "service"}
	turned.Sets = []millrace.DimensionSet{{Dims: []int{0, 2}, Granularities: def.Sets[2].Granularities}}
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{turned}))
	q := everything(turned, turned.Sets[0], millrace.Hour)
	q.By = []int{2, 0}
	got, err := s.Cells(t.Context(), q)
	check(t, err)
	want := expect(def, later, everything(def, def.Sets[2], millrace.Hour))
	if diff := firstDifference(render(got), render(want)); diff != "" {
		t.Fatalf("after reordering dimensions: %s", diff)
	}
}
