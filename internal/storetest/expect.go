package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// expect computes what Cells must answer straight from the observations.
func expect(s millrace.RollupSchema, all []obs, q millrace.CellQuery) *millrace.CellBatch {
	type group struct {
		bucket int64
		dims   []string
		obs    []obs
	}
	groups := map[string]*group{}
	for _, o := range all {
		bucket := q.Granularity.Floor(o.at)
		if bucket < q.From || bucket >= q.To || !q.Where.Match(func(f string) string {
			return o.dim(slices.Index(s.Dimensions, f))
		}) {
			continue
		}
		step := q.From
		if q.Step > 0 {
			step = millrace.Granularity(q.Step).Floor(bucket)
		}
		dims := make([]string, 0, len(q.By))
		for _, d := range q.By {
			dims = append(dims, o.dim(d))
		}
		key := fmt.Sprintf("%d %q", step, dims)
		if groups[key] == nil {
			groups[key] = &group{bucket: step, dims: dims}
		}
		groups[key].obs = append(groups[key].obs, o)
	}
	var rows []*group
	for _, g := range groups {
		rows = append(rows, g)
	}
	slices.SortFunc(rows, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), slices.Compare(a.dims, b.dims))
	})
	out := &millrace.CellBatch{Dims: make([][]string, len(q.By)), States: make([]millrace.StateColumn, len(q.States))}
	for _, g := range rows {
		out.Bucket = append(out.Bucket, g.bucket)
		for j, d := range g.dims {
			out.Dims[j] = append(out.Dims[j], d)
		}
		for j, i := range q.States {
			spec := s.States()[i]
			out.States[j].Kind = spec.Kind
			appendState(&out.States[j], spec, s.Metrics[spec.Metric].Func, g.obs)
		}
	}
	return out
}

// sameCells asks for every set at every granularity it is kept at, with all
// states, and compares with the observations.
func sameCells(t *testing.T, s millrace.Store, def millrace.RollupSchema, all []obs) {
	t.Helper()
	for _, set := range def.Sets {
		for _, g := range set.Granularities {
			sameQuery(t, s, def, all, everything(def, set, g))
		}
	}
}

// everything is the query for all cells of a set.
func everything(def millrace.RollupSchema, set millrace.DimensionSet, g millrace.Granularity) millrace.CellQuery {
	q := millrace.CellQuery{
		Rollup: def.Name, Granularity: g, Set: set, By: set.Dims,
		From: -1 << 33, To: 1 << 33, Step: int64(g),
	}
	for i := range def.States() {
		q.States = append(q.States, i)
	}
	return q
}

func sameQuery(t *testing.T, s millrace.Store, def millrace.RollupSchema, all []obs, q millrace.CellQuery) {
	t.Helper()
	got, err := s.Cells(t.Context(), q)
	check(t, err)
	if len(got.Dims) != len(q.By) || len(got.States) != len(q.States) {
		t.Fatalf("%s: %d dimensions and %d states, want %d and %d",
			describe(q), len(got.Dims), len(got.States), len(q.By), len(q.States))
	}
	if diff := firstDifference(render(got), render(expect(def, all, q))); diff != "" {
		t.Fatalf("%s: %s", describe(q), diff)
	}
}

func describe(q millrace.CellQuery) string {
	return fmt.Sprintf("cells of %s %v at %s from %d to %d by %v step %d where %s",
		q.Rollup, q.Set.Dims, q.Granularity, q.From, q.To, q.By, q.Step, filterText(q.Where))
}

func filterText(f *millrace.Filter) string {
	if f == nil {
		return "-"
	}
	out := fmt.Sprintf("(%d %q %q", f.Op, f.Field, f.Value)
	for _, s := range f.Sub {
		out += " " + filterText(s)
	}
	return out + ")"
}

// firstDifference returns the first line in which two texts differ, or "".
func firstDifference(got, want string) string {
	if got == want {
		return ""
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := 0; ; i++ {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d of %d (want %d lines)\n got %.300s\nwant %.300s",
				i, len(g)-1, len(w)-1, at(g, i), at(w, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}
