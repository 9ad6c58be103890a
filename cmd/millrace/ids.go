package main

import (
	"context"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/queue"
)

// A server that was killed does not know which of the events that their clients
// name it has: the queue does. Before anything is taken its end is read, as far
// as requests can reach back that were under way. See docs/protocols/ids.md.

// seedLimits bounds what a start costs: half a second from the embedded broker.
var seedLimits = queue.TailLimits{Records: 20_000, Bytes: 128 << 20}

// seedIDs tells ingest the names of the newest events.
func (s *server) seedIDs(ctx context.Context) error {
	if !s.cfg.Node.Has(config.RoleIngest) {
		return nil
	}
	return s.queue.Tail(ctx, seedLimits, func(r *millrace.Record) bool { return s.ingest.SeedIDs(r) })
}
