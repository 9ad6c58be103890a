package metatest

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/millrace/millrace"
)

func wantAbandoned(t *testing.T, m millrace.Commits, want ...int64) {
	t.Helper()
	got, err := m.Abandoned(t.Context())
	check(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("abandoned %v, want %v", got, want)
	}
}

func openIDs(t *testing.T, m millrace.Commits) (ids []int64) {
	t.Helper()
	c, err := m.Cut(t.Context())
	check(t, err)
	for _, f := range c.Open {
		ids = append(ids, f.ID)
	}
	return ids
}

func claim(t *testing.T, ctx context.Context, m millrace.Commits) {
	const sink = millrace.SinkEvents
	touching, others := mustBegin(t, m, sink, 1, 2), mustBegin(t, m, sink, 3)
	rollup, none := mustBegin(t, m, millrace.SinkRollup, 2), mustBegin(t, m, sink)
	both := mustBegin(t, m, sink, 2, 7)
	check(t, m.Claim(ctx, sink, []int32{5, 2}))
	wantAbandoned(t, m, touching, both)
	wantCode(t, m.Commit(ctx, touching, move(sink, millrace.Position{Partition: 1}, At(1, 5))), millrace.ErrConflict)
	check(t, m.Claim(ctx, sink, []int32{}))
	check(t, m.Claim(ctx, sink, []int32{2}))
	if got, want := openIDs(t, m), []int64{others, rollup, none}; !slices.Equal(got, want) {
		t.Errorf("open %v, want %v", got, want)
	}
	// Nil is all partitions; a flush that moves none has no worker to lose.
	check(t, m.Claim(ctx, sink, nil))
	wantAbandoned(t, m, touching, others, both)
	if got, want := openIDs(t, m), []int64{rollup, none}; !slices.Equal(got, want) {
		t.Errorf("open %v, want %v", got, want)
	}
}

func abandon(t *testing.T, ctx context.Context, m millrace.Commits) {
	const sink = millrace.SinkEvents
	a, done, b, open := mustBegin(t, m, sink, 0), mustBegin(t, m, sink, 0), mustBegin(t, m, sink, 0), mustBegin(t, m, sink, 0)
	check(t, m.Commit(ctx, done, move(sink, millrace.Position{}, At(0, 1))))
	check(t, m.Abandon(ctx))
	check(t, m.Hidden(ctx))
	check(t, m.Abandon(ctx, a))
	check(t, m.Abandon(ctx, a))
	wantCode(t, m.Abandon(ctx, done, b), millrace.ErrConflict)
	wantAbandoned(t, m, a, b)
	check(t, m.Hidden(ctx, a))
	check(t, m.Hidden(ctx, a, done, open)) // those that are not abandoned stay
	wantAbandoned(t, m, b)
	check(t, m.Abandon(ctx, a)) // hidden is abandoned too
	wantAbandoned(t, m, b)
	// What is not known is neither committed nor abandoned.
	wantCode(t, m.Abandon(ctx, open+1000), millrace.ErrNotFound)
	wantCode(t, m.Abandon(ctx, open+1000, done, open), millrace.ErrConflict)
	wantAbandoned(t, m, b, open)
	wantPositions(t, m, sink, At(0, 1))
}

func wantState(t *testing.T, m millrace.Commits, want millrace.State) {
	t.Helper()
	if got, err := m.State(t.Context(), want.Name); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("state %+v, %v; want %+v", got, err, want)
	}
}

func states(t *testing.T, ctx context.Context, m millrace.Commits) {
	wantState(t, m, millrace.State{Name: "a"})
	wantCode(t, m.SetState(ctx, millrace.State{Name: "a", Version: 1}), millrace.ErrConflict)
	check(t, m.SetState(ctx, millrace.State{Name: "a", Value: []byte("x\x00")}))
	wantState(t, m, millrace.State{Name: "a", Value: []byte("x\x00"), Version: 1})
	wantCode(t, m.SetState(ctx, millrace.State{Name: "a", Value: []byte("y")}), millrace.ErrConflict)
	wantCode(t, m.SetState(ctx, millrace.State{Name: "a", Value: []byte("y"), Version: 2}), millrace.ErrConflict)
	check(t, m.SetState(ctx, millrace.State{Name: "a", Version: 1}))
	wantState(t, m, millrace.State{Name: "a", Value: []byte{}, Version: 2})
	wantState(t, m, millrace.State{Name: "b"})
}

