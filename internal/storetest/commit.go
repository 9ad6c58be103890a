package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/millrace/millrace"
)

func testState(t *testing.T, s millrace.Store) {
	ctx := t.Context()
	got, err := s.Load(ctx, millrace.SinkEvents)
	check(t, err)
	if len(got.Positions)+len(got.Clients)+len(got.Admitted) != 0 {
		t.Fatalf("a new store has state %+v", got)
	}
	check(t, s.WriteCells(ctx, nil, &millrace.Commit{
		Sink: millrace.SinkRollup,
		Positions: []millrace.Position{
			{Partition: 1, Generation: 2, TopicID: "x", Offset: 10, Ordinal: 3, MaxTime: -5},
			{Partition: 0, Offset: 7},
		},
		Clients:  []millrace.ClientWindow{{Client: "c", Updated: Base.UnixNano(), State: []byte{0, 1}}},
		Admitted: []millrace.Admission{{Rollup: "traffic", Dimension: "url", Value: "/a"}},
	}))
	check(t, s.WriteCells(ctx, nil, &millrace.Commit{
		Sink:      millrace.SinkRollup,
		Positions: []millrace.Position{{Partition: 0, Generation: 1, TopicID: "y", Offset: 3}},
		Clients: []millrace.ClientWindow{
			{Client: "c", Updated: Base.UnixNano() + 1, State: []byte{2}},
			{Client: "a'b", Updated: Base.UnixNano(), State: []byte{3}},
		},
		Admitted: []millrace.Admission{
			{Rollup: "traffic", Dimension: "url", Value: "/a"},
			{Rollup: "traffic", Dimension: "url", Value: ""},
		},
	}))
	check(t, s.WriteEvents(ctx, &millrace.EventRows{}, &millrace.Commit{
		Sink: millrace.SinkEvents, Positions: []millrace.Position{{Partition: 0, Offset: 99, Ordinal: 1 << 20}},
	}))
	got, err = s.Load(ctx, millrace.SinkRollup)
	check(t, err)
	sortState(got)
	want := &millrace.SinkState{
		Positions: []millrace.Position{
			{Partition: 0, Generation: 1, TopicID: "y", Offset: 3},
			{Partition: 1, Generation: 2, TopicID: "x", Offset: 10, Ordinal: 3, MaxTime: -5},
		},
		Clients: []millrace.ClientWindow{
			{Client: "a'b", Updated: Base.UnixNano(), State: []byte{3}},
			{Client: "c", Updated: Base.UnixNano() + 1, State: []byte{2}},
		},
		Admitted: []millrace.Admission{
			{Rollup: "traffic", Dimension: "url", Value: ""},
			{Rollup: "traffic", Dimension: "url", Value: "/a"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("rollup sink\n got %+v\nwant %+v", got, want)
	}
	got, err = s.Load(ctx, millrace.SinkEvents)
	check(t, err)
	if len(got.Positions) != 1 || got.Positions[0].Offset != 99 || len(got.Clients)+len(got.Admitted) != 0 {
		t.Fatalf("the events sink has %+v", got)
	}
}

// testRetired drops admitted values, of which one comes back at once.
func testRetired(t *testing.T, s millrace.Store) {
	ctx := t.Context()
	of := func(dimension string, values ...string) (out []millrace.Admission) {
		for _, v := range values {
			out = append(out, millrace.Admission{Rollup: "traffic", Dimension: dimension, Value: v})
		}
		return out
	}
	many := make([]string, 2500)
	for i := range many {
		many[i] = fmt.Sprintf("/it's/%04d", i)
	}
	check(t, s.WriteCells(ctx, nil, &millrace.Commit{Sink: millrace.SinkRollup, Admitted: append(of("url", many...), of("host", many[0], "b")...)}))
	check(t, s.WriteCells(ctx, nil, &millrace.Commit{Sink: millrace.SinkRollup, Retired: of("url", many...), Admitted: of("url", many[7], "/new")}))
	got, err := s.Load(ctx, millrace.SinkRollup)
	check(t, err)
	sortState(got)
	want := append(of("host", many[0], "b"), of("url", many[7], "/new")...)
	if !slices.Equal(got.Admitted, want) {
		t.Fatalf("admitted %v, want %v", got.Admitted, want)
	}
}

func testEmptyWrites(t *testing.T, s millrace.Store) {
	ctx := t.Context()
	check(t, s.DefineRollups(ctx, []millrace.RollupSchema{schema()}))
	check(t, s.WriteEvents(ctx, nil, &millrace.Commit{Sink: millrace.SinkEvents}))
	check(t, s.WriteEvents(ctx, &millrace.EventRows{}, &millrace.Commit{Sink: millrace.SinkEvents}))
	check(t, s.WriteCells(ctx, nil, &millrace.Commit{Sink: millrace.SinkRollup}))
	check(t, s.WriteCells(ctx, deltas(schema(), nil), &millrace.Commit{Sink: millrace.SinkRollup}))
	settle(t, s, Base)
	sameCells(t, s, schema(), nil)
	st, err := s.Stats(ctx)
	check(t, err)
	if st.Events != 0 || st.Deltas+st.Cells != 0 {
		t.Fatalf("an empty store has stats %+v", st)
	}
}

func testInvalidCells(t *testing.T, s millrace.Store) {
	def := schema()
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{def}))
	all := []obs{{at: Base.Unix(), service: "a", weight: 1, rt: -1}}
	f := func(name string, spoil func(b *millrace.CellBatch)) {
		t.Helper()
		cells := deltas(def, all)
		spoil(cells[len(cells)-1])
		err := s.WriteCells(t.Context(), cells, commitAt(Base.Unix(), 5))
		if code := millrace.ErrorCode(err); code != millrace.ErrInvalid {
			t.Fatalf("%s: error %v, want invalid", name, err)
		}
	}
	f("unknown rollup", func(b *millrace.CellBatch) { b.Rollup = "nope" })
	f("unknown set", func(b *millrace.CellBatch) { b.Set.Dims = []int{2} })
	f("dimension missing", func(b *millrace.CellBatch) { b.Dims = nil })
	f("state missing", func(b *millrace.CellBatch) { b.States = b.States[1:] })
	f("short state", func(b *millrace.CellBatch) { b.States[0].Ints = nil })
	f("wrong kind", func(b *millrace.CellBatch) { b.States[0].Kind = millrace.StateHist })
	f("not a minute", func(b *millrace.CellBatch) { b.Bucket[0]++ })
	f("absurd minute", func(b *millrace.CellBatch) { b.Bucket[0] = 1 << 60 })
	nothingStored(t, s)
}

