package issue

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// Detail is all about one issue but its events.
type Detail struct {
	Row
	RedirectedFrom string // the id asked for, if that issue was merged into this one
	Fingerprints   []Fingerprint
	Sights         []millrace.Sight // by fingerprint and environment
	// Breakdowns of Count, the most first, at most MaxShares and what is left as
	// "(rest)". Environments are of all, the others of those asked for.
	Releases, Hosts, Environments, Services []Share
	Times                                   []time.Time // beginnings of the series' steps
	Step                                    time.Duration
	Series                                  []float64           // counts by Times
	Activities                              []millrace.Activity // the newest 50, see Service.Activities
	Changes                                 []millrace.Regrouping
	CompleteUntil, CompleteFrom             time.Time // as in Page
}

// MaxShares bounds a breakdown.
const MaxShares = 20

// Share is a part of a count. Users overlap between shares.
type Share struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
	Users int64  `json:"users"`
}

// Fingerprint is one fingerprint of an issue.
type Fingerprint struct {
	millrace.IssueFingerprint
	Count int64
}

// Get returns an issue with its numbers in env and range. An id of a merged issue
// gives the one that it was merged into. ErrNotFound.
func (s *Service) Get(ctx context.Context, project, id, env string, r query.Range) (*Detail, error) {
	if err := checkRange(r); err != nil {
		return nil, err
	}
	step, err := stepOf(r, 0, 60)
	if err != nil {
		return nil, err
	}
	i, err := s.follow(ctx, project, id)
	if err != nil {
		return nil, err
	}
	d := &Detail{Row: Row{Issue: i, Phase: i.Phase(s.deps.Now())}, Step: step, Times: timesOf(r, step)}
	if i.ID != id {
		d.RedirectedFrom = id
	}
	if err := s.history(ctx, d); err != nil {
		return nil, err
	}
	return d, s.numbers(ctx, d, env, r)
}

// history reads all that is not a number.
func (s *Service) history(ctx context.Context, d *Detail) error {
	prints, err := s.deps.Store.Fingerprints(ctx, d.Project, []string{d.ID})
	if err != nil {
		return err
	}
	for i := range prints {
		d.Row.Fingerprints = append(d.Row.Fingerprints, prints[i].Fingerprint)
		d.Fingerprints = append(d.Fingerprints, Fingerprint{IssueFingerprint: prints[i]})
	}
	if d.Sights, err = s.deps.Store.Sights(ctx, d.Project, d.ID); err != nil {
		return err
	}
	if d.Activities, err = s.deps.Store.Activities(ctx, d.Project, d.ID, 0, 50); err != nil {
		return err
	}
	d.Changes, err = s.deps.Store.Regroupings(ctx, d.Project, d.ID, 0, 50)
	return err
}

// numbers asks the rollup: of an issue with many fingerprints too, each question
// counts a user once.
func (s *Service) numbers(ctx context.Context, d *Detail, env string, r query.Range) error {
	of := map[string]string{}
	for _, f := range d.Row.Fingerprints {
		of[f] = d.ID
	}
	if len(of) == 0 {
		return nil
	}
	mine := anyOf("fingerprint", d.Row.Fingerprints)
	sc, err := s.scope(ctx, d.Project, env, "", "", "fingerprint")
	if err != nil {
		return err
	}
	// Two at a time: most of a statement's time is its plan, which one thread makes.
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	group.Go(func() error { return d.counts(ctx, sc, question{by: "fingerprint", only: mine}, r) })
	for _, b := range []struct {
		into *[]Share
		by   string
		env  string
	}{{&d.Releases, "release", env}, {&d.Hosts, "host", env}, {&d.Services, "service", env}, {&d.Environments, "env", EnvAll}} {
		group.Go(func() error {
			one, err := s.scope(ctx, d.Project, b.env, "", "", "fingerprint", b.by)
			if err != nil {
				return err
			}
			a, err := one.ask(ctx, question{by: b.by, only: mine}, period{r: r, users: true})
			if err == nil {
				*b.into = a[0].shares()
			}
			return err
		})
	}
	return group.Wait()
}

// counts reads the issue's numbers. q is the question for its fingerprints.
func (d *Detail) counts(ctx context.Context, sc *scope, q question, r query.Range) error {
	all, err := sc.ask(ctx, q, append(trendOf(r), period{r: r}, period{r: r, step: d.Step})...)
	if err != nil {
		return err
	}
	was, each, series := newTrend(all), all[3], all[4]
	d.CompleteUntil, d.Count = each.complete, each.total()
	if !each.known {
		d.CompleteFrom = sc.since
	}
	for i := range d.Fingerprints {
		d.Fingerprints[i].Count = each.count[d.Fingerprints[i].Fingerprint]
	}
	d.Before, d.Yesterday, d.LastWeek = was.before.sum(), was.yesterday.sum(), was.lastWeek.sum()
	d.Series = make([]float64, len(d.Times))
	for name := range series.steps {
		for i, n := range series.spark(name, d.Times) {
			d.Series[i] += n
		}
	}
	d.Spark = d.Series
	q.by = ""
	whole, err := sc.ask(ctx, q, period{r: r, users: true})
	if err == nil {
		d.Users = whole[0].users[""]
	}
	return err
}

// Releases returns the releases of a project that had exceptions, the newest
// first.
func (s *Service) Releases(ctx context.Context, project string) ([]millrace.IssueRelease, error) {
	list, err := s.deps.Store.IssueReleases(ctx, project)
	slices.Reverse(list)
	return list, err
}

// Projects returns the projects that have issues, by name.
func (s *Service) Projects(ctx context.Context) ([]string, error) {
	return s.deps.Store.IssueProjects(ctx)
}
