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
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace"
)

// MemberHandler is told which partitions a Member owns. The slices hold all
// that it owns after the change, ascending; they are the handler's to keep.
// Calls come one at a time, and no other comes before one returns, so each must
// return soon once its ctx ends.
type MemberHandler interface {
	// Assigned is called when partitions have come, and once per session of the
	// group even if there are none for this member.
	Assigned(ctx context.Context, all []int32)
	// Revoking is called when partitions are to be given up. They are not handed
	// to another member before it returns, at least until ctx ends: after the
	// rebalance timeout, or when Close may wait no longer.
	Revoking(ctx context.Context, left []int32)
	// Lost is called when partitions are gone already: the session has ended or
	// the broker refuses this member. Others may own them by now.
	Lost(ctx context.Context, left []int32)
}

// Member is a member of a consumer group, which divides the topic's partitions
// among its members. It reads nothing: a Consumer does, at positions of its
// own. What it says of ownership is what the group agreed on, and a process that
// was paused learns late that it is out; so it must decide who works, never what
// counts. Safe for concurrent use.
//
// Partitions that a topic gains are divided too, within about Options.Group's
// heartbeat and half a second.
type Member struct {
	q      *Queue
	group  string
	h      MemberHandler
	client *kgo.Client
	ctx    context.Context // of the handler's calls
	cancel context.CancelFunc
	polls  sync.WaitGroup

	mu     sync.Mutex
	owned  []int32 // ascending
	joined bool    // Assigned was called in this session of the group
	fault  error   // why there is no session
	closed bool
}

// Join makes this process a member of a group and returns; h learns what it
// owns when the group has agreed on that, which takes seconds if a member died a
// moment ago. Faults of the group end in Healthy: the member goes on trying.
func (q *Queue) Join(ctx context.Context, group string, h MemberHandler) (*Member, error) {
	if group == "" {
		return nil, millrace.Errorf(millrace.ErrInvalid, "join group: it has no name")
	}
	if _, err := q.topic(ctx); err != nil {
		return nil, q.failed("join group "+group, err)
	}
	m := &Member{q: q, group: group, h: h}
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if m.client, err = kgo.NewClient(m.options()...); err != nil {
		m.cancel()
		return nil, q.failed("join group "+group, err)
	}
	m.polls.Go(m.listen)
	return m, nil
}

func (m *Member) options() []kgo.Opt {
	o := &m.q.opts.Group
	opts := append(m.q.connectOptions(),
		kgo.ConsumerGroup(m.group),
		kgo.ConsumeTopics(m.q.opts.Topic),
		// Cooperative: who keeps a partition is not disturbed when others move.
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(o.Session.Std()),
		kgo.HeartbeatInterval(o.Heartbeat.Std()),
		kgo.RebalanceTimeout(o.Rebalance.Std()),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(m.assigned),
		kgo.OnPartitionsRevoked(m.revoked),
		kgo.OnPartitionsLost(m.lost),
		// Nothing is fetched: no partition gets an offset to be fetched from.
		kgo.AdjustFetchOffsetsFn(func(context.Context, map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return nil, nil
		}),
		// How soon the leader of the group sees that the topic has grown.
		kgo.MetadataMaxAge(max(o.Heartbeat.Std(), metadataMinAge)),
	)
	if o.Instance != "" {
		opts = append(opts, kgo.InstanceID(o.Instance))
	}
	return opts
}

// listen takes note of faults. The client has no other way to report them.
func (m *Member) listen() {
	for {
		fetches := m.client.PollFetches(m.ctx)
		if fetches.IsClientClosed() || m.ctx.Err() != nil {
			return
		}
		for _, e := range fetches.Errors() {
			err := m.q.failed("keep membership of group "+m.group, e.Err)
			m.mu.Lock()
			m.fault = err
			m.mu.Unlock()
			m.q.log.Warn("queue: out of the group", "group", m.group, "err", err, "hint", millrace.ErrorHint(err))
		}
	}
}

