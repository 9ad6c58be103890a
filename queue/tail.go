package queue

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
)

// TailLimits bounds what Tail reads.
type TailLimits struct {
	Records int64 // of each partition
	Bytes   int64 // payloads of all partitions together
}

// tailWindow is how many records of each partition Tail reads first; each
// further window is as large as all before together, three times over.
const tailWindow = 64

// tailWait is how long Tail waits for the next records, of which the broker has
// said that they exist.
const tailWait = 10 * time.Second

// Tail calls f with the newest records of all partitions until f returns false,
// a limit is reached, or there are no more. It goes back in windows: all records
// of a window are newer than those of the next one; within a window they come in
// order of their partitions' offsets. Records that cannot be decoded are left out.
// The payload is f's until it returns. ErrUnavailable: the broker does not answer.
func (q *Queue) Tail(ctx context.Context, lim TailLimits, f func(*millrace.Record) bool) error {
	const op = "read the end of the queue"
	bounds, err := q.Bounds(ctx)
	if err != nil {
		return err
	}
	to, high := map[int32]int64{}, map[int32]int64{}
	for p, b := range bounds {
		to[p], high[p] = b.High, b.High
	}
	bytes := int64(0)
	take := func(k *kgo.Record) bool {
		if bytes += int64(len(k.Value)); bytes > lim.Bytes {
			return false
		}
		r, err := decode(k)
		return err != nil || f(r) // what cannot be read has no names, either
	}
	for window := int64(tailWindow); ; window *= 4 {
		from, left := map[int32]int64{}, false
		for p, b := range bounds {
			from[p] = max(b.Low, high[p]-min(window, lim.Records))
			left = left || from[p] < to[p]
		}
		if !left {
			return nil
		}
		more, err := q.readRange(ctx, from, to, take)
		if err != nil {
			return q.failed(op, err)
		}
		if !more || window >= lim.Records {
			return nil
		}
		to = from
	}
}

// readRange calls f with the records of each partition from from up to to, which
// it does not include, until f returns false, and reports whether it did not. What
// the broker deleted meanwhile is left out.
func (q *Queue) readRange(ctx context.Context, from, to map[int32]int64, f func(*kgo.Record) bool) (more bool, err error) {
	at := map[int32]kgo.Offset{}
	for p := range from {
		if from[p] < to[p] {
			at[p] = kgo.NewOffset().At(from[p])
		}
	}
	client, err := kgo.NewClient(append(q.clientOptions(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{q.opts.Topic: at}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(fetchBytes),
		kgo.FetchMaxWait(time.Second),
		kgo.MaxDecompressBatchBytes(maxBatchMemory),
		kgo.KeepControlRecords(), // the last offset of a range may be one's
	)...)
	if err != nil {
		return false, err
	}
	defer client.Close()
	for len(at) > 0 {
		wait, cancel := context.WithTimeout(ctx, tailWait)
		fetches := client.PollFetches(wait)
		cancel()
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, kerr.OffsetOutOfRange) {
				return false, e.Err
			}
			delete(at, e.Partition)
		}
		more = true
		fetches.EachRecord(func(k *kgo.Record) {
			if _, open := at[k.Partition]; !open || !more || k.Offset < from[k.Partition] {
				return
			}
			if k.Offset < to[k.Partition] && !k.Attrs.IsControl() {
				more = f(k)
			}
			if k.Offset >= to[k.Partition]-1 {
				delete(at, k.Partition)
			}
		})
		if !more {
			return false, nil
		}
	}
	return true, nil
}