// A commit can rest on states, which others may change.
func expect(t *testing.T, ctx context.Context, m millrace.Commits) {
	const sink = millrace.SinkRollup
	flush := mustBegin(t, m, sink, 0, 1)
	with := func(c *millrace.Commit, states ...millrace.State) *millrace.Commit {
		c.Expect = states
		return c
	}
	c := full(sink)
	wantCode(t, m.Commit(ctx, flush, with(c, millrace.State{Name: "a", Version: 1})), millrace.ErrConflict)
	check(t, m.SetState(ctx, millrace.State{Name: "b", Value: []byte("v")}))
	wantCode(t, m.Commit(ctx, flush, with(c, millrace.State{Name: "a"}, millrace.State{Name: "b"})), millrace.ErrConflict)
	wantPositions(t, m, sink)
	check(t, m.Commit(ctx, flush, with(c, millrace.State{Name: "a"}, millrace.State{Name: "b", Version: 1})))
	unchanged(t, m, sink)
	// To expect none is not to make one.
	wantState(t, m, millrace.State{Name: "a"})
	check(t, m.SetState(ctx, millrace.State{Name: "a"}))
}

func settle(t *testing.T, ctx context.Context, m millrace.Commits) {
	check(t, m.SetState(ctx, millrace.State{Name: "levels", Value: []byte("0")}))
	flush := mustBegin(t, m, millrace.SinkRollup)
	stale := []millrace.State{{Name: "other", Value: []byte("o")}, {Name: "levels", Value: []byte("2")}}
	wantCode(t, m.Settle(ctx, flush, stale...), millrace.ErrConflict)
	wantState(t, m, millrace.State{Name: "other"})
	stale[1].Version = 1
	check(t, m.Settle(ctx, flush, stale...))
	wantState(t, m, millrace.State{Name: "other", Value: []byte("o"), Version: 1})
	wantState(t, m, millrace.State{Name: "levels", Value: []byte("2"), Version: 2})
	if open := openIDs(t, m); len(open) != 0 {
		t.Errorf("open %v after it was settled", open)
	}
	wantCode(t, m.Abandon(ctx, flush), millrace.ErrConflict)
}

func cut(t *testing.T, ctx context.Context, m millrace.Commits) {
	c, err := m.Cut(ctx)
	check(t, err)
	if len(c.Positions) != 0 || len(c.Open) != 0 {
		t.Errorf("cut of an empty database: %+v", c)
	}
	first := mustBegin(t, m, millrace.SinkEvents, 0)
	check(t, m.Commit(ctx, first, move(millrace.SinkEvents, millrace.Position{}, At(0, 5))))
	open := mustBegin(t, m, millrace.SinkRollup, 0, 3)
	check(t, m.Abandon(ctx, mustBegin(t, m, millrace.SinkEvents, 0)))
	last := mustBegin(t, m, millrace.SinkRollup, 1)
	check(t, m.Commit(ctx, last, move(millrace.SinkRollup, millrace.Position{Partition: 1}, At(1, 6))))
	c, err = m.Cut(ctx)
	check(t, err)
	want := map[millrace.Sink][]millrace.Position{millrace.SinkEvents: {At(0, 5)}, millrace.SinkRollup: {At(1, 6)}}
	if !reflect.DeepEqual(c.Positions, want) || c.Newest != last || len(c.Open) != 1 || c.Open[0].ID != open {
		t.Errorf("cut %+v, want positions %+v, newest %d, open %d", c, want, last, open)
	}
}
