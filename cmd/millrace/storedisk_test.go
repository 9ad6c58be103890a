package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
)

// TestStoreDiskGuard: ingest waits while ClickHouse has neither the percentage nor
// ample space left, and what was seen last holds while no server answers.
func TestStoreDiskGuard(t *testing.T) {
	var high atomic.Int64
	high.Store(85)
	disk, fails := clickhouse.Disk{Server: "ch-2"}, error(nil)
	g := &storeDiskGuard{high: &high, ask: func(context.Context) (*clickhouse.Disk, error) { return &disk, fails }}
	f := func(total, free int64, wantFull bool) {
		t.Helper()
		disk.Total, disk.Free = total, free
		if err := g.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := g.pressure()
		if (err != nil) != wantFull || wantFull && millrace.ErrorCode(err) != millrace.ErrThrottled {
			t.Errorf("%d of %d free: %v", free, total, err)
		}
	}
	const gib = int64(1) << 30
	f(100*gib, 16*gib, false)
	f(100*gib, 14*gib, true)
	f(1000*gib, 30*gib, false) // ample
	f(1000*gib, 10*gib, true)
	var e *millrace.Error
	if err := g.pressure(); !errors.As(err, &e) || !strings.Contains(e.Hint, "ch-2") || !strings.Contains(e.Hint, "10.0 GiB") && !strings.Contains(e.Hint, "10GiB") {
		t.Errorf("%v, %q", err, e.Hint)
	}
	fails = millrace.Errorf(millrace.ErrUnavailable, "no server answers")
	f(1000*gib, 999*gib, true)
	fails = millrace.Errorf(millrace.ErrUnauthorized, "wrong password")
	if err := g.look(t.Context()); err == nil {
		t.Error("a fault that does not pass must be reported")
	}
	fails = nil
	f(1000*gib, 999*gib, false)
	if err := (*storeDiskGuard)(nil).pressure(); err != nil {
		t.Error(err)
	}
}
