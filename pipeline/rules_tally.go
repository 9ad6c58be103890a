package pipeline

import (
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/transform"
)

const (
	// maxTallies is how many names of rules are counted for and learned from at
	// once; one that no record came for since tallyIdle makes room for another.
	maxTallies = 200
	tallyIdle  = 10 * time.Minute
	// maxTallyTemplates bounds the URL templates counted for all names together,
	// 1.5 KiB each at most; further ones are counted as {other}.
	maxTallyTemplates = 25_000
)

// ruleTally counts what rules do in this process, by the name that they are kept
// under, and holds the paths that templates are to be learned from until the
// Learner takes them. Per name it counts the newest version that records carried
// so far: what another text did says nothing about this one. Safe for concurrent
// use; the zero value is ready.
type ruleTally struct {
	mu        sync.Mutex
	sets      map[sourceKey]*setTally
	templates int // of all sets
}

// setTally is what one version of rules did.
type setTally struct {
	version     int64
	program     *transform.Program
	since, last time.Time
	events      int64
	counts      []transform.Count // as program.Names
	urls        *transform.URLCounts
	paths       pathList // not yet learned from
}

// of returns the set that a version is counted in; nil if there is no room, or a
// newer one was seen.
func (t *ruleTally) of(key sourceKey, version int64, p *transform.Program, now time.Time) *setTally {
	s := t.sets[key]
	if s != nil && s.version == version {
		s.last = now
		return s
	}
	if s != nil && s.version > version || s == nil && !t.room(now) {
		return nil
	}
	t.forget(key)
	s = &setTally{version: version, program: p, since: now, last: now, counts: make([]transform.Count, len(p.Names()))}
	if limit := p.URLCap(); limit > 0 {
		s.urls = transform.NewURLCounts(limit)
	}
	if t.sets == nil {
		t.sets = map[sourceKey]*setTally{}
	}
	t.sets[key] = s
	return s
}

// room reports whether there is room for another name.
func (t *ruleTally) room(now time.Time) bool {
	if len(t.sets) < maxTallies {
		return true
	}
	for key, s := range t.sets {
		if now.Sub(s.last) >= tallyIdle {
			t.forget(key)
		}
	}
	return len(t.sets) < maxTallies
}

func (t *ruleTally) forget(key sourceKey) {
	if s := t.sets[key]; s != nil {
		t.templates -= s.templates()
		delete(t.sets, key)
	}
}

func (s *setTally) templates() int {
	if s.urls == nil {
		return 0
	}
	return s.urls.Len()
}

// take adds what a version did to a record, and the paths that d noted.
func (t *ruleTally) take(key sourceKey, u *unit, d *decoding, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of(key, u.rec.Rules, u.rules, now)
	if s == nil {
		return
	}
	s.events += int64(len(u.batch.Events) + len(u.filtered))
	for i := range u.counts {
		s.counts[i].Add(u.counts[i])
	}
	if s.urls != nil {
		before := s.urls.Len()
		s.urls.SetLimit(min(u.rules.URLCap(), before+maxTallyTemplates-t.templates))
		d.scratch.TakeURLs(u.rules, s.urls)
		t.templates += s.urls.Len() - before
	}
	s.paths.join(&d.paths)
}

// Tally returns what the rules of a source did: those under the very name if
// there are any, else those of the pattern that fits it.
func (b *RuleBook) Tally(project, source string) millrace.RuleTally {
	t := b.current.Load()
	if v := t.newest[sourceKey{project, source}]; v == nil || v.Text == "" {
		if v = t.of(project, source); v != nil {
			source = v.Source
		}
	}
	out := millrace.RuleTally{Source: source, Steps: []millrace.StepTally{}, Templates: []millrace.TemplateTally{}}
	b.tally.mu.Lock()
	defer b.tally.mu.Unlock()
	s := b.tally.sets[sourceKey{project, source}]
	if s == nil {
		return out
	}
	out.Version, out.Since, out.Events = s.version, s.since, s.events
	for i, name := range s.program.Names() {
		out.Steps = append(out.Steps, stepTally(i, name, &s.counts[i]))
	}
	if s.urls != nil {
		out.HiddenURLs = s.urls.Hidden()
		for _, c := range s.urls.List() {
			out.Templates = append(out.Templates, millrace.TemplateTally(c))
		}
	}
	return out
}

func stepTally(i int, name string, c *transform.Count) millrace.StepTally {
	return millrace.StepTally{
		Step: i, Name: name, Seen: c.Events, Skipped: c.Skipped, Matched: c.Matched, Dropped: c.Dropped,
		Unmatched: c.Unmatched, Failed: c.Failed, Nanos: c.Nanos / max(c.Timed, 1),
	}
}

// tally adds what the rules did to the record decoded last.
func (d *decoding) tally(u *unit) {
	if d.book == nil {
		return
	}
	if key, ok := d.book.programs.key(u.rec.Rules); ok {
		d.book.tally.take(key, u, d, d.book.now())
	}
}

// keyOf returns the name that a version is kept under.
func keyOf(v *millrace.RuleVersion) sourceKey { return sourceKey{v.Project, v.Source} }

// pathList holds paths one behind the other, so that to note one costs a copy.
// The zero value is empty.
type pathList struct {
	text []byte
	ends []int
}

// maxNotedPath is how much of a path is noted; templates look at no more.
const maxNotedPath = 4096

func (l *pathList) add(path string) {
	l.text = append(l.text, path[:min(len(path), maxNotedPath)]...)
	l.ends = append(l.ends, len(l.text))
}

// join appends o's paths.
func (l *pathList) join(o *pathList) {
	at := len(l.text)
	l.text = append(l.text, o.text...)
	l.ends = slices.Grow(l.ends, len(o.ends))
	for _, end := range o.ends {
		l.ends = append(l.ends, at+end)
	}
}

func (l *pathList) clear() { l.text, l.ends = l.text[:0], l.ends[:0] }

// each calls do with every path, which is its to keep.
func (l *pathList) each(do func(path string)) {
	at := 0
	for _, end := range l.ends {
		do(string(l.text[at:end]))
		at = end
	}
}
