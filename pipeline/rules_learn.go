package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/transform"
)

// URL templates are learned from the paths that new records bring. The decoder
// notes some of them; a goroutine beside the pipeline feeds them to a Learner per
// name of rules and, from time to time, stores what that proposes as a new version
// of the rules. Only records of the newest version are learned from, so that a
// proposal is made of what that version does not fold yet. Records carry the
// version that was current when they were appended, so a replay gives what was.

const (
	// pathsPerRecord is how many paths of a record are noted, spread over it.
	pathsPerRecord = 256
	// pathsPerTurn and pathBytesPerTurn bound what is noted between two turns of
	// the Learner, over all names: it takes a microsecond for a path, so this
	// keeps learning below a hundredth of a processor.
	pathsPerTurn, pathBytesPerTurn = 4096, 1 << 20
	// learnTick is the time between two turns.
	learnTick = time.Second
	// learnNodes is shared by all Learners, 250 bytes each; one has minLearnNodes
	// at least, maxLearnNodes at most.
	learnNodes, minLearnNodes, maxLearnNodes = 200_000, 1000, 50_000
	// learnedEnough is after how many paths a Learner starts anew: what it merged
	// for want of room it counts more than once.
	learnedEnough = 1 << 20
	// A crowd of templates does not wait longer than this part of the interval,
	// nor does a proposal that could not be stored.
	learnHaste = 60
	// A closed set is changed for what became popular once it is so many
	// intervals old. This bounds the versions of a source whose popular pages
	// change all the time.
	learnPatience = 6
)

// learning is what a RuleBook learns with.
type learning struct {
	on    atomic.Bool  // somebody calls Learn
	paths atomic.Int64 // may be noted per name and turn
	bytes atomic.Int64

	mu   sync.Mutex
	sets map[sourceKey]*urlLearner
}

// urlLearner is the Learner of one version of rules.
type urlLearner struct {
	version     *millrace.RuleVersion
	program     *transform.Program
	learner     *transform.Learner
	seen, tried time.Time // the last path, the last proposal or the begin
	paths       int       // observed
	fresh       bool      // some were, since the last proposal
	spare       pathList
	err         error // of the last proposal
}

// watch has paths of the record that comes next noted, if URLs are learned.
func (d *decoding) watch(u *unit) {
	if d.book == nil || u.rules == nil {
		return
	}
	d.paths.clear()
	if !d.book.wantsPaths(u.rec.Rules, u.rules) {
		d.scratch.Observe(u.rules, 0, nil)
		return
	}
	if d.note == nil {
		d.note = d.paths.add
	}
	d.scratch.Observe(u.rules, max(1, len(u.rec.Frames)/pathsPerRecord), d.note)
}

// wantsPaths reports whether paths of records of a version are to be noted.
func (b *RuleBook) wantsPaths(version int64, p *transform.Program) bool {
	if !b.learning.on.Load() || !p.LearnsURLs() {
		return false
	}
	key, ok := b.programs.key(version)
	if !ok {
		return false
	}
	if v := b.current.Load().newest[key]; v == nil || v.Version != version {
		return false
	}
	b.tally.mu.Lock()
	defer b.tally.mu.Unlock()
	s := b.tally.sets[key]
	return s == nil || s.version != version ||
		int64(len(s.paths.ends)) < b.learning.paths.Load() && int64(len(s.paths.text)) < b.learning.bytes.Load()
}

// Learn is one turn of the Learners: it feeds them with the paths noted since the
// last and adds the versions that they propose, each with author AuthorLearned:
// for a name once per interval at most, sooner if there is a crowd of templates.
// It returns these versions. An error is returned at every turn until that name's
// next proposal works. From the first turn on paths are noted, until StopLearning.
func (b *RuleBook) Learn(ctx context.Context, interval time.Duration) (added []*millrace.RuleVersion, err error) {
	l := &b.learning
	l.mu.Lock()
	defer l.mu.Unlock()
	now := b.now()
	table := b.current.Load()
	for key, st := range l.sets {
		if v := table.newest[key]; v == nil || v.Version != st.version.Version || now.Sub(st.seen) > tallyIdle+interval {
			delete(l.sets, key)
		}
	}
	errs := []error{b.observe(ctx, table, now)}
	for _, st := range l.sets {
		st.learner.Resize(l.nodes())
		if !st.due(now, interval) {
			continue
		}
		var v *millrace.RuleVersion
		v, st.err = b.propose(ctx, st, now.Before(st.version.Created.Add(learnPatience*interval)))
		if v != nil {
			added = append(added, v)
		}
		st.tried, st.fresh = now, st.err != nil
		if st.paths >= learnedEnough {
			st.restart(l.nodes())
		}
	}
	for _, st := range l.sets {
		errs = append(errs, st.err)
	}
	l.paths.Store(max(8, int64(pathsPerTurn/max(1, len(l.sets)))))
	l.bytes.Store(max(2*maxNotedPath, int64(pathBytesPerTurn/max(1, len(l.sets)))))
	l.on.Store(true)
	return added, errors.Join(errs...)
}

// StopLearning ends the noting of paths.
func (b *RuleBook) StopLearning() { b.learning.on.Store(false) }

// due reports whether it is time for a proposal.
func (l *urlLearner) due(now time.Time, interval time.Duration) bool {
	if !l.fresh {
		return false
	}
	if l.err != nil || l.learner.Crowded() {
		interval /= learnHaste
	}
	return !now.Before(l.tried.Add(interval))
}

