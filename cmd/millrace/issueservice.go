package main

import (
	"context"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

// openIssues makes what answers questions and what workers tell of exceptions,
// before there is a worker. Nobody asks before the pipeline and its status are there.
func (s *server) openIssues(schemas []millrace.RollupSchema) {
	s.query = query.New(query.Deps{
		Store: s.store, Schemas: schemas, Now: s.now,
		Watermark: func() time.Time { return s.pipeline.CompleteUntil() },
		Status:    func() query.PipelineStatus { return s.status.snapshot() },
	}, s.cfg.Query)
	s.issues = issue.New(issue.Deps{
		Store: s.meta, Query: s.query, Locks: notedLocks{s}, Now: s.now, Log: s.log, Options: s.cfg.Issues,
	})
}

// runIssues ends what was ignored for a while: on nodes that work, one at a time.
func (s *server) runIssues(ctx context.Context) {
	if s.cfg.Node.Has(config.RoleWorker) {
		s.work.Go(func() { s.issues.Run(ctx) })
	}
}

// notedLocks are the locks of meta, such that the node says which it holds.
type notedLocks struct{ s *server }

// TryLock implements millrace.Locks.
func (l notedLocks) TryLock(ctx context.Context, name string) (millrace.Lease, error) {
	return l.note(name)(l.s.meta.TryLock(ctx, name))
}

// Lock implements millrace.Locks.
func (l notedLocks) Lock(ctx context.Context, name string) (millrace.Lease, error) {
	return l.note(name)(l.s.meta.Lock(ctx, name))
}

func (l notedLocks) note(name string) func(millrace.Lease, error) (millrace.Lease, error) {
	return func(lease millrace.Lease, err error) (millrace.Lease, error) {
		if err != nil {
			return nil, err
		}
		l.s.node.holds(name, true)
		go func() { // a lease ends when it is released, or lost
			<-lease.Done()
			l.s.node.holds(name, false)
		}()
		return lease, nil
	}
}
