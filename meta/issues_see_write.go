package meta

import (
	"context"
	"slices"

	"github.com/millrace/millrace"
)

// writeIssues locks the issues and brings them up to date: what another worker
// says of them waits until this is committed.
func (s *seeing) writeIssues(ctx context.Context) error {
	ids := sortedNames(s.issues)
	in := newInput("project t", "id t")
	for _, id := range ids {
		in.add(id.project, id.name)
	}
	begun := issueInput()
	lasts := newInput("project t", "id t", "last_seen i", "last_release t", "fingerprints i")
	query := `SELECT n.nth, i.state, i.fingerprints, i.first_seen, i.first_release, i.last_seen, i.last_release FROM n CROSS JOIN issues i
		WHERE i.project = n.project AND i.id = n.id` + s.forUpdate("i", "i.project", "i.id")
	err := s.selectRows(ctx, s.tx, in, query, func(scan func(...any) error) error {
		var nth int
		var first, last lastOf
		var state string
		var fingerprints int
		if err := scan(&nth, &state, &fingerprints, &first.seen, &first.release, &last.seen, &last.release); err != nil {
			return err
		}
		id := ids[nth]
		t := s.issues[id]
		t.state = millrace.IssueState(state)
		if fingerprints == 0 { // it has none yet, or lost them: only what is new counts
			begun.add(issueArgs(id, &t.span, int64(t.added))...)
			return nil
		}
		if t.span.first.mayReplace(first.seen, first.release) {
			s.firsts = append(s.firsts, id)
		}
		if t.added > 0 || last.less(t.last) {
			if last.less(t.last) {
				last = t.last
			}
			lasts.add(id.project, id.name, last.seen, last.release, int64(t.added))
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = s.writeRows(ctx, s.tx, "issues", begun, "UPDATE issues SET "+setSpan+", merged_into = ''"+whichIssue, nil)
	if err != nil {
		return err
	}
	return s.writeRows(ctx, s.tx, "last times of issues", lasts,
		"UPDATE issues SET last_seen = n.last_seen, last_release = n.last_release, fingerprints = issues.fingerprints + n.fingerprints"+whichIssue, nil)
}

// Parts of UPDATEs of issues.
const (
	setFirst = `first_seen = n.first_seen, first_release = n.first_release, type = n.type, title = n.title, culprit = n.culprit, level = n.level,
		service = n.service, language = n.language, search = n.search`
	setSpan    = setFirst + ", last_seen = n.last_seen, last_release = n.last_release, fingerprints = n.fingerprints"
	whichIssue = " FROM n WHERE issues.project = n.project AND issues.id = n.id"
)

// issueInput is what issues have of their fingerprints.
func issueInput() *input {
	return newInput("project t", "id t", "first_seen i", "first_release t", "type t", "title t", "culprit t", "level t", "service t", "language t",
		"search t", "last_seen i", "last_release t", "fingerprints i")
}

func issueArgs(id named, s *span, fingerprints int64) []any {
	search := searchText(id.name, s.first.texts[textType], s.first.texts[textTitle], s.first.texts[textCulprit])
	return append(append([]any{id.project, id.name}, firstArgs(&s.first)...), search, s.last.seen, s.last.release, fingerprints)
}

// firstLess is firstOf.less of two rows. PostgreSQL compares with the collation
// of the column, which is by bytes.
func firstLess(a, b string) string {
	of := func(t string) string {
		return "(" + t + ".first_seen, " + t + ".first_release, " + t + ".type, " + t + ".title, " + t + ".culprit, " + t + ".level, " + t + ".service, " + t + ".language)"
	}
	return of(a) + " < " + of(b)
}

// writeFirsts corrects what fingerprints have of their first event.
func (s *seeing) writeFirsts(ctx context.Context) error {
	in := newInput("project t", "fingerprint t", "first_seen i", "first_release t", "type t", "title t", "culprit t", "level t", "service t", "language t")
	for _, n := range s.order {
		if p := s.spots[n]; p.issue != "" && p.earlier && !p.added {
			in.add(append([]any{n.project, n.name}, firstArgs(&p.first)...)...)
		}
	}
	return s.writeRows(ctx, s.tx, "fingerprints", in, `UPDATE issue_fingerprints SET first_seen = n.first_seen, first_release = n.first_release,
		type = n.type, title = n.title, level = n.level, service = n.service,
		culprit = CASE WHEN n.culprit = '' THEN issue_fingerprints.culprit ELSE n.culprit END,
		language = CASE WHEN n.language = '' THEN issue_fingerprints.language ELSE n.language END
		FROM n WHERE issue_fingerprints.project = n.project AND issue_fingerprints.fingerprint = n.fingerprint AND `+firstLess("n", "issue_fingerprints"), nil)
}

// writeFirstsOfIssues has issues say what the fingerprint seen first says now.
func (s *seeing) writeFirstsOfIssues(ctx context.Context) error {
	if len(s.firsts) == 0 {
		return nil
	}
	in := newInput("project t", "fingerprint t", "issue t")
	for _, id := range s.firsts {
		n := s.issues[id].first
		in.add(n.project, n.name, id.name)
	}
	out := issueInput()
	const query = `SELECT n.project, n.issue, f.first_seen, f.first_release, f.type, f.title, f.culprit, f.level, f.service, f.language
		FROM n CROSS JOIN issue_fingerprints f WHERE f.project = n.project AND f.fingerprint = n.fingerprint`
	err := s.selectRows(ctx, s.tx, in, query, func(scan func(...any) error) error {
		var id named
		var v span
		t := &v.first.texts
		err := scan(&id.project, &id.name, &v.first.seen, &v.first.release,
			&t[textType], &t[textTitle], &t[textCulprit], &t[textLevel], &t[textService], &t[textLanguage])
		out.add(issueArgs(id, &v, 0)...)
		return err
	})
	if err != nil {
		return err
	}
	return s.writeRows(ctx, s.tx, "first times of issues", out, "UPDATE issues SET "+setFirst+whichIssue+" AND "+firstLess("n", "issues"), nil)
}

// writeSights is what changes every second for each fingerprint.
func (s *seeing) writeSights(ctx context.Context) error {
	in := newInput("project t", "fingerprint t", "env t", "first_seen i", "first_release t", "last_seen i", "last_release t")
	for _, n := range s.order {
		p := s.spots[n]
		if p.issue == "" {
			continue
		}
		for env, e := range p.envs {
			in.add(n.project, n.name, env, e.first.seen, e.first.release, e.last.seen, e.last.release)
		}
	}
	const (
		earlier = "(excluded.first_seen, excluded.first_release) < (s.first_seen, s.first_release)"
		later   = "(excluded.last_seen, excluded.last_release) > (s.last_seen, s.last_release)"
	)
	return s.writeRows(ctx, s.tx, "environments", in, `INSERT INTO issue_sights AS s (project, fingerprint, env, first_seen, first_release, last_seen, last_release)
		SELECT project, fingerprint, env, first_seen, first_release, last_seen, last_release FROM n WHERE true
		ON CONFLICT (project, fingerprint, env) DO UPDATE SET
			first_seen = CASE WHEN `+earlier+` THEN excluded.first_seen ELSE s.first_seen END,
			first_release = CASE WHEN `+earlier+` THEN excluded.first_release ELSE s.first_release END,
			last_seen = CASE WHEN `+later+` THEN excluded.last_seen ELSE s.last_seen END,
			last_release = CASE WHEN `+later+` THEN excluded.last_release ELSE s.last_release END
		WHERE `+earlier+" OR "+later, nil)
}

func (s *seeing) writeReleases(ctx context.Context) error {
	seen := map[named]*span{}
	tell := func(project, release string, at int64) {
		if release != "" {
			merge(seen, named{project, nameOf(release)}, span{firstOf{seen: at}, lastOf{seen: at}})
		}
	}
	for _, n := range s.order {
		p := s.spots[n]
		if p.issue == "" {
			continue
		}
		for _, i := range p.told {
			v := &s.sightings[i]
			tell(n.project, v.FirstRelease, v.First)
			tell(n.project, v.LastRelease, v.Last)
		}
	}
	in := newInput("project t", "release t", "first_seen i", "last_seen i")
	for _, n := range sortedNames(seen) {
		in.add(n.project, n.name, seen[n].first.seen, seen[n].last.seen)
	}
	return s.writeRows(ctx, s.tx, "releases", in, `INSERT INTO issue_releases AS r (project, release, first_seen, last_seen)
		SELECT project, release, first_seen, last_seen FROM n WHERE true
		ON CONFLICT (project, release) DO UPDATE SET
			first_seen = CASE WHEN excluded.first_seen < r.first_seen THEN excluded.first_seen ELSE r.first_seen END,
			last_seen = CASE WHEN excluded.last_seen > r.last_seen THEN excluded.last_seen ELSE r.last_seen END
		WHERE excluded.first_seen < r.first_seen OR excluded.last_seen > r.last_seen`, nil)
}

// writeCreated notes in their logs that issues were created.
func (s *seeing) writeCreated(ctx context.Context) error {
	var list []millrace.Activity
	for _, id := range sortedNames(s.made) {
		list = append(list, millrace.Activity{Project: id.project, Issue: id.name, At: s.now, Author: "millrace", Kind: "created", Data: []byte("{}")})
	}
	return s.addActivities(ctx, s.tx, list)
}

// answer reads the issues that somebody has to know of.
func (s *seeing) answer(ctx context.Context) (seen []millrace.Seen, err error) {
	in := newInput("project t", "id t")
	for _, id := range sortedNames(s.issues) {
		if s.made[id] || s.issues[id].state != millrace.IssueOpen {
			in.add(id.project, id.name)
		}
	}
	if len(in.rows) == 0 {
		return nil, nil
	}
	query := "SELECT " + issueColumns + " FROM n CROSS JOIN issues i WHERE i.project = n.project AND i.id = n.id ORDER BY i.project, i.id"
	err = s.selectRows(ctx, s.tx, in, query, func(scan func(...any) error) error {
		i, err := scanIssue(scan)
		if err != nil {
			return err
		}
		id := named{i.Project, i.ID}
		t := s.issues[id]
		slices.Sort(t.told)
		seen = append(seen, millrace.Seen{Issue: i, Created: s.made[id], Sightings: t.told})
		return nil
	})
	return seen, err
}
