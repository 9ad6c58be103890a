package queue

import (
	"context"
	"sync"
	"time"
)

// probeEvery is how long the result of a probe is reused: a probe costs a
// sync, and readiness may be asked often.
const probeEvery = 5 * time.Second

// health remembers what Healthy knows.
type health struct {
	mu     sync.Mutex
	failed error // a failed sync: final
	probed time.Time
	last   error // of the last probe
}

func (h *health) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == nil {
		h.failed = err
	}
}

// Healthy returns nil if the queue can take records as far as it knows. The
// embedded broker's directory is probed with a small synced write at most
// every five seconds, an external broker with a request. A failed sync is
// final: the process must be restarted, so that the log is checked.
func (q *Queue) Healthy() error {
	h := &q.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed != nil {
		return h.failed
	}
	now := q.now()
	if !h.probed.IsZero() && now.Sub(h.probed) < probeEvery {
		return h.last
	}
	h.probed, h.last = now, q.probe()
	return h.last
}

func (q *Queue) probe() error {
	if q.cluster != nil {
		if err := probe(q.dir); err != nil {
			return unavailable("probe queue", q.dir, err)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeEvery)
	defer cancel()
	return q.failed("probe queue", q.client.Ping(ctx))
}
