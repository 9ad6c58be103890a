package pipeline

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace"
)

// orders is what a worker was told while it runs, beside its options. Safe for
// concurrent use.
type orders struct {
	flushRows atomic.Int64 // 0: as the options say

	mu      sync.Mutex
	paused  bool
	drained bool
	onShift bool // a member of its group, or about to be
	changed chan struct{}
}

func newOrders() *orders { return &orders{changed: make(chan struct{})} }

// notify wakes whoever waits for a change. Called with mu held.
func (o *orders) notify() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// wake makes await look again.
func (o *orders) wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notify()
}

// await returns once cond, which is called with mu held, is true; false if ctx
// ended before.
func (o *orders) await(ctx context.Context, cond func() bool) bool {
	for {
		o.mu.Lock()
		ok, changed := cond(), o.changed
		o.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
		if ok {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

func (o *orders) shift(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.onShift = on
}

func (o *orders) state() (paused, drained bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.paused, o.drained && !o.onShift
}

// Follow makes the worker obey a plan from now on: it takes effect with the next
// record and the next transaction. drained tells whether the plan names this
// node: then the worker stores what it holds, leaves its group and stays idle
// until the next plan; one without a group stops reading. The plan must be valid.
func (p *Pipeline) Follow(plan *millrace.Plan, drained bool) {
	p.pace.limit(plan.MaxRate)
	p.orders.flushRows.Store(int64(plan.FlushRows))
	p.orders.mu.Lock()
	defer p.orders.mu.Unlock()
	p.orders.paused, p.orders.drained = plan.Pause, drained
	p.orders.notify()
}

// mayRead waits while the worker is to read nothing; false if ctx ended before.
func (p *Pipeline) mayRead(ctx context.Context) bool {
	alone := p.own == nil // in a group the session ends instead
	return p.orders.await(ctx, func() bool { return !p.orders.paused && (!alone || !p.orders.drained) })
}

// flushRows is how many raw rows a transaction may have.
func (p *Pipeline) flushRows() int {
	if n := p.orders.flushRows.Load(); n > 0 {
		return int(n)
	}
	return p.opts.FlushRows
}

// awaitShift waits while the worker is drained; false if ctx ended before. What
// is to be reconfigured is, as between two sessions.
func (p *Pipeline) awaitShift(ctx context.Context) bool {
	for {
		if !p.orders.await(ctx, func() bool { return !p.orders.drained || p.changing() }) {
			return false
		}
		if !p.reconfigure(ctx) {
			return true
		}
	}
}

// shiftContext ends with ctx, or when the worker is to be drained.
func (p *Pipeline) shiftContext(ctx context.Context) (context.Context, context.CancelFunc) {
	shift, end := context.WithCancel(ctx)
	go func() {
		if p.orders.await(shift, func() bool { return p.orders.drained }) {
			end()
		}
	}()
	return shift, end
}
