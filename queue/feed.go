package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
)

// A Feed appends what others put into a topic of the same Kafka to the queue, so
// that each message counts exactly once, whatever is killed.
//
// Reading and appending is done at least once: a consumer group keeps the offset
// up to which all is appended, and whoever owns a partition after a crash begins
// there again. The sinks drop what they know already, by the identity that ingest
// clients use (DESIGN.md, "Clients may retry"):
//
//	client    kafka/TOPIC-ID/PARTITION/LEADER-EPOCH
//	sequence  the message's offset
//	part      the record's index, if the message fills more than one
//
// The offset, not a count: gaps left by compaction, transactions and retention
// change nothing for the others. The topic id, because a topic that was deleted
// and created again gives out the same offsets; the leader epoch, because after
// an unclean election another record may have the offset of a lost one. Leaders
// and replicas keep the epoch with the record.
//
// Sinks remember the last 1,024 sequences of a client and take older ones for
// duplicates. That is right, because no message is handed to the queue before all
// messages 1,024 or more offsets below it are durable there, see together; and no
// owner begins above what an owner before it made durable. So two processes that
// both believe they own a partition do no harm either.
//
// Limits. A message is a record of the queue by itself, which is what makes its
// identity independent of how messages are read; small messages therefore cost
// more than lines that come together in a request: see docs/kafka.md for figures.
// All messages of a partition go to one partition of the queue. Keys and headers
// are not kept. Messages of open and aborted transactions are not read. Messages
// that retention deleted before they were read are accounted for as refused, with
// reason source_gap, once per gap, as offsets, of which compaction may have freed
// some before. If the size limit of a line changes (ingest.max_line) between a
// crash and the next start, messages in doubt that fill several records may be cut
// otherwise and count in part twice.
type Feed struct {
	q    *Queue
	opts FeedOptions

	mu    sync.Mutex
	parts map[int32]*FeedStatus
	fault error
}

// FeedOptions configures a Feed. All but Append are required.
type FeedOptions struct {
	Topic string
	Group string // its members share the topic's partitions
	// Cut makes records of a message's value, which is theirs then. The same value
	// must give the same cuts. No records: nothing is in it.
	Cut func(value []byte) ([]*millrace.Record, error)
	// Append is Queue.Append unless it is given.
	Append func(ctx context.Context, recs []*millrace.Record) error
}

// FeedStatus is where a Feed stands with a partition that it owns.
type FeedStatus struct {
	Partition int32
	Next      int64 // offset of what it has not appended yet
	High      int64 // offset after the last message, when it was last seen
}

// NewFeed returns one that does nothing before Run.
func (q *Queue) NewFeed(opts FeedOptions) *Feed {
	if opts.Append == nil {
		opts.Append = q.Append
	}
	return &Feed{q: q, opts: opts, parts: map[int32]*FeedStatus{}}
}

// ahead bounds how far messages that are handed to the queue together lie apart,
// in offsets: it is the window in which sinks recognise a sequence
// (pipeline.WindowSize).
const ahead = 1024

// Reasons in the ledger for what never became an event.
const (
	reasonGap   = "source_gap"  // offsets that were deleted before they were read
	reasonUnfit = "bad_message" // messages that cannot be cut or stored
)

const (
	feedPoll     = 4 * ahead // messages per poll: what is in memory, with fetchBytes
	watchEvery   = 5 * time.Second
	commitEvery  = time.Second // how much is read again after a kill
	leaveTimeout = 10 * time.Second
)

// Run works until ctx ends, then notes how far it came and leaves the group.
// Faults do not end it.
func (f *Feed) Run(ctx context.Context) {
	for fails := 0; ; {
		began := f.q.now()
		err := f.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if f.q.now().Sub(began) > time.Minute {
			fails = 0
		}
		fails++
		f.note(err)
		f.q.log.Warn("queue: consuming starts again", "topic", f.opts.Topic, "err", err, "hint", millrace.ErrorHint(err))
		if !wait(ctx, backoff(fails)) {
			return
		}
	}
}

// backoff doubles from 100 ms to 5 s.
func backoff(fails int) time.Duration { return min(5*time.Second, 50*time.Millisecond<<min(fails, 10)) }

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Status returns the partitions that this process owns, and why it does not get
// on, nil if it does.
func (f *Feed) Status() ([]FeedStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]FeedStatus, 0, len(f.parts))
	for _, p := range f.parts {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b FeedStatus) int { return cmp.Compare(a.Partition, b.Partition) })
	return out, f.fault
}

func (f *Feed) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = err
}

func (f *Feed) progress(partition int32, next, high int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.parts[partition]
	if p == nil {
		p = &FeedStatus{Partition: partition}
		f.parts[partition] = p
	}
	p.Next, p.High = next, max(p.High, high, next)
}

// watch sees how far the topic goes, also while nothing is read of it.
func (f *Feed) watch(ctx context.Context, partitions int32) {
	for wait(ctx, watchEvery) {
		high, err := f.q.listOffsets(ctx, f.opts.Topic, partitions, -1)
		if err != nil {
			continue // what was seen last stands; faults are poll's to report
		}
		f.mu.Lock()
		for p, at := range f.parts {
			at.High = max(at.High, high[p])
		}
		f.mu.Unlock()
	}
}

