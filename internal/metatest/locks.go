package metatest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// RunLocks tests an implementation of millrace.Locks. open returns one and sees
// to its end.
func RunLocks(t *testing.T, open func(t *testing.T) millrace.Locks) {
	t.Run("locks", func(t *testing.T) { locks(t, t.Context(), open(t)) })
	t.Run("lock waits", func(t *testing.T) { lockWaits(t, t.Context(), open(t)) })
	t.Run("lock race", func(t *testing.T) { lockRace(t, t.Context(), open(t)) })
}

// Ended reports whether a lease has.
func Ended(l millrace.Lease) bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}

func locks(t *testing.T, ctx context.Context, m millrace.Locks) {
	a, err := m.TryLock(ctx, "maintain")
	check(t, err)
	_, err = m.TryLock(ctx, "maintain")
	wantCode(t, err, millrace.ErrConflict)
	b, err := m.TryLock(ctx, "another")
	check(t, err)
	check(t, a.Release(ctx))
	if !Ended(a) || Ended(b) {
		t.Errorf("ended: %v %v, want true false", Ended(a), Ended(b))
	}
	c, err := m.TryLock(ctx, "maintain")
	check(t, err)
	check(t, a.Release(ctx)) // of old, it does not release another's
	_, err = m.TryLock(ctx, "maintain")
	wantCode(t, err, millrace.ErrConflict)
	work, cancel := millrace.WithLease(ctx, c)
	defer cancel()
	if work.Err() != nil {
		t.Error("the work ended before the lease")
	}
	check(t, c.Release(ctx))
	<-work.Done()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.TryLock(ended, "maintain"); err == nil {
		t.Error("a lock was taken although the context had ended")
	}
}

func lockWaits(t *testing.T, ctx context.Context, m millrace.Locks) {
	held, err := m.Lock(ctx, "maintain")
	check(t, err)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := m.Lock(short, "maintain"); short.Err() == nil || err == nil {
		t.Errorf("waited for a held lock: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { check(t, held.Release(ctx)) })
	next, err := m.Lock(ctx, "maintain")
	check(t, err)
	check(t, next.Release(ctx))
}

func lockRace(t *testing.T, ctx context.Context, m millrace.Locks) {
	var holders, taken atomic.Int32
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 30 {
				l, err := m.TryLock(ctx, "race")
				if millrace.ErrorCode(err) == millrace.ErrConflict {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				taken.Add(1)
				holders.Add(-1)
				if err := l.Release(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() == 0 {
		t.Error("nobody ever had the lock")
	}
}
