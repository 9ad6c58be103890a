package queue

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// noise returns 12 KiB that do not compress.
func noise(seed uint64) string {
	b := make([]byte, 0, 12<<10)
	for x := seed*2 + 1; len(b) < 12<<10; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return string(b)
}

// fill appends n records of 12 KiB to the partition of a client and
// returns the partition.
func fill(t testing.TB, q *Queue, from, n int) int32 {
	t.Helper()
	for i := 0; i < n; {
		var recs []*millrace.Record
		for ; i < n && len(recs) < 10; i++ {
			recs = append(recs, record("fill", int64(from+i), noise(uint64(from+i))))
		}
		mustAppend(t, q, recs...)
	}
	return clientPartition("fill", q.Partitions())
}

func segmentsOf(t testing.TB, q *Queue, p int32) []segment {
	t.Helper()
	segs, err := listSegments(q.partitionDirs()[p])
	if err != nil {
		t.Fatal(err)
	}
	return segs
}

// smallSegments are options with segments of minSegment.
func smallSegments() Options {
	opts := testOptions()
	opts.MaxBytes = 64 << 20
	return opts
}

// TestCutTail cuts a fifth off the newest segment, and off every segment,
// after a clean stop and after what looks like a kill.
func TestCutTail(t *testing.T) {
	f := func(t *testing.T, cut func(segs []segment) []segment, clean bool) {
		t.Helper()
		const n = 600 // two segments
		dir := t.TempDir()
		q := openQueue(t, smallSegments(), dir)
		p := fill(t, q, 0, n)
		if segs := segmentsOf(t, q, p); len(segs) < 2 {
			t.Fatalf("only %d segments", len(segs))
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		pdir := q.partitionDirs()[p]
		for _, s := range cut(segmentsOf(t, q, p)) {
			if err := os.Truncate(filepath.Join(pdir, segmentName(s.base)), s.size*4/5); err != nil {
				t.Fatal(err)
			}
		}
		if !clean {
			if err := os.Remove(filepath.Join(pdir, "snapshot.json")); err != nil {
				t.Fatal(err)
			}
		}

		q = openQueue(t, smallSegments(), dir)
		b := bounds(t, q)[p]
		if b.Low != 0 || b.High >= n || b.High < n/2 {
			t.Fatalf("bounds %+v", b)
		}
		if r := q.Regressions(); len(r) != 1 || r[0] != (Regression{p, b.TopicID, b.High, n}) {
			t.Errorf("regressions %+v", r)
		}
		fill(t, q, n, 10)
		got := readAll(t, q, map[int32]int64{p: 0})
		seqs := map[int64]bool{}
		for i, r := range got {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if i > 0 && r.Record.Offset <= got[i-1].Record.Offset {
				t.Fatalf("offset %d after %d", r.Record.Offset, got[i-1].Record.Offset)
			}
			seqs[r.Record.Seq] = true
		}
		for i := range 10 {
			if !seqs[int64(n+i)] {
				t.Errorf("record appended after the damage is missing: %d", i)
			}
		}
		missing := int(b.High) + 10 - len(got)
		if len(cut(make([]segment, 3))) == 1 && missing != 0 {
			t.Errorf("%d records missing below the end", missing)
		}
		// Once more, without the cut bytes being counted again.
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		q = openQueue(t, smallSegments(), dir)
		if again := readAll(t, q, map[int32]int64{p: 0}); len(again) != len(got) {
			t.Errorf("%d records after another restart, before %d", len(again), len(got))
		}
		if r := q.Regressions(); len(r) != 0 {
			t.Errorf("regressions are told twice: %v", r)
		}
	}
	newest := func(s []segment) []segment { return s[len(s)-1:] }
	all := func(s []segment) []segment { return s }
	t.Run("newest, clean stop", func(t *testing.T) { f(t, newest, true) })
	t.Run("newest, kill", func(t *testing.T) { f(t, newest, false) })
	t.Run("all, clean stop", func(t *testing.T) { f(t, all, true) })
	t.Run("all, kill", func(t *testing.T) { f(t, all, false) })
}

// TestFlippedBit damages one byte in the newest segment without changing its
// size, which the broker's snapshot does not notice.
func TestFlippedBit(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, testOptions(), dir)
	var p int32
	for i := range 20 {
		p = fill(t, q, i, 1) // a batch each
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(q.partitionDirs()[p], segmentName(0))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, testOptions(), dir)
	high := bounds(t, q)[p].High
	if high < 8 || high > 12 {
		t.Errorf("high is %d after damage to the middle of 20", high)
	}
	fill(t, q, 100, 5)
	got := readAll(t, q, map[int32]int64{p: 0})
	if len(got) != int(high)+5 || got[high].Record.Seq != 100 {
		t.Errorf("read %d records, want %d", len(got), high+5)
	}
}

