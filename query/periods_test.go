package query

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/memory"
)

// forgetful is a Store without minutes before one time and without hours before
// another.
type forgetful struct {
	millrace.Store
	t              testing.TB
	minutes, hours int64
	reads          atomic.Int64 // Periods reads side by side
}

func (f *forgetful) Coverage(ctx context.Context, rollup string, from, to int64) (*millrace.Coverage, error) {
	c, err := f.Store.Coverage(ctx, rollup, from, to)
	if err == nil && f.minutes > from {
		c.NoMinutes = []millrace.Span{{From: from - 86400, To: f.minutes}}
	}
	if err == nil && f.hours > from {
		c.NoHours = []millrace.Span{{From: from - 86400, To: f.hours}}
	}
	return c, err
}

func (f *forgetful) Cells(ctx context.Context, q millrace.CellQuery) (*millrace.CellBatch, error) {
	f.reads.Add(1)
	for _, p := range q.Parts {
		if p.Granularity == millrace.Minute && p.Spans[0].From < f.minutes || p.Granularity == millrace.Hour && p.Spans[0].From < f.hours {
			f.t.Errorf("reads %v, gone before %d and %d", p, f.minutes, f.hours)
		}
	}
	return f.Store.Cells(ctx, q)
}

// TestPeriodsAreRollups asks for random periods at once, and for each alone.
func TestPeriodsAreRollups(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		open func(testing.TB) millrace.Store
	}{
		{"memory", 300, func(testing.TB) millrace.Store { return memory.New() }},
		{"duckdb", 30, openDuckDB}, // a question takes it 50 ms
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 5, 300, c.open)
			store := &forgetful{Store: w.store, t: t}
			s := New(Deps{Store: store, Schemas: w.schemas, Now: func() time.Time { return w.start.Add(7 * 24 * time.Hour) }}, DefaultOptions())
			answered, refused, saved := 0, 0, 0
			for i := range c.n {
				store.minutes, store.hours = 0, 0
				if w.rng.IntN(2) == 0 {
					store.hours = w.start.Unix() + w.rng.Int64N(4)*86400
					store.minutes = max(store.hours, w.start.Unix()+w.rng.Int64N(5*24)*3600)
				}
				req := w.periods()
				alone, err := w.alone(t, s, req)
				before := store.reads.Load()
				res, got := s.Periods(t.Context(), req)
				if (got == nil) != (err == nil) || got != nil && millrace.ErrorCode(got) != millrace.ErrInvalid {
					t.Fatalf("question %d, %+v: %v, alone %v", i, req, got, err)
				}
				if err != nil {
					refused++
					continue
				}
				answered++
				saved += len(req.Periods) - int(store.reads.Load()-before)
				for k := range alone {
					if a, b := fmt.Sprint(alone[k]), fmt.Sprint(res.Periods[k]); a != b {
						t.Fatalf("question %d, %+v, period %d:\n%s, alone\n%s", i, req, k, b, a)
					}
				}
			}
			t.Logf("%d answered, %d refused, %d reads saved", answered, refused, saved)
			if answered < c.n/2 || refused == 0 || saved < answered/2 {
				t.Error("the questions do not test what they should")
			}
		})
	}
}

// periods is a random question about some periods.
func (w *world) periods() PeriodsRequest {
	one := w.request()
	req := PeriodsRequest{Rollup: one.Rollup, Count: "pv", Uniques: "uv", By: w.pick("service", "status", "")}
	if one.Where != "" && w.rng.IntN(2) == 0 {
		req.Filter = &millrace.Filter{Op: millrace.FilterEq, Field: "host", Value: "a"}
	}
	length := time.Duration(1+w.rng.Int64N(2000)) * time.Minute
	end := w.start.Add(4*24*time.Hour + time.Duration(w.rng.Int64N(1440))*time.Minute + time.Duration(w.rng.IntN(2))*17*time.Second)
	for range 1 + w.rng.IntN(5) {
		back := []time.Duration{0, 0, length, 24 * time.Hour, 48 * time.Hour, 37 * time.Minute}[w.rng.IntN(6)]
		p := Period{Range: Range{end.Add(-back - length), end.Add(-back)}, Uniques: w.rng.IntN(3) == 0}
		if w.rng.IntN(3) == 0 {
			p.Step = []time.Duration{time.Hour, 2 * time.Hour, 15 * time.Minute, 24 * time.Hour, 7 * time.Minute}[w.rng.IntN(5)]
		}
		if w.rng.IntN(4) == 0 {
			p.Range.From, p.ExactFrom = p.Range.From.Truncate(time.Hour), true
		}
		req.Periods = append(req.Periods, p)
	}
	return req
}

