package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/queue"
)

// lagGuard tells ingest to wait while workers are so far behind that the queue
// might delete what none of them has read. How old the oldest record is that no
// sink has stored is asked of the broker and of what keeps positions, so that it
// is known from the start. Safe for concurrent use.
type lagGuard struct {
	high      atomic.Int64 // nanoseconds; 0: no bound
	offsetsAt func(context.Context, time.Time) (map[int32]int64, error)
	bounds    func(context.Context) (map[int32]queue.Bounds, error)
	positions func(context.Context) (map[millrace.Sink][]millrace.Position, error)
	now       func() time.Time
	behind    atomic.Pointer[millrace.Error] // nil while it is not
}

const (
	lagEvery   = 2 * time.Second
	lagTimeout = 10 * time.Second
)

// run looks until ctx ends. While it cannot, what was seen last stays; report
// gets why.
func (g *lagGuard) run(ctx context.Context, report func(error)) {
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := g.look(ctx)
		if ctx.Err() == nil {
			report(err)
		}
	}
}

// look compares positions with what is older than the bound. A record is older
// if its offset is below the first that arrived since.
func (g *lagGuard) look(ctx context.Context) error {
	high := time.Duration(g.high.Load())
	if high == 0 {
		g.behind.Store(nil)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	fresh, err := g.offsetsAt(ctx, g.now().Add(-high))
	if err != nil {
		return err
	}
	bounds, err := g.bounds(ctx)
	if err != nil {
		return err
	}
	stored, err := g.positions(ctx)
	if err != nil {
		return err
	}
	for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
		at := map[int32]int64{}
		for _, p := range stored[sink] {
			at[p.Partition] = p.Offset
		}
		for part, first := range fresh {
			if max(at[part], bounds[part].Low) < first { // what is deleted waits for nobody
				e := millrace.Errorf(millrace.ErrThrottled, "events that arrived %v ago are not stored yet; send again later", millrace.Duration(high))
				e.Hint = "look at GET /api/v1/cluster: which partition is behind, and do its workers fail? More workers, or a higher lag_high with a longer retention"
				g.behind.Store(e)
				return nil
			}
		}
	}
	g.behind.Store(nil)
	return nil
}

// pressure returns ErrThrottled while the bound is crossed.
func (g *lagGuard) pressure() error {
	if e := g.behind.Load(); e != nil {
		return e
	}
	return nil
}
