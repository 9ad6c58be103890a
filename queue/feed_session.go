package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace"
)

// feedSession is a Feed's membership of its group until something fails.
type feedSession struct {
	f      *Feed
	topic  topicID
	client *kgo.Client

	mu sync.Mutex // the rest is also used by the client's goroutines
	// next is what to append next of each owned partition of which that is known.
	next  map[int32]kgo.EpochOffset
	moved bool           // next changed since the last commit
	stale map[int32]bool // the group's offset is of a topic that is gone
}

// at returns the offset to append next of a partition, -1 if it is not known.
func (s *feedSession) at(partition int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o, ok := s.next[partition]; ok {
		return o.Offset
	}
	return -1
}

// advance notes that messages are durable; those of a partition in offset order.
func (s *feedSession) advance(msgs []*kgo.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range msgs {
		s.next[m.Partition] = kgo.EpochOffset{Epoch: m.LeaderEpoch, Offset: m.Offset + 1}
	}
	s.moved = true
}

// session joins the group and works until ctx ends or something fails.
func (f *Feed) session(ctx context.Context) error {
	tctx, cancel := context.WithTimeout(ctx, f.q.opts.Timeout.Std())
	info, err := f.q.topicNamed(tctx, f.opts.Topic)
	cancel()
	if err != nil {
		return f.q.failed("consume "+f.opts.Topic, err)
	}
	s := &feedSession{f: f, topic: info.id, next: map[int32]kgo.EpochOffset{}, stale: map[int32]bool{}}
	if s.client, err = kgo.NewClient(s.options()...); err != nil {
		return f.q.failed("consume "+f.opts.Topic, err)
	}
	defer s.close(context.WithoutCancel(ctx))
	wctx, stopWatching := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { f.watch(wctx, info.partitions) })
	defer watching.Wait()
	defer stopWatching()
	last := f.q.now()
	for {
		err := s.poll(ctx)
		if now := f.q.now(); err == nil && now.Sub(last) >= commitEvery {
			last = now
			f.note(s.commit(ctx))
		}
		s.client.AllowRebalance()
		if err != nil {
			return err
		}
	}
}

func (s *feedSession) options() []kgo.Opt {
	o := &s.f.q.opts.Group
	opts := append(s.f.q.clientOptions(),
		kgo.ConsumerGroup(s.f.opts.Group),
		kgo.ConsumeTopics(s.f.opts.Topic),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(o.Session.Std()),
		kgo.HeartbeatInterval(o.Heartbeat.Std()),
		kgo.RebalanceTimeout(o.Rebalance.Std()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnOffsetsFetched(s.fetchedOffsets),
		kgo.AdjustFetchOffsetsFn(s.adjust),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
		// A new group reads what is there; and from the beginning on where the log
		// no longer has what it asks for, which shows as a gap.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(fetchBytes),
		kgo.MaxDecompressBatchBytes(maxBatchMemory),
		kgo.MetadataMaxAge(max(o.Heartbeat.Std(), metadataMinAge)),
		kgo.KeepRetryableFetchErrors(), // to see at once that the topic is gone
	)
	if o.Instance != "" {
		opts = append(opts, kgo.InstanceID(o.Instance))
	}
	return opts
}

// poll makes the next messages durable.
func (s *feedSession) poll(ctx context.Context) error {
	// Now and then without messages, to commit and to see how far it is.
	pctx, cancel := context.WithTimeout(ctx, commitEvery)
	defer cancel()
	fetches := s.client.PollRecords(pctx, feedPoll)
	if fetches.IsClientClosed() {
		return s.f.q.failed("consume", kgo.ErrClientClosed)
	}
	var all []fetched
	var failed error
	for _, f := range fetches {
		for _, t := range f.Topics {
			for i := range t.Partitions {
				p := &t.Partitions[i]
				switch {
				case p.Err != nil && pctx.Err() != nil && errors.Is(p.Err, pctx.Err()):
				case p.Err != nil && (topicGone(p.Err) || !passing(p.Err) && !isLoss(p.Err)):
					failed = p.Err
				case t.TopicID != (topicID{}) && t.TopicID != s.topic:
					failed = millrace.Errorf(millrace.ErrUnavailable, "topic %q was deleted and created again", s.f.opts.Topic)
				default:
					all = append(all, fetched{partition: p.Partition, msgs: p.Records, low: p.LogStartOffset, high: p.HighWatermark})
				}
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // what was polled comes again
	}
	if failed != nil {
		s.mu.Lock()
		s.moved = true
		s.mu.Unlock()
		return s.f.q.failed("consume "+s.f.opts.Topic, failed)
	}
	if len(all) == 0 {
		return nil
	}
	return s.take(ctx, all)
}

// isLoss reports an unclean election: the client goes on where the logs parted,
// and what is there now has another epoch.
func isLoss(err error) bool {
	_, loss := errors.AsType[*kgo.ErrDataLoss](err)
	return loss
}

// fetchedOffsets sees which offsets of the group belong to a topic that is gone.
func (s *feedSession) fetchedOffsets(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	see := func(partition int32, metadata *string) {
		s.stale[partition] = metadata != nil && *metadata != "" && *metadata != s.topic.String()
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			see(p.Partition, p.Metadata)
		}
	}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				see(p.Partition, p.Metadata)
			}
		}
	}
	return nil
}

// adjust says where reading begins, before it does.
func (s *feedSession) adjust(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, o := range offsets[s.f.opts.Topic] {
		at := o.EpochOffset()
		switch {
		case s.stale[p]:
			offsets[s.f.opts.Topic][p] = kgo.NewOffset().AtStart()
		case at.Offset >= 0:
			s.next[p] = at
			s.f.progress(p, at.Offset, 0)
		}
	}
	return offsets, nil
}

// revoked is called when nothing polled is being worked on.
func (s *feedSession) revoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	if len(gone[s.f.opts.Topic]) == 0 {
		return
	}
	s.f.note(s.commit(ctx))
	s.lost(ctx, nil, gone)
}

func (s *feedSession) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range gone[s.f.opts.Topic] {
		delete(s.next, p)
	}
	s.f.forget(gone[s.f.opts.Topic])
}

// commit tells the group how far all is durable, with the topic's id.
func (s *feedSession) commit(ctx context.Context) error {
	s.mu.Lock()
	next, moved := maps.Clone(s.next), s.moved
	s.moved = false
	s.mu.Unlock()
	if !moved || len(next) == 0 {
		return nil
	}
	id := s.topic.String()
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				req.Topics[i].Partitions[j].Metadata = &id
			}
		}
		return nil
	})
	var failed error
	s.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.f.opts.Topic: next},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			failed = errors.Join(err, commitError(resp))
		})
	if failed != nil {
		s.mu.Lock()
		s.moved = true
		s.mu.Unlock()
		return s.f.q.failed(fmt.Sprintf("note how far %s is consumed", s.f.opts.Topic), failed)
	}
	return nil
}

// close leaves the group, which commits.
func (s *feedSession) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	s.client.AllowRebalance()
	_ = s.client.LeaveGroupContext(ctx) // what is not noted is read again, and dropped
	s.client.Close()
}
