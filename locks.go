package millrace

import "context"

// Locks gives work that one node at a time should do to one node: settling
// hours, retention, evaluating alerts. Implementation: meta, on PostgreSQL for
// many nodes and on SQLite for one. Calls are safe for concurrent use.
//
// A lock avoids double work; it does not make double work safe. A holder that is
// paused (a suspended machine, a swapping one) loses the lock without noticing,
// and may do one more step when it wakes before it learns. So every step that
// matters ends in a compare-and-set: of Commits.Settle or Commits.SetState,
// which refuses whoever was overtaken with ErrConflict.
type Locks interface {
	// TryLock takes the lock of that name if it is free. ErrConflict: somebody
	// has it, perhaps another part of this process.
	TryLock(ctx context.Context, name string) (Lease, error)
	// Lock waits until it has the lock. An error is ctx's, or ErrUnavailable.
	Lock(ctx context.Context, name string) (Lease, error)
}

// Lease is a lock that is held. Its holder releases it.
type Lease interface {
	// Done is closed when the lock was released or may be lost: another node may
	// have it then.
	Done() <-chan struct{}
	// Release gives the lock back; it does nothing if that has happened. After an
	// error the lock is given back as well, at the latest when the database
	// notices that its connection has ended.
	Release(ctx context.Context) error
}

// WithLease returns a context that ends with ctx or the lease.
func WithLease(ctx context.Context, lease Lease) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-lease.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
