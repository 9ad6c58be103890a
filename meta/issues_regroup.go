package meta

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// Regroup implements millrace.Issues. Nobody sees exceptions meanwhile.
func (r *records) Regroup(ctx context.Context, g *millrace.Regrouping, activities ...millrace.Activity) error {
	var id, version int64
	var list []millrace.Activity
	err := r.inTransaction(ctx, "regroup issues", r.once, func(ctx context.Context, tx *sql.Tx) error {
		c := &regrouping{records: r, tx: tx, Regrouping: g, project: nameOf(g.Project), issues: map[string]*regrouped{}}
		if err := c.check(); err != nil {
			return err
		}
		if err := r.lockIssues(ctx, tx, true); err != nil {
			return err
		}
		for _, step := range []func(context.Context) error{c.compareFingerprints, c.compareKeys, c.changeSettings, c.createIssues, c.move, c.compareNow, c.bringUpToDate, c.note} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		id, version = c.id, c.version
		list = slices.Clone(activities)
		for i := range list {
			list[i].Project, list[i].Regrouping = g.Project, id
		}
		return r.addActivities(ctx, tx, list)
	})
	if err != nil {
		return err
	}
	g.ID = id
	copy(activities, list)
	if g.SettingsAfter != nil {
		g.SettingsAfter.Version = version
	}
	return nil
}

// regrouped is an issue that moves name.
type regrouped struct {
	takers map[string]int // how many fingerprints went where
	target bool           // of a move
	span
	fingerprints int
}

// mergedInto is where most fingerprints went, of equal ones the least.
func (i *regrouped) mergedInto() (to string) {
	for id, n := range i.takers {
		if most := i.takers[to]; to == "" || n > most || n == most && id < to {
			to = id
		}
	}
	return to
}

// regrouping is one try of Regroup.
type regrouping struct {
	*records
	*millrace.Regrouping
	tx      *sql.Tx
	project string
	issues  map[string]*regrouped
	id      int64
	version int64 // of settings
}

// issue returns an issue that is part of this; "" is none.
func (c *regrouping) issue(id string) *regrouped {
	i := c.issues[id]
	if i == nil {
		i = &regrouped{takers: map[string]int{}}
		if id != "" {
			c.issues[id] = i
		}
	}
	return i
}

// check refuses what cannot be meant, and collects issues.
func (c *regrouping) check() error {
	fingerprints, keys := map[string]bool{}, map[string]bool{}
	for i := range c.Moves {
		m := &c.Moves[i]
		seen, name, what := fingerprints, nameOf(m.Fingerprint), "fingerprint"
		if m.Fingerprint == "" {
			seen, name, what = keys, nameOf(m.Key), "key"
		}
		switch {
		case seen[name]:
			return millrace.Errorf(millrace.ErrInvalid, "%s %q is moved twice", what, name)
		case m.Fingerprint != "" && (m.From == "" || m.To == "" || m.Key == ""):
			return millrace.Errorf(millrace.ErrInvalid, "fingerprint %q moves from issue %q to %q with key %q: none may be empty", name, m.From, m.To, m.Key)
		case m.Fingerprint == "" && (m.Key == "" || m.From == "" && m.To == ""):
			return millrace.Errorf(millrace.ErrInvalid, "key %q moves from nowhere to nowhere", m.Key)
		}
		seen[name] = true
		from := c.issue(nameOf(m.From))
		c.issue(nameOf(m.To)).target = true
		if m.Fingerprint != "" && m.From != m.To {
			from.takers[nameOf(m.To)]++
		}
	}
	return nil
}

// input is a row for each move of fingerprints, or of keys alone, by name.
func (c *regrouping) input(keys bool, which func(m *millrace.Move) bool) *input {
	in := newInput("project t", "name t", "key t", "issue t")
	for i := range c.Moves {
		m := &c.Moves[i]
		if (m.Fingerprint == "") != keys || which != nil && !which(m) {
			continue
		}
		name := m.Fingerprint
		if keys {
			name = m.Key
		}
		in.add(c.project, nameOf(name), nameOf(m.Key), nameOf(m.To))
	}
	slices.SortFunc(in.rows, func(a, b []any) int { return strings.Compare(a[1].(string), b[1].(string)) })
	return in
}

