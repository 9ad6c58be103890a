package issue

import (
	"context"

	"github.com/millrace/millrace"
)

// moment is an event as far as it decides whether an issue has come back.
type moment struct {
	at           int64 // event time, ns
	release, env string
}

// moments returns what a sighting tells of single events: the first and the last.
// Of those between nothing is known; workers tell releases apart, so that they
// are of the same.
func moments(s *millrace.Sighting) []moment {
	return []moment{{s.First, s.FirstRelease, s.Env}, {s.Last, s.LastRelease, s.Env}}
}

// comeback returns the first of the moments that brings an issue back which was
// resolved so. It is a pure function: told again, or in another order, the same
// moments give the same answer.
func comeback(r *millrace.Resolution, list []moment, known []millrace.IssueRelease) (first moment, ok bool) {
	for _, m := range list {
		switch {
		case m.at <= r.At: // late data of before
			continue
		case r.Release != "" && !sameOrLater(m.release, r.Release, known):
			continue
		case r.Next && !firstSeenAfter(m.release, r.At, known):
			continue
		}
		if !ok || m.at < first.at {
			first, ok = m, true
		}
	}
	return first, ok
}

// counting returns the moments of production. If there is none, and the issue was
// never seen in production, all count.
func (s *Service) counting(ctx context.Context, i *millrace.Issue, list []moment) ([]moment, error) {
	var out []moment
	for _, m := range list {
		if s.Production(m.env) {
			out = append(out, m)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	sights, err := s.deps.Store.Sights(ctx, i.Project, i.ID)
	if err != nil {
		return nil, err
	}
	for k := range sights {
		if s.Production(sights[k].Env) {
			return nil, nil
		}
	}
	return list, nil
}

// recheck brings an issue back that was resolved while an event after that was
// being told of, which found it open.
func (s *Service) recheck(ctx context.Context, i *millrace.Issue) error {
	i, err := s.deps.Store.Issue(ctx, i.Project, i.ID)
	if err != nil || i.State != millrace.IssueResolved || i.LastSeen <= i.Resolution.At {
		return err
	}
	sights, err := s.deps.Store.Sights(ctx, i.Project, i.ID)
	if err != nil {
		return err
	}
	var list []moment
	for k := range sights {
		list = append(list, moment{sights[k].FirstSeen, sights[k].FirstRelease, sights[k].Env},
			moment{sights[k].LastSeen, sights[k].LastRelease, sights[k].Env})
	}
	return s.regress(ctx, i, list)
}

// regress marks a resolved issue as regressed if one of the moments brings it
// back. Whoever else changes the issue meanwhile, it is decided by what is stored
// in the end; the activity is stored with the state, so once.
func (s *Service) regress(ctx context.Context, i *millrace.Issue, list []moment) error {
	var known []millrace.IssueRelease
	for range maxRetries {
		if i.State != millrace.IssueResolved {
			return nil
		}
		count, err := s.counting(ctx, i, list)
		if err != nil {
			return err
		}
		if known == nil && (i.Resolution.Release != "" || i.Resolution.Next) {
			if known, err = s.deps.Store.IssueReleases(ctx, i.Project); err != nil {
				return err
			}
		}
		m, ok := comeback(&i.Resolution, count, known)
		if !ok {
			return nil
		}
		before := factsOf(i)
		i.State, i.Regressed = millrace.IssueRegressed, m.at
		a := s.activity(i, Author, "regressed", &before, ActivityData{Env: m.env, Release: m.release})
		_, err = s.store(ctx, i, a)
		if millrace.ErrorCode(err) != millrace.ErrConflict {
			return err
		}
		if i, err = s.follow(ctx, i.Project, i.ID); err != nil {
			return err
		}
	}
	return errBusy(i.ID)
}
