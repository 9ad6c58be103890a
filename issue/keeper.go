package issue

import (
	"context"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// keepBatch is how many ignored issues with a limit one look counts: the next look
// goes on from there, so that however many there are the rollup is not kept busy.
const keepBatch = 200

// Run ends ignores that reached their time, occurrences or users, every
// Options.Interval, on one node at a time (the lock "issues"), until ctx ends.
func (s *Service) Run(ctx context.Context) {
	if s.deps.Locks == nil {
		s.keep(ctx)
		return
	}
	for ctx.Err() == nil {
		lease, err := s.deps.Locks.Lock(ctx, "issues")
		if err != nil {
			s.wait(ctx) // the database is away
			continue
		}
		held, cancel := millrace.WithLease(ctx, lease)
		s.keep(held)
		cancel()
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			s.deps.Log.Warn("cannot release the lock of issues", "error", err)
		}
	}
}

// keep looks again and again. It begins with a pause: a process that starts has
// better things to do.
func (s *Service) keep(ctx context.Context) {
	k := &keeper{s: s, done: map[string]string{}}
	for s.wait(ctx) {
		if err := k.look(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.Warn("cannot look after ignored issues; the next look tries again", "error", err)
		}
	}
}

func (s *Service) wait(ctx context.Context) bool {
	t := time.NewTimer(s.deps.Options.Interval.Std())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// keeper ends what was ignored for a while.
type keeper struct {
	s    *Service
	done map[string]string // by project, the last issue that was counted
}

// look ends what is due now.
func (k *keeper) look(ctx context.Context) error {
	projects, err := k.s.deps.Store.IssueProjects(ctx)
	if err != nil {
		return err
	}
	for _, p := range projects {
		if err := k.project(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) project(ctx context.Context, project string) error {
	list, err := k.s.deps.Store.ListIssues(ctx, millrace.IssueQuery{
		Project: project, States: []millrace.IssueState{millrace.IssueIgnored}, Order: "id",
	})
	if err != nil {
		return err
	}
	var limited []*millrace.Issue
	now := k.s.deps.Now().UnixNano()
	for _, i := range list {
		switch g := &i.Ignore; {
		case g.Until != 0 && g.Until <= now:
			if err := k.s.unignore(ctx, i, "until", 0); err != nil {
				return err
			}
		case g.Occurrences > 0 || g.Users > 0:
			limited = append(limited, i)
		}
	}
	if k.s.deps.Query == nil {
		return nil
	}
	for _, i := range k.next(project, limited) {
		if err := k.s.countIgnored(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// next returns the issues whose turn it is; list is by id.
func (k *keeper) next(project string, list []*millrace.Issue) []*millrace.Issue {
	if len(list) <= keepBatch {
		return list
	}
	from := 0
	for from < len(list) && list[from].ID <= k.done[project] {
		from++
	}
	out := append([]*millrace.Issue{}, list[from:min(from+keepBatch, len(list))]...)
	out = append(out, list[:min(keepBatch-len(out), from)]...)
	k.done[project] = out[len(out)-1].ID
	return out
}

// countIgnored ends an ignore that has reached its occurrences or users.
func (s *Service) countIgnored(ctx context.Context, i *millrace.Issue) error {
	occurrences, users, err := s.since(ctx, i)
	switch g := &i.Ignore; {
	case err != nil:
		return err
	case g.Occurrences > 0 && occurrences >= g.Occurrences:
		return s.unignore(ctx, i, "occurrences", occurrences)
	case g.Users > 0 && users >= g.Users:
		return s.unignore(ctx, i, "users", users)
	}
	return nil
}

// since counts what came since an issue was ignored: from the next minute on, or
// where minutes or hours are gone, from the next that there are.
func (s *Service) since(ctx context.Context, i *millrace.Issue) (occurrences, users int64, err error) {
	env, err := s.countedEnv(ctx, i)
	if err != nil {
		return 0, 0, err
	}
	prints, err := s.deps.Store.Fingerprints(ctx, i.Project, []string{i.ID})
	if err != nil || len(prints) == 0 {
		return 0, 0, err
	}
	names := make([]string, len(prints))
	for k := range prints {
		names[k] = prints[k].Fingerprint
	}
	sc, err := s.scope(ctx, i.Project, env, "", "", "fingerprint")
	if err != nil {
		return 0, 0, err
	}
	q, p := question{only: anyOf("fingerprint", names)}, period{users: true, exact: true}
	p.r.To = s.deps.Now().Add(time.Minute)
	for _, g := range []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day} {
		width := int64(g) * int64(time.Second)
		p.r.From = time.Unix(0, (i.Ignore.At/width+1)*width)
		if !p.r.From.Before(p.r.To) {
			return 0, 0, nil
		}
		a, err := sc.ask(ctx, q, p)
		if err == nil {
			return a[0].count[""], a[0].users[""], nil
		}
		if millrace.ErrorCode(err) != millrace.ErrInvalid || g == millrace.Day {
			return 0, 0, err
		}
	}
	return 0, 0, nil
}

// countedEnv returns the environments whose events end an ignore: production, or
// all if the issue was never seen in production.
func (s *Service) countedEnv(ctx context.Context, i *millrace.Issue) (string, error) {
	sights, err := s.deps.Store.Sights(ctx, i.Project, i.ID)
	if err != nil {
		return "", err
	}
	for k := range sights {
		if s.Production(sights[k].Env) {
			return EnvProduction, nil
		}
	}
	return EnvAll, nil
}

// unignore opens an issue again. If somebody changed it meanwhile it is left to the
// next look.
func (s *Service) unignore(ctx context.Context, i *millrace.Issue, reason string, count int64) error {
	before := factsOf(i)
	open(i)
	_, err := s.store(ctx, i, s.activity(i, Author, "unignored", &before, ActivityData{Reason: reason, Count: count}))
	if code := millrace.ErrorCode(err); code == millrace.ErrConflict || code == millrace.ErrNotFound {
		return nil
	}
	return err
}

var _ Numbers = (*query.Service)(nil)
