package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Admin returns a client for what tests do to topics and users.
func (c *Cluster) Admin() *kadm.Client { return kadm.NewClient(c.client) }

// Client returns the client that Admin uses.
func (c *Cluster) Client() *kgo.Client { return c.client }

// metadata asks a broker that is up, about the topics named.
func (c *Cluster) metadata(ctx context.Context, topics ...string) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &t
		req.Topics = append(req.Topics, rt)
	}
	return req.RequestWith(ctx, c.client)
}

// Ready waits until every running broker is a member of the cluster.
func (c *Cluster) Ready(ctx context.Context) error {
	want := c.Running()
	for {
		tctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		resp, err := c.metadata(tctx)
		cancel()
		if err == nil {
			var have []int
			for _, b := range resp.Brokers {
				have = append(have, int(b.NodeID))
			}
			if isIn(want, have) {
				return nil
			}
			err = fmt.Errorf("brokers %v are up, of %v", have, want)
		}
		if !pause(ctx) {
			return fmt.Errorf("the cluster is not ready: %w", err)
		}
	}
}

// Leader returns the node id of a partition's leader; it waits for one.
func (c *Cluster) Leader(ctx context.Context, topic string, partition int32) (int, error) {
	for {
		p, err := c.partition(ctx, topic, partition)
		if err == nil && p.Leader > 0 {
			return int(p.Leader), nil
		}
		if !pause(ctx) {
			return 0, fmt.Errorf("leader of %s/%d: %w", topic, partition, errors.Join(err, ctx.Err()))
		}
	}
}

// InSync waits until n replicas of every partition of a topic are in sync.
func (c *Cluster) InSync(ctx context.Context, topic string, n int) error {
	for {
		resp, err := c.metadata(ctx, topic)
		ok := err == nil && len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) > 0
		for i := 0; ok && i < len(resp.Topics[0].Partitions); i++ {
			ok = len(resp.Topics[0].Partitions[i].ISR) >= n
		}
		if ok {
			return nil
		}
		if !pause(ctx) {
			return fmt.Errorf("replicas of %s: %w", topic, errors.Join(err, ctx.Err()))
		}
	}
}

func (c *Cluster) partition(ctx context.Context, topic string, partition int32) (*kmsg.MetadataResponseTopicPartition, error) {
	resp, err := c.metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	for i := range resp.Topics {
		if err := kerr.ErrorForCode(resp.Topics[i].ErrorCode); err != nil {
			return nil, err
		}
		for j := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[j]; p.Partition == partition {
				return p, nil
			}
		}
	}
	return nil, kerr.UnknownTopicOrPartition
}

// pause waits a moment between two looks; false when ctx has ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}