// nothingStored fails unless the rollup sink has stored nothing at all.
func nothingStored(t *testing.T, s millrace.Store) {
	t.Helper()
	sameCells(t, s, schema(), nil)
	for _, sink := range []millrace.Sink{millrace.SinkRollup, millrace.SinkEvents} {
		st, err := s.Load(t.Context(), sink)
		check(t, err)
		if len(st.Positions)+len(st.Clients)+len(st.Admitted) != 0 {
			t.Fatalf("%s has state %+v", sink, st)
		}
	}
	led, err := s.Ledger(t.Context(), millrace.LedgerQuery{})
	check(t, err)
	gaps, err := s.Gaps(t.Context())
	check(t, err)
	aside, err := s.SetAside(t.Context(), 10)
	check(t, err)
	counts, err := s.CountEvents(t.Context(), allEvents(), 0)
	check(t, err)
	if len(led)+len(gaps)+len(aside)+len(counts) != 0 {
		t.Fatalf("left behind: %d accounts, %d gaps, %d set aside, counts %v", len(led), len(gaps), len(aside), counts)
	}
}

func fullCommit(sink millrace.Sink) *millrace.Commit {
	c := commitAt(Base.Unix(), 5)
	c.Sink, c.Ledger[0].Sink = sink, sink
	c.Clients = []millrace.ClientWindow{{Client: "c", Updated: Base.UnixNano(), State: []byte{1}}}
	c.Gaps = []millrace.Gap{{Sink: sink, From: 1, To: 2, Found: Base.UnixNano(), Reason: "retention"}}
	c.SetAside = []millrace.SetAside{{Sink: sink, Time: Base.UnixNano(), Payload: []byte("x")}}
	return c
}

