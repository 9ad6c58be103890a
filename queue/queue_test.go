package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// quiet drops what the queue logs.
var quiet = slog.New(slog.DiscardHandler)

func testOptions() Options {
	o := DefaultOptions()
	o.MaxBytes = 1 << 30
	return o
}

func openQueue(t testing.TB, opts Options, dir string) *Queue {
	t.Helper()
	q, err := Open(t.Context(), opts, dir, quiet, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// record makes one of two events.
func record(client string, seq int64, text string) *millrace.Record {
	return &millrace.Record{
		Project: "p", Source: "web", Format: "json", Client: client, Seq: seq, Parts: 1,
		Frames: []uint32{uint32(len(text)), 1}, Payload: []byte(text + "\n"),
	}
}

func mustAppend(t testing.TB, q *Queue, recs ...*millrace.Record) {
	t.Helper()
	if err := q.Append(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
}

func bounds(t testing.TB, q *Queue) map[int32]Bounds {
	t.Helper()
	b, err := q.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lows are the offsets from which everything is read.
func lows(t testing.TB, q *Queue) map[int32]int64 {
	t.Helper()
	out := map[int32]int64{}
	for p, b := range bounds(t, q) {
		out[p] = b.Low
	}
	return out
}

// readAll polls from start to the present end.
func readAll(t testing.TB, q *Queue, start map[int32]int64) []Polled {
	t.Helper()
	c, err := q.Consumer(start)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ends := bounds(t, q)
	var out []Polled
	for behind(c.Next(), ends) {
		recs, err := c.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, recs...)
	}
	return out
}

func behind(next map[int32]int64, ends map[int32]Bounds) bool {
	for p, o := range next {
		if o < ends[p].High {
			return true
		}
	}
	return false
}

func TestAppendAndPoll(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, testOptions(), dir)
	before := time.Now().UnixNano()
	full := &millrace.Record{
		Project: "p", Source: "web", Format: "nginx", Rules: 7,
		Service: "s", Host: "h", Env: "e", Release: "r", Sender: "127.0.0.1:1",
		Client: "c1", Seq: 42, Part: 1, Parts: 2,
		Frames: []uint32{3, 0, 200}, Payload: bytes.Repeat([]byte("x"), 203),
		Refused: []millrace.Refusal{{Reason: "bad_json", Events: 3, Example: "{"}, {Reason: "line_too_long", Events: 1}},
	}
	mustAppend(t, q, full, record("c1", 43, "second"))
	got := readAll(t, q, lows(t, q))
	if len(got) != 2 || got[0].Err != nil || got[1].Err != nil {
		t.Fatalf("polled %+v", got)
	}
	r := *got[0].Record
	if r.Arrived < before || r.Arrived != full.Arrived {
		t.Errorf("arrived %d, set %d, call began %d", r.Arrived, full.Arrived, before)
	}
	r.Partition = 0
	if want := fmt.Sprintf("%+v", *full); fmt.Sprintf("%+v", r) != want {
		t.Errorf("polled %+v\nwant   %s", r, want)
	}
	if got[1].Record.Offset != 1 || got[1].Record.Partition != got[0].Record.Partition {
		t.Errorf("second record at partition %d offset %d", got[1].Record.Partition, got[1].Record.Offset)
	}
}

func TestPartitions(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	for i := range 8 {
		// Half a turn each, in two records.
		half := strings.Repeat("x", turnBytes/4-2)
		mustAppend(t, q, record("", 0, half), record("", 0, half))
		mustAppend(t, q, record("same client", int64(i), "c"))
	}
	perPartition, clients := map[int32]int{}, map[int32]int{}
	for _, p := range readAll(t, q, lows(t, q)) {
		if p.Record.Client == "" {
			perPartition[p.Record.Partition]++
		} else {
			clients[p.Record.Partition]++
		}
	}
	if want := (map[int32]int{0: 4, 1: 4, 2: 4, 3: 4}); !maps.Equal(perPartition, want) {
		t.Errorf("records without client per partition: %v", perPartition)
	}
	if len(clients) != 1 {
		t.Errorf("records of one client are in partitions %v", clients)
	}
	// Frozen: a change would separate a client's repeats from its requests.
	if p := clientPartition("same client", 4); p != 0 {
		t.Errorf("partition of a known client changed to %d", p)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	openQueue(t, testOptions(), dir)
	_, err := Open(t.Context(), testOptions(), dir, quiet, time.Now)
	if millrace.ErrorCode(err) != millrace.ErrConflict || !bytes.Contains([]byte(err.Error()), []byte(dir)) {
		t.Errorf("second open: %v", err)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, testOptions(), dir)
	mustAppend(t, q, record("c", 1, "one"))
	before := bounds(t, q)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Append(t.Context(), []*millrace.Record{record("c", 2, "x")}); millrace.ErrorCode(err) != millrace.ErrUnavailable {
		t.Errorf("append after close: %v", err)
	}
	q = openQueue(t, testOptions(), dir)
	if after := bounds(t, q); !maps.Equal(before, after) {
		t.Errorf("bounds %v, before %v", after, before)
	}
	mustAppend(t, q, record("c", 2, "two"))
	got := readAll(t, q, lows(t, q))
	if len(got) != 2 || string(got[1].Record.Payload) != "two\n" || got[1].Record.Offset != 1 {
		t.Errorf("polled %+v", got)
	}
	if r := q.Regressions(); len(r) != 0 {
		t.Errorf("regressions %v", r)
	}
}

func TestOffsetOutOfRange(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	mustAppend(t, q, record("c", 1, "one"))
	p := clientPartition("c", 4)
	other := (p + 1) % 4
	c, err := q.Consumer(map[int32]int64{p: 10, other: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	recs, err := c.Poll(t.Context())
	oe, ok := errors.AsType[*OffsetError](err)
	if !ok || len(recs) != 0 {
		t.Fatalf("polled %v, %v", recs, err)
	}
	if oe.Partition != p || oe.Asked != 10 || oe.Low != 0 || oe.High != 1 || oe.TopicID == "" {
		t.Errorf("error %+v", oe)
	}
	if millrace.ErrorCode(err) != millrace.ErrNotFound {
		t.Errorf("code %q", millrace.ErrorCode(err))
	}
	// The partition is out, without further errors; others go on.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if recs, err := c.Poll(ctx); len(recs) != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("polled %v, %v", recs, err)
	}
	if _, ok := c.Next()[p]; ok {
		t.Errorf("partition %d still has a next offset", p)
	}
	if err := c.Seek(map[int32]int64{p: oe.Low}); err != nil {
		t.Fatal(err)
	}
	recs, err = c.Poll(t.Context())
	if err != nil || len(recs) != 1 || string(recs[0].Record.Payload) != "one\n" {
		t.Errorf("after seek: %v, %v", recs, err)
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write anywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), testOptions(), dir, quiet, time.Now)
	if millrace.ErrorCode(err) != millrace.ErrUnavailable || millrace.ErrorHint(err) == "" {
		t.Errorf("open: %v", err)
	}
}

// TestPollMemory: what compresses best must not grow beyond the documented
// size when it is read.
func TestPollMemory(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	for range 10 {
		var recs []*millrace.Record
		for range 10 {
			recs = append(recs, &millrace.Record{Frames: []uint32{MaxPayload}, Payload: make([]byte, MaxPayload)})
		}
		mustAppend(t, q, recs...)
	}
	c, err := q.Consumer(lows(t, q))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n := 0; n < 100; {
		recs, err := c.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, p := range recs {
			size += len(p.Value)
		}
		if size > 34<<20 {
			t.Fatalf("one poll returned %d bytes", size)
		}
		n += len(recs)
	}
}

// TestConsumerClose ends a Poll that waits.
func TestConsumerClose(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	c, err := q.Consumer(map[int32]int64{0: 0})
	if err != nil {
		t.Fatal(err)
	}
	go c.Close()
	if _, err := c.Poll(t.Context()); millrace.ErrorCode(err) != millrace.ErrUnavailable {
		t.Errorf("poll: %v", err)
	}
}

// TestAppendWaitsForRoom: the buffer bounds what is under way, and an append
// that gets no room says so.
func TestAppendWaitsForRoom(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	if err := q.room.Acquire(t.Context(), int64(q.opts.Buffer)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := q.Append(ctx, []*millrace.Record{record("c", 1, "x")})
	if millrace.ErrorCode(err) != millrace.ErrThrottled {
		t.Errorf("append without room: %v", err)
	}
	q.room.Release(int64(q.opts.Buffer))
	mustAppend(t, q, record("c", 1, "x"))
}