func TestSegmentOfGarbage(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, testOptions(), dir)
	p := fill(t, q, 0, 5)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	pdir := q.partitionDirs()[p]
	if err := os.WriteFile(filepath.Join(pdir, segmentName(5)), make([]byte, 5000), 0o644); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, testOptions(), dir)
	if b := bounds(t, q)[p]; b.High != 5 {
		t.Errorf("bounds %+v", b)
	}
	fill(t, q, 5, 5)
	if got := readAll(t, q, map[int32]int64{p: 0}); len(got) != 10 {
		t.Errorf("read %d records", len(got))
	}
}

// TestTopicDeleted covers both ways: by a client, and by removing the files.
func TestTopicDeleted(t *testing.T) {
	f := func(t *testing.T, remove func(q *Queue) error) {
		t.Helper()
		dir := t.TempDir()
		q := openQueue(t, testOptions(), dir)
		p := fill(t, q, 0, 5)
		old := bounds(t, q)[p]
		if err := remove(q); err != nil {
			t.Fatal(err)
		}
		_ = q.Close() // it cannot note the bounds of a topic that is gone
		q = openQueue(t, testOptions(), dir)
		b := bounds(t, q)[p]
		if b.TopicID == old.TopicID || b.Low != 0 || b.High != 0 {
			t.Errorf("bounds %+v, before %+v", b, old)
		}
		fill(t, q, 5, 1)
		if got := readAll(t, q, map[int32]int64{p: 0}); len(got) != 1 || got[0].Record.Seq != 5 {
			t.Errorf("read %v", got)
		}
	}
	t.Run("by a client", func(t *testing.T) {
		f(t, func(q *Queue) error {
			_, err := q.admin.DeleteTopic(t.Context(), q.opts.Topic)
			return err
		})
	})
	t.Run("whole directory", func(t *testing.T) {
		f(t, func(q *Queue) error {
			err := q.Close()
			return joinErr(err, os.RemoveAll(filepath.Join(q.dir, brokerName)))
		})
	})
	t.Run("the broker's list of topics", func(t *testing.T) {
		f(t, func(q *Queue) error {
			err := q.Close()
			return joinErr(err, os.Remove(filepath.Join(q.dir, brokerName, "topics.json")))
		})
	})
	t.Run("the broker's identity", func(t *testing.T) {
		f(t, func(q *Queue) error {
			err := q.Close()
			return joinErr(err, os.Remove(filepath.Join(q.dir, brokerName, "meta.json")))
		})
	})
}

func joinErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestTopicCreatedAgain does it under the eyes of a consumer.
func TestTopicCreatedAgain(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	p := fill(t, q, 0, 5)
	c, err := q.Consumer(map[int32]int64{p: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if recs, err := c.Poll(t.Context()); err != nil || len(recs) != 5 {
		t.Fatalf("polled %d, %v", len(recs), err)
	}
	old := bounds(t, q)[p].TopicID
	if err := q.cluster.DeleteTopic(q.opts.Topic); err != nil {
		t.Fatal(err)
	}
	// More than before, so that offset 5 exists again: it must not be taken
	// for the next record of the old topic.
	fill(t, q, 100, 8)
	recs, err := c.Poll(t.Context())
	oe, ok := errors.AsType[*OffsetError](err)
	if !ok || len(recs) != 0 {
		t.Fatalf("polled %v, %v", recs, err)
	}
	if oe.Asked != 5 || oe.TopicID == old || oe.High != 8 || millrace.ErrorCode(err) != millrace.ErrNotFound {
		t.Errorf("error %v", oe)
	}
	if err := c.Seek(map[int32]int64{p: oe.Low}); err != nil {
		t.Fatal(err)
	}
	if recs, err := c.Poll(t.Context()); err != nil || len(recs) == 0 || recs[0].Record.Seq != 100 {
		t.Errorf("after seek: %d, %v", len(recs), err)
	}
}

func TestDamagedJSON(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, testOptions(), dir)
	fill(t, q, 0, 1)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, brokerName, "topics.json")
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), testOptions(), dir, quiet, time.Now)
	if millrace.ErrorCode(err) != millrace.ErrCorrupt || !strings.Contains(err.Error(), path) || millrace.ErrorHint(err) == "" {
		t.Errorf("open: %v", err)
	}
}

// TestSnapshotFormat fails when an update of the broker changes the files that
// prepare and the syncer rely on.
func TestSnapshotFormat(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	p := fill(t, q, 0, 3)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(q.partitionDirs()[p], "snapshot.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	var s snapshotFile
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	segs := segmentsOf(t, q, p)
	want := []snapshotSegment{{segs[0].base, segs[0].size}}
	if s.Version != 1 || s.HighWatermark != 3 || fmt.Sprint(s.Segments) != fmt.Sprint(want) {
		t.Errorf("snapshot %s, want segments %v", b, want)
	}
}

// TestPrepareWritesSnapshot: without one the broker would hold the whole log
// in memory while it opens after a kill.
func TestPrepareWritesSnapshot(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, smallSegments(), dir)
	p := fill(t, q, 0, 400)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(q.partitionDirs()[p], "snapshot.json")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := prepare(filepath.Join(dir, brokerName), q.opts.Topic, time.Now(), quiet); err != nil {
		t.Fatal(err)
	}
	var s snapshotFile
	if found, err := readJSON(path, &s); !found || err != nil || len(s.Segments) != len(segmentsOf(t, q, p)) {
		t.Errorf("snapshot %+v, %v, %v", s, found, err)
	}
}

// TestDamageWhileRunning: a batch that cannot be read any more is an error
// once, and the reader can go on after it.
func TestDamageWhileRunning(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	var p int32
	for i := range 10 {
		p = fill(t, q, i, 1) // a batch each, of equal size
	}
	path := filepath.Join(q.partitionDirs()[p], segmentName(0))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), st.Size()/10*4+500); err != nil {
		t.Fatal(err)
	}
	c, err := q.Consumer(map[int32]int64{p: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := func() (seqs []int64, oe *OffsetError) {
		t.Helper()
		for c.Next()[p] < 10 {
			recs, err := c.Poll(t.Context())
			for _, r := range recs {
				seqs = append(seqs, r.Record.Seq)
			}
			if errors.As(err, &oe) {
				return seqs, oe
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return seqs, nil
	}
	seqs, oe := read()
	if len(seqs) != 4 || oe == nil || oe.Asked != 4 || oe.Low != 0 || oe.High != 10 ||
		millrace.ErrorCode(oe) != millrace.ErrCorrupt {
		t.Fatalf("read %v, %v", seqs, oe)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if recs, err := c.Poll(ctx); len(recs) != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("polled %d after the error, %v", len(recs), err)
	}
	if err := c.Seek(map[int32]int64{p: 5}); err != nil {
		t.Fatal(err)
	}
	if seqs, oe := read(); len(seqs) != 5 || seqs[0] != 5 || oe != nil {
		t.Errorf("after it: read %v, %v", seqs, oe)
	}
}
