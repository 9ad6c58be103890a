package queue

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// largeRecords are together a large call: random bytes do not compress.
func largeRecords(n int) []*millrace.Record {
	var recs []*millrace.Record
	random := rand.NewChaCha8([32]byte{1})
	for range n {
		r := record("", 0, "")
		r.Payload = make([]byte, 700<<10)
		_, _ = random.Read(r.Payload)
		r.Frames = []uint32{uint32(len(r.Payload))}
		recs = append(recs, r)
	}
	return recs
}

// TestLane: while large calls have all they may, small ones pass and another
// large one waits; afterwards it goes on, and everything was given back.
func TestLane(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	if !q.lane.TryAcquire(laneBytes) {
		t.Fatal("the lane is taken at the start")
	}
	mustAppend(t, q, record("", 0, "small"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := q.Append(ctx, largeRecords(3)); millrace.ErrorCode(err) != millrace.ErrThrottled {
		t.Fatalf("a large call passed a full lane: %v", err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- q.Append(t.Context(), largeRecords(8)) }()
	mustAppend(t, q, record("", 0, "beside it"))
	select {
	case err := <-waiting:
		t.Fatalf("a large call passed a full lane: %v", err)
	default:
	}
	q.lane.Release(laneBytes)
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	if !q.lane.TryAcquire(laneBytes) || !q.room.TryAcquire(int64(q.opts.Buffer)) {
		t.Error("not all was given back")
	}
	var n int64
	for _, b := range bounds(t, q) {
		n += b.High - b.Low
	}
	if n != 10 {
		t.Errorf("%d records stored, want 10", n)
	}
}

// TestLaneWithoutRoom: a large call that gets no room gives its lane back.
func TestLaneWithoutRoom(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	if !q.room.TryAcquire(int64(q.opts.Buffer)) {
		t.Fatal("the room is taken at the start")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := q.Append(ctx, largeRecords(2)); millrace.ErrorCode(err) != millrace.ErrThrottled {
		t.Fatal(err)
	}
	if !q.lane.TryAcquire(laneBytes) {
		t.Error("the lane was not given back")
	}
}
