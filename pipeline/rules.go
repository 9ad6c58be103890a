package pipeline

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/transform"
)

// RuleBook knows the rules of every source: the versions that new records are
// stamped with, and the programs of all versions that records may carry. Meta
// has a version durably before Current returns it, so that every record can be
// read again by the version it carries. Safe for concurrent use.
type RuleBook struct {
	meta     millrace.Meta
	opts     transform.Options
	now      func() time.Time
	programs programCache
	tally    ruleTally
	learning learning

	fingerprint atomic.Int64 // version of exceptions' fingerprints, for trials

	mu      sync.Mutex // one change at a time
	current atomic.Pointer[ruleTable]
}

// ruleTable is what is current. It is never changed, only replaced.
type ruleTable struct {
	newest   map[sourceKey]*millrace.RuleVersion // also those with empty text
	patterns []*millrace.RuleVersion             // whose sources end in *, longest first, none empty
	owned    map[sourceKey]bool                  // by the configuration file
}

type sourceKey struct{ project, source string }

// Seed is a source's rules as the configuration file has them.
type Seed struct{ Project, Source, Text string }

// OpenRules reads the current versions.
func OpenRules(ctx context.Context, meta millrace.Meta, opts transform.Options, now func() time.Time) (*RuleBook, error) {
	b := &RuleBook{meta: meta, opts: opts, now: now}
	b.current.Store(&ruleTable{})
	return b, b.load(ctx, nil)
}

// load replaces the table by what meta has.
func (b *RuleBook) load(ctx context.Context, owned map[sourceKey]bool) error {
	versions, err := b.meta.CurrentRules(ctx)
	if err != nil {
		return err
	}
	t := &ruleTable{newest: map[sourceKey]*millrace.RuleVersion{}, owned: owned}
	for _, v := range versions {
		t.newest[sourceKey{v.Project, v.Source}] = v
		if strings.HasSuffix(v.Source, "*") && v.Text != "" {
			t.patterns = append(t.patterns, v)
		}
	}
	slices.SortStableFunc(t.patterns, func(a, b *millrace.RuleVersion) int { return len(b.Source) - len(a.Source) })
	b.current.Store(t)
	return nil
}

// Current returns the version that records of a source are stamped with: that
// of the source's own rules, else that of the longest pattern that fits, else 0.
func (b *RuleBook) Current(project, source string) int64 {
	if v := b.current.Load().of(project, source); v != nil {
		return v.Version
	}
	return 0
}

func (t *ruleTable) of(project, source string) *millrace.RuleVersion {
	if v := t.newest[sourceKey{project, source}]; v != nil && v.Text != "" {
		return v
	}
	for _, v := range t.patterns {
		if v.Project == project && v.Fits(source) {
			return v
		}
	}
	return nil
}

// List returns the newest version of every name that ever had rules.
func (b *RuleBook) List() []millrace.SourceRules {
	t := b.current.Load()
	out := make([]millrace.SourceRules, 0, len(t.newest))
	for key, v := range t.newest {
		out = append(out, millrace.SourceRules{RuleVersion: v, Owned: t.owned[key]})
	}
	slices.SortFunc(out, func(a, b millrace.SourceRules) int {
		if c := strings.Compare(a.Project, b.Project); c != 0 {
			return c
		}
		return strings.Compare(a.Source, b.Source)
	})
	return out
}

// Get returns the newest version under a name; ErrNotFound if it never had any.
func (b *RuleBook) Get(project, source string) (millrace.SourceRules, error) {
	t := b.current.Load()
	key := sourceKey{project, source}
	if v := t.newest[key]; v != nil {
		return millrace.SourceRules{RuleVersion: v, Owned: t.owned[key]}, nil
	}
	return millrace.SourceRules{}, millrace.Errorf(millrace.ErrNotFound, "source %q of project %q has no rules of its own", source, project)
}

// Effective returns the version that new records of a source are stamped with,
// nil if there is none.
func (b *RuleBook) Effective(project, source string) *millrace.RuleVersion {
	return b.current.Load().of(project, source)
}

// Version returns any version. ErrNotFound.
func (b *RuleBook) Version(ctx context.Context, version int64) (*millrace.RuleVersion, error) {
	return b.meta.Rules(ctx, version)
}

// History returns versions of a name, newest first; see millrace.Meta.
func (b *RuleBook) History(ctx context.Context, project, source string, before int64, limit int) ([]*millrace.RuleVersion, error) {
	return b.meta.RulesHistory(ctx, project, source, before, limit)
}

