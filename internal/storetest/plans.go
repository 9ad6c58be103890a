package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// testParts asks for cells of several sets, granularities and spans at once.
func testParts(t *testing.T, s millrace.Store) {
	def := define(t, s)
	all := sample(Base, 97*time.Second, 3000) // three days and nine hours
	store(t, s, def, Base.Add(81*time.Hour), all)
	settle(t, s, Base.Add(84*time.Hour))
	at := func(hours int64) int64 { return Base.Unix() + hours*3600 }
	spans := func(hours ...int64) (out []millrace.Span) {
		for i := 0; i < len(hours); i += 2 {
			out = append(out, millrace.Span{From: at(hours[i]), To: at(hours[i+1])})
		}
		return out
	}
	service, both := def.Sets[1], def.Sets[2]
	q := millrace.CellQuery{Rollup: def.Name, By: []int{0}, From: at(20), Parts: []millrace.CellPart{
		{Set: service, Granularity: millrace.Day, Spans: spans(24, 72)},
		{Set: both, Granularity: millrace.Hour, Spans: spans(20, 24, 72, 75)},
		{Set: both, Granularity: millrace.Minute, Spans: []millrace.Span{{From: at(75), To: at(75) + 600}}},
	}}
	for i := range def.States() {
		q.States = append(q.States, i)
	}
	// What the parts have is what minutes of the whole range have.
	flat := millrace.CellQuery{
		Rollup: def.Name, Granularity: millrace.Minute, Set: both, From: at(20), To: at(75) + 600, By: q.By, States: q.States,
	}
	same := func(name string) {
		t.Helper()
		got, err := s.Cells(t.Context(), q)
		check(t, err)
		want := expect(def, all, flat)
		if diff := firstDifference(render(got), render(want)); diff != "" {
			t.Fatalf("%s: %s", name, diff)
		}
	}
	same("one step")
	q.Where = &millrace.Filter{Op: millrace.FilterGe, Field: "service", Value: "b"}
	flat.Where = q.Where
	same("with a condition")
	q.Where, flat.Where = nil, nil
	q.Steps, flat.Step = []millrace.StepRun{{From: at(0), Width: 86400}}, 86400
	same("steps of a day")
	many := make([]millrace.Span, 0, 60)
	for h := int64(20); h < 75; h++ {
		many = append(many, millrace.Span{From: at(h), To: at(h + 1)})
	}
	q.Parts = []millrace.CellPart{{Set: both, Granularity: millrace.Hour, Spans: many}, q.Parts[2]}
	same("many spans")

	counts, err := s.CountCells(t.Context(), def.Name, q.Parts)
	check(t, err)
	for i, p := range q.Parts {
		one := everything(def, p.Set, p.Granularity)
		one.From, one.To, one.By = p.Spans[0].From, p.Spans[len(p.Spans)-1].To, p.Set.Dims
		if want := expect(def, all, one).Len(); counts[i] != int64(want) {
			t.Errorf("part %d: %d cells, want %d", i, counts[i], want)
		}
	}
	q.Parts[0].Spans = nil
	if _, err := s.Cells(t.Context(), q); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("a part without spans: %v", err)
	}
	_, err = s.CountCells(t.Context(), "nope", q.Parts)
	wantCode(t, err, millrace.ErrNotFound)
}

// testUnevenSteps merges into steps that differ in width, as local days do.
func testUnevenSteps(t *testing.T, s millrace.Store) {
	def := define(t, s)
	all := sample(Base, 7*time.Minute, 700)
	store(t, s, def, Base.Add(90*time.Hour), all)
	runs := []millrace.StepRun{
		{From: Base.Unix() - 7200, Width: 86400}, {From: Base.Unix() - 7200 + 86400, Width: 90000}, {From: Base.Unix() + 169200, Width: 86400},
	}
	q := everything(def, def.Sets[1], millrace.Hour)
	q.By, q.States, q.Steps = nil, []int{0}, runs
	got, err := s.Cells(t.Context(), q)
	check(t, err)
	want := map[int64]int64{}
	for _, o := range all {
		want[millrace.StepStart(runs, o.at)] += o.weight
	}
	if len(want) < 4 || got.Len() != len(want) {
		t.Fatalf("%d steps, want %d", got.Len(), len(want))
	}
	for i, b := range got.Bucket {
		if got.States[0].Ints[i] != want[b] {
			t.Errorf("step %d: %d, want %d", b, got.States[0].Ints[i], want[b])
		}
	}
}

