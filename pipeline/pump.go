package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/queue"
)

// pump polls, has records decoded and each unit handed to both sinks, in order. It
// returns the fault that ended it; nil when ctx ended.
func (p *Pipeline) pump(ctx context.Context, c *queue.Consumer, st *state, events, rollups chan<- *unit) error {
	sup := &supervisor{deadline: p.opts.StageDeadline.Std(), now: p.deps.Now, known: st.known, book: p.deps.Rules, truncate: p.opts.TruncateAddresses, fingerprint: p.deps.Fingerprint}
	pool := newDecodePool(ctx, sup, decoders(), decodeUnit)
	var forwarding sync.WaitGroup
	forwarding.Go(func() { p.forward(ctx, pool, events, rollups) })
	defer forwarding.Wait()
	defer pool.close()
	generations := map[int32]int64{}
	for _, pos := range positionsOf(st.events.sink) {
		generations[pos.Partition] = pos.Generation
	}
	for {
		polled, err := c.Poll(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := p.unreadableAt(c, err); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		for i := range polled {
			if !p.submit(ctx, pool, &polled[i], generations) {
				return nil
			}
			polled[i] = queue.Polled{} // others of its batch may be gone already
		}
	}
}

// submit has a polled record decoded by the rules it carries, which it waits for;
// false if ctx ended before.
func (p *Pipeline) submit(ctx context.Context, pool *decodePool, polled *queue.Polled, generations map[int32]int64) bool {
	u := p.stats.unit()
	u.rec = polled.Record
	if polled.Err != nil {
		unreadable(u, polled, generations, p.deps.Now())
		return pool.pass(u)
	}
	rules, err := p.program(ctx, u.rec)
	if err != nil {
		return false
	}
	u.rules = rules
	return pool.put(u, generations[u.rec.Partition])
}

// forward hands decoded units to both sinks, as fast as the worker may read, until
// ctx or the pool ends.
func (p *Pipeline) forward(ctx context.Context, pool *decodePool, events, rollups chan<- *unit) {
	for {
		u, took, ok := pool.next()
		if !ok || !p.mayRead(ctx) {
			return
		}
		p.stats.decoded(u, took)
		if !p.pace.hold(ctx, len(u.rec.Frames)) {
			return
		}
		u.refs.Store(2)
		for _, to := range []chan<- *unit{events, rollups} {
			select {
			case to <- u:
			case <-ctx.Done():
				return
			}
		}
	}
}

// unreadableAt steps over an offset that the log holds and cannot read; the
// sinks see the jump and record the gap. Any other error is returned: offsets
// outside of the log, or in a topic that was created again, are for reconcile.
func (p *Pipeline) unreadableAt(c *queue.Consumer, err error) error {
	var at *queue.OffsetError
	if !errors.As(err, &at) || millrace.ErrorCode(at.Err) != millrace.ErrCorrupt {
		return err
	}
	p.deps.Log.Warn("unreadable record skipped", "partition", at.Partition, "offset", at.Asked, "err", at.Err)
	return c.Seek(map[int32]int64{at.Partition: at.Asked + 1})
}

// unreadable sets a record aside that is not one of ours, or damaged.
func unreadable(u *unit, polled *queue.Polled, generations map[int32]int64, now time.Time) {
	rec := polled.Record
	if rec.Source == "" {
		rec.Source = "(unreadable)"
	}
	if rec.Project == "" {
		rec.Project = millrace.DefaultProject
	}
	rec.Frames, rec.Refused, rec.Client = []uint32{uint32(len(rec.Payload))}, nil, ""
	u.batch.Reset(rec)
	u.setAside = append(u.setAside, millrace.SetAside{
		Partition: rec.Partition, Generation: generations[rec.Partition], Offset: rec.Offset, Ordinal: -1,
		Time: now.UnixNano(), Project: rec.Project, Source: rec.Source,
		Stage: "read", Reason: polled.Err.Error(), Payload: rec.Payload,
	})
}

// watch looks at the log's bounds once a second, for the watermark of idle
// partitions and the lag, and lets the queue delete what both sinks have.
func (p *Pipeline) watch(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		p.lookAtLog(ctx)
		err := p.deps.Queue.Release(ctx, p.stats.lowest())
		if ctx.Err() != nil {
			return
		}
		p.stats.fault("retention", err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lookInterval is how old the watermark of an idle partition may be.
const lookInterval = time.Second

func (p *Pipeline) lookAtLog(ctx context.Context) {
	at := p.deps.Now()
	bounds, err := p.deps.Queue.Bounds(ctx)
	if ctx.Err() != nil {
		return
	}
	p.stats.fault("bounds", err)
	for part, b := range bounds {
		p.water.look(part, b.High, at.UnixNano())
		p.stats.looked(part, b)
	}
}

// maintain asks the Store what is due.
func (p *Pipeline) maintain(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		more, err := p.deps.Store.Maintain(ctx, p.deps.Now())
		if ctx.Err() != nil {
			return
		}
		p.stats.fault("maintenance", err)
		if err != nil {
			p.deps.Log.Error("maintenance", "err", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
