package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace"
)

// ensureTopic creates the topic if it is absent and learns its partitions.
func (q *Queue) ensureTopic(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, q.opts.Timeout.Std())
	defer cancel()
	detail, err := q.findTopic(ctx, q.opts.Partitions)
	if err != nil {
		return err
	}
	q.partitions, q.followed = detail.partitions, detail.id
	return q.checkTopic(ctx)
}

// checkTopic compares an existing topic with what the configuration asks for:
// what cannot work is an error, the rest is said once.
func (q *Queue) checkTopic(ctx context.Context) error {
	switch {
	case q.partitions < q.opts.Partitions && q.cluster == nil:
		q.log.Warn("queue: the topic has fewer partitions than configured, which bounds how many workers can share it",
			"topic", q.opts.Topic, "partitions", q.partitions, "configured", q.opts.Partitions,
			"hint", fmt.Sprintf("kafka-topics.sh --alter --topic %s --partitions %d", q.opts.Topic, q.opts.Partitions))
	case q.partitions != q.opts.Partitions:
		q.log.Info("queue: the topic keeps its number of partitions",
			"topic", q.opts.Topic, "partitions", q.partitions, "configured", q.opts.Partitions)
	}
	if q.cluster != nil {
		return nil
	}
	configs, err := q.topicConfigs(ctx)
	if err != nil {
		// Reading configurations is a right of its own, which nothing else needs.
		q.log.Info("queue: the topic's configuration is not known", "topic", q.opts.Topic, "err", err)
		return nil
	}
	if n, err := strconv.Atoi(configs["max.message.bytes"]); err == nil && n < batchBytes {
		return &millrace.Error{
			Code:    millrace.ErrInvalid,
			Message: fmt.Sprintf("topic %q takes batches of %d bytes, records need up to %d", q.opts.Topic, n, batchBytes),
			Hint: fmt.Sprintf("kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config max.message.bytes=%d",
				q.opts.Topic, batchBytes),
		}
	}
	if policy := configs["cleanup.policy"]; strings.Contains(policy, "compact") {
		return &millrace.Error{
			Code:    millrace.ErrInvalid,
			Message: fmt.Sprintf("topic %q has cleanup.policy %s, which drops records", q.opts.Topic, policy),
			Hint:    fmt.Sprintf("kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config cleanup.policy=delete", q.opts.Topic),
		}
	}
	if configs["min.insync.replicas"] == "1" && q.opts.MinInsync != 1 && q.opts.Replication > 1 {
		q.log.Warn("queue: the topic acknowledges records that one replica has; they are lost with it",
			"topic", q.opts.Topic, "hint", "set its min.insync.replicas to one less than its replicas")
	}
	return nil
}

// topicConfigs are those of the topic as they are in force.
func (q *Queue) topicConfigs(ctx context.Context) (map[string]string, error) {
	res, err := q.admin.DescribeTopicConfigs(ctx, q.opts.Topic)
	if err != nil {
		return nil, err
	}
	rc, err := res.On(q.opts.Topic, nil)
	if err == nil {
		err = rc.Err
	}
	out := map[string]string{}
	for _, c := range rc.Configs {
		out[c.Key] = c.MaybeValue()
	}
	return out, err
}

// followTopic makes the producer write to a topic that was deleted and created
// again; it creates it if nobody else did. Consumers learn of it by an
// OffsetError.
func (q *Queue) followTopic(ctx context.Context) error {
	q.followMu.Lock()
	defer q.followMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, q.opts.Timeout.Std())
	defer cancel()
	detail, err := q.findTopic(ctx, q.partitions)
	if err != nil {
		return q.failed("follow topic", err)
	}
	if detail.partitions < q.partitions {
		return &millrace.Error{
			Code: millrace.ErrUnavailable, Op: "follow topic",
			Message: fmt.Sprintf("topic %q was created again with %d partitions, it had %d",
				q.opts.Topic, detail.partitions, q.partitions),
			Hint: "restart millrace to use it so",
		}
	}
	if detail.id != q.followed {
		q.log.Warn("queue: the topic was deleted and created again", "topic", q.opts.Topic, "topic_id", detail.id)
		q.client.PurgeTopicsFromProducing(q.opts.Topic)
		q.followed = detail.id
	}
	return nil
}

