package meta

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// lockPoll is how often Lock looks whether a lock is free: what passes on
// average until another node takes over is half of it.
const lockPoll = 500 * time.Millisecond

// lease is a lock of this process. What it means to the database is its maker's.
type lease struct {
	name    string
	done    chan struct{}
	once    sync.Once
	release func(ctx context.Context, l *lease) error
}

func newLease(name string, release func(ctx context.Context, l *lease) error) *lease {
	return &lease{name: name, done: make(chan struct{}), release: release}
}

// Done implements millrace.Lease.
func (l *lease) Done() <-chan struct{} { return l.done }

// Release implements millrace.Lease.
func (l *lease) Release(ctx context.Context) error { return l.release(ctx, l) }

func (l *lease) end() { l.once.Do(func() { close(l.done) }) }

// waitLock tries until it has the lock.
func waitLock(ctx context.Context, name string, try func(context.Context, string) (millrace.Lease, error)) (millrace.Lease, error) {
	for {
		l, err := try(ctx, name)
		if millrace.ErrorCode(err) != millrace.ErrConflict {
			return l, err
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func heldError(name string) error {
	e := millrace.Errorf(millrace.ErrConflict, "the lock %q is held", name)
	e.Op = "take lock"
	return e
}

// processLocks are those of a database that only this process uses.
type processLocks struct {
	mu   sync.Mutex
	held map[string]*lease
}

// TryLock implements millrace.Locks. The lock is the process's: other processes
// on the file (the CLI) do no work that needs one.
func (s *SQLite) TryLock(ctx context.Context, name string) (millrace.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := &s.locks
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[name] != nil {
		return nil, heldError(name)
	}
	l := newLease(name, p.release)
	if p.held == nil {
		p.held = map[string]*lease{}
	}
	p.held[name] = l
	return l, nil
}

// Lock implements millrace.Locks.
func (s *SQLite) Lock(ctx context.Context, name string) (millrace.Lease, error) {
	return waitLock(ctx, name, s.TryLock)
}

func (p *processLocks) release(_ context.Context, l *lease) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[l.name] == l {
		delete(p.held, l.name)
	}
	l.end()
	return nil
}

func (p *processLocks) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.held {
		l.end()
	}
	clear(p.held)
}
