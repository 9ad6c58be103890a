package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/auth"
)

// usageInterval is how often nodes tell each other what came with each key: how
// long a quota may be exceeded by, and what a killed process forgets of counts.
const usageInterval = 5 * time.Second

// openLimits reads what was counted today before anything is let in.
func (s *server) openLimits(ctx context.Context) error {
	s.limits = auth.NewLimits(s.meta, s.now)
	return s.limits.Sync(ctx)
}

// runLimits writes what was counted until ctx ends, and then the rest: no
// request may come any more.
func (s *server) runLimits(ctx context.Context) {
	tick := time.NewTicker(usageInterval)
	s.work.Go(func() {
		defer tick.Stop()
		s.limits.Run(ctx, tick.C, s.log)
	})
}

var (
	descKeyRequests = desc("key_requests_total", "Requests by the ID of their key (empty: none that is known) and what became of them: taken, not_stored (taken, but the queue failed), or why they were refused.", "key", "outcome")
	descKeyEvents   = desc("key_events_total", "Events by key and outcome, as far as they were known.", "key", "outcome")
	descKeyBytes    = desc("key_bytes_total", "Bytes of bodies by key and outcome, as far as they were known.", "key", "outcome")
)

func (s *server) collectKeys(counter func(*prometheus.Desc, float64, ...string)) {
	for _, u := range s.limits.Totals() {
		counter(descKeyRequests, float64(u.Requests), u.Key, u.Reason)
		counter(descKeyEvents, float64(u.Events), u.Key, u.Reason)
		counter(descKeyBytes, float64(u.Bytes), u.Key, u.Reason)
	}
}
