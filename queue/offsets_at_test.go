package queue

import (
	"testing"
	"time"
)

// TestOffsetsAt: what arrived before a time lies below the offset, what arrived
// later does not, also after a restart.
func TestOffsetsAt(t *testing.T) {
	opts := testOptions()
	opts.Partitions = 1
	dir := t.TempDir()
	q := openQueue(t, opts, dir)
	want := func(at time.Time, offset int64) {
		t.Helper()
		got, err := q.OffsetsAt(t.Context(), at)
		if err != nil || len(got) != 1 || got[0] != offset {
			t.Errorf("at %v: %v %v, want %d", at, got, err, offset)
		}
	}
	want(time.Now(), 0)
	var after []time.Time
	for i := range int64(5) {
		mustAppend(t, q, record("c", i, "text"))
		time.Sleep(3 * time.Millisecond)
		after = append(after, time.Now())
		time.Sleep(3 * time.Millisecond)
	}
	look := func() {
		t.Helper()
		want(time.Unix(-5, 0), 0)
		want(time.Now().Add(-time.Hour), 0)
		want(time.Now().Add(time.Hour), 5)
		for i, at := range after {
			want(at, int64(i+1))
		}
	}
	look()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, opts, dir)
	look()
}
