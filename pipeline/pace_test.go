package pipeline

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// plant is a store in simulated time: a flush costs a fixed time and one per
// event, and the next one waits for it.
type plant struct {
	t        *testing.T
	now      time.Time
	p        *pace
	held     float64 // events read and not yet flushed
	free     time.Time
	perEvent float64 // seconds
	load     float64 // events a second that could be read
	worst    time.Duration
	stored   float64
}

func newPlant(t *testing.T) *plant {
	pl := &plant{t: t, now: time.Unix(1_800_000_000, 0)}
	pl.p = newPace(func() time.Time { return pl.now })
	return pl
}

const (
	plantInterval = time.Second
	plantFixed    = 0.05
	plantStep     = 10 * time.Millisecond
)

// run simulates a time in steps. Reading stops while the pace says so, as the
// pump does.
func (pl *plant) run(d time.Duration) {
	end := pl.now.Add(d)
	pl.worst, pl.stored = 0, 0
	since, until := pl.now, pl.now
	for pl.now.Before(end) {
		pl.now = pl.now.Add(plantStep)
		if !pl.now.Before(until) {
			n := pl.load * plantStep.Seconds()
			until = pl.now.Add(pl.p.take(int(math.Ceil(n))))
			pl.held += n
		}
		if pl.now.Sub(since) < plantInterval || pl.now.Before(pl.free) || pl.held < 1 {
			continue
		}
		delay := max(0, pl.now.Sub(since)-plantInterval)
		took := time.Duration((plantFixed + pl.held*pl.perEvent) * float64(time.Second))
		pl.worst = max(pl.worst, took)
		pl.free = pl.now.Add(took)
		pl.p.flushed(millrace.SinkEvents, int(pl.held), took, delay, plantInterval)
		pl.stored += pl.held
		pl.held, since = 0, pl.now
	}
}

// TestPaceFollowsTheStore: after every step of load or of the store's speed the
// rate comes within a quarter of what the store can take, and flushes take about
// an interval.
func TestPaceFollowsTheStore(t *testing.T) {
	pl := newPlant(t)
	pl.perEvent = 1 / 50_000.0
	for _, step := range []struct {
		name           string
		load, perEvent float64
		want           float64 // events a second stored; 0: all of the load
	}{
		{"half load", 25_000, 1 / 50_000.0, 0},
		{"overload", 400_000, 1 / 50_000.0, 47_500},
		{"the store is ten times slower", 400_000, 1 / 5_000.0, 4_750},
		{"and recovers", 400_000, 1 / 50_000.0, 47_500},
		{"and is faster than ever", 400_000, 1 / 200_000.0, 190_000},
		{"little load", 1_000, 1 / 200_000.0, 0},
		{"overload from little", 400_000, 1 / 200_000.0, 190_000},
	} {
		pl.load, pl.perEvent = step.load, step.perEvent
		pl.run(60 * time.Second) // to settle
		pl.run(60 * time.Second)
		got, want := pl.stored/60, step.want
		if want == 0 {
			want = step.load
		}
		state := fmt.Sprintf("%s: %.0f events/s stored, %.0f expected, flushes of up to %v, %+v", step.name, got, want, pl.worst, pl.p.status())
		t.Log(state)
		if got < 0.75*want || got > 1.1*want {
			t.Error(state)
		}
		if pl.worst > 2500*time.Millisecond {
			t.Errorf("flushes too long: %s", state)
		}
	}
}

// TestPaceWithoutFlushes: nothing is held back before the store was seen to be
// slow, and a nil pace never holds.
func TestPaceWithoutFlushes(t *testing.T) {
	p := newPace(time.Now)
	if wait := p.take(1 << 30); wait != 0 {
		t.Errorf("waits %v before the first flush", wait)
	}
	var none *pace
	if none.flushed(millrace.SinkEvents, 1, 1, 0, 1); !none.hold(t.Context(), 1<<30) || none.status() != nil {
		t.Error("no pace holds events back")
	}
}
