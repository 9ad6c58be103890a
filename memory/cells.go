package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// group is one row of an answer in the making.
type group struct {
	bucket int64
	dims   []string
	states []*state
}

// Cells implements millrace.Store: it goes through all minute cells. With step
// 0 the bucket of the answer is q.From.
func (s *Store) Cells(ctx context.Context, q millrace.CellQuery) (*millrace.CellBatch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rollups[q.Rollup]
	if r == nil {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no rollup %q", q.Rollup)
	}
	if err := rollupdef.CheckQuery(&r.schema, &q); err != nil {
		return nil, err
	}
	groups := map[cellKey]*group{}
	specs := r.schema.States()
	for _, p := range q.Pieces() {
		r.eachCell(&p, func(bucket int64, _ cellKey, c *cell) {
			if q.Where.Match(func(field string) string { return c.dims[field] }) {
				r.fold(groups, specs, c, &q, q.StepStart(bucket))
			}
		})
	}
	return r.answer(groups, &q), ctx.Err()
}

// eachCell calls f for the minute cells below a part, with the start of the
// part's bucket that each belongs to.
func (r *rollup) eachCell(p *millrace.CellPart, f func(bucket int64, key cellKey, c *cell)) {
	want := setID(r.names(p.Set))
	for key, c := range r.cells {
		bucket := p.Granularity.Floor(key.bucket)
		in := slices.ContainsFunc(p.Spans, func(s millrace.Span) bool { return bucket >= s.From && bucket < s.To })
		if in && key.set == want && !r.dropped(key.bucket, p.Granularity) {
			f(bucket, key, c)
		}
	}
}

// dropped reports whether retention has dropped the cells of a granularity that
// the minute belongs to.
func (r *rollup) dropped(minute int64, g millrace.Granularity) bool {
	switch g {
	case millrace.Minute:
		return r.hours[millrace.Hour.Floor(minute)].sealed
	case millrace.Hour:
		return r.days[millrace.Day.Floor(minute)].sealed
	}
	return false
}

// fold merges a cell into the group it belongs to.
func (r *rollup) fold(groups map[cellKey]*group, specs []millrace.StateSpec, c *cell, q *millrace.CellQuery, step int64) {
	values := map[string]string{}
	var dims []string
	for _, d := range q.By {
		name := r.schema.Dimensions[d]
		values[name] = c.dims[name]
		dims = append(dims, c.dims[name])
	}
	key := cellKey{bucket: step, values: joined(values)}
	g := groups[key]
	if g == nil {
		g = &group{bucket: step, dims: dims}
		for _, i := range q.States {
			g.states = append(g.states, newState(specs[i].Kind))
		}
		groups[key] = g
	}
	for j, i := range q.States {
		// A metric younger than the cell has no state here.
		if st := c.states[specs[i].Name]; st != nil {
			g.states[j].merge(st)
		}
	}
}

func (r *rollup) answer(groups map[cellKey]*group, q *millrace.CellQuery) *millrace.CellBatch {
	var rows []*group
	for _, g := range groups {
		rows = append(rows, g)
	}
	slices.SortFunc(rows, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), slices.Compare(a.dims, b.dims))
	})
	out := &millrace.CellBatch{
		Rollup: q.Rollup, Set: q.Set,
		Dims: make([][]string, len(q.By)), States: make([]millrace.StateColumn, len(q.States)),
	}
	specs := r.schema.States()
	for j, i := range q.States {
		out.States[j].Kind = specs[i].Kind
	}
	for _, g := range rows {
		out.Bucket = append(out.Bucket, g.bucket)
		for j, d := range g.dims {
			out.Dims[j] = append(out.Dims[j], d)
		}
		for j, st := range g.states {
			st.appendTo(&out.States[j])
		}
	}
	return out
}
