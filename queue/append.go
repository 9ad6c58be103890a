package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// Append stores the records and returns when all of them are durable. Their
// Arrived is set to the time of the call. All records of a client go to one
// partition, chosen by a fixed hash; the others of a call go together to the
// partition whose turn it is.
//
// It waits while Options.Buffer is used up, or, if it is large itself, while
// other large calls have what they may (laneBytes), as long as ctx lasts. What
// was handed to the broker is seen through whatever becomes of ctx, for at most
// Options.Timeout. When Append returns, no payload is in use any more, also on
// error. After an error some of the records may be stored: an append is repeated
// under its client sequence or not at all.
// Errors: ErrThrottled (no room before ctx ended, or the size cap is reached),
// ErrTooLarge, ErrInvalid, ErrTimeout (outcome unknown), ErrUnavailable.
func (q *Queue) Append(ctx context.Context, recs []*millrace.Record) error {
	if err := failpoint.Hit("queue.append"); err != nil {
		return err
	}
	if err := q.Pressure(); err != nil {
		return err
	}
	call := appendCall{q: q, dirty: make([]bool, q.partitions)}
	if err := call.encode(recs); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	err := call.produce(ctx)
	if err == nil && len(call.unsent) > 0 {
		err = call.followTopic(ctx)
	}
	if err == nil {
		err = call.sync()
	}
	if err != nil {
		return err
	}
	return failpoint.Hit("queue.append.after")
}

// appendCall is the state of one Append.
type appendCall struct {
	q     *Queue
	recs  []*kgo.Record
	large bool // they pass through the lane
	wg    sync.WaitGroup

	mu     sync.Mutex
	err    error         // the first of a record
	unsent []*kgo.Record // refused because their topic was deleted
	dirty  []bool        // partitions written to
}

func (c *appendCall) encode(recs []*millrace.Record) error {
	arrived := c.q.now().UnixNano()
	turn := c.q.turn(recs)
	c.recs = make([]*kgo.Record, len(recs))
	for i, r := range recs {
		partition := turn
		if r.Client != "" {
			partition = clientPartition(r.Client, c.q.partitions)
		}
		k, err := encode(r, c.q.opts.Topic, partition, arrived)
		if err != nil {
			return err
		}
		r.Arrived = arrived
		c.recs[i] = k
	}
	return nil
}

// turnBytes is how much goes to one partition before the next has its turn.
// Small requests that come together then share batches and syncs; full records
// still alternate.
const turnBytes = 256 << 10

// turn returns the partition for records without a client.
func (q *Queue) turn(recs []*millrace.Record) int32 {
	var n int64
	for _, r := range recs {
		n += int64(len(r.Payload)) + 1 // empty ones move on too
	}
	end := q.turned.Add(n)
	return int32((end - n) / turnBytes % int64(q.partitions))
}

// clientPartition is fixed for ever: a client's requests must meet their
// duplicates.
func clientPartition(client string, partitions int32) int32 {
	return int32(xxhash.Sum64String(client) % uint64(partitions))
}

// produce hands the records to the producer, as far as there is room, and
// waits for the answers to all.
func (c *appendCall) produce(ctx context.Context) error {
	defer c.wg.Wait()
	c.large = isLarge(c.recs)
	for _, k := range c.recs {
		if err := c.acquire(ctx, recordSize(k)); err != nil {
			return &millrace.Error{
				Code: millrace.ErrThrottled, Op: "append", Err: err,
				Message: "the queue is busy: " + c.q.opts.Buffer.String() + " of records wait for it",
				Hint:    "the disk or broker is slower than the input; raise queue.buffer only if this is a short burst",
			}
		}
		c.wg.Add(1)
		// Without ctx: cancelling a record under way fails its whole batch,
		// with the records of others.
		c.q.client.Produce(context.WithoutCancel(ctx), k, c.done)
	}
	c.wg.Wait()
	return c.q.failed("append", c.err)
}

// Large calls take turns, record by record: what they have with the producer
// together is bounded by laneBytes, so that a small call that comes finds a few
// milliseconds of work before it and not a whole body of the largest size. With
// one such sender beside 850 small ones their p99 answer time is 0.6 to 0.8 of
// what it is without; what large calls alone reach is the same.
const (
	largeCall = 1 << 20
	laneBytes = batchBytes
)

func isLarge(recs []*kgo.Record) bool {
	var n int64
	for _, k := range recs {
		n += recordSize(k)
	}
	return n > largeCall
}

// acquire waits for room for a record of n bytes; release gives it back.
func (c *appendCall) acquire(ctx context.Context, n int64) error {
	if !c.large {
		return c.q.room.Acquire(ctx, n)
	}
	// The lane comes first: who has room is never waiting.
	if err := c.q.lane.Acquire(ctx, min(n, laneBytes)); err != nil {
		return err
	}
	err := c.q.room.Acquire(ctx, n)
	if err != nil {
		c.q.lane.Release(min(n, laneBytes))
	}
	return err
}

func (c *appendCall) release(n int64) {
	c.q.room.Release(n)
	if c.large {
		c.q.lane.Release(min(n, laneBytes))
	}
}

// followTopic appends what was refused because the topic was deleted, to the
// topic that has its name now.
func (c *appendCall) followTopic(ctx context.Context) error {
	if err := c.q.followTopic(ctx); err != nil {
		return err
	}
	c.recs = c.recs[:0]
	for _, k := range c.unsent {
		c.recs = append(c.recs, &kgo.Record{
			Topic: k.Topic, Partition: k.Partition, Timestamp: k.Timestamp, Value: k.Value, Headers: k.Headers,
		})
	}
	c.unsent = nil
	if err := c.produce(ctx); err != nil {
		return err
	}
	if len(c.unsent) > 0 {
		return c.q.failed("append", kerr.UnknownTopicID) // deleted once more
	}
	return nil
}

// done is called by the producer for each record, in its own goroutine.
func (c *appendCall) done(k *kgo.Record, err error) {
	size := recordSize(k)
	c.release(size)
	c.mu.Lock()
	switch {
	case err == nil:
		c.dirty[k.Partition] = true
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		c.unsent = append(c.unsent, k)
	case c.err == nil:
		c.err = err
	}
	c.mu.Unlock()
	if err == nil {
		c.q.space.appended.Add(size)
	}
	c.wg.Done()
}

// recordSize is what a record takes in memory, roughly.
func recordSize(k *kgo.Record) int64 {
	n := len(k.Value) + 256
	for _, h := range k.Headers {
		n += len(h.Value)
	}
	return int64(n)
}

// sync waits until the partitions written to are on disk.
func (c *appendCall) sync() error {
	if c.q.syncer == nil {
		return nil
	}
	var rounds []*round
	for p, dirty := range c.dirty {
		if dirty {
			rounds = append(rounds, c.q.syncer.start(int32(p)))
		}
	}
	for _, r := range rounds {
		if err := r.wait(); err != nil {
			err = unavailable("sync queue", c.q.dir, err)
			c.q.health.fail(err)
			return err
		}
	}
	return nil
}
