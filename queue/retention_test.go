package queue

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// age sets back the time of a partition's segments with base below.
func age(t *testing.T, q *Queue, p int32, below int64, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	for _, s := range segmentsOf(t, q, p) {
		if s.base < below {
			if err := os.Chtimes(filepath.Join(q.partitionDirs()[p], segmentName(s.base)), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func release(t *testing.T, q *Queue, lowest map[int32]int64) {
	t.Helper()
	if err := q.Release(t.Context(), lowest); err != nil {
		t.Fatal(err)
	}
}

func diskBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, brokerName, "partitions", "*", "*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		n += st.Size()
	}
	return n
}

func TestReleaseByTime(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, smallSegments(), dir)
	p := fill(t, q, 0, 1300)
	segs := segmentsOf(t, q, p)
	if len(segs) < 4 {
		t.Fatalf("only %d segments", len(segs))
	}
	low := func() int64 { return bounds(t, q)[p].Low }

	release(t, q, map[int32]int64{p: 1300})
	if low() != 0 {
		t.Errorf("low is %d although nothing is old", low())
	}
	age(t, q, p, segs[2].base, 73*time.Hour)
	release(t, q, map[int32]int64{})
	release(t, q, map[int32]int64{p: segs[1].base - 1})
	if low() != 0 {
		t.Errorf("low is %d, above the lowest position", low())
	}
	before := diskBytes(t, dir)
	release(t, q, map[int32]int64{p: segs[1].base})
	if low() != segs[1].base {
		t.Errorf("low is %d, want %d", low(), segs[1].base)
	}
	if freed := before - diskBytes(t, dir); freed != segs[0].size {
		t.Errorf("%d bytes of disk are free, want %d", freed, segs[0].size)
	}
	// All are old and folded: the newest stays.
	age(t, q, p, 1<<60, 73*time.Hour)
	release(t, q, map[int32]int64{p: 1300})
	last := segs[len(segs)-1]
	if low() != last.base {
		t.Errorf("low is %d, want %d", low(), last.base)
	}
	if n, err := q.Size(); err != nil || n != last.size || n != diskBytes(t, dir) {
		t.Errorf("size %d, %v, want %d", n, err, last.size)
	}
	// Appends go on, are synced, and all of it outlives a restart.
	fill(t, q, 1300, 400)
	want := bounds(t, q)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, smallSegments(), dir)
	if got := bounds(t, q); !maps.Equal(got, want) {
		t.Errorf("bounds after restart %v, want %v", got, want)
	}
	if got := readAll(t, q, lows(t, q)); int64(len(got)) != want[p].High-want[p].Low {
		t.Errorf("read %d records", len(got))
	}
}

func TestReleaseBySize(t *testing.T) {
	dir := t.TempDir()
	opts := smallSegments()
	opts.MaxBytes = minMaxBytes
	q := openQueue(t, opts, dir)
	if err := q.Pressure(); err != nil {
		t.Fatal(err)
	}
	// Fill until it refuses. The cap is kept within one record and the
	// estimate, which is looked up when it says full.
	var err error
	n := 0
	for ; err == nil && n < 10000; n++ {
		err = q.Append(t.Context(), []*millrace.Record{record("fill", int64(n), noise(uint64(n)))})
	}
	if millrace.ErrorCode(err) != millrace.ErrThrottled || millrace.ErrorHint(err) == "" {
		t.Fatalf("append %d: %v", n, err)
	}
	if millrace.ErrorCode(q.Pressure()) != millrace.ErrThrottled {
		t.Error("no pressure")
	}
	if got := diskBytes(t, dir); got < minMaxBytes || got > minMaxBytes+64<<10 {
		t.Errorf("%d bytes on disk at a cap of %d", got, minMaxBytes)
	}
	p := clientPartition("fill", 4)
	release(t, q, map[int32]int64{p: 0})
	if millrace.ErrorCode(q.Pressure()) != millrace.ErrThrottled {
		t.Error("nothing may be deleted, and yet there is no pressure")
	}
	release(t, q, map[int32]int64{p: int64(n)})
	if err := q.Pressure(); err != nil {
		t.Errorf("pressure after release: %v", err)
	}
	if got := diskBytes(t, dir); got > minMaxBytes*9/10 || got < minMaxBytes/2 {
		t.Errorf("%d bytes left of %d", got, minMaxBytes)
	}
	fill(t, q, n, 1)
}

// TestSmallCap: where the newest segments of all partitions alone reach the cap,
// a queue of which everything is folded takes records again, for ever, and
// stays within a segment per partition of its cap.
func TestSmallCap(t *testing.T) {
	dir := t.TempDir()
	opts := smallSegments()
	opts.MaxBytes, opts.Durability = minMaxBytes, DurabilityOS
	q := openQueue(t, opts, dir)
	for n, full := 0, 0; full < 3; {
		if n++; n > 10_000 {
			t.Fatal("the queue is never full")
		}
		err := q.Append(t.Context(), []*millrace.Record{record("", 0, strings.Repeat(noise(uint64(n)), 8))})
		if err == nil {
			continue
		}
		if millrace.ErrorCode(err) != millrace.ErrThrottled {
			t.Fatal(err)
		}
		full++
		if got, most := diskBytes(t, dir), int64(minMaxBytes+4*(minSegment+batchBytes)); got > most {
			t.Errorf("%d bytes on disk, want at most %d", got, most)
		}
		folded := map[int32]int64{}
		for p, b := range bounds(t, q) {
			folded[p] = b.High
		}
		release(t, q, folded)
		if err := q.Pressure(); err != nil {
			t.Fatalf("all is folded: %v", err)
		}
	}
}

func TestChooseRelease(t *testing.T) {
	at := func(h int) time.Time { return time.Unix(0, 0).Add(time.Duration(h) * time.Hour) }
	old := []oldSegment{
		{segment{0, 10, at(1)}, 0, 100},
		{segment{0, 10, at(2)}, 1, 200},
		{segment{100, 10, at(3)}, 0, 300},
		{segment{200, 10, at(4)}, 1, 400},
	}
	f := func(total, maxBytes int64, before time.Time, want map[int32]int64) {
		t.Helper()
		if got := chooseRelease(old, total, maxBytes, before); !maps.Equal(got, want) {
			t.Errorf("total %d cap %d before %v: %v, want %v", total, maxBytes, before, got, want)
		}
	}
	f(100, 1000, at(0), map[int32]int64{})
	f(100, 1000, at(2), map[int32]int64{0: 100})
	f(100, 1000, at(9), map[int32]int64{0: 300, 1: 400})
	f(100, 100, at(0), map[int32]int64{0: 100})
	f(100, 80, at(0), map[int32]int64{0: 300, 1: 200})
	f(100, 10, at(0), map[int32]int64{0: 300, 1: 400})
}

// TestNewestSegmentSurvivesKill: a partition of which retention has deleted
// all it may must not begin at offset 0 again after a kill.
func TestNewestSegmentSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, smallSegments(), dir)
	p := fill(t, q, 0, 500)
	age(t, q, p, 1<<60, 1000*time.Hour)
	release(t, q, map[int32]int64{p: 500})
	want := bounds(t, q)
	// A copy of the files as they are now is what a kill would leave.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, smallSegments(), copied)
	if got := bounds(t, q); !maps.Equal(got, want) {
		t.Errorf("bounds %v, want %v", got, want)
	}
}
