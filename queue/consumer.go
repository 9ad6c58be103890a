package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
)

// fetchBytes bounds a fetch, compressed, over all partitions. Snappy shrinks
// at most 21 to 1, so that one decompressed is at most 32 MiB. A batch that is
// larger by itself is fetched alone.
const fetchBytes = 3 << 19

// fetchShare is how much of a fetch one partition may fill, so that a client whose
// records wait in their thousands does not keep those of others, in other partitions,
// out of it: all records of a client are in one. Each fetch begins with another
// partition, which gives a batch even if that is larger. This needs fetches that name
// all partitions: in a session (KIP-227) the embedded broker looks first at those that
// gave something the last time.
//
// A partition alone takes four fetches for what would fit in one. The next one is
// under way while a fetch is worked on, which takes several times as long.
const fetchShare = fetchBytes / 4

// fetchWait is how long a fetch of an idle topic waits at the broker; new
// records answer it at once.
const fetchWait = 5 * time.Second

// Polled is one record as read. With Err the record could not be decoded: it
// was written by another program or a newer version, or is damaged. Record is
// set all the same, with its place, time and raw payload, to be set aside.
// Payload and Value are the same bytes, owned by the caller.
type Polled struct {
	Record     *millrace.Record
	Err        error
	Key, Value []byte
}

// OffsetError says that a partition cannot be read at the offset asked for.
// The partition is not read any further until Seek. Error code: ErrCorrupt if
// the data is there and unreadable, else ErrNotFound.
type OffsetError struct {
	Partition int32
	Asked     int64
	// Bounds are those when the error was found; zero if they could not be
	// read either.
	Bounds
	// Lost is what was read and is no longer in the log, because an external
	// Kafka made a replica the leader that lacked it (an unclean election): other
	// records have these offsets now, so that Bounds alone may not show it. Its
	// zero value: nothing. It is noticed by a consumer that had read it, not by
	// one that starts later.
	Lost Regression
	Err  error
}

// Error implements error.
func (e *OffsetError) Error() string {
	return fmt.Sprintf("partition %d cannot be read at offset %d (it holds %d to %d, topic id %s): %v",
		e.Partition, e.Asked, e.Low, e.High, e.TopicID, e.Err)
}

// Unwrap returns the cause.
func (e *OffsetError) Unwrap() error { return e.Err }

// Consumer reads partitions in offset order. It is for one goroutine; only
// Close may be called from another.
type Consumer struct {
	q       *Queue
	mu      sync.Mutex // guards client against Close
	client  *kgo.Client
	closed  bool
	topicID topicID
	next    map[int32]int64 // what to read next, of partitions that can be read
	pending []*OffsetError  // not yet returned by Poll
}

// Consumer returns one that reads each given partition from its offset. An
// offset outside of the partition's bounds is an error of Poll.
func (q *Queue) Consumer(start map[int32]int64) (*Consumer, error) {
	c := &Consumer{q: q, next: map[int32]int64{}}
	return c, c.Seek(start)
}

// Seek goes on at other offsets; partitions not named stay where they are. It
// connects anew, which also follows a topic that was created again.
func (c *Consumer) Seek(offsets map[int32]int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.q.opts.Timeout.Std())
	defer cancel()
	topic, err := c.q.topic(ctx)
	if err != nil {
		return c.q.failed("open consumer", err)
	}
	for p, o := range offsets {
		if p < 0 || p >= topic.partitions || o < 0 { // the topic may have grown since Open
			return millrace.Errorf(millrace.ErrInvalid, "offset %d of partition %d: there are partitions 0 to %d",
				o, p, topic.partitions-1)
		}
	}
	c.topicID = topic.id
	maps.Copy(c.next, offsets)
	return c.connect()
}

