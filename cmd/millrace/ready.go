package main

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
)

// probe asks something whether it works, at most once a second however often
// readiness is asked. Safe for concurrent use.
type probe struct {
	do func(context.Context) error

	mu  sync.Mutex
	at  time.Time
	err error
}

const (
	probeEvery   = time.Second
	probeTimeout = 2 * time.Second
)

// look returns what the newest probe found.
func (p *probe) look(ctx context.Context, now func() time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.at.IsZero() && now().Sub(p.at) < probeEvery {
		return p.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout) // others wait for it too
	defer cancel()
	p.err = p.do(ctx)
	p.at = now()
	return p.err
}

// probes are of what several nodes share.
type probes struct{ store, meta probe }

func newProbes(s *server) *probes {
	p := &probes{}
	p.store.do = func(ctx context.Context) error {
		if db, ok := s.store.(interface{ Ping(context.Context) error }); ok {
			return db.Ping(ctx) // its positions are elsewhere
		}
		_, err := s.store.Positions(ctx)
		return err
	}
	p.meta.do = func(ctx context.Context) error {
		_, err := s.meta.State(ctx, millrace.PlanState)
		return err
	}
	return p
}

// ready reports whether this node does what its roles are, for load balancers and
// rolling upgrades. What a role does not need is not asked for: ingest goes on
// while the store is away, since the queue waits for it.
func (s *server) ready(ctx context.Context) error {
	ingests, works, answers := s.cfg.Node.Has(config.RoleIngest), s.cfg.Node.Has(config.RoleWorker), s.cfg.Node.Has(config.RoleQuery)
	checks := []struct {
		needed bool
		place  string
		err    func() error
	}{
		{true, "", s.node.refusal},
		{ingests || works, "queue", s.queue.Healthy},
		{ingests, "", s.disk.pressure},
		{true, "meta", func() error { return s.probes.meta.look(ctx, s.now) }},
		{works || answers, "store", func() error { return s.probes.store.look(ctx, s.now) }},
		{works, "", s.working},
	}
	for _, c := range checks {
		if !c.needed {
			continue
		}
		if err := c.err(); err != nil {
			message := millrace.ErrorMessage(err)
			if c.place != "" {
				message = c.place + ": " + message
			}
			return &millrace.Error{Code: millrace.ErrUnavailable, Message: message, Err: err}
		}
	}
	return nil
}

// working says why the worker does nothing; nil if it is a member of its group
// and nothing fails.
func (s *server) working() error {
	st := s.pipeline.Status()
	if st.Outside != nil {
		return st.Outside
	}
	for place, fault := range st.Faults {
		return millrace.Errorf(millrace.ErrUnavailable, "%s: %s", place, fault)
	}
	return nil
}