func testFailedCommit(t *testing.T, s millrace.Store) {
	ctx, def := t.Context(), schema()
	check(t, s.DefineRollups(ctx, []millrace.RollupSchema{def}))
	all := []obs{{at: Base.Unix(), service: "a", weight: 1, rt: 0.5, user: 7}}
	cells, rows := deltas(def, all), eventRows([]ev{{time: Base.UnixNano(), message: "m"}})
	withFailpoint(t, "rollup.commit=error,events.commit=error", func() {
		if s.WriteCells(ctx, cells, fullCommit(millrace.SinkRollup)) == nil {
			t.Fatal("WriteCells succeeded although told to fail")
		}
		if s.WriteEvents(ctx, rows, fullCommit(millrace.SinkEvents)) == nil {
			t.Fatal("WriteEvents succeeded although told to fail")
		}
	})
	nothingStored(t, s)
	check(t, s.WriteCells(ctx, cells, fullCommit(millrace.SinkRollup)))
	check(t, s.WriteEvents(ctx, rows, fullCommit(millrace.SinkEvents)))
	sameCells(t, s, def, all)
	gaps, err := s.Gaps(ctx)
	check(t, err)
	page, err := s.Events(ctx, allEvents())
	check(t, err)
	if len(gaps) != 2 || len(page.Events) != 1 {
		t.Fatalf("after the retry: %d gaps and %d events, want 2 and 1", len(gaps), len(page.Events))
	}
}

func testCancelled(t *testing.T, s millrace.Store) {
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{schema()}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rows := eventRows([]ev{{time: Base.UnixNano()}})
	if s.WriteEvents(ctx, rows, fullCommit(millrace.SinkEvents)) == nil ||
		s.WriteCells(ctx, nil, fullCommit(millrace.SinkRollup)) == nil {
		t.Fatal("a write succeeded although its context had ended")
	}
	nothingStored(t, s)
}

// testIsolation writes in one goroutine what must be seen in whole batches by
// others.
func testIsolation(t *testing.T, s millrace.Store) {
	const rounds, batch = 15, 40
	def := schema()
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{def}))
	var all []obs
	var evs []ev
	for i := range batch {
		all = append(all, obs{at: Base.Unix() + int64(i*60), service: "a", weight: 1, rt: 1, user: 1})
		evs = append(evs, ev{time: Base.UnixNano() + int64(i)*1e9})
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range rounds {
			at := Base.Unix() + int64(i*300)
			if err := s.WriteEvents(t.Context(), eventRows(evs), &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
				t.Errorf("write events: %v", err)
			}
			if err := s.WriteCells(t.Context(), deltas(def, all), commitAt(at, int64(i))); err != nil {
				t.Errorf("write cells: %v", err)
			}
			if _, err := s.Maintain(t.Context(), Base.Add(3*3600e9)); err != nil {
				t.Errorf("maintain: %v", err)
			}
		}
	})
	q := everything(def, def.Sets[0], millrace.Hour)
	q.Step, q.States = 0, []int{0}
	for last, running := int64(0), true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		counts, err := s.CountEvents(t.Context(), allEvents(), 0)
		check(t, err)
		got, err := s.Cells(t.Context(), q)
		check(t, err)
		var events, views int64
		if len(counts) > 0 {
			events = counts[0].Events
		}
		if got.Len() > 0 {
			views = got.States[0].Ints[0]
		}
		if events%batch != 0 || views%batch != 0 || views < last {
			t.Fatalf("readers saw %d events and %d views (%d before), written in batches of %d", events, views, last, batch)
		}
		last = views
		if !running && (events != rounds*batch || views != rounds*batch) {
			t.Fatalf("at the end %d events and %d views, want %d", events, views, rounds*batch)
		}
	}
	wg.Wait()
}
