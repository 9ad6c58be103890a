package meta

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// See implements millrace.Issues. Of what is known already it writes a row per
// fingerprint and environment and one per issue, and only those that change. In
// PostgreSQL all who See lock rows in one order: keys, fingerprints, issues that
// they create, issues, releases, each by name. So there is no deadlock.
func (r *records) See(ctx context.Context, sightings []millrace.Sighting, now time.Time) (seen []millrace.Seen, missing []int, err error) {
	if len(sightings) == 0 {
		return nil, nil, nil
	}
	err = r.inTransaction(ctx, "store what was seen", r.repeat, func(ctx context.Context, tx *sql.Tx) error {
		s := newSeeing(r, tx, sightings, now)
		if err := s.store(ctx); err != nil {
			return err
		}
		seen, err = s.answer(ctx)
		missing = s.missing
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return seen, missing, nil
}

// Indexes of firstOf.texts.
const (
	textType = iota
	textTitle
	textCulprit
	textLevel
	textService
	textLanguage
	texts
)

// firstOf is when something was seen first, and what it looked like then. Of two
// the lesser counts, so that the order in which they are told does not matter.
type firstOf struct {
	seen    int64
	release string
	texts   [texts]string
}

func (a *firstOf) less(b *firstOf) bool {
	return cmp.Or(cmp.Compare(a.seen, b.seen), strings.Compare(a.release, b.release), slices.Compare(a.texts[:], b.texts[:])) < 0
}

// mayReplace reports whether a may be less than one of which only time and
// release are known.
func (a *firstOf) mayReplace(seen int64, release string) bool {
	return cmp.Or(cmp.Compare(a.seen, seen), strings.Compare(a.release, release)) <= 0
}

// lastOf is when something was seen last. Of two the greater counts.
type lastOf struct {
	seen    int64
	release string
}

func (a lastOf) less(b lastOf) bool {
	return cmp.Or(cmp.Compare(a.seen, b.seen), strings.Compare(a.release, b.release)) < 0
}

// span is both.
type span struct {
	first firstOf
	last  lastOf
}

// fill takes texts from o that were not told. Workers say culprit and language
// only of what may be new.
func (a *firstOf) fill(o *firstOf) {
	for _, i := range []int{textCulprit, textLanguage} {
		if a.texts[i] == "" {
			a.texts[i] = o.texts[i]
		}
	}
}

func (s *span) add(o *span) {
	if o.first.less(&s.first) {
		s.first = o.first
	}
	if s.last.less(o.last) {
		s.last = o.last
	}
}

// named is something of a project.
type named struct{ project, name string }

func (a named) compare(b named) int {
	return cmp.Or(strings.Compare(a.project, b.project), strings.Compare(a.name, b.name))
}

// spot is one fingerprint as this call tells of it.
type spot struct {
	span
	told    []int // which sightings
	issue   string
	key     string // if it is new
	teller  int    // of key and report, if it is new
	added   bool   // by this call
	earlier bool   // what is stored of its first event may have to give way
	envs    map[string]*span
}

// touched is one issue as this call tells of it.
type touched struct {
	span
	first named // the fingerprint that span.first is of
	told  []int
	added int // fingerprints
	state millrace.IssueState
}

// seeing is one try of See.
type seeing struct {
	*records
	tx        *sql.Tx
	sightings []millrace.Sighting
	now       int64

	spots   map[named]*spot
	order   []named // of spots
	issues  map[named]*touched
	made    map[named]bool // issues that this call created
	firsts  []named        // issues whose first may have to give way
	missing []int
}

func newSeeing(r *records, tx *sql.Tx, sightings []millrace.Sighting, now time.Time) *seeing {
	s := &seeing{
		records: r, tx: tx, sightings: sightings, now: now.UnixNano(),
		spots: make(map[named]*spot, len(sightings)), issues: map[named]*touched{}, made: map[named]bool{},
	}
	for i := range sightings {
		s.tell(i, &sightings[i])
	}
	s.order = sortedNames(s.spots)
	return s
}

func sortedNames[T any](m map[named]T) []named {
	out := make([]named, 0, len(m))
	for n := range m {
		out = append(out, n)
	}
	slices.SortFunc(out, named.compare)
	return out
}

// tell adds one sighting to its fingerprint and environment.
func (s *seeing) tell(i int, v *millrace.Sighting) {
	name := named{nameOf(v.Project), nameOf(v.Fingerprint)}
	told := span{
		firstOf{v.First, nameOf(v.FirstRelease), [texts]string{plain(v.Type), plain(v.Title), plain(v.Culprit), plain(v.Level), plain(v.Service), plain(v.Language)}},
		lastOf{v.Last, nameOf(v.LastRelease)},
	}
	p := s.spots[name]
	if p == nil {
		p = &spot{span: told, teller: -1, envs: map[string]*span{}}
		s.spots[name] = p
	}
	had := p.first
	p.add(&told)
	p.first.fill(&had)
	p.first.fill(&told.first)
	p.told = append(p.told, i)
	merge(p.envs, nameOf(v.Env), told)
}

func merge[K comparable](into map[K]*span, k K, told span) {
	if have := into[k]; have != nil {
		have.add(&told)
		return
	}
	into[k] = &told
}

// store writes all that changes.
func (s *seeing) store(ctx context.Context) error {
	if err := s.lockIssues(ctx, s.tx, false); err != nil {
		return err
	}
	unknown, err := s.find(ctx, s.order)
	if err != nil {
		return err
	}
	if len(unknown) > 0 {
		if err := s.create(ctx, unknown); err != nil {
			return err
		}
	}
	s.group()
	steps := []func(context.Context) error{s.writeIssues, s.writeFirsts, s.writeFirstsOfIssues, s.writeSights, s.writeReleases, s.writeCreated}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// find reads which issues fingerprints belong to, and returns those without one.
// What was told of a fingerprint as its first stays only if it may count.
func (s *seeing) find(ctx context.Context, names []named) (unknown []named, err error) {
	in := newInput("project t", "fingerprint t")
	for _, n := range names {
		in.add(n.project, n.name)
	}
	const query = `SELECT n.nth, f.issue, f.first_seen, f.first_release FROM n CROSS JOIN issue_fingerprints f
		WHERE f.project = n.project AND f.fingerprint = n.fingerprint`
	err = s.selectRows(ctx, s.tx, in, query, func(scan func(...any) error) error {
		var nth int
		var issue, release string
		var seen int64
		if err := scan(&nth, &issue, &seen, &release); err != nil {
			return err
		}
		p := s.spots[names[nth]]
		p.issue, p.earlier = issue, p.first.mayReplace(seen, release)
		return nil
	})
	for _, n := range names {
		if s.spots[n].issue == "" {
			unknown = append(unknown, n)
		}
	}
	return unknown, err
}

// group makes issues of spots; those that have no issue are missing.
func (s *seeing) group() {
	for _, n := range s.order {
		p := s.spots[n]
		if p.issue == "" {
			s.missing = append(s.missing, p.told...)
			continue
		}
		id := named{n.project, p.issue}
		t := s.issues[id]
		if t == nil {
			t = &touched{span: p.span, first: n}
			s.issues[id] = t
		}
		if p.first.less(&t.span.first) {
			t.first = n
		}
		t.add(&p.span)
		t.told = append(t.told, p.told...)
		if p.added {
			t.added++
		}

	}
	slices.Sort(s.missing)
}
