package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// MaxURLLearning bounds the stored form of what was learned, in bytes: it is
// stored with every version of the rules. MaxRules does not count it.
const MaxURLLearning = 256 << 10

// learnGain is the share of events that a new closed set must know beyond those
// that the old one knows, to be worth a version of the rules.
const learnGain = 0.1

// learnEvents is how many events a template must have had for that. The events of
// rare ones are an accident: of many equally rare templates others are seen each
// time, and no set of them is better than another.
const learnEvents = 8

// urlLearningVersion is the version of the stored form.
const urlLearningVersion = 1

// URLLearning is what was learned for the first url_template step of a rule set.
// It is stored beside the text, and given to Compile in Options.
type URLLearning struct {
	Version int `json:"version"` // of this form
	// TextVersion is the version of the rules that somebody wrote and that this
	// was learned for.
	TextVersion int64    `json:"text_version,omitempty"`
	From        string   `json:"from"`    // the field of the step; it counts for no other
	Learned     []string `json:"learned"` // for URLOptions.Learned, beside those of the text
	// Closed closes the set of templates unless the text does: to Known, which is
	// for URLOptions.Known, those of most events first.
	Closed bool     `json:"closed,omitempty"`
	Known  []string `json:"known,omitempty"`
}

// ParseURLLearning reads the stored form; nil for "".
func ParseURLLearning(stored string) (*URLLearning, error) {
	if stored == "" {
		return nil, nil
	}
	if len(stored) > MaxURLLearning {
		return nil, fmt.Errorf("learned URL templates: %d bytes; must be at most %d", len(stored), MaxURLLearning)
	}
	d := json.NewDecoder(strings.NewReader(stored))
	d.DisallowUnknownFields()
	u := &URLLearning{}
	if err := d.Decode(u); err != nil {
		return nil, fmt.Errorf("learned URL templates: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("learned URL templates: more than one JSON value")
	}
	if u.Version != urlLearningVersion {
		return nil, fmt.Errorf("learned URL templates: version %d; this millrace reads %d", u.Version, urlLearningVersion)
	}
	return u, nil
}

// String returns the stored form.
func (u *URLLearning) String() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(u); err != nil {
		panic("BUG: " + err.Error()) // texts and a number
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// size bounds what a text takes in the stored form.
func (u *URLLearning) size(text string) int {
	b, err := json.Marshal(text) // escapes more than String does
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return len(b) + len(",")
}

// learned returns base, which u was compiled to, with what was learned for it.
// What does not fit the rules as they are now (they may have been changed since)
// is left out: nothing learned makes rules invalid.
func (c *compiler) learned(u *URLTemplate, base *Templates) (*Templates, error) {
	l := c.opts.Learned
	if l == nil || l.From != u.From || c.folders > 0 {
		return base, nil
	}
	o := base.options
	o.Learned = slices.Clone(o.Learned)
	for _, rule := range l.Learned {
		if len(o.Learned) < MaxURLPatterns && base.notATemplate(rule) == "" {
			o.Learned = append(o.Learned, rule)
		}
	}
	if len(o.Learned) == 1 && !strings.Contains(o.Learned[0], urlStar) {
		o.Learned = nil // an exception of nothing
	}
	t, err := NewTemplates(o)
	if err != nil || len(o.Known) > 0 || !l.Closed {
		return t, err
	}
	o.Known = t.fold(l.Known)
	o.Known = o.Known[:min(len(o.Known), t.room())]
	if t, err = NewTemplates(o); err == nil && t.known == nil {
		t.known = map[string]struct{}{} // only patterns fit under the cap
	}
	return t, err
}

// room returns how many templates fit under the cap, beside patterns and URLOther.
func (t *Templates) room() int { return max(t.options.Cap-1-len(t.options.Patterns), 0) }

// fold returns templates as t makes them, each once, without explicit ones.
func (t *Templates) fold(templates []string) []string {
	seen := map[string]bool{}
	for _, p := range t.options.Patterns {
		seen[p] = true
	}
	var out []string
	for _, text := range templates {
		if is := t.Template(text); !seen[is] && is != URLOther {
			seen[is] = true
			out = append(out, is)
		}
	}
	return out
}

// URLLearning returns what p was compiled with, nil if that is nothing.
func (p *Program) URLLearning() *URLLearning { return p.opts.Learned }

// LearnsURLs reports whether a Learner may add to p: it folds paths, and its text
// does not close the set itself.
func (p *Program) LearnsURLs() bool {
	return p.folders > 0 && len(p.urlText().Options.Known) == 0
}

// urlText returns the first url_template step as written; there is one.
func (p *Program) urlText() *URLTemplate { return p.rules.urlTemplate() }

// urlTemplate returns the first url_template step, nil if there is none.
func (r *Rules) urlTemplate() *URLTemplate {
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Kind == "url_template" {
			return s.URLTemplate
		}
	}
	return nil
}

// SameURLs reports whether what was learned for one set of rules is as true of
// the other: their first url_template steps fold the same field alike.
func SameURLs(a, b *Rules) bool {
	x, y := a.urlTemplate(), b.urlTemplate()
	return x != nil && y != nil && x.From == y.From && reflect.DeepEqual(x.Options, y.Options)
}

// Lesson is what a program should be compiled with from now on.
type Lesson struct {
	*URLLearning
	Folds int // the new {*} among Learned
	// Gain is the share of the observed events whose templates a closed set newly
	// knows.
	Gain float64
}

// Learn returns what p should be compiled with after what l observed, a Learner
// of p's Templates; nil if p is good as it is. A set that is closed is replaced
// where a {*} is new, or at least 10% of the events have templates that would be
// known newly; with patient only the former.
func (p *Program) Learn(l *Learner, patient bool) *Lesson {
	prop := l.Propose()
	t, from := p.urlTemplate().templates, p.urlText().From
	out := &Lesson{URLLearning: &URLLearning{Version: urlLearningVersion, From: from, Learned: []string{}}}
	have := map[string]bool{}
	for _, rule := range t.options.Learned {
		have[rule] = true
	}
	var known []string
	closed := false
	if old := p.opts.Learned; old != nil && old.From == from {
		out.Learned, known, closed = slices.Clone(old.Learned), old.Known, old.Closed
	}
	var full bool
	out.Folds, full = out.add(&prop, have, MaxURLPatterns-len(t.options.Learned))
	if out.Closed = closed || len(prop.seen) > t.room() || full; out.Closed {
		out.Gain = float64(prop.unknown(known, t.room())) / float64(max(prop.Events, 1))
		out.close(&prop, known, t.room())
	}
	if out.Folds > 0 || out.Closed && (!closed || !patient && out.Gain >= learnGain) {
		return out
	}
	return nil
}

// add adds the new rules, those of most events first, each with what stays
// beside it. It returns how many, and whether some found no room.
func (u *URLLearning) add(prop *Proposal, have map[string]bool, room int) (folds int, full bool) {
	size := 0
	for _, rule := range u.Learned {
		size += u.size(rule)
	}
	beside := map[string][]string{} // by what they are below
	for _, rule := range prop.Learned {
		if !have[rule] {
			beside[parentURL(rule)] = append(beside[parentURL(rule)], rule)
		}
	}
	for _, n := range prop.New {
		if have[n.Pattern] {
			continue
		}
		group, takes := beside[parentURL(n.Pattern)], 0
		for _, rule := range group {
			takes += u.size(rule)
		}
		if len(group) > room || size+takes > MaxURLLearning/2 {
			full = true
			continue
		}
		u.Learned = append(u.Learned, group...)
		size += takes
		room -= len(group)
		folds++
	}
	return folds, full
}

// parentURL returns the template above.
func parentURL(template string) string { return template[:strings.LastIndexByte(template, '/')] }

// close fills Known: the templates seen by their events, then those known before.
func (u *URLLearning) close(prop *Proposal, before []string, room int) {
	left := MaxURLLearning/2 - 1024 // for the rest of the form
	seen := map[string]bool{}
	take := func(text string) {
		if n := u.size(text); !seen[text] && len(u.Known) < room && n <= left {
			left -= n
			seen[text] = true
			u.Known = append(u.Known, text)
		}
	}
	for _, t := range prop.seen {
		take(t.text)
	}
	for _, text := range before {
		take(text)
	}
}

// unknown returns how many events a closed set would know that knows what was
// seen most, up to room templates, beside those of the set that is known.
func (p *Proposal) unknown(known []string, room int) int64 {
	have := map[string]bool{}
	for _, text := range known {
		have[text] = true
	}
	var n int64
	for _, t := range p.seen[:min(len(p.seen), room)] {
		if !have[t.text] && t.events >= learnEvents {
			n += t.events
		}
	}
	return n
}
