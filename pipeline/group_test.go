package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// fakeGroup shares partitions out at random; it may give a partition to two
// workers at once, as a group does when one of them was paused past its session.
type fakeGroup struct {
	mu      sync.Mutex
	members map[int]Handler
	owned   map[int][]int32
}

type fakeMember struct {
	g *fakeGroup
	n int
}

func (g *fakeGroup) join(n int) func(context.Context, Handler) (Membership, error) {
	return func(_ context.Context, h Handler) (Membership, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.members[n] = h
		return &fakeMember{g, n}, nil
	}
}

func (m *fakeMember) Commit(context.Context, []millrace.Position) error { return nil }

func (m *fakeMember) Healthy() error { return nil }

func (m *fakeMember) Close(context.Context) error {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	delete(m.g.members, m.n)
	delete(m.g.owned, m.n)
	return nil
}

// share gives each partition to one member, or to several if overlap says so. A
// member that loses one is asked first, or told afterwards, or never told.
func (g *fakeGroup) share(ctx context.Context, rng *rand.Rand, partitions int32, overlap bool) {
	g.mu.Lock()
	next := map[int][]int32{}
	var members []int
	for n := range g.members {
		members = append(members, n)
	}
	slices.Sort(members)
	for p := range partitions {
		n := members[rng.IntN(len(members))]
		next[n] = append(next[n], p)
		for _, o := range members {
			if overlap && o != n && rng.IntN(3) == 0 {
				next[o] = append(next[o], p)
			}
		}
	}
	handlers, old := map[int]Handler{}, g.owned
	for _, n := range members {
		handlers[n] = g.members[n]
	}
	g.owned = next
	g.mu.Unlock()
	for _, n := range members { // first all give up, then all get
		left := slices.DeleteFunc(slices.Clone(old[n]), func(p int32) bool { return !slices.Contains(next[n], p) })
		if len(left) < len(old[n]) {
			if rng.IntN(3) == 0 {
				handlers[n].Lost(ctx, left)
			} else {
				handlers[n].Revoking(ctx, left)
			}
		}
	}
	for _, n := range members {
		handlers[n].Assigned(ctx, next[n])
	}
}

// startMember runs a worker of the group until the function returned is called.
func (r *rig) startMember(g *fakeGroup, n int) (stop func()) {
	r.t.Helper()
	p := New(r.opts, Deps{
		Queue: r.queue, Store: r.store, Rollups: r.rollups, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Join:  g.join(n),
		Alone: func(ctx context.Context, _ string, do func(context.Context)) { do(ctx) },
	})
	r.p = p
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	for joined := false; !joined; time.Sleep(time.Millisecond) {
		g.mu.Lock()
		joined = g.members[n] != nil
		g.mu.Unlock()
	}
	return func() {
		cancel()
		<-done
	}
}

// TestGroupEqualsOneWorker: three workers whose partitions are shared out anew all
// the time, also to two of them at once, count what one worker counts.
func TestGroupEqualsOneWorker(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			one, many := newRig(t), newRig(t)
			many.opts.FlushRows = 101
			one.start()
			g := &fakeGroup{members: map[int]Handler{}, owned: map[int][]int32{}}
			stops := make([]func(), 3)
			for n := range stops {
				stops[n] = many.startMember(g, n)
			}
			rng := rand.New(rand.NewPCG(seed, 9))
			for seq := range int64(120) {
				lines := accessLines(rng, 1+rng.IntN(50))
				rec := millrace.Record{Client: fmt.Sprint("client", seq%7), Seq: seq / 7, Source: fmt.Sprint("s", seq%2)}
				one.send(rec, lines...)
				for range 1 + rng.IntN(2) {
					many.send(rec, lines...)
				}
				if rng.IntN(4) == 0 {
					g.share(t.Context(), rng, 3, rng.IntN(2) == 0)
				}
				if rng.IntN(12) == 0 {
					n := rng.IntN(len(stops))
					stops[n]()
					stops[n] = many.startMember(g, n)
				}
			}
			g.share(t.Context(), rng, 3, false)
			one.drain()
			many.drain()
			for _, stop := range stops {
				stop()
			}
			if got, want := dump(t, many.store, many.rollups), dump(t, one.store, one.rollups); got != want || got == "" {
				t.Errorf("cells differ: %d bytes, want %d", len(got), len(want))
			}
			if got, want := many.stored(), one.stored(); got != want {
				t.Errorf("%d rows, want %d", got, want)
			}
			if e, r := many.ledger(millrace.SinkEvents), many.ledger(millrace.SinkRollup); e != r {
				t.Errorf("accounts of the sinks differ:\n%s\n%s", e, r)
			}
		})
	}
}

// TestRevokingWaitsForTheFlush: what a worker holds of a partition is committed
// before the next one gets it.
func TestRevokingWaitsForTheFlush(t *testing.T) {
	r := newRig(t)
	r.opts.FlushInterval, r.opts.RollupInterval = millrace.Duration(time.Minute), millrace.Duration(time.Minute)
	g := &fakeGroup{members: map[int]Handler{}, owned: map[int][]int32{}}
	stop := r.startMember(g, 0)
	defer stop()
	if err := r.p.Reconfigure(t.Context(), r.opts, r.rollups); err != nil { // with no partition to read
		t.Fatal(err)
	}
	g.members[0].Assigned(t.Context(), []int32{0, 1, 2})
	r.send(millrace.Record{Client: "c"}, accessLines(rand.New(rand.NewPCG(1, 2)), 500)...)
	for decoded := int64(0); decoded < 500; time.Sleep(time.Millisecond) {
		for _, s := range r.p.Status().Stages {
			if s.Name == "decode" {
				decoded = s.Events
			}
		}
	}
	if n := r.stored(); n != 0 {
		t.Fatalf("%d rows before their time", n)
	}
	for r.stored() == 0 { // the sinks may not have taken the unit yet
		g.members[0].Revoking(t.Context(), nil)
		g.members[0].Assigned(t.Context(), []int32{0, 1, 2})
		time.Sleep(10 * time.Millisecond)
	}
	g.members[0].Revoking(t.Context(), nil)
	if n := r.stored(); n != 500 {
		t.Errorf("%d rows after all was given up", n)
	}
}
