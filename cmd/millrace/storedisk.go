package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
)

// storeDiskGuard tells ingest to wait while the disks of a ClickHouse are nearly
// full: merges need room, too, and a server that has none refuses everything. What
// is in the queue already goes on. Safe for concurrent use.
type storeDiskGuard struct {
	high *atomic.Int64 // percent in use, that of the node's own disk
	ask  func(context.Context) (*clickhouse.Disk, error)
	full atomic.Pointer[millrace.Error] // nil while there is room
}

const (
	storeDiskEvery   = 5 * time.Second
	storeDiskTimeout = 4 * time.Second
)

// run looks until ctx ends; report gets why it cannot.
func (g *storeDiskGuard) run(ctx context.Context, report func(error)) {
	tick := time.NewTicker(storeDiskEvery)
	defer tick.Stop()
	for {
		err := g.look(ctx)
		if ctx.Err() != nil {
			return
		}
		report(err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look asks how full the disks are. While no server answers, what was seen last
// stays: ingest goes on without the store.
func (g *storeDiskGuard) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeDiskTimeout)
	defer cancel()
	d, err := g.ask(ctx)
	if err != nil {
		if millrace.ErrorCode(err) == millrace.ErrUnavailable { // readyz and the workers say so
			return nil
		}
		return err
	}
	high := g.high.Load()
	if d.Free >= ampleSpace || d.Total-d.Free < d.Total/100*high {
		g.full.Store(nil)
		return nil
	}
	g.full.Store(&millrace.Error{
		Code:    millrace.ErrThrottled,
		Message: fmt.Sprintf("the disks of ClickHouse are over %d%% full; send again later", high),
		Hint: fmt.Sprintf("free space on server %s, shorten clickhouse.retention, add a volume, or raise disk_high; %s are left",
			d.Server, millrace.Bytes(d.Free>>20<<20)),
	})
	return nil
}

// pressure returns ErrThrottled while the disks are nearly full. A nil guard has
// none to watch.
func (g *storeDiskGuard) pressure() error {
	if g == nil {
		return nil
	}
	if e := g.full.Load(); e != nil {
		return e
	}
	return nil
}