func (c *Consumer) connect() error {
	at := make(map[int32]kgo.Offset, len(c.next))
	for p, o := range c.next {
		at[p] = kgo.NewOffset().At(o)
	}
	client, err := kgo.NewClient(append(c.q.clientOptions(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.q.opts.Topic: at}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(fetchShare),
		kgo.DisableFetchSessions(),
		kgo.FetchMaxWait(fetchWait),
		kgo.MaxDecompressBatchBytes(maxBatchMemory),
		kgo.KeepRetryableFetchErrors(), // to see at once that the topic is gone
	)...)
	if err != nil {
		return c.q.failed("open consumer", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil {
		c.client.Close()
	}
	if c.client = client; c.closed {
		client.Close()
	}
	return nil
}

// maxBatchMemory bounds a batch of an outside producer, decompressed. Ours
// have at most batchBytes.
const maxBatchMemory = 64 << 20

// Poll returns the next records, at least one, as they are there; it waits
// until there are or ctx ends. Records of a partition come in offset order;
// offsets may be missing in between where the log was damaged. Partitions of which
// there are few come first.
//
// An *OffsetError concerns its partition alone: go on polling for the others,
// Seek to go on with it. Records that came with it are returned first. Any
// other error is ctx's or ErrUnavailable.
func (c *Consumer) Poll(ctx context.Context) ([]Polled, error) {
	for {
		for len(c.pending) > 0 {
			e := c.pending[0]
			c.pending = c.pending[1:]
			if err := c.explain(ctx, e); err != nil {
				return nil, err
			}
		}
		out, err := c.poll(ctx)
		if len(out) > 0 || err != nil {
			return out, err
		}
	}
}

func (c *Consumer) poll(ctx context.Context) ([]Polled, error) {
	fetches := c.client.PollFetches(ctx)
	if fetches.IsClientClosed() {
		return nil, c.q.failed("poll", kgo.ErrClientClosed)
	}
	out := make([]Polled, 0, fetches.NumRecords())
	for _, f := range fetches {
		for _, t := range f.Topics {
			slices.SortStableFunc(t.Partitions, func(a, b kgo.FetchPartition) int { return len(a.Records) - len(b.Records) })
			for i := range t.Partitions {
				out = c.take(out, t.TopicID, &t.Partitions[i])
			}
		}
	}
	if len(out) == 0 && len(c.pending) == 0 {
		return nil, ctx.Err()
	}
	return out, nil
}

// take adds a partition's records, and notes its error.
func (c *Consumer) take(out []Polled, id topicID, p *kgo.FetchPartition) []Polled {
	next, ok := c.next[p.Partition]
	if !ok {
		return out // ended by an error before
	}
	if id != (topicID{}) && id != c.topicID {
		p.Records, p.Err = nil, kerr.InconsistentTopicID // it was created again
	}
	for _, k := range p.Records {
		if k.Offset < next {
			continue // the beginning of a batch that holds the offset asked for
		}
		r, err := decode(k)
		polled := Polled{Record: r, Err: err, Value: k.Value}
		if err != nil {
			polled.Key = k.Key
		}
		out = append(out, polled)
		next = k.Offset + 1
	}
	c.next[p.Partition] = next
	if p.Err != nil && (topicGone(p.Err) || !passing(p.Err)) {
		delete(c.next, p.Partition)
		c.pending = append(c.pending, &OffsetError{Partition: p.Partition, Asked: next, Err: p.Err})
	}
	return out
}

// topicGone reports whether the broker does not know the topic by its id. It
// may say so for a moment after the topic was created.
func topicGone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID) ||
		errors.Is(err, kerr.UnknownTopicOrPartition)
}

// passing reports whether the client goes on by itself after the error: the
// poll ended, the broker is away, or the leader moved.
func passing(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err)
}

// explain completes an error for the caller; nil if it was a false alarm.
func (c *Consumer) explain(ctx context.Context, e *OffsetError) error {
	cause := &millrace.Error{Code: millrace.ErrCorrupt, Message: "the records there cannot be read", Err: e.Err}
	loss, isDataLoss := errors.AsType[*kgo.ErrDataLoss](e.Err)
	switch {
	case topicGone(e.Err):
		if topic, err := c.q.topic(ctx); err == nil && topic.id == c.topicID {
			c.next[e.Partition] = e.Asked
			return nil
		}
		cause.Code, cause.Message = millrace.ErrNotFound, "the topic was deleted"
	case isDataLoss:
		cause.Code, cause.Message = millrace.ErrNotFound, fmt.Sprintf(
			"the log lost its records from offset %d on and has others there now", loss.ResetTo)
	case errors.Is(e.Err, kerr.OffsetOutOfRange):
		cause.Code, cause.Message = millrace.ErrNotFound, "the log does not hold this offset"
	}
	if b, err := c.q.Bounds(ctx); err == nil {
		e.Bounds = b[e.Partition]
	}
	if isDataLoss {
		e.Lost = Regression{Partition: e.Partition, TopicID: c.topicID.String(), From: loss.ResetTo, To: loss.ConsumedTo}
	}
	e.Err = cause
	return e
}

// Next returns the offset that Poll reads next of each partition that can be
// read.
func (c *Consumer) Next() map[int32]int64 { return maps.Clone(c.next) }

// Close ends a Poll that waits and frees the connections.
func (c *Consumer) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.client != nil {
		c.client.Close()
	}
}
