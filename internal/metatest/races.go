package metatest

import (
	"context"
	"sync"
	"testing"

	"github.com/millrace/millrace"
)

// attempt is a flush of cutUnderLoad and what became of it.
type attempt struct {
	partition int32
	committed bool
}

// cutUnderLoad has workers that begin, commit and abandon while cuts are taken.
// Each commit moves its partition by one, so that a cut is right exactly if its
// positions are the numbers of committed flushes up to Newest less Open.
func cutUnderLoad(t *testing.T, ctx context.Context, m millrace.Commits) {
	const workers, each = 4, 40
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		attempts = map[int64]attempt{}
		cuts     []*millrace.Cut
	)
	for w := range int32(workers) {
		wg.Go(func() {
			for id, a := range loadWorker(t, ctx, m, w, each) {
				mu.Lock()
				attempts[id] = a
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		c, err := m.Cut(ctx)
		check(t, err)
		cuts = append(cuts, c)
	}
	for i, c := range cuts {
		open := map[int64]bool{}
		for _, f := range c.Open {
			open[f.ID] = true
		}
		want := make([]int64, workers)
		for id, a := range attempts {
			if id <= c.Newest && !open[id] && a.committed {
				want[a.partition]++
			}
		}
		got := make([]int64, workers)
		for _, p := range c.Positions[millrace.SinkEvents] {
			got[p.Partition] = p.Offset
		}
		for p := range want {
			if got[p] != want[p] {
				t.Errorf("cut %d: partition %d is at %d, want %d of flushes up to %d without %v", i, p, got[p], want[p], c.Newest, open)
			}
		}
	}
}

func loadWorker(t *testing.T, ctx context.Context, m millrace.Commits, partition int32, rounds int) map[int64]attempt {
	out := map[int64]attempt{}
	at := millrace.Position{Partition: partition}
	for i := range rounds {
		f, err := m.Begin(ctx, millrace.SinkEvents, []int32{partition}, "node")
		if err != nil {
			t.Error(err)
			return out
		}
		if i%5 == 3 {
			err = m.Abandon(ctx, f.ID)
			out[f.ID] = attempt{partition, false}
		} else {
			to := At(partition, at.Offset+1)
			err = m.Commit(ctx, f.ID, move(millrace.SinkEvents, at, to))
			at = to
			out[f.ID] = attempt{partition, true}
		}
		if err != nil {
			t.Error(err)
		}
	}
	return out
}

// commitRace has several that believe they own the same partitions; from each
// position one gets on. Partitions that nobody committed before are no exception.
func commitRace(t *testing.T, ctx context.Context, m millrace.Commits) {
	const workers, rounds = 6, 8
	from := []millrace.Position{{Partition: 1}, {Partition: 2}}
	for round := range int64(rounds) {
		to := []millrace.Position{At(1, round+1), At(2, round+1)}
		wins := race(t, workers, func(int) error {
			f, err := m.Begin(ctx, millrace.SinkEvents, []int32{2, 1}, "node")
			if err != nil {
				return err
			}
			return m.Commit(ctx, f.ID, &millrace.Commit{Sink: millrace.SinkEvents, From: from, Positions: to})
		})
		if wins != 1 {
			t.Fatalf("round %d: %d committed", round, wins)
		}
		wantPositions(t, m, millrace.SinkEvents, to...)
		from = to
	}
}

// race runs fn in n goroutines and counts those without an error; any but
// ErrConflict fails the test.
func race(t *testing.T, n int, fn func(i int) error) (wins int) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	for _, err := range errs {
		switch millrace.ErrorCode(err) {
		case "":
			wins++
		case millrace.ErrConflict:
		default:
			t.Error(err)
		}
	}
	return wins
}

// A flush that is committed and abandoned at once is one of the two.
func abandonRace(t *testing.T, ctx context.Context, m millrace.Commits) {
	at := millrace.Position{Partition: 0}
	abandoned := map[int64]bool{}
	for round := range 20 {
		flush := mustBegin(t, m, millrace.SinkEvents, 0)
		to := At(0, at.Offset+1)
		var committed, gone bool
		race(t, 2, func(i int) error {
			if i == round%2 {
				err := m.Commit(ctx, flush, move(millrace.SinkEvents, at, to))
				committed = err == nil
				return err
			}
			if round%3 == 0 {
				return m.Claim(ctx, millrace.SinkEvents, []int32{0})
			}
			return m.Abandon(ctx, flush)
		})
		list, err := m.Abandoned(ctx)
		check(t, err)
		for _, id := range list {
			gone = gone || id == flush
			abandoned[id] = true
		}
		if committed == gone {
			t.Fatalf("round %d: committed %v, abandoned %v", round, committed, gone)
		}
		if committed {
			at = to
		}
		if at.Offset > 0 {
			wantPositions(t, m, millrace.SinkEvents, at)
		}
	}
}

func statesRace(t *testing.T, ctx context.Context, m millrace.Commits) {
	for version := range int64(5) {
		wins := race(t, 6, func(i int) error {
			s := millrace.State{Name: "s", Value: []byte{byte(i)}, Version: version}
			if i%2 == 0 {
				return m.SetState(ctx, s)
			}
			f, err := m.Begin(ctx, millrace.SinkRollup, nil, "node")
			if err != nil {
				return err
			}
			return m.Settle(ctx, f.ID, s)
		})
		if got, err := m.State(ctx, "s"); err != nil || wins != 1 || got.Version != version+1 {
			t.Fatalf("%d of them changed version %d, now %d, %v", wins, version, got.Version, err)
		}
	}
}
