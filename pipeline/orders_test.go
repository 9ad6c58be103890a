package pipeline

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// until waits for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestPause: a paused worker stores what it holds and reads nothing more, and
// goes on where it was.
func TestPause(t *testing.T) {
	r := newRig(t)
	rng := rand.New(rand.NewPCG(1, 2))
	r.start()
	r.send(millrace.Record{}, accessLines(rng, 10)...)
	r.drain()
	r.p.Follow(&millrace.Plan{Pause: true}, false)
	r.send(millrace.Record{}, accessLines(rng, 10)...)
	time.Sleep(20 * r.opts.FlushInterval.Std())
	if n := r.stored(); n != 10 || !r.p.Status().Paused {
		t.Errorf("%d rows while paused, want 10: %+v", n, r.p.Status())
	}
	if err := r.p.Reconfigure(t.Context(), r.opts, r.rollups); err != nil {
		t.Error(err)
	}
	r.p.Follow(&millrace.Plan{}, false)
	r.drain()
	if n := r.stored(); n != 20 {
		t.Errorf("%d rows, want 20", n)
	}
	r.p.Follow(&millrace.Plan{Pause: true}, false)
	r.halt() // a paused worker ends
}

// TestDrain: a drained worker stores what it holds, leaves its group and comes
// back when it may; what is to be reconfigured meanwhile is.
func TestDrain(t *testing.T) {
	r := newRig(t)
	g := &fakeGroup{members: map[int]Handler{}, owned: map[int][]int32{}}
	rng := rand.New(rand.NewPCG(3, 4))
	stop := r.startMember(g, 0)
	defer func() { stop() }()
	members := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.members)
	}
	if r.p.Status().Outside == nil {
		t.Error("joined before the group has agreed on anything")
	}
	g.share(t.Context(), rng, 3, false)
	if err := r.p.Status().Outside; err != nil {
		t.Error(err)
	}
	for round := range 5 {
		r.send(millrace.Record{}, accessLines(rng, 20)...)
		r.drain()
		r.send(millrace.Record{}, accessLines(rng, 20)...)
		r.p.Follow(&millrace.Plan{Drain: []string{"me"}}, true)
		until(t, "drained", func() bool { return r.p.Status().Drained })
		if st := r.p.Status(); members() != 0 || len(st.Owned) > 0 || st.Outside == nil {
			t.Fatalf("%d members, %+v", members(), st)
		}
		if n := r.stored(); n != int64(40*round+20) && n != int64(40*round+40) {
			t.Errorf("%d rows in round %d", n, round)
		}
		if err := r.p.Reconfigure(t.Context(), r.opts, r.rollups); err != nil {
			t.Error(err)
		}
		r.p.Follow(&millrace.Plan{}, false)
		until(t, "a member again", func() bool { return members() == 1 })
		g.share(t.Context(), rng, 3, false)
		r.drain()
	}
	r.p.Follow(&millrace.Plan{}, true)
	until(t, "drained", func() bool { return r.p.Status().Drained })
	stop() // a drained worker ends
	stop = func() {}
	if n := r.stored(); n != 200 {
		t.Errorf("%d rows, want 200", n)
	}
}

// TestFlushRows: transactions are as large as the plan says, at once when it says
// less.
func TestFlushRows(t *testing.T) {
	r := newRig(t)
	rng := rand.New(rand.NewPCG(5, 6))
	var most atomic.Int64
	r.store.before = func(_ millrace.Sink, rows *millrace.EventRows) error {
		if rows != nil {
			most.Store(max(most.Load(), int64(rows.Len())))
		}
		return nil
	}
	r.start()
	for i, want := range []int{0, 7, 50, 0} {
		r.p.Follow(&millrace.Plan{FlushRows: want}, false)
		for range 6 { // a limit that grows doubles with each transaction
			most.Store(0)
			r.send(millrace.Record{}, accessLines(rng, 500)...)
			r.drain()
		}
		if want == 0 {
			want = 500
		}
		if got := most.Load(); got > int64(want) || got < int64(want)*9/10 {
			t.Errorf("%d: transactions of up to %d rows, want %d", i, got, want)
		}
	}
}

// TestMaxRate: the limit that is set bounds what is read, whatever the controller
// would allow, until it is lifted.
func TestMaxRate(t *testing.T) {
	for _, free := range []bool{false, true} {
		t.Run(fmt.Sprint("free ", free), func(t *testing.T) {
			now := time.Unix(1_800_000_000, 0)
			p := newPace(func() time.Time { return now })
			p.free = free
			p.flushed(millrace.SinkEvents, 1000, time.Second, 0, time.Second) // 1000/s, if there is a controller
			p.limit(500)
			began, events := now, 0
			for range 1000 {
				events += 37
				now = now.Add(p.take(37))
			}
			rate := float64(events) / now.Sub(began).Seconds()
			if math.Abs(rate-500) > 10 {
				t.Errorf("%.0f events a second, want 500", rate)
			}
			p.limit(100_000)
			p.take(0)
			want := 1000.0
			if free {
				want = 100_000
			}
			if rate, _ := p.rate(); rate != want {
				t.Errorf("rate %v, want %v", rate, want)
			}
			p.limit(0)
			if wait := p.take(1_000_000); free != (wait == 0) {
				t.Errorf("waits %v without a limit", wait)
			}
		})
	}
}

// TestHoldEndsWhenTheLimitIsLifted: a wait of minutes is looked at again.
func TestHoldEndsWhenTheLimitIsLifted(t *testing.T) {
	p := newPace(time.Now)
	p.free = true
	p.limit(100)
	p.take(100_000)
	time.AfterFunc(20*time.Millisecond, func() { p.limit(0) })
	began := time.Now()
	if !p.hold(t.Context(), 1) || time.Since(began) > 5*time.Second {
		t.Errorf("held for %v", time.Since(began))
	}
}