func (c *regrouping) compareFingerprints(ctx context.Context) error {
	type place struct{ issue, key string }
	stored := map[string]place{}
	const query = "SELECT f.fingerprint, f.issue, f.key FROM n CROSS JOIN issue_fingerprints f WHERE f.project = n.project AND f.fingerprint = n.name"
	err := c.selectRows(ctx, c.tx, c.input(false, nil), query, func(scan func(...any) error) error {
		var name string
		var p place
		err := scan(&name, &p.issue, &p.key)
		stored[name] = p
		return err
	})
	if err != nil {
		return err
	}
	for i := range c.Moves {
		m := &c.Moves[i]
		if m.Fingerprint == "" {
			continue
		}
		if have, want := stored[nameOf(m.Fingerprint)], (place{nameOf(m.From), nameOf(m.KeyBefore)}); have != want {
			return millrace.Errorf(millrace.ErrConflict, "fingerprint %s is in issue %q with key %q, not in %q with %q",
				m.Fingerprint, have.issue, have.key, want.issue, want.key)
		}
	}
	return nil
}

func (c *regrouping) compareKeys(ctx context.Context) error {
	stored := map[string]string{}
	const query = "SELECT k.key, k.issue FROM n CROSS JOIN issue_keys k WHERE k.project = n.project AND k.key = n.name"
	err := c.selectRows(ctx, c.tx, c.input(true, nil), query, func(scan func(...any) error) error {
		var key, issue string
		err := scan(&key, &issue)
		stored[key] = issue
		return err
	})
	if err != nil {
		return err
	}
	for i := range c.Moves {
		m := &c.Moves[i]
		if have := stored[nameOf(m.Key)]; m.Fingerprint == "" && have != nameOf(m.From) {
			return millrace.Errorf(millrace.ErrConflict, "key %q belongs to issue %q, not to %q", m.Key, have, m.From)
		}
	}
	return nil
}

// changeSettings stores what this changes of the settings.
func (c *regrouping) changeSettings(ctx context.Context) error {
	if c.SettingsAfter == nil {
		return nil
	}
	var before int64
	if c.SettingsBefore != nil {
		before = c.SettingsBefore.Version
	}
	after := *c.SettingsAfter
	after.Project, c.version = c.Project, before+1
	return setIssueSettings(ctx, c.tx, &after, before)
}

func (c *regrouping) createIssues(ctx context.Context) error {
	in := newInput("project t", "id t", "created i")
	for _, id := range c.ids() {
		if c.issues[id].target {
			in.add(c.project, id, c.At)
		}
	}
	return c.writeRows(ctx, c.tx, "issues", in, "INSERT INTO issues (project, id, created) SELECT project, id, created FROM n WHERE true ON CONFLICT DO NOTHING", nil)
}

func (c *regrouping) ids() []string { return slices.Sorted(maps.Keys(c.issues)) }

func (c *regrouping) move(ctx context.Context) error {
	err := c.writeRows(ctx, c.tx, "fingerprints", c.input(false, nil), `UPDATE issue_fingerprints SET issue = n.issue, key = n.key
		FROM n WHERE issue_fingerprints.project = n.project AND issue_fingerprints.fingerprint = n.name`, nil)
	if err != nil {
		return err
	}
	kept := c.input(true, func(m *millrace.Move) bool { return m.To != "" })
	err = c.writeRows(ctx, c.tx, "keys", kept, `INSERT INTO issue_keys (project, key, issue) SELECT project, key, issue FROM n WHERE true
		ON CONFLICT (project, key) DO UPDATE SET issue = excluded.issue`, nil)
	if err != nil {
		return err
	}
	forgotten := c.input(true, func(m *millrace.Move) bool { return m.To == "" })
	return c.writeRows(ctx, c.tx, "keys", forgotten, "DELETE FROM issue_keys WHERE (project, key) IN (SELECT project, key FROM n)", nil)
}

// compareNow refuses what leaves a fingerprint in another issue than its key,
// such as one that came after the caller had asked for those there are.
func (c *regrouping) compareNow(ctx context.Context) error {
	keys := map[string]bool{}
	for i := range c.Moves {
		keys[nameOf(c.Moves[i].Key)] = true
		if m := &c.Moves[i]; m.Fingerprint != "" {
			keys[nameOf(m.KeyBefore)] = true
		}
	}
	const query = `SELECT f.fingerprint, f.key, f.issue, coalesce(k.issue, '') FROM n CROSS JOIN issue_fingerprints f
		LEFT JOIN issue_keys k ON k.project = f.project AND k.key = f.key
		WHERE f.project = n.project AND f.key = n.name AND (k.issue IS NULL OR k.issue <> f.issue) LIMIT 1`
	return c.selectRows(ctx, c.tx, namesOf(c.project, slices.Sorted(maps.Keys(keys))), query, func(scan func(...any) error) error {
		var fingerprint, key, issue, other string
		if err := scan(&fingerprint, &key, &issue, &other); err != nil {
			return err
		}
		return millrace.Errorf(millrace.ErrConflict, "fingerprint %s would be in issue %q, but its key %q in %q", fingerprint, issue, key, other)
	})
}

