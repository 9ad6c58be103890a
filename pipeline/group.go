package pipeline

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// partitions is a set of partitions of the log, ascending; nil is all of them.
type partitions []int32

func (p partitions) has(n int32) bool { return p == nil || slices.Contains(p, n) }

// Membership is this worker's place in a group of workers that share the
// partitions out among themselves.
type Membership interface {
	// Commit tells the group how far the sinks are, for tools that show the lag.
	Commit(ctx context.Context, positions []millrace.Position) error
	// Healthy returns nil while this is a member or tries for the first time, else
	// what keeps it out.
	Healthy() error
	// Close leaves the group, so that others get the partitions at once.
	Close(ctx context.Context) error
}

// Handler is told which partitions this worker owns. The slices hold all of
// them after the change, ascending.
type Handler interface {
	// Assigned is called when partitions were added.
	Assigned(ctx context.Context, all []int32)
	// Revoking is called before another worker gets partitions, and holds that up
	// until it returns.
	Revoking(ctx context.Context, left []int32)
	// Lost is called when others have got them already.
	Lost(ctx context.Context, left []int32)
}

// errRebalanced ends a session because other partitions are owned.
var errRebalanced = errors.New("the partitions are shared out anew")

// ownership is which partitions this worker owns, and the session that reads
// them. A session has one set of partitions: at every change it ends, with a
// flush of what its sinks hold, and the next one claims those owned then.
//
// It is for liveness only. That no event counts twice when two workers believe
// they own a partition is the Store's care: see millrace.Store.Claim.
type ownership struct {
	mu      sync.Mutex
	owned   partitions
	running partitions  // of the session under way; nil if there is none
	end     func(error) // ends it
	changed chan struct{}
	joined  bool       // the group has agreed on who owns what at least once
	member  Membership // nil while this is none
}

func newOwnership() *ownership { return &ownership{owned: partitions{}, changed: make(chan struct{})} }

var _ Handler = (*ownership)(nil)

// Assigned implements Handler.
func (o *ownership) Assigned(_ context.Context, all []int32) {
	o.mu.Lock()
	o.joined = true
	o.mu.Unlock()
	o.set(all)
}

// enter notes the membership that begins, or with nil that there is none.
func (o *ownership) enter(m Membership) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.member = m
	if m == nil {
		o.joined, o.owned = false, partitions{}
	}
}

// outside says why this worker is no member of its group; nil if it is.
func (o *ownership) outside() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.member != nil {
		if err := o.member.Healthy(); err != nil {
			return err
		}
	}
	if !o.joined {
		return millrace.Errorf(millrace.ErrUnavailable, "the worker has not joined its group yet")
	}
	return nil
}

// Lost implements Handler.
func (o *ownership) Lost(_ context.Context, left []int32) { o.set(left) }

// Revoking implements Handler: it returns when nothing of the partitions given
// up is under way, or when ctx ends.
func (o *ownership) Revoking(ctx context.Context, left []int32) {
	o.set(left)
	for {
		o.mu.Lock()
		busy := slices.ContainsFunc(o.running, func(p int32) bool { return !slices.Contains(left, p) })
		changed := o.changed
		o.mu.Unlock()
		if !busy {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (o *ownership) set(all []int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owned = append(partitions{}, all...)
	slices.Sort(o.owned)
	if o.end != nil && !slices.Equal(o.owned, o.running) {
		o.end(errRebalanced)
	}
	o.notify()
}

// notify wakes whoever waits for a change. Called with mu held.
func (o *ownership) notify() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// partitions returns those owned; none without a group.
func (o *ownership) partitions() []int32 {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.owned)
}

// wake makes wait look whether there is something else to do.
func (o *ownership) wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notify()
}

// wait returns the partitions owned, once there are any; none when there is
// something else to do, or when ctx ends.
func (o *ownership) wait(ctx context.Context, other func() bool) partitions {
	for {
		o.mu.Lock()
		owned, changed := o.owned, o.changed
		o.mu.Unlock()
		if len(owned) > 0 || other() {
			return owned
		}
		select {
		case <-ctx.Done():
			return partitions{}
		case <-changed:
		}
	}
}

// begin notes the session that begins and how it is ended, at once if its
// partitions are not those owned any more.
func (o *ownership) begin(of partitions, end func(error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running, o.end = of, end
	if !slices.Equal(o.owned, of) {
		end(errRebalanced)
	}
}

// ended notes that the session holds nothing any more.
func (o *ownership) ended() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running, o.end = nil, nil
	o.notify()
}

// runGroup is Run in a group of workers: shifts, between which the worker is
// drained, and beside them what it shows of the others.
func (p *Pipeline) runGroup(ctx context.Context) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { p.Observe(ctx) })
	for p.awaitShift(ctx) {
		err := p.shift(ctx)
		if ctx.Err() != nil {
			return err
		}
		p.stats.fault("leave group", err)
	}
	return nil
}

// shift is the time that this worker is a member of its group: a session for each
// share of the partitions, and beside all of them what one node does for the
// others. The error is why the group may wait for a member that has left.
func (p *Pipeline) shift(ctx context.Context) error {
	ctx, end := p.shiftContext(ctx)
	defer end()
	p.orders.shift(true)
	defer p.orders.shift(false)
	var beside sync.WaitGroup
	defer beside.Wait()
	every := p.opts.Maintenance.Std() // as of the start: sessions may change the options
	beside.Go(func() {
		p.deps.Alone(ctx, "maintain", func(ctx context.Context) { p.maintain(ctx, every) })
	})
	member, err := p.join(ctx)
	if err != nil {
		return nil // ctx ended
	}
	p.own.enter(member)
	defer p.own.enter(nil)
	p.sessions(ctx, member)
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	return member.Close(leave)
}

// join tries until it is a member or ctx ends.
func (p *Pipeline) join(ctx context.Context) (Membership, error) {
	for fails := 1; ; fails++ {
		m, err := p.deps.Join(ctx, p.own)
		p.stats.fault("group", err)
		if err == nil {
			return m, nil
		}
		p.deps.Log.Error("join the group of workers", "err", err, "hint", millrace.ErrorHint(err), "failures", fails)
		if !sleep(ctx, backoff(fails)) {
			return nil, ctx.Err()
		}
	}
}

// leaveTimeout bounds how long the group may take to let this worker go.
const leaveTimeout = 10 * time.Second

// Observe follows what all workers of a group have committed, once a second
// until ctx ends: for the watermark and the status of a node that reads some of
// the partitions, or none.
func (p *Pipeline) Observe(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		stored, err := p.deps.Store.Positions(ctx)
		if ctx.Err() != nil {
			return
		}
		p.stats.fault("positions", err)
		p.stats.observed(stored)
		p.water.commit(stored[millrace.SinkRollup])
		p.lookAtLog(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// progressInterval is how often the group is told how far the sinks are.
const progressInterval = 5 * time.Second

func (p *Pipeline) showProgress(ctx context.Context, owned partitions, member Membership) {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var at []millrace.Position
		for part, offset := range p.stats.lowest() {
			if owned.has(part) {
				at = append(at, millrace.Position{Partition: part, Offset: offset})
			}
		}
		err := member.Commit(ctx, at)
		if ctx.Err() != nil {
			return
		}
		p.stats.fault("group offsets", err)
	}
}