// nodes is one Learner's part of the memory.
func (l *learning) nodes() int {
	return max(minLearnNodes, min(maxLearnNodes, learnNodes/max(len(l.sets), 1)))
}

func (l *urlLearner) restart(nodes int) {
	t, _ := l.program.Templates()
	l.learner, l.paths = transform.NewLearner(t, transform.LearnOptions{Nodes: nodes}), 0
}

// observe feeds the Learners.
func (b *RuleBook) observe(ctx context.Context, table *ruleTable, now time.Time) error {
	var errs []error
	for key, set := range b.tally.noted() {
		v := table.newest[key]
		if v == nil || v.Version != set.version {
			continue // the rules were changed since
		}
		st := b.learning.sets[key]
		if st == nil {
			p, err := b.Program(ctx, v.Version)
			if err != nil {
				errs = append(errs, fmt.Errorf("learn URL templates: %w", err))
				continue
			}
			st = &urlLearner{version: v, program: p, tried: now}
			if b.learning.sets == nil {
				b.learning.sets = map[sourceKey]*urlLearner{}
			}
			b.learning.sets[key] = st
			st.restart(b.learning.nodes())
		}
		b.tally.swap(set, &st.spare)
		st.spare.each(st.learner.Observe)
		st.paths += len(st.spare.ends)
		st.seen, st.fresh = now, true
		st.spare.clear()
	}
	return errors.Join(errs...)
}

// noted returns the sets that have paths to be learned from.
func (t *ruleTally) noted() map[sourceKey]*setTally {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[sourceKey]*setTally{}
	for key, s := range t.sets {
		if len(s.paths.ends) > 0 {
			out[key] = s
		}
	}
	return out
}

// swap takes a set's paths for an empty list.
func (t *ruleTally) swap(s *setTally, empty *pathList) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.paths, *empty = *empty, s.paths
}

// propose stores what was learned as a new version, if there is anything and
// nobody changed the rules meanwhile.
func (b *RuleBook) propose(ctx context.Context, l *urlLearner, patient bool) (*millrace.RuleVersion, error) {
	lesson := l.program.Learn(l.learner, patient)
	if lesson == nil {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.current.Load()
	if newest := t.newest[keyOf(l.version)]; newest == nil || newest.Version != l.version.Version {
		return nil, nil
	}
	wrap := func(err error) error {
		return fmt.Errorf("learn URL templates of %s: %w", l.version.Source, err)
	}
	var err error
	if lesson.TextVersion, err = textVersion(l.version); err != nil {
		return nil, wrap(err)
	}
	next := *l.version
	next.Learned, next.Author, next.Created = lesson.String(), millrace.AuthorLearned, b.now().UTC()
	next.Note = learnNote(lesson, l.program.URLLearning())
	program, err := CompileRules(&next, b.opts)
	if err != nil {
		return nil, wrap(err)
	}
	err = b.meta.AddRules(ctx, &next, l.version.Version)
	if millrace.ErrorCode(err) == millrace.ErrConflict { // by another process
		return nil, b.load(ctx, t.owned)
	}
	if err != nil {
		return nil, wrap(err)
	}
	b.programs.put(&next, program)
	return &next, b.load(ctx, t.owned)
}

// learnNote says what a version has that the one before had not.
func learnNote(l *transform.Lesson, before *transform.URLLearning) string {
	note := ""
	if l.Folds > 0 {
		note = fmt.Sprintf("%d more {*}", l.Folds)
	}
	if !l.Closed {
		return note
	}
	if note != "" {
		note += "; "
	}
	if before != nil && before.Closed {
		return note + fmt.Sprintf("templates that %.0f%% of the events have are known now", 100*l.Gain)
	}
	return note + fmt.Sprintf("more templates than the cap: %d are known, others are {other}", len(l.Known))
}

// textVersion returns the version that somebody wrote the text of v in: v itself
// unless it was learned.
func textVersion(v *millrace.RuleVersion) (int64, error) {
	if v.Author != millrace.AuthorLearned {
		return v.Version, nil
	}
	l, err := transform.ParseURLLearning(v.Learned)
	if err != nil {
		return 0, fmt.Errorf("rules of %s, version %d: %w", v.Source, v.Version, err)
	}
	if l == nil || l.TextVersion == 0 {
		return v.Version, nil
	}
	return l.TextVersion, nil
}

// carryLearned returns what was learned for rules and is as true of other ones:
// those that fold paths alike.
func carryLearned(from *millrace.RuleVersion, text string) string {
	if from == nil || from.Learned == "" || text == "" {
		return ""
	}
	old, err := transform.Parse([]byte(from.Text))
	if err != nil {
		return ""
	}
	rules, err := transform.Parse([]byte(text))
	if err != nil || !transform.SameURLs(old, rules) {
		return ""
	}
	return from.Learned
}

// learn runs beside a session.
func (p *Pipeline) learn(ctx context.Context) {
	interval, rules := p.opts.LearnInterval.Std(), p.deps.Rules
	if interval == 0 || rules == nil {
		return
	}
	defer rules.StopLearning()
	tick := time.NewTicker(min(learnTick, interval))
	defer tick.Stop()
	said := ""
	for {
		added, err := rules.Learn(ctx, interval)
		if ctx.Err() != nil {
			return
		}
		for _, v := range added {
			p.deps.Log.Info("learned URL templates", "project", v.Project, "source", v.Source, "version", v.Version, "note", v.Note)
		}
		p.stats.fault("learn", err)
		if err == nil {
			said = ""
		} else if said != err.Error() {
			said = err.Error()
			p.deps.Log.Error("learn", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