// findTopic creates the topic with a number of partitions if it is absent, and
// waits until all of its partitions can be used.
func (q *Queue) findTopic(ctx context.Context, partitions int32) (topicInfo, error) {
	created := false
	for {
		detail, err := q.topic(ctx)
		if errors.Is(err, kerr.UnknownTopicOrPartition) && !created {
			if err := q.createTopic(ctx, partitions); err != nil {
				return topicInfo{}, err
			}
			created = true
			continue
		}
		// Unknown now: the broker asked has not heard of it yet.
		if err == nil || !kerr.IsRetriable(err) {
			return detail, err
		}
		select {
		case <-ctx.Done():
			return topicInfo{}, fmt.Errorf("topic %q: %w", q.opts.Topic, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (q *Queue) createTopic(ctx context.Context, partitions int32) error {
	size := strconv.Itoa(batchBytes)
	configs := map[string]*string{"max.message.bytes": &size}
	replication := q.opts.Replication
	if q.cluster != nil {
		replication = 1
	} else {
		// An external Kafka deletes by itself, at the age we promise to keep.
		ms := strconv.FormatInt(q.opts.Retention.Std().Milliseconds(), 10)
		configs["retention.ms"] = &ms
		if n := q.minInsync(); n > 0 {
			insync := strconv.Itoa(n)
			configs["min.insync.replicas"] = &insync
		}
	}
	_, err := q.admin.CreateTopic(ctx, partitions, replication, configs, q.opts.Topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil // another process was faster
	}
	return err
}

// minInsync is min.insync.replicas of a new topic; 0 leaves it to the broker.
// One less than the replicas: one of them may be away, and what is acknowledged
// still outlives another.
func (q *Queue) minInsync() int {
	if q.opts.MinInsync > 0 || q.opts.Replication < 1 {
		return int(q.opts.MinInsync)
	}
	return max(1, int(q.opts.Replication)-1)
}

// topicInfo is what the broker says about the topic.
type topicInfo struct {
	id         topicID
	partitions int32
	insync     int // replicas in sync, of the partition that has the fewest
}

// topicID is Kafka's, in text as its tools print it.
type topicID [16]byte

func (id topicID) String() string { return kadm.TopicID(id).String() }

// topic asks the broker, never the client's cache: that is seconds old. A
// partition without a leader is an error too.
func (q *Queue) topic(ctx context.Context) (topicInfo, error) {
	return q.topicNamed(ctx, q.opts.Topic)
}

func (q *Queue) topicNamed(ctx context.Context, name string) (topicInfo, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
	resp, err := req.RequestWith(ctx, q.client)
	if err != nil {
		return topicInfo{}, err
	}
	if resp.Version < topicIDVersion {
		return topicInfo{}, &millrace.Error{
			Code: millrace.ErrUnavailable, Message: "the broker is older than Apache Kafka 2.8: its topics have no ids",
			Hint: "update the broker at " + strings.Join(q.addrs, ", "),
		}
	}
	if len(resp.Topics) != 1 {
		return topicInfo{}, kerr.UnknownTopicOrPartition
	}
	t := &resp.Topics[0]
	info := topicInfo{id: topicID(t.TopicID), partitions: int32(len(t.Partitions)), insync: math.MaxInt}
	err = kerr.ErrorForCode(t.ErrorCode)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		err = cmp.Or(err, kerr.ErrorForCode(p.ErrorCode))
		info.insync = min(info.insync, len(p.ISR))
	}
	return info, err
}

// topicIDVersion is the first version of the metadata answer that has topic ids.
const topicIDVersion = 10
