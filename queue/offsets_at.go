package queue

import (
	"context"
	"time"
)

// OffsetsAt returns, per partition, the first offset whose record arrived at t or
// later; the end of the log if there is none. It asks the broker, which keeps an
// index of times, so what a process has seen itself does not matter. Records of
// several processes stand in the order in which the broker got them: their clocks
// may differ, and the answer is as exact as they agree.
func (q *Queue) OffsetsAt(ctx context.Context, t time.Time) (map[int32]int64, error) {
	const op = "find queue offsets by time"
	topic, err := q.topic(ctx)
	if err != nil {
		return nil, q.failed(op, err)
	}
	// The end first: what is appended in between arrived later than any t up to now.
	end, err := q.listOffsets(ctx, q.opts.Topic, topic.partitions, -1)
	if err != nil {
		return nil, q.failed(op, err)
	}
	at, err := q.listOffsets(ctx, q.opts.Topic, topic.partitions, max(0, t.UnixMilli()))
	if err != nil {
		return nil, q.failed(op, err)
	}
	for p, offset := range at {
		if offset < 0 {
			at[p] = end[p]
		}
	}
	return at, nil
}