// assigned, revoked and lost are called by the client, one at a time, in
// goroutines of its own.
func (m *Member) assigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	all, changed := m.change(func(owned map[int32]bool) {
		for _, p := range added[m.q.opts.Topic] {
			owned[p] = true
		}
	})
	m.mu.Lock()
	first := !m.joined
	m.joined, m.fault = true, nil
	m.mu.Unlock()
	if changed || first {
		m.h.Assigned(m.ctx, all)
	}
}

func (m *Member) revoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	// Nothing: the session ended because others come or go.
	if left, changed := m.without(gone); changed {
		ctx, cancel := context.WithTimeout(m.ctx, m.q.opts.Group.Rebalance.Std())
		defer cancel()
		m.h.Revoking(ctx, left)
	}
}

func (m *Member) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	left, changed := m.without(gone)
	m.mu.Lock()
	m.joined = false
	m.mu.Unlock()
	if changed {
		m.h.Lost(m.ctx, left)
	}
}

func (m *Member) without(gone map[string][]int32) (left []int32, changed bool) {
	return m.change(func(owned map[int32]bool) {
		for _, p := range gone[m.q.opts.Topic] {
			delete(owned, p)
		}
	})
}

// change applies f to the set of owned partitions and returns it.
func (m *Member) change(f func(map[int32]bool)) (all []int32, changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	set := map[int32]bool{}
	for _, p := range m.owned {
		set[p] = true
	}
	f(set)
	all = slices.Sorted(maps.Keys(set))
	changed = !slices.Equal(all, m.owned)
	m.owned = all
	return slices.Clone(all), changed
}

// Owned returns the partitions that this member owns, ascending, as far as it
// knows.
func (m *Member) Owned() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.owned)
}

// Healthy returns nil while this is a member of the group or tries for the first
// time, else what keeps it out.
func (m *Member) Healthy() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fault
}

// Commit tells the group how far the partitions are done, as far as this member
// owns them, for outside tools that watch the lag. Nothing here reads it back:
// the positions that count are those committed with the rows.
func (m *Member) Commit(ctx context.Context, positions []millrace.Position) error {
	owned := m.Owned()
	at := map[int32]kgo.EpochOffset{}
	for _, p := range positions {
		if slices.Contains(owned, p.Partition) {
			at[p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: p.Offset}
		}
	}
	if len(at) == 0 {
		return nil
	}
	var failed error
	done := func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		failed = errors.Join(err, commitError(resp))
	}
	m.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.q.opts.Topic: at}, done)
	return m.q.failed("commit offsets of group "+m.group, failed)
}

func commitError(resp *kmsg.OffsetCommitResponse) error {
	if resp == nil {
		return nil
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}

// Close leaves the group: the handler's Revoking is called for what is owned,
// and then the partitions go to others at once. When ctx ends before that, the
// handler's context ends too, the broker is not waited for any longer, and
// others get the partitions when the session has timed out. No call of the
// handler comes after Close. It may be called more than once.
func (m *Member) Close(ctx context.Context) error {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if closed {
		return nil
	}
	defer context.AfterFunc(ctx, m.cancel)()
	err := m.client.LeaveGroupContext(ctx)
	if err == nil {
		err = m.leaveInstance(ctx)
	}
	m.client.Close() // waits for the handler
	m.cancel()
	m.polls.Wait()
	return m.q.failed("leave group "+m.group, err)
}

// leaveInstance gives up the place of a named member, which the client keeps
// for its return: this process hands over.
func (m *Member) leaveInstance(ctx context.Context) error {
	instance := m.q.opts.Group.Instance
	if instance == "" {
		return nil
	}
	member := kmsg.NewLeaveGroupRequestMember()
	member.InstanceID = &instance
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.Members = m.group, []kmsg.LeaveGroupRequestMember{member}
	resp, err := req.RequestWith(ctx, m.client)
	if err != nil {
		return err
	}
	err = kerr.ErrorForCode(resp.ErrorCode)
	for _, r := range resp.Members {
		// Unknown: it was out already.
		if merr := kerr.ErrorForCode(r.ErrorCode); err == nil && !errors.Is(merr, kerr.UnknownMemberID) {
			err = merr
		}
	}
	return err
}

// metadataMinAge is how soon a changed topic is noticed. The client's default of
// 5 s is for thousands of clients.
const metadataMinAge = 500 * time.Millisecond
