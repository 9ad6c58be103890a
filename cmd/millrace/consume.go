package main

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/ingest"
	"github.com/millrace/millrace/queue"
)

// openFeeds prepares what appends the messages of topics that others fill, on
// nodes that ingest; their consumer group shares the topics' partitions.
func (s *server) openFeeds() error {
	if !s.cfg.Node.Has(config.RoleIngest) {
		return nil
	}
	for _, c := range s.cfg.Queue.Consumes() {
		if err := ingest.CheckSource(c.Topic, c.Format); err != nil {
			return millrace.Errorf(millrace.ErrInvalid, "queue.consume: %s=%s: %s", c.Topic, c.Format, millrace.ErrorMessage(err))
		}
		s.feeds = append(s.feeds, feed{c.Topic, s.queue.NewFeed(queue.FeedOptions{
			Topic: c.Topic, Group: s.cfg.Queue.Topic + "-consume",
			Cut: func(value []byte) ([]*millrace.Record, error) {
				return s.ingest.Cut(c.Topic, c.Format, "kafka", value)
			},
			Append: func(ctx context.Context, recs []*millrace.Record) error {
				if err := s.pressure(); err != nil {
					return err
				}
				return s.queue.Append(ctx, recs)
			},
		})})
	}
	return nil
}

// feed is a topic that others fill.
type feed struct {
	topic string
	*queue.Feed
}

func (s *server) runFeeds(ctx context.Context) {
	for _, f := range s.feeds {
		s.work.Go(func() { f.Run(ctx) })
	}
}

var (
	descConsumeLag   = desc("consume_lag_messages", "Messages of a topic that others fill which are not in the queue yet, of the partitions that this node has.", "topic", "partition")
	descConsumeFault = desc("consume_fault", "1 while the messages of a topic cannot be appended or read.", "topic")
)

func (s *server) collectFeeds(gauge func(*prometheus.Desc, float64, ...string)) {
	for _, f := range s.feeds {
		parts, err := f.Status()
		for _, p := range parts {
			gauge(descConsumeLag, float64(p.High-p.Next), f.topic, strconv.Itoa(int(p.Partition)))
		}
		fault := 0.0
		if err != nil {
			fault = 1
		}
		gauge(descConsumeFault, fault, f.topic)
	}
}
