package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// TestExternalBroker runs the same code against a broker of another process,
// as far as it can tell: all it has is an address.
func TestExternalBroker(t *testing.T) {
	broker := openQueue(t, testOptions(), t.TempDir())
	testExternal(t, broker.Addrs(), 1)
}

func testExternal(t *testing.T, addrs []string, replication int16) {
	opts := testOptions()
	opts.Broker, opts.Topic, opts.Partitions = addrs, "other", 3
	opts.Replication = replication
	q := openQueue(t, opts, "")
	if q.Embedded() || q.Partitions() != 3 {
		t.Errorf("embedded %v, %d partitions", q.Embedded(), q.Partitions())
	}
	for i := range 10 {
		mustAppend(t, q, record("c", int64(i), "text"))
	}
	got := readAll(t, q, lows(t, q))
	if len(got) != 10 {
		t.Errorf("read %d records", len(got))
	}
	for i, p := range got {
		if p.Err != nil || p.Record.Seq != int64(i) || p.Record.Offset != int64(i) {
			t.Errorf("record %d: %+v", i, p)
		}
	}
	if err := q.Healthy(); err != nil {
		t.Error(err)
	}
	if err := q.Release(t.Context(), map[int32]int64{0: 10, 1: 10, 2: 10}); err != nil {
		t.Error(err)
	}
	if n, err := q.Size(); n != 0 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	again := openQueue(t, opts, "")
	if b := bounds(t, again); b[clientPartition("c", 3)].High != 10 {
		t.Errorf("second connection sees %v", b)
	}
}

func TestExternalBrokerAway(t *testing.T) {
	broker := openQueue(t, testOptions(), t.TempDir())
	opts := testOptions()
	opts.Broker, opts.Timeout = broker.Addrs(), millrace.Duration(time.Second)
	q := openQueue(t, opts, "")
	mustAppend(t, q, record("c", 1, "text"))
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	err := q.Append(t.Context(), []*millrace.Record{record("c", 2, "text")})
	if c := millrace.ErrorCode(err); c != millrace.ErrUnavailable || !strings.Contains(millrace.ErrorHint(err), opts.Broker[0]) {
		t.Errorf("append: %v, hint %q", err, millrace.ErrorHint(err))
	}
	q.now = func() time.Time { return time.Now().Add(time.Hour) } // past the last probe
	if c := millrace.ErrorCode(q.Healthy()); c != millrace.ErrUnavailable && c != millrace.ErrTimeout {
		t.Errorf("healthy: %v", q.Healthy())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = Open(ctx, opts, "", quiet, time.Now)
	if c := millrace.ErrorCode(err); c != millrace.ErrUnavailable && c != millrace.ErrTimeout {
		t.Errorf("open: %v", err)
	}
}
