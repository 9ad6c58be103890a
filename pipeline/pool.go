package pipeline

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// decodePool decodes records side by side and gives them back in the order in
// which they were put in. Records are independent of each other, and what a worker
// remembers of others makes it faster and changes no result; sinks need the order.
//
// The worst that a record can do is to cost its worker: it is set aside when it has
// overrun its deadline, with the worker stuck on it, and another takes over. Put
// and close are for one goroutine, next for another one.
type decodePool struct {
	ctx    context.Context // of the session: what is not yet begun when it ends is left
	sup    *supervisor
	decode func(*decoding, *unit) error // decodeUnit unless a test replaces it
	order  chan *task                   // as put in, for next
	in     chan *task                   // for the workers
}

// task is a record in the pool.
type task struct {
	u          *unit
	generation int64
	took       time.Duration // to decode it; set when done
	state      atomic.Int32
	// begun gets the deadline when a worker takes the record, done a word when it
	// has decoded it. Nil of a unit that was not to be decoded.
	begun chan *time.Timer
	done  chan struct{}
}

// The states of a task: who changes that of one under way, the worker that is done
// or the one that waits no longer, decides whose the unit is.
const (
	taskUnderWay int32 = iota
	taskDone
	taskAbandoned
)

// maxDecoders bounds the workers: four decode faster than any sink takes.
const maxDecoders = 4

// decoders is how many workers there are: more than processors only hold memory.
func decoders() int { return min(runtime.GOMAXPROCS(0), maxDecoders) }

// newDecodePool starts the workers. At most one record more than these is decoded
// and not yet taken by next.
func newDecodePool(ctx context.Context, sup *supervisor, workers int, decode func(*decoding, *unit) error) *decodePool {
	p := &decodePool{
		ctx: ctx, sup: sup, decode: decode, order: make(chan *task, workers),
		in: make(chan *task, workers+2), // and those that next and put hold: put never waits here
	}
	for range workers {
		p.start()
	}
	return p
}

func (p *decodePool) start() { go p.work() }

// close ends the workers, and next, after what was put in.
func (p *decodePool) close() {
	close(p.in)
	close(p.order)
}

// put hands a record over to be decoded, or set aside by a verdict known from
// before. It waits while the pool is full; false if the session ended before.
func (p *decodePool) put(u *unit, generation int64) bool {
	if v, ok := p.sup.known[verdict{u.rec.Partition, generation, u.rec.Offset, -1}]; ok {
		u.batch.Reset(u.rec)
		u.setAside = append(u.setAside, v)
		return p.pass(u)
	}
	t := &task{u: u, generation: generation, begun: make(chan *time.Timer, 1), done: make(chan struct{}, 1)}
	select {
	case p.order <- t:
		p.in <- t
		return true
	case <-p.ctx.Done():
		return false
	}
}

// pass is put of a unit that needs no decoding.
func (p *decodePool) pass(u *unit) bool {
	select {
	case p.order <- &task{u: u}:
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (p *decodePool) work() {
	d := p.sup.decoding()
	for t := range p.in {
		if p.ctx.Err() != nil {
			return
		}
		t.begun <- time.NewTimer(p.sup.deadline)
		began := p.sup.now()
		if p.decode(&d, t.u) != nil {
			d = p.sup.decoding() // half-way through an event
			p.sup.isolate(t.u, t.generation)
		}
		t.took = p.sup.now().Sub(began)
		if !t.state.CompareAndSwap(taskUnderWay, taskDone) {
			return // another worker took over
		}
		t.done <- struct{}{}
	}
}

// next returns the record that was put in first, decoded, and how long that took.
// What could not be decoded is in its setAside. False at the end.
func (p *decodePool) next() (*unit, time.Duration, bool) {
	var t *task
	select {
	case t = <-p.order:
	case <-p.ctx.Done():
	}
	if t == nil {
		return nil, 0, false
	}
	if t.done == nil {
		return t.u, 0, true
	}
	var deadline *time.Timer // workers take records in order, so those before have had theirs
	select {
	case deadline = <-t.begun:
	case <-p.ctx.Done():
		return nil, 0, false
	}
	defer deadline.Stop()
	select {
	case <-t.done:
		return t.u, t.took, true
	case <-p.ctx.Done():
		return nil, 0, false
	case <-deadline.C:
	}
	if !t.state.CompareAndSwap(taskUnderWay, taskAbandoned) {
		<-t.done
		return t.u, t.took, true
	}
	p.start()
	return p.sup.overran(t.u, t.generation), p.sup.deadline, true // t.u is the stuck worker's
}
