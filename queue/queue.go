package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/semaphore"

	"github.com/millrace/millrace"
)

// Queue is an open queue. All methods are safe for concurrent use.
type Queue struct {
	opts  Options
	dir   string
	log   *slog.Logger
	now   func() time.Time
	addrs []string

	client     *kgo.Client // the producer, also for administration
	admin      *kadm.Client
	partitions int32
	room       *semaphore.Weighted // bytes of records under way
	turned     atomic.Int64        // bytes of records without a client, see turn
	followMu   sync.Mutex
	followed   topicID // the topic that the producer writes to

	// Embedded broker only.
	cluster      *kfake.Cluster
	door         *door // of cluster
	lock         *os.File
	syncer       *syncer // nil with durability "os"
	maxBytes     int64   // size cap
	segmentBytes int64
	regressions  []Regression
	savedMu      sync.Mutex
	saved        map[int32]Bounds // what bounds.json holds, as far as written by us

	space  space
	health health

	closeOnce sync.Once
	closeErr  error
}

// Open opens the queue: the embedded broker with its data under dir, or the
// brokers of opts (dir is not used then). The topic is created if absent. now
// gives the time of arrival of records. Errors: ErrConflict if another process
// has the directory, ErrCorrupt if its files cannot be repaired,
// ErrUnavailable if it cannot be used or a broker cannot be reached.
func Open(ctx context.Context, opts Options, dir string, log *slog.Logger, now func() time.Time) (*Queue, error) {
	var v millrace.Violations
	opts.Validate("queue", &v)
	if err := v.Err(); err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	q := &Queue{opts: opts, dir: dir, log: log, now: now, addrs: opts.Broker}
	if err := q.open(ctx); err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return q, nil
}

func (q *Queue) open(ctx context.Context) (err error) {
	if len(q.opts.Broker) == 0 {
		if err := q.startEmbedded(ctx); err != nil {
			return err
		}
	}
	if q.client, err = kgo.NewClient(q.producerOptions()...); err != nil {
		return q.failed("open queue", err)
	}
	q.admin = kadm.NewClient(q.client)
	q.room = semaphore.NewWeighted(int64(q.opts.Buffer))
	if err := q.ensureTopic(ctx); err != nil {
		return q.failed("open queue", err)
	}
	if q.cluster == nil {
		return nil
	}
	if q.opts.Durability == DurabilityFsync {
		if q.syncer, err = newSyncer(q.partitionDirs(), q.segmentBytes); err != nil {
			return unavailable("open queue", q.dir, err)
		}
	}
	if q.opts.Durability == DurabilityOS {
		q.log.Warn("queue: durability is \"os\": a power loss loses the last seconds of accepted records")
	}
	if err := q.loadBounds(ctx); err != nil {
		return err
	}
	return q.measure()
}

// ensureTopic creates the topic if it is absent and learns its partitions.
func (q *Queue) ensureTopic(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, q.opts.Timeout.Std())
	defer cancel()
	detail, err := q.topic(ctx)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		if err = q.createTopic(ctx, q.opts.Partitions); err != nil {
			return err
		}
		detail, err = q.topic(ctx)
	}
	if err != nil {
		return err
	}
	q.partitions, q.followed = detail.partitions, detail.id
	if q.partitions != q.opts.Partitions {
		q.log.Info("queue: the topic keeps its number of partitions",
			"topic", q.opts.Topic, "partitions", q.partitions, "configured", q.opts.Partitions)
	}
	return nil
}

// followTopic makes the producer write to a topic that was deleted and created
// again; it creates it if nobody else did. Consumers learn of it by an
// OffsetError.
func (q *Queue) followTopic(ctx context.Context) error {
	q.followMu.Lock()
	defer q.followMu.Unlock()
	detail, err := q.topic(ctx)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		if err = q.createTopic(ctx, q.partitions); err == nil {
			detail, err = q.topic(ctx)
		}
	}
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
	}
	_, err := q.admin.CreateTopic(ctx, partitions, replication, configs, q.opts.Topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil // another process was faster
	}
	return err
}

// topicInfo is what the broker says about the topic.
type topicInfo struct {
	id         topicID
	partitions int32
}

// topicID is Kafka's, in text as its tools print it.
type topicID [16]byte

func (id topicID) String() string { return kadm.TopicID(id).String() }

// topic asks the broker, never the client's cache: that is seconds old. A
// partition without a leader is an error too.
func (q *Queue) topic(ctx context.Context) (topicInfo, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &q.opts.Topic}}
	resp, err := req.RequestWith(ctx, q.client)
	if err != nil {
		return topicInfo{}, err
	}
	if len(resp.Topics) != 1 {
		return topicInfo{}, kerr.UnknownTopicOrPartition
	}
	t := &resp.Topics[0]
	err = kerr.ErrorForCode(t.ErrorCode)
	for i := range t.Partitions {
		err = cmp.Or(err, kerr.ErrorForCode(t.Partitions[i].ErrorCode))
	}
	return topicInfo{topicID(t.TopicID), int32(len(t.Partitions))}, err
}

// Partitions is the number of partitions of the topic.
func (q *Queue) Partitions() int32 { return q.partitions }

// Addrs returns the brokers' addresses, host:port.
func (q *Queue) Addrs() []string { return q.addrs }

// Embedded reports whether the broker runs in this process.
func (q *Queue) Embedded() bool { return q.cluster != nil }

func (q *Queue) partitionDirs() []string {
	dirs := make([]string, q.partitions)
	for p := range dirs {
		dirs[p] = partitionDir(filepath.Join(q.dir, brokerName), q.opts.Topic, int32(p))
	}
	return dirs
}

// closeTimeout bounds the wait at Close for records under way: they were not
// answered yet, so their senders will try again.
const closeTimeout = 10 * time.Second

// Close waits for appends under way, stops the broker and frees the directory.
// Consumers must be closed before. It may be called more than once.
func (q *Queue) Close() error {
	q.closeOnce.Do(func() { q.closeErr = q.close() })
	return q.closeErr
}

func (q *Queue) close() error {
	var err error
	if q.client != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		err = q.client.Flush(ctx)
		if q.cluster != nil && q.partitions > 0 {
			b, berr := q.Bounds(ctx)
			if berr == nil {
				berr = q.saveBounds(b)
			}
			err = errors.Join(err, berr)
		}
		cancel()
		q.client.Close()
	}
	if q.syncer != nil {
		q.syncer.close()
	}
	if q.cluster != nil {
		q.cluster.Close()
	}
	if q.lock != nil {
		err = errors.Join(err, q.lock.Close())
	}
	return err
}
