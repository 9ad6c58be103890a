package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
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
	tls   *tls.Config    // nil: plain connections
	sasl  sasl.Mechanism // nil: no authentication

	client     *kgo.Client // the producer, also for administration
	admin      *kadm.Client
	partitions int32
	room       *semaphore.Weighted // bytes of records under way
	lane       *semaphore.Weighted // of these, what is of large calls
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
	} else {
		if err := q.secure(); err != nil {
			return err
		}
		if err := q.greet(ctx); err != nil {
			return err
		}
	}
	if q.client, err = kgo.NewClient(q.producerOptions()...); err != nil {
		return q.failed("open queue", err)
	}
	q.admin = kadm.NewClient(q.client)
	q.room = semaphore.NewWeighted(int64(q.opts.Buffer))
	q.lane = semaphore.NewWeighted(laneBytes)
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