func (f *Feed) forget(partitions []int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range partitions {
		delete(f.parts, p)
	}
}

// fetched is what a poll brought of a partition, in offset order.
type fetched struct {
	partition int32
	msgs      []*kgo.Record
	low, high int64 // of the log
}

// take makes durable what a poll brought, in rounds, and moves next. It returns
// what ctx said if that ended first; then some may be durable and not noted.
func (s *feedSession) take(ctx context.Context, all []fetched) error {
	for i := range all {
		if err := s.gap(ctx, &all[i]); err != nil {
			return err
		}
	}
	for {
		var round []*kgo.Record
		for i := range all {
			n := together(all[i].msgs)
			round = append(round, all[i].msgs[:n]...)
			all[i].msgs = all[i].msgs[n:]
		}
		if len(round) == 0 {
			return nil
		}
		if err := s.append(ctx, round); err != nil {
			return err
		}
		s.advance(round)
		for i := range all {
			s.f.progress(all[i].partition, s.at(all[i].partition), all[i].high)
		}
	}
}

// together returns how many messages from the first on may be under way at once.
func together(msgs []*kgo.Record) int {
	if len(msgs) == 0 {
		return 0
	}
	end := msgs[0].Offset + ahead
	return sort.Search(len(msgs), func(i int) bool { return msgs[i].Offset >= end })
}

// gap accounts for offsets that were deleted before they were read.
func (s *feedSession) gap(ctx context.Context, p *fetched) error {
	if len(p.msgs) == 0 {
		return nil
	}
	from, to := s.at(p.partition), min(p.low, p.msgs[0].Offset)
	if from < 0 || from >= to {
		return nil
	}
	text := fmt.Sprintf("topic %s, partition %d: offsets %d to %d were deleted before they were read", s.f.opts.Topic, p.partition, from, to-1)
	s.f.q.log.Warn("queue: "+text, "hint", "raise the topic's retention, or run more nodes")
	return s.store(ctx, []*millrace.Record{s.refusal(reasonGap, to-from, text, s.named(p.partition, "gap"), from)})
}

func (s *feedSession) refusal(reason string, events int64, example, client string, seq int64) *millrace.Record {
	return &millrace.Record{
		Project: millrace.DefaultProject, Source: s.f.opts.Topic, Format: "auto", Sender: feedSender,
		Client: client, Seq: seq, Parts: 1,
		Refused: []millrace.Refusal{{Reason: reason, Events: events, Example: millrace.Example([]byte(example))}},
	}
}

// feedSender stands where the address of a request's sender does.
const feedSender = "kafka"

// append makes the messages of a round durable.
func (s *feedSession) append(ctx context.Context, round []*kgo.Record) error {
	var recs []*millrace.Record
	for _, m := range round {
		recs = append(recs, s.cut(m)...)
	}
	if len(recs) == 0 {
		return nil
	}
	err := s.store(ctx, recs)
	if !unfit(err) {
		return err
	}
	// Something cannot be stored: what is wrong with it is found out one by one.
	for _, m := range round {
		one := s.cut(m)
		if len(one) == 0 {
			continue
		}
		if err = s.store(ctx, one); unfit(err) {
			err = s.store(ctx, []*millrace.Record{s.unfit(m, err)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unfit reports whether records can never be stored as they are.
func unfit(err error) bool {
	code := millrace.ErrorCode(err)
	return code == millrace.ErrInvalid || code == millrace.ErrTooLarge
}

func (s *feedSession) unfit(m *kgo.Record, err error) *millrace.Record {
	return s.refusal(reasonUnfit, 1, fmt.Sprintf("offset %d: %s", m.Offset, millrace.ErrorMessage(err)), s.identity(m), m.Offset)
}

// cut makes records of a message and names them.
func (s *feedSession) cut(m *kgo.Record) []*millrace.Record {
	if len(m.Value) == 0 {
		return nil
	}
	recs, err := s.f.opts.Cut(slices.Clone(m.Value)) // it may have to be cut again
	if err != nil {
		return []*millrace.Record{s.unfit(m, err)}
	}
	for i, r := range recs {
		r.Client, r.Seq = s.identity(m), m.Offset
		r.Part, r.Parts = int32(i), int32(len(recs))
	}
	return recs
}

func (s *feedSession) identity(m *kgo.Record) string {
	return s.named(m.Partition, strconv.Itoa(int(m.LeaderEpoch)))
}

func (s *feedSession) named(partition int32, suffix string) string {
	return "kafka/" + s.topic.String() + "/" + strconv.Itoa(int(partition)) + "/" + suffix
}

// store appends until it is done, cannot be done, or ctx ends.
func (s *feedSession) store(ctx context.Context, recs []*millrace.Record) error {
	for fails := 0; ; {
		err := s.f.opts.Append(ctx, recs)
		if err == nil || unfit(err) {
			s.f.note(nil)
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.f.note(err)
		if fails++; !errors.Is(err, context.Canceled) && !wait(ctx, backoff(fails)) {
			return ctx.Err()
		}
	}
}
