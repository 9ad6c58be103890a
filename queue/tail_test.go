package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// TestTail: the newest records come, each once, up to the limits, also after a
// restart.
func TestTail(t *testing.T) {
	opts := testOptions()
	opts.Partitions = 3
	dir := t.TempDir()
	q := openQueue(t, opts, dir)
	tail := func(lim TailLimits, stop int) (got []string) {
		t.Helper()
		if err := q.Tail(t.Context(), lim, func(r *millrace.Record) bool {
			got = append(got, strings.TrimSpace(string(r.Payload)))
			return len(got) != stop
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	all := TailLimits{Records: 1 << 20, Bytes: 1 << 30}
	if got := tail(all, 0); len(got) != 0 {
		t.Fatal(got)
	}
	const n = 700
	for i := int64(0); i < n; i += 100 {
		var recs []*millrace.Record
		for k := range int64(100) {
			recs = append(recs, record(fmt.Sprint("c", k%7), i+k, fmt.Sprintf("text%04d", i+k)))
		}
		mustAppend(t, q, recs...)
	}
	look := func() {
		t.Helper()
		got := tail(all, 0)
		slices.Sort(got)
		if len(got) != n || len(slices.Compact(got)) != n {
			t.Fatalf("%d records, want %d", len(got), n)
		}
		// Of each partition there are at most as many as were asked for, the newest.
		few := tail(TailLimits{Records: 10, Bytes: 1 << 30}, 0)
		if len(few) == 0 || len(few) > 30 || !slices.Contains(few, fmt.Sprintf("text%04d", n-1)) {
			t.Errorf("%d records: %v", len(few), few)
		}
		if got := tail(TailLimits{Records: 1 << 20, Bytes: 9 * 50}, 0); len(got) != 50 {
			t.Errorf("%d records in 400 bytes", len(got))
		}
		if got := tail(all, 7); len(got) != 7 {
			t.Errorf("%d records, want 7", len(got))
		}
	}
	look()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, opts, dir)
	look()
}

// However many records there are, a window's are all newer than the next one's.
func TestTailWindows(t *testing.T) {
	opts := testOptions()
	opts.Partitions = 1
	q := openQueue(t, opts, t.TempDir())
	rng := rand.New(rand.NewPCG(1, 1))
	n := int64(tailWindow*4 + rng.IntN(200))
	var recs []*millrace.Record
	for i := range n {
		recs = append(recs, record("c", i, fmt.Sprint("text", i)))
	}
	mustAppend(t, q, recs...)
	var offsets []int64
	if err := q.Tail(t.Context(), TailLimits{Records: 1 << 20, Bytes: 1 << 30}, func(r *millrace.Record) bool {
		offsets = append(offsets, r.Offset)
		return true
	}); err != nil || int64(len(offsets)) != n {
		t.Fatal(err, len(offsets), n)
	}
	low, window := n, int64(tailWindow)
	for len(offsets) > 0 {
		k := low - max(0, n-window)
		for i, o := range offsets[:k] {
			if want := low - k + int64(i); o != want {
				t.Fatalf("offset %d, want %d", o, want)
			}
		}
		offsets, low, window = offsets[k:], low-k, window*4
	}
}