// alone answers each period by Rollup.
func (w *world) alone(t *testing.T, s *Service, req PeriodsRequest) (out []PeriodNumbers, err error) {
	t.Helper()
	for _, p := range req.Periods {
		one := RollupRequest{
			Rollup: req.Rollup, Metrics: []string{req.Count}, Filter: req.Filter, Range: p.Range, ExactFrom: p.ExactFrom, Step: p.Step, CellsOnly: true, Limit: MaxRows,
		}
		if req.By != "" {
			one.By = []string{req.By}
		}
		n := PeriodNumbers{Count: map[string]int64{}}
		if p.Step > 0 {
			n.Steps = map[string]map[int64]int64{}
		}
		if p.Uniques {
			n.Uniques = map[string]int64{}
			one.Metrics = append(one.Metrics, req.Uniques)
		}
		res, err := s.Rollup(t.Context(), one)
		if err != nil {
			return nil, err
		}
		for _, row := range res.Rows {
			name, bucket := "", int64(0)
			if p.Step > 0 {
				bucket, row = row[0].(time.Time).Unix(), row[1:]
			}
			if req.By != "" {
				name, row = row[0].(string), row[1:]
			}
			n.Count[name] += row[0].(int64)
			if p.Step > 0 {
				if n.Steps[name] == nil {
					n.Steps[name] = map[int64]int64{}
				}
				n.Steps[name][bucket] += row[0].(int64)
			}
			if p.Uniques {
				n.Uniques[name] = row[1].(int64)
			}
		}
		if p.Uniques && p.Step > 0 { // those of a step do not add up
			one.Step = 0
			whole, err := s.Rollup(t.Context(), one)
			if err != nil {
				return nil, err
			}
			for _, row := range whole.Rows {
				name := ""
				if req.By != "" {
					name, row = row[0].(string), row[1:]
				}
				n.Uniques[name] = row[1].(int64)
			}
		}
		out = append(out, n)
	}
	return out, nil
}

func TestPeriodsFold(t *testing.T) {
	w := newWorld(t, 6, 300, func(testing.TB) millrace.Store { return memory.New() })
	at := -1
	for i := range w.schemas {
		if _, err := w.service.Rollup(t.Context(), RollupRequest{
			Rollup: w.schemas[i].Name, Metrics: []string{"pv", "uv"}, By: []string{"host"}, CellsOnly: true, Range: Range{w.start, w.start.Add(24 * time.Hour)},
		}); err == nil {
			at = i
		}
	}
	if at < 0 {
		t.Fatal("no rollup keeps hosts")
	}
	r := Range{w.start, w.start.Add(5 * 24 * time.Hour)}
	req := PeriodsRequest{
		Rollup: w.schemas[at].Name, Count: "pv", Uniques: "uv", By: "host", Periods: []Period{{Range: r, Uniques: true}, {Range: r, Step: 24 * time.Hour}},
		Fold: func(values []string) (map[string]string, error) {
			names := map[string]string{}
			for _, v := range values {
				if names[v] != "" {
					t.Errorf("%q comes twice", v)
				}
				if v != "a" {
					names[v] = "all"
				}
			}
			return names, nil
		},
	}
	got, err := w.service.Periods(t.Context(), req)
	fail(t, err)
	want, err := w.service.Rollup(t.Context(), RollupRequest{Rollup: req.Rollup, Metrics: []string{"pv", "uv"}, Where: "NOT host:a", Range: r, CellsOnly: true})
	fail(t, err)
	pv, uv := want.Rows[0][0].(int64), want.Rows[0][1].(int64)
	p := got.Periods[0]
	if len(p.Count) != 1 || p.Count["all"] != pv || p.Uniques["all"] != uv || pv == 0 {
		t.Errorf("%+v, want %d and %d", p, pv, uv)
	}
	steps := int64(0)
	for _, n := range got.Periods[1].Steps["all"] {
		steps += n
	}
	if steps != pv || len(got.Periods[1].Steps["all"]) != 5 || got.Periods[1].Uniques != nil {
		t.Errorf("%+v, want %d", got.Periods[1], pv)
	}
	for _, bad := range []func(*PeriodsRequest){
		func(r *PeriodsRequest) { r.Count = "speed" },
		func(r *PeriodsRequest) { r.Uniques = "pv" },
		func(r *PeriodsRequest) { r.Count = "rt" },
		func(r *PeriodsRequest) { r.By = "plan" },
		func(r *PeriodsRequest) {
			r.Periods = []Period{{Range: Range{r.Periods[0].Range.To, r.Periods[0].Range.From}}}
		},
	} {
		wrong := req
		bad(&wrong)
		if _, err := w.service.Periods(t.Context(), wrong); millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}