// Apply adds a version and returns it once it is durable; records appended from
// then on carry it. Text that is the newest already adds none. What was learned
// stays where it still applies. ErrInvalid: the rules are wrong, with every
// violation; ErrConflict: the file owns them, or somebody else changed the text
// meanwhile.
func (b *RuleBook) Apply(ctx context.Context, c millrace.RuleChange) (*millrace.RuleVersion, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, err := b.apply(ctx, c)
	if millrace.ErrorCode(err) != millrace.ErrConflict {
		return v, err
	}
	// Another node may have learned something a moment ago.
	if err := b.load(ctx, b.current.Load().owned); err != nil {
		return nil, err
	}
	return b.apply(ctx, c)
}

// apply is Apply once. The caller has mu.
func (b *RuleBook) apply(ctx context.Context, c millrace.RuleChange) (*millrace.RuleVersion, error) {
	t := b.current.Load()
	key := sourceKey{c.Project, c.Source}
	if t.owned[key] {
		return nil, &millrace.Error{
			Code:    millrace.ErrConflict,
			Message: "the rules of " + c.Source + " stand in the configuration file and are changed there",
			Hint:    "edit the file, then POST /api/v1/config/reload or send SIGHUP",
		}
	}
	newest := t.newest[key]
	if newest != nil && (c.After < 0 || newest.Author == millrace.AuthorLearned) {
		written, err := textVersion(newest)
		if err != nil {
			return nil, err
		}
		if c.After < 0 || c.After >= written && c.After < newest.Version { // what was learned since is no change of the text
			c.After = newest.Version
		}
	}
	if newest != nil && newest.Text == c.Text && newest.Version == c.After {
		return newest, nil
	}
	if newest == nil && c.Text == "" {
		return nil, millrace.Errorf(millrace.ErrNotFound, "source %q of project %q has no rules to remove", c.Source, c.Project)
	}
	v, err := b.add(ctx, newest, c)
	if err != nil {
		return nil, err
	}
	return v, b.load(ctx, t.owned)
}

// add stores a version after newest, which may be nil.
func (b *RuleBook) add(ctx context.Context, newest *millrace.RuleVersion, c millrace.RuleChange) (*millrace.RuleVersion, error) {
	v := &millrace.RuleVersion{
		Project: c.Project, Source: c.Source, Text: c.Text, Author: c.Author, Note: c.Note, Created: b.now().UTC(),
	}
	after := max(0, c.After)
	if c.Text != "" {
		v.Learned = carryLearned(newest, c.Text)
		program, err := CompileRules(v, b.opts)
		if err != nil {
			return nil, err
		}
		if err := b.meta.AddRules(ctx, v, after); err != nil {
			return nil, err
		}
		b.programs.put(v, program)
		return v, nil
	}
	return v, b.meta.AddRules(ctx, v, after)
}

// seed is Seed once. ErrConflict: another node added a version meanwhile. The
// caller has mu.
func (b *RuleBook) seed(ctx context.Context, seeds []Seed) error {
	t := b.current.Load()
	owned := map[sourceKey]bool{}
	for _, s := range seeds {
		key := sourceKey{s.Project, s.Source}
		owned[key] = true
		newest := t.newest[key]
		if newest != nil && newest.Text == s.Text {
			continue
		}
		c := millrace.RuleChange{Project: s.Project, Source: s.Source, Text: s.Text, Author: millrace.AuthorConfig}
		if newest != nil {
			c.After = newest.Version
		}
		if _, err := b.add(ctx, newest, c); err != nil {
			return err
		}
	}
	for key, v := range t.newest {
		if owned[key] || v.Text == "" {
			continue
		}
		if mine, err := b.fromFile(ctx, v); err != nil {
			return err
		} else if !mine {
			continue
		}
		c := millrace.RuleChange{Project: key.project, Source: key.source, Author: millrace.AuthorConfig, After: v.Version, Note: "no longer in the file"}
		if _, err := b.add(ctx, v, c); err != nil {
			return err
		}
	}
	return b.load(ctx, owned)
}

// fromFile reports whether the configuration file wrote the text of a version:
// what was learned for a text stands and falls with it.
func (b *RuleBook) fromFile(ctx context.Context, v *millrace.RuleVersion) (bool, error) {
	written, err := textVersion(v)
	if err != nil {
		return false, err
	}
	if written != v.Version {
		if v, err = b.meta.Rules(ctx, written); err != nil {
			return false, err
		}
	}
	return v.Author == millrace.AuthorConfig, nil
}

// Program returns the program of a version, nil for 0 and for a version without
// text. An error means that records of that version cannot be read now: nothing
// may be made of them until the version is there again and compiles.
func (b *RuleBook) Program(ctx context.Context, version int64) (*transform.Program, error) {
	if version == 0 {
		return nil, nil
	}
	if p, ok := b.programs.get(version); ok {
		return p, nil
	}
	v, err := b.meta.Rules(ctx, version)
	if err != nil {
		return nil, err
	}
	var p *transform.Program
	if v.Text != "" {
		if p, err = CompileRules(v, b.opts); err != nil {
			return nil, err
		}
	}
	b.programs.put(v, p)
	return p, nil
}
