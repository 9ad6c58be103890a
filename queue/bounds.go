package queue

import (
	"context"
	"maps"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace"
)

// Bounds are the offsets that a partition holds: Low <= offset < High. Some in
// between may be missing after damage to the files.
type Bounds struct {
	Low     int64  `json:"low"`
	High    int64  `json:"high"`
	TopicID string `json:"topic_id"` // changes when the topic is deleted and created again
}

// Bounds asks the broker. It fails as a whole if a partition is unavailable.
func (q *Queue) Bounds(ctx context.Context) (map[int32]Bounds, error) {
	topic, err := q.topic(ctx)
	if err != nil {
		return nil, q.failed("read queue bounds", err)
	}
	low, err := q.listOffsets(ctx, q.opts.Topic, topic.partitions, -2)
	if err != nil {
		return nil, q.failed("read queue bounds", err)
	}
	high, err := q.listOffsets(ctx, q.opts.Topic, topic.partitions, -1)
	if err != nil {
		return nil, q.failed("read queue bounds", err)
	}
	out := make(map[int32]Bounds, topic.partitions)
	for p := range topic.partitions {
		out[p] = Bounds{Low: low[p], High: high[p], TopicID: topic.id.String()}
	}
	return out, nil
}

// listOffsets asks for the first offset (at -2) or the one after the last (at
// -1) of all partitions.
func (q *Queue) listOffsets(ctx context.Context, topic string, partitions int32, at int64) (map[int32]int64, error) {
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, at
		t.Partitions = append(t.Partitions, rp)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{t}
	resp, err := req.RequestWith(ctx, q.client)
	if err != nil {
		return nil, err
	}
	out := make(map[int32]int64, partitions)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, err
			}
			out[p.Partition] = p.Offset
		}
	}
	if len(out) != int(partitions) {
		return nil, kerr.UnknownTopicOrPartition
	}
	return out, nil
}

// Regression is a range of offsets, From <= offset < To, that the log held
// when it was last looked at and no longer held when it was opened: the end of
// a damaged file, or a topic that was deleted. The broker gives the offsets
// from From on to new records.
type Regression struct {
	Partition int32
	TopicID   string // of the topic that held them
	From, To  int64
}

// Regressions returns what Open of the embedded broker found missing. After a
// kill it misses what was appended in the last seconds before.
func (q *Queue) Regressions() []Regression { return slices.Clone(q.regressions) }

func (q *Queue) boundsPath() string { return filepath.Join(q.dir, boundsName) }

// loadBounds compares the log with what saveBounds noted.
func (q *Queue) loadBounds(ctx context.Context) error {
	old := map[int32]Bounds{}
	if _, err := readJSON(q.boundsPath(), &old); err != nil && millrace.ErrorCode(err) != millrace.ErrCorrupt {
		return unavailable("open queue", q.dir, err)
	}
	now, err := q.Bounds(ctx)
	if err != nil {
		return err
	}
	q.regressions = regressions(old, now)
	for _, r := range q.regressions {
		q.log.Warn("queue: the log has lost records", "partition", r.Partition, "from", r.From, "to", r.To)
	}
	return nil
}

func regressions(old, now map[int32]Bounds) []Regression {
	var out []Regression
	for p, o := range old {
		from := now[p].High
		if now[p].TopicID != o.TopicID {
			from = o.Low
		}
		if from < o.High {
			out = append(out, Regression{p, o.TopicID, max(from, o.Low), o.High})
		}
	}
	slices.SortFunc(out, func(a, b Regression) int { return int(a.Partition - b.Partition) })
	return out
}

// saveBounds notes the log's bounds for the next loadBounds, if they changed.
func (q *Queue) saveBounds(b map[int32]Bounds) error {
	q.savedMu.Lock()
	defer q.savedMu.Unlock()
	if maps.Equal(b, q.saved) {
		return nil
	}
	if err := writeJSON(q.boundsPath(), b); err != nil {
		return unavailable("note queue bounds", q.dir, err)
	}
	q.saved = b
	return nil
}
