package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/millrace/millrace"
)

// Names inside the queue's directory.
const (
	lockName   = "lock"
	brokerName = "broker"
	boundsName = "bounds.json"
)

// maxSegment is the size at which the embedded broker starts a new segment.
// Retention deletes whole segments, and opening holds one per partition in
// memory, so it is smaller than Kafka's 1 GB. The smallest leaves room for two
// full batches.
const (
	maxSegment = 32 << 20
	minSegment = 4 << 20
)

// startEmbedded locks the directory, repairs it and starts the broker.
func (q *Queue) startEmbedded(ctx context.Context) (err error) {
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return unavailable("open queue", q.dir, err)
	}
	if err := probe(q.dir); err != nil {
		return unavailable("open queue", q.dir, err)
	}
	if q.lock, err = lockDir(q.dir); err != nil {
		return err
	}
	if err := q.sizeLimits(); err != nil {
		return unavailable("open queue", q.dir, err)
	}
	broker := filepath.Join(q.dir, brokerName)
	if err := prepare(broker, q.opts.Topic, q.now(), q.log); err != nil {
		if millrace.ErrorCode(err) == millrace.ErrCorrupt {
			return fmt.Errorf("repair queue: %w", err)
		}
		return unavailable("repair queue", q.dir, err)
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("millrace"),
		kfake.DataDir(broker),
		kfake.WithLogger(brokerLog{q.log}),
		kfake.GroupMinSessionTimeout(minSession.Std()),
		kfake.BrokerConfigs(map[string]string{"log.segment.bytes": strconv.FormatInt(q.segmentBytes, 10)}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			tcp, err := new(net.ListenConfig).Listen(ctx, network, q.opts.Listen)
			if err != nil {
				return nil, err
			}
			q.door = newDoor(tcp)
			return q.door, nil
		}),
	}
	if q.cluster, err = kfake.NewCluster(opts...); err != nil {
		return startError(q.opts.Listen, q.dir, err)
	}
	q.addrs = q.cluster.ListenAddrs()
	return nil
}

// sizeLimits fixes the cap and the segment size.
func (q *Queue) sizeLimits() error {
	q.maxBytes = int64(q.opts.MaxBytes)
	if q.maxBytes == 0 {
		disk, err := diskSize(q.dir)
		if err != nil {
			return err
		}
		// Two segments of the smallest size per partition: one to fill and one
		// to delete.
		least := 2 * minSegment * int64(q.opts.Partitions)
		q.maxBytes = max(least, min(disk/10, 20e9))
	}
	// An eighth of a partition's share, so that a small cap still leaves
	// whole segments to delete.
	share := q.maxBytes / int64(q.opts.Partitions) / 8
	q.segmentBytes = max(minSegment, min(share, maxSegment))
	return nil
}

func startError(listen, dir string, err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return &millrace.Error{
			Code: millrace.ErrUnavailable, Op: "start embedded broker", Err: err,
			Message: "the embedded broker cannot listen on " + listen,
			Hint:    "choose another queue.listen address, or 127.0.0.1:0 for any free port",
		}
	}
	return unavailable("start embedded broker", dir, err)
}

// lockDir takes the directory's lock for the life of the returned file. It is
// the kernel's: a killed process leaves none behind.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unavailable("lock queue", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &millrace.Error{
				Code: millrace.ErrConflict, Op: "lock queue",
				Message: "another process uses the queue directory " + dir,
				Hint:    "stop the other millrace, or give this one another data directory",
			}
		}
		return nil, unavailable("lock queue", dir, err)
	}
	return f, nil
}

// diskSize is the size in bytes of the disk that holds dir.
func diskSize(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Blocks) * int64(st.Bsize), nil //nolint:unconvert // the types differ between systems
}