// bringUpToDate computes anew what issues have of their fingerprints. What an
// issue without any has of those that it had stays.
func (c *regrouping) bringUpToDate(ctx context.Context) error {
	ids := c.ids()
	if len(ids) == 0 {
		return nil
	}
	lock := "SELECT 1 FROM n CROSS JOIN issues i WHERE i.project = n.project AND i.id = n.name" + c.forUpdate("i", "i.project", "i.id")
	if err := c.selectRows(ctx, c.tx, namesOf(c.project, ids), lock, func(func(...any) error) error { return nil }); err != nil {
		return err
	}
	fingerprints, err := c.fingerprintsOf(ctx, c.tx, c.project, ids)
	if err != nil {
		return err
	}
	for i := range fingerprints {
		f := &fingerprints[i]
		whole := span{
			firstOf{f.FirstSeen, f.FirstRelease, [texts]string{f.Type, f.Title, f.Culprit, f.Level, f.Service, f.Language}},
			lastOf{f.LastSeen, f.LastRelease},
		}
		issue := c.issues[f.Issue]
		if issue.fingerprints == 0 {
			issue.span = whole
		}
		issue.add(&whole)
		issue.fingerprints++
	}
	full, empty := issueInput(), newInput("project t", "id t", "merged_into t")
	for _, id := range ids {
		if i := c.issues[id]; i.fingerprints > 0 {
			full.add(issueArgs(named{c.project, id}, &i.span, int64(i.fingerprints))...)
		} else {
			empty.add(c.project, id, i.mergedInto())
		}
	}
	if err := c.writeRows(ctx, c.tx, "issues", full, "UPDATE issues SET "+setSpan+", merged_into = '', version = issues.version + 1"+whichIssue, nil); err != nil {
		return err
	}
	return c.writeRows(ctx, c.tx, "issues", empty, `UPDATE issues SET fingerprints = 0, version = issues.version + 1,
		merged_into = CASE WHEN n.merged_into = '' THEN issues.merged_into ELSE n.merged_into END`+whichIssue, nil)
}

// bothSettings are stored with a change.
type bothSettings struct {
	Before *millrace.IssueSettings `json:"before,omitempty"`
	After  *millrace.IssueSettings `json:"after,omitempty"`
}

// note stores the change itself, and marks the one that it takes back.
func (c *regrouping) note(ctx context.Context) error {
	moves, err := json.Marshal(c.Moves)
	if err != nil {
		return err
	}
	var settings []byte
	if c.SettingsBefore != nil || c.SettingsAfter != nil {
		both := bothSettings{c.SettingsBefore, c.SettingsAfter}
		if both.After != nil {
			after := *both.After
			after.Version, both.After = c.version, &after
		}
		if settings, err = json.Marshal(both); err != nil {
			return err
		}
	}
	err = c.tx.QueryRowContext(ctx, `INSERT INTO issue_regroupings (project, at, author, kind, note, moves, settings, undoes, undone_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0) RETURNING id`,
		c.project, c.At, plain(c.Author), plain(c.Kind), plain(c.Note), moves, notNil(settings), c.Undoes).Scan(&c.id)
	if err != nil {
		return err
	}
	in := newInput("project t", "issue t", "regrouping i")
	for _, id := range c.ids() {
		in.add(c.project, id, c.id)
	}
	err = c.writeRows(ctx, c.tx, "issues of the change", in, "INSERT INTO issue_regrouped (project, issue, regrouping) SELECT project, issue, regrouping FROM n", nil)
	if err != nil || c.Undoes == 0 {
		return err
	}
	return c.markUndone(ctx)
}

func (c *regrouping) markUndone(ctx context.Context) error {
	var by int64
	err := c.tx.QueryRowContext(ctx, "SELECT undone_by FROM issue_regroupings WHERE project = $1 AND id = $2", c.project, c.Undoes).Scan(&by)
	if errors.Is(err, sql.ErrNoRows) {
		return noRegrouping(c.Undoes)
	}
	if err != nil {
		return err
	}
	if by != 0 {
		return millrace.Errorf(millrace.ErrConflict, "change %d was undone by change %d", c.Undoes, by)
	}
	_, err = c.tx.ExecContext(ctx, "UPDATE issue_regroupings SET undone_by = $1 WHERE project = $2 AND id = $3", c.id, c.project, c.Undoes)
	return err
}

func noRegrouping(id int64) error {
	return millrace.Errorf(millrace.ErrNotFound, "no change of issues with id %d", id)
}
