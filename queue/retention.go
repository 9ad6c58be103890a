package queue

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
)

// space is what is known about the segments' size without asking the disk.
type space struct {
	measured atomic.Int64 // bytes at the last look
	appended atomic.Int64 // bytes since, uncompressed: an upper bound
	idle     atomic.Int64 // of measured: what nobody needs and is not deleted, see shares
	waiting  atomic.Int64 // of measured: about what is not folded by all sinks
}

func (s *space) set(n int64) {
	// What is appended between the two lines is counted twice, never not.
	s.appended.Store(0)
	s.measured.Store(n)
}

// oldSegment is a segment that may be deleted, up to offset end.
type oldSegment struct {
	segment
	partition int32
	end       int64
}

// Release deletes, on the embedded broker, whole segments that are older than
// the retention, and the oldest beyond the size cap. It deletes nothing at or
// above lowest[partition], the lowest position of all sinks; a partition that
// is not in lowest keeps everything. Call it every second or so: it is cheap,
// and it is what resolves Pressure. An external broker is left alone.
func (q *Queue) Release(ctx context.Context, lowest map[int32]int64) error {
	if q.cluster == nil {
		return nil
	}
	old, total, err := q.releasable(lowest)
	if err != nil {
		return unavailable("release queue", q.dir, err)
	}
	for p, to := range chooseRelease(old, total, q.maxBytes, q.now().Add(-q.opts.Retention.Std())) {
		if err := q.cluster.DeleteRecords(q.opts.Topic, p, to); err != nil {
			return q.failed(fmt.Sprintf("delete records of partition %d", p), err)
		}
	}
	if err := q.measure(); err != nil {
		return err
	}
	bounds, err := q.Bounds(ctx)
	if err != nil {
		return err
	}
	if err := q.share(lowest, bounds); err != nil {
		return unavailable("release queue", q.dir, err)
	}
	return q.saveBounds(bounds)
}

// share divides the segments' bytes into what waits to be folded, estimated
// within a segment by its offsets, and what is idle: the newest segments of
// which all is folded. These are kept (see the package's deviations) until the
// next one begins, so they must not count against the cap: if they filled it,
// nothing could be appended and no segment would ever begin. They are about one
// segment per partition.
func (q *Queue) share(lowest map[int32]int64, bounds map[int32]Bounds) error {
	var idle, waiting int64
	for p, dir := range q.partitionDirs() {
		segs, err := listSegments(dir)
		if err != nil {
			return err
		}
		at, end := lowest[int32(p)], bounds[int32(p)].High
		if len(segs) > 0 && at >= end {
			idle += segs[len(segs)-1].size
		}
		for i := len(segs) - 1; i >= 0 && end > at; i-- {
			s := &segs[i]
			part := float64(end-max(at, s.base)) / float64(end-s.base)
			waiting += int64(part * float64(s.size))
			end = s.base
		}
	}
	q.space.idle.Store(idle)
	q.space.waiting.Store(waiting)
	return nil
}

// Waiting returns about how many bytes of records are not folded by all sinks
// yet, as of the last Release, and all that was appended since. Those appended
// since count uncompressed. It is 0 for an external broker.
func (q *Queue) Waiting() int64 { return q.space.waiting.Load() + q.space.appended.Load() }

// releasable lists the segments wholly below lowest, and the size of all. The
// newest of a partition is never among them: see the package's deviations.
func (q *Queue) releasable(lowest map[int32]int64) (old []oldSegment, total int64, err error) {
	for p, dir := range q.partitionDirs() {
		segs, err := listSegments(dir)
		if err != nil {
			return nil, 0, err
		}
		for i, s := range segs {
			total += s.size
			if i+1 < len(segs) && segs[i+1].base <= lowest[int32(p)] {
				old = append(old, oldSegment{s, int32(p), segs[i+1].base})
			}
		}
	}
	slices.SortStableFunc(old, func(a, b oldSegment) int {
		return cmp.Or(a.modified.Compare(b.modified), cmp.Compare(a.base, b.base))
	})
	return old, total, nil
}

// chooseRelease returns the offsets below which to delete. Going below the cap
// by a tenth leaves room until the next call.
func chooseRelease(old []oldSegment, total, maxBytes int64, before time.Time) map[int32]int64 {
	to := map[int32]int64{}
	for _, s := range old {
		if s.modified.Before(before) || total > maxBytes-maxBytes/10 {
			to[s.partition] = max(to[s.partition], s.end)
			total -= s.size
		}
	}
	return to
}

// Size returns the bytes of the embedded broker's segments on disk; 0 for an
// external broker.
func (q *Queue) Size() (int64, error) {
	if q.cluster == nil {
		return 0, nil
	}
	var total int64
	for _, dir := range q.partitionDirs() {
		segs, err := listSegments(dir)
		if err != nil {
			return 0, unavailable("measure queue", filepath.Dir(dir), err)
		}
		for _, s := range segs {
			total += s.size
		}
	}
	return total, nil
}

func (q *Queue) measure() error {
	n, err := q.Size()
	if err == nil {
		q.space.set(n)
	}
	return err
}

// Pressure returns ErrThrottled while the embedded broker's segments are over
// their cap, apart from what is idle (see share). Ingest asks before each request;
// it costs three atomic loads unless the cap is near.
func (q *Queue) Pressure() error {
	if q.cluster == nil {
		return nil
	}
	most := q.maxBytes + q.space.idle.Load()
	if q.space.measured.Load()+q.space.appended.Load() <= most {
		return nil
	}
	// The estimate counts uncompressed bytes; look before refusing.
	if err := q.measure(); err != nil {
		return err
	}
	if q.space.measured.Load() <= most {
		return nil
	}
	return &millrace.Error{
		Code:    millrace.ErrThrottled,
		Message: fmt.Sprintf("the queue is full: %s of records wait to be processed", millrace.Bytes(q.maxBytes)),
		Hint:    "the pipeline is behind or stopped: see its lag and errors; raise queue.max_bytes if the disk allows",
	}
}