// testCoverage looks at what is dropped, and since when newcomers are complete.
func testCoverage(t *testing.T, s millrace.Store) {
	def := define(t, s)
	coverage := func() *millrace.Coverage {
		t.Helper()
		c, err := s.Coverage(t.Context(), def.Name, Base.Unix(), Base.Unix()+86400*3)
		check(t, err)
		return c
	}
	since := func(c *millrace.Coverage, set, granularity int) int64 {
		return rollupdef.SetFrom(&c.Sets[set], granularity)
	}
	if c := coverage(); len(c.NoMinutes)+len(c.NoHours) > 0 || since(c, 0, 0) != 0 || c.Metrics[0].CompleteFrom != 0 {
		t.Errorf("at first: %+v", c)
	}
	all := sample(Base, 30*time.Minute, 60) // one day and six hours
	store(t, s, def, Base.Add(30*time.Hour), all)
	settle(t, s, Base.Add(12*24*time.Hour))
	want := []millrace.Span{{From: Base.Unix(), To: Base.Unix() + 30*3600}}
	if c := coverage(); !slices.Equal(c.NoMinutes, want) || len(c.NoHours) > 0 {
		t.Errorf("without minutes: %+v", c)
	}
	grown := schema()
	grown.Sets = append(grown.Sets, millrace.DimensionSet{Dims: []int{2}, Granularities: []millrace.Granularity{millrace.Minute, millrace.Day}})
	grown.Metrics = append(grown.Metrics, millrace.Metric{Name: "late", Func: millrace.FuncCount})
	grown.Sets[4].Granularities = []millrace.Granularity{millrace.Hour, millrace.Day} // finer than before
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{grown}))
	c := coverage()
	if since(c, 0, 0) != 0 || since(c, 5, 0) <= all[len(all)-1].at || since(c, 4, 1) != 0 || since(c, 4, 0) <= all[len(all)-1].at ||
		c.Metrics[0].CompleteFrom != 0 || c.Metrics[7].CompleteFrom <= all[len(all)-1].at {
		t.Errorf("after growing: %+v", c)
	}
	other := schema()
	other.Name = "other"
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{other}))
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{grown}))
	if c := coverage(); since(c, 0, 0) <= all[len(all)-1].at || c.Metrics[0].CompleteFrom <= all[len(all)-1].at {
		t.Errorf("after it was gone: %+v", c)
	}
	settle(t, s, Base.Add(100*24*time.Hour))
	if c := coverage(); len(c.NoHours) != 1 {
		t.Errorf("without hours: %+v", c)
	}
	_, err := s.Coverage(t.Context(), "nope", 0, 1)
	wantCode(t, err, millrace.ErrNotFound)
}

// testScan reads events as decoders had made them.
func testScan(t *testing.T, s millrace.Store) {
	var all []ev
	for i, a := range wellKnown() {
		all = append(all, ev{
			time: Base.UnixNano() + int64(i), kind: millrace.Kind(i % 5), service: []string{"web", "api"}[i%2], message: fmt.Sprint(i), ordinal: int32(i),
			weight: int64(1 + i%3), attrs: append(slices.Clone(a), millrace.Attr{Key: `odd "key"`, Value: millrace.JSONValue(`{"a": [1]}`)}),
		})
	}
	writeEvents(t, s, all)
	fields := []string{
		"service", "message", `odd "key"`, millrace.AttrURL, millrace.AttrMethod, millrace.AttrStatus, millrace.AttrBytes,
		millrace.AttrRT, millrace.AttrRTBackend, millrace.AttrClientIP, millrace.AttrUserAgent,
	}
	q := millrace.EventScan{From: Base.UnixNano(), To: Base.UnixNano() + 1e9, Fields: fields, MaxRows: 1000}
	seen := 0
	check(t, s.ScanEvents(t.Context(), q, func(events []millrace.Event) error {
		for i := range events {
			e := &events[i]
			want := all[e.Time-Base.UnixNano()]
			seen++
			if e.Kind != want.kind || e.Weight != want.weight || e.Service != want.service || e.Message != want.message {
				t.Errorf("event %+v, want %+v", e, want)
			}
			for _, a := range want.attrs {
				v, ok := e.Attr(a.Key)
				if slices.Contains(fields, a.Key) && (!ok || v.Kind() != a.Value.Kind() || v.String() != a.Value.String()) {
					t.Errorf("%s: %v %q, want %v %q", a.Key, v.Kind(), v, a.Value.Kind(), a.Value)
				}
			}
		}
		return nil
	}))
	if seen != len(all) {
		t.Errorf("%d events, want %d", seen, len(all))
	}
	q.Filter = &millrace.Filter{Op: millrace.FilterEq, Field: "service", Value: "web"}
	q.MaxRows = 2
	err := s.ScanEvents(t.Context(), q, func([]millrace.Event) error { return nil })
	wantCode(t, err, millrace.ErrTooLarge)
	q.MaxRows = 1000
	broken := errors.New("enough")
	if err := s.ScanEvents(t.Context(), q, func([]millrace.Event) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("an error of take: %v", err)
	}
	settle(t, s, Base.Add(200*24*time.Hour))
	wantCode(t, s.ScanEvents(t.Context(), q, func([]millrace.Event) error { return nil }), millrace.ErrConflict)
}
