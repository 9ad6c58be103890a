package metatest

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// RunCommits tests an implementation of millrace.Commits. open returns an empty
// one and sees to its end.
func RunCommits(t *testing.T, open func(t *testing.T) millrace.Commits) {
	f := func(name string, test func(*testing.T, context.Context, millrace.Commits)) {
		t.Run(name, func(t *testing.T) { test(t, t.Context(), open(t)) })
	}
	f("begin", begin)
	f("commit round trip", commitRoundTrip)
	f("commit large", commitLarge)
	f("commit odd text", commitOddText)
	f("commit retired values", commitRetired)
	f("commit stale positions", commitStale)
	f("commit ended flush", commitEnded)
	f("commit of another flush", commitForeign)
	f("commit cancelled", commitCancelled)
	f("claim", claim)
	f("abandon", abandon)
	f("states", states)
	f("expected states", expect)
	f("settle", settle)
	f("cut", cut)
	f("cut under load", cutUnderLoad)
	f("commit race", commitRace)
	f("commit and abandon race", abandonRace)
	f("states race", statesRace)
	f("random operations", randomOperations)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBegin(t *testing.T, m millrace.Commits, sink millrace.Sink, partitions ...int32) int64 {
	t.Helper()
	f, err := m.Begin(t.Context(), sink, partitions, "node-1")
	check(t, err)
	return f.ID
}

// At returns a position for tests.
func At(partition int32, offset int64) millrace.Position {
	return millrace.Position{Partition: partition, Generation: 1, TopicID: "topic", Offset: offset, MaxTime: offset * 10}
}

func move(sink millrace.Sink, from, to millrace.Position) *millrace.Commit {
	return &millrace.Commit{Sink: sink, From: []millrace.Position{from}, Positions: []millrace.Position{to}}
}

func loaded(t *testing.T, m millrace.Commits, sink millrace.Sink) *millrace.SinkState {
	t.Helper()
	st, err := m.Load(t.Context(), sink)
	check(t, err)
	return st
}

func wantPositions(t *testing.T, m millrace.Commits, sink millrace.Sink, want ...millrace.Position) {
	t.Helper()
	if got := loaded(t, m, sink).Positions; !slices.Equal(got, want) {
		t.Errorf("positions of %s: %+v, want %+v", sink, got, want)
	}
}

func begin(t *testing.T, ctx context.Context, m millrace.Commits) {
	var last *millrace.Flush
	for range 5 {
		before := time.Now()
		f, err := m.Begin(ctx, millrace.SinkEvents, []int32{9, 2, 9, 5}, "node-1")
		check(t, err)
		if f.Sink != millrace.SinkEvents || f.Node != "node-1" || !slices.Equal(f.Partitions, []int32{2, 5, 9}) {
			t.Errorf("flush %+v", f)
		}
		// The database's clock is this machine's here, and exact to a millisecond.
		if d := f.Begun.Sub(before); d < -2*time.Millisecond || d > time.Minute {
			t.Errorf("begun %v after now", d)
		}
		if f.ID <= 0 || last != nil && (f.ID <= last.ID || f.Begun.Before(last.Begun)) {
			t.Errorf("flush %d begun %v after %+v", f.ID, f.Begun, last)
		}
		last = f
	}
	c, err := m.Cut(ctx)
	check(t, err)
	if len(c.Open) != 5 || !reflect.DeepEqual(&c.Open[4], last) {
		t.Errorf("open %+v, want as the last %+v", c.Open, last)
	}
}

func full(sink millrace.Sink) *millrace.Commit {
	at := time.Unix(1_800_000_000, 5).UnixNano()
	return &millrace.Commit{
		Sink: sink, From: []millrace.Position{{Partition: 0}, {Partition: 1}},
		Positions: []millrace.Position{At(0, 7), {Partition: 1, Generation: 2, TopicID: "x", Offset: 10, Ordinal: 3, MaxTime: -5}},
		Clients:   []millrace.ClientWindow{{Client: "c", Updated: at, State: []byte{0, 1}}, {Client: "a'b", Updated: at, State: []byte{}}},
		Ledger:    []millrace.LedgerEntry{{Sink: sink, Project: "p", Source: "s", Outcome: millrace.OutcomeReceived, Events: 1}},
		Gaps: []millrace.Gap{
			{Sink: sink, Partition: 1, Generation: 1, From: 5, To: -1, Found: at + 1, Reason: "retention"},
			{Sink: sink, Partition: 0, Generation: 1, From: 1, To: 2, Found: at, Reason: "hole"},
		},
		SetAside: []millrace.SetAside{
			{Sink: sink, Partition: 1, Generation: 2, Offset: 9, Ordinal: -1, Time: at, Project: "p", Source: "s", Stage: "decode", Reason: "panic: x", Payload: []byte("x\x00\xff")},
			{Sink: sink, Partition: 1, Generation: 2, Offset: 8, Ordinal: 4, Time: at + 1, Project: "p", Source: "s", Payload: []byte{}},
		},
	}
}

func commitRoundTrip(t *testing.T, ctx context.Context, m millrace.Commits) {
	if st := loaded(t, m, millrace.SinkRollup); len(st.Positions)+len(st.Clients)+len(st.Admitted) != 0 {
		t.Fatalf("a new database has state %+v", st)
	}
	c := full(millrace.SinkRollup)
	c.Admitted = []millrace.Admission{{Rollup: "traffic", Dimension: "url", Value: "/a"}, {Rollup: "traffic", Dimension: "host", Value: ""}}
	check(t, m.Commit(ctx, mustBegin(t, m, millrace.SinkRollup, 0, 1), c))
	check(t, m.Commit(ctx, mustBegin(t, m, millrace.SinkEvents, 0, 1), full(millrace.SinkEvents)))
	next := &millrace.Commit{
		Sink: millrace.SinkRollup, From: []millrace.Position{At(0, 7)}, Positions: []millrace.Position{At(0, 8)},
		Clients: []millrace.ClientWindow{{Client: "c", Updated: 1_800_000_001e9, State: []byte{2}}},
	}
	check(t, m.Commit(ctx, mustBegin(t, m, millrace.SinkRollup, 0), next))

	want := &millrace.SinkState{
		Positions: []millrace.Position{At(0, 8), c.Positions[1]},
		Clients:   []millrace.ClientWindow{c.Clients[1], next.Clients[0]},
		Admitted:  []millrace.Admission{c.Admitted[1], c.Admitted[0]},
	}
	if got := loaded(t, m, millrace.SinkRollup); !reflect.DeepEqual(got, want) {
		t.Errorf("rollup sink\n got %+v\nwant %+v", got, want)
	}
	if got := loaded(t, m, millrace.SinkEvents); len(got.Positions) != 2 || len(got.Clients) != 2 || len(got.Admitted) != 0 {
		t.Errorf("events sink %+v", got)
	}
	gaps, err := m.Gaps(ctx)
	check(t, err)
	e := full(millrace.SinkEvents)
	if want := []millrace.Gap{e.Gaps[1], c.Gaps[1], e.Gaps[0], c.Gaps[0]}; !slices.Equal(gaps, want) {
		t.Errorf("gaps %+v, want %+v", gaps, want)
	}
	aside, err := m.SetAside(ctx, 3)
	check(t, err)
	if len(aside) != 3 || aside[0].Offset != 8 || aside[1].Offset != 8 || !reflect.DeepEqual(aside[2].Payload, c.SetAside[0].Payload) || aside[2].Ordinal != -1 {
		t.Errorf("set aside %+v", aside)
	}
}

func commitLarge(t *testing.T, ctx context.Context, m millrace.Commits) {
	const clients, partitions = 2500, 300
	c := &millrace.Commit{Sink: millrace.SinkEvents, From: []millrace.Position{}}
	var list []int32
	for i := range int32(partitions) {
		list = append(list, i)
		c.From = append(c.From, millrace.Position{Partition: i})
		c.Positions = append(c.Positions, At(i, int64(i)))
	}
	for i := range clients {
		c.Clients = append(c.Clients, millrace.ClientWindow{
			Client: strings.Repeat("c", 8+i%50) + time.Duration(i).String(), Updated: 1_900_000_000e9 + int64(i), State: []byte(strings.Repeat("s", i%300)),
		})
	}
	c.SetAside = []millrace.SetAside{{Sink: c.Sink, Time: 1, Payload: []byte(strings.Repeat("p", 1<<20))}}
	check(t, m.Commit(ctx, mustBegin(t, m, c.Sink, list...), c))
	want := slices.Clone(c.Clients)
	slices.SortFunc(want, func(a, b millrace.ClientWindow) int { return strings.Compare(a.Client, b.Client) })
	st := loaded(t, m, c.Sink)
	if !slices.Equal(st.Positions, c.Positions) || !reflect.DeepEqual(st.Clients, want) {
		t.Errorf("%d positions and %d clients came back, or others", len(st.Positions), len(st.Clients))
	}
}

// What comes out of lines may be any bytes: values come back as they are, and
// text for people is stored somehow.
func commitOddText(t *testing.T, ctx context.Context, m millrace.Commits) {
	odd := "a\x00b\xff\"'\\\n" + strings.Repeat("é", 1024)
	c := full(millrace.SinkRollup)
	c.Admitted = []millrace.Admission{{Rollup: "r", Dimension: "url", Value: odd}, {Rollup: "r", Dimension: "url", Value: "b"}}
	c.Gaps[0].Reason, c.SetAside[0].Reason, c.SetAside[0].Source = odd, odd, odd
	check(t, m.Commit(ctx, mustBegin(t, m, c.Sink, 0, 1), c))
	if got := loaded(t, m, c.Sink).Admitted; !slices.Equal(got, c.Admitted) {
		t.Errorf("admitted %q", got)
	}
	gaps, err := m.Gaps(ctx)
	check(t, err)
	if len(gaps) != 2 || !strings.Contains(gaps[1].Reason, "ééé") {
		t.Errorf("gaps %+v", gaps)
	}
	check(t, m.Commit(ctx, mustBegin(t, m, c.Sink, 0, 1), &millrace.Commit{Sink: c.Sink, Retired: c.Admitted[:1]}))
	if got := loaded(t, m, c.Sink).Admitted; !slices.Equal(got, c.Admitted[1:]) {
		t.Errorf("admitted after one was retired: %q", got)
	}
}

func commitRetired(t *testing.T, ctx context.Context, m millrace.Commits) {
	of := func(dimension string, values ...string) (out []millrace.Admission) {
		for _, v := range values {
			out = append(out, millrace.Admission{Rollup: "traffic", Dimension: dimension, Value: v})
		}
		return out
	}
	write := func(c *millrace.Commit) {
		t.Helper()
		c.Sink = millrace.SinkRollup
		check(t, m.Commit(ctx, mustBegin(t, m, c.Sink), c))
	}
	write(&millrace.Commit{Admitted: append(of("url", "/a", "/b", "/a"), of("host", "/a", "h")...)})
	write(&millrace.Commit{Retired: of("url", "/a", "/b", "/never"), Admitted: of("url", "/a", "/c")})
	want := append(of("host", "/a", "h"), of("url", "/a", "/c")...)
	if got := loaded(t, m, millrace.SinkRollup).Admitted; !slices.Equal(got, want) {
		t.Errorf("admitted %v, want %v", got, want)
	}
}

// nothing fails unless there is only what a full commit left.
func unchanged(t *testing.T, m millrace.Commits, sink millrace.Sink) {
	t.Helper()
	want := full(sink)
	wantPositions(t, m, sink, want.Positions...)
	st := loaded(t, m, sink)
	gaps, err := m.Gaps(t.Context())
	check(t, err)
	aside, err := m.SetAside(t.Context(), 100)
	check(t, err)
	if len(st.Clients) != len(want.Clients) || len(st.Admitted) != 0 || len(gaps) != len(want.Gaps) || len(aside) != len(want.SetAside) {
		t.Errorf("a refused commit left something behind: %+v, %d gaps, %d set aside", st, len(gaps), len(aside))
	}
}

func commitStale(t *testing.T, ctx context.Context, m millrace.Commits) {
	const sink = millrace.SinkRollup
	check(t, m.Commit(ctx, mustBegin(t, m, sink, 0, 1), full(sink)))
	flush := mustBegin(t, m, sink, 0, 1, 2)
	for name, from := range map[string][]millrace.Position{
		"a first commit":        {{Partition: 0}},
		"an older position":     {At(0, 6)},
		"another generation":    {{Partition: 0, Generation: 2, TopicID: "topic", Offset: 7}},
		"in the middle":         {{Partition: 0, Generation: 1, TopicID: "topic", Offset: 7, Ordinal: 1}},
		"of no such topic":      {{Partition: 0, Generation: 1, TopicID: "other", Offset: 7}},
		"with one that is well": {At(0, 7), {Partition: 2}, {Partition: 1}},
		"of one never stored":   {At(2, 7)},
	} {
		c := full(sink)
		c.From = from
		c.Admitted = []millrace.Admission{{Rollup: "r", Dimension: "d", Value: "v"}}
		err := m.Commit(ctx, flush, c)
		wantCode(t, err, millrace.ErrConflict)
		if err != nil && !strings.Contains(err.Error(), "partition ") {
			t.Errorf("%s: %v does not name the partition", name, err)
		}
		unchanged(t, m, sink)
	}
	// The flush is as it was, and so are the positions that were only looked at.
	check(t, m.Commit(ctx, flush, &millrace.Commit{Sink: sink, From: []millrace.Position{At(0, 7), {Partition: 2}}, Positions: []millrace.Position{At(0, 9)}}))
	wantPositions(t, m, sink, At(0, 9), full(sink).Positions[1])
	// Nil is not compared.
	check(t, m.Commit(ctx, mustBegin(t, m, sink, 0), &millrace.Commit{Sink: sink, Positions: []millrace.Position{At(0, 3)}}))
	wantPositions(t, m, sink, At(0, 3), full(sink).Positions[1])
}

func commitEnded(t *testing.T, ctx context.Context, m millrace.Commits) {
	const sink = millrace.SinkEvents
	done := mustBegin(t, m, sink, 0, 1)
	check(t, m.Commit(ctx, done, full(sink)))
	abandoned, hidden, settled := mustBegin(t, m, sink, 0), mustBegin(t, m, sink, 0), mustBegin(t, m, sink)
	check(t, m.Abandon(ctx, abandoned, hidden))
	check(t, m.Hidden(ctx, hidden))
	check(t, m.Settle(ctx, settled))
	for name, flush := range map[string]int64{"committed": done, "abandoned": abandoned, "hidden": hidden, "settled": settled, "never begun": settled + 1000} {
		c := move(sink, At(0, 7), At(0, 8))
		c.Clients = []millrace.ClientWindow{{Client: "new", Updated: 1_900_000_000e9}}
		if err := m.Commit(ctx, flush, c); millrace.ErrorCode(err) != millrace.ErrConflict {
			t.Errorf("%s: commit: %v", name, err)
		}
		if err := m.Settle(ctx, flush, millrace.State{Name: name}); millrace.ErrorCode(err) != millrace.ErrConflict {
			t.Errorf("%s: settle: %v", name, err)
		}
		if st, err := m.State(ctx, name); err != nil || st.Version != 0 {
			t.Errorf("%s: state %+v, %v", name, st, err)
		}
	}
	unchanged(t, m, sink)
}

func commitForeign(t *testing.T, ctx context.Context, m millrace.Commits) {
	flush := mustBegin(t, m, millrace.SinkEvents, 0, 1)
	wantCode(t, m.Commit(ctx, flush, full(millrace.SinkRollup)), millrace.ErrInvalid)
	c := full(millrace.SinkEvents)
	c.Positions = append(c.Positions, At(2, 1))
	wantCode(t, m.Commit(ctx, flush, c), millrace.ErrInvalid)
	wantPositions(t, m, millrace.SinkEvents)
	check(t, m.Commit(ctx, flush, full(millrace.SinkEvents)))
}

func commitCancelled(t *testing.T, ctx context.Context, m millrace.Commits) {
	flush := mustBegin(t, m, millrace.SinkEvents, 0, 1)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if m.Commit(ended, flush, full(millrace.SinkEvents)) == nil {
		t.Error("a commit succeeded although its context had ended")
	}
	if _, err := m.Begin(ended, millrace.SinkEvents, nil, ""); err == nil {
		t.Error("a flush was begun although its context had ended")
	}
	wantPositions(t, m, millrace.SinkEvents)
	check(t, m.Commit(ctx, flush, full(millrace.SinkEvents)))
}
