package meta

import (
	"context"

	"github.com/millrace/millrace"
)

// create stores fingerprints that nobody knows, with what they need. Another
// worker may do so at the same time: who comes second waits, and takes what the
// first has stored.
func (s *seeing) create(ctx context.Context, unknown []named) error {
	fresh, err := s.tellers(ctx, unknown)
	if err != nil || len(fresh) == 0 {
		return err
	}
	issueOf, err := s.createKeys(ctx, fresh)
	if err != nil {
		return err
	}
	if err := s.createFingerprints(ctx, fresh, issueOf); err != nil {
		return err
	}
	var late []named
	for _, n := range fresh {
		if p := s.spots[n]; !p.added {
			p.issue = ""
			late = append(late, n)
		}
	}
	if len(late) > 0 {
		if _, err := s.find(ctx, late); err != nil {
			return err
		}
	}
	if err := s.createReports(ctx, fresh); err != nil {
		return err
	}
	return s.createIssues(ctx, fresh)
}

// tellers finds for each fingerprint the first sighting with a key that was made
// under the settings as they are, and returns the fingerprints that have one.
func (s *seeing) tellers(ctx context.Context, unknown []named) (fresh []named, err error) {
	versions := map[string]int64{}
	in := newInput("project t")
	for i, n := range unknown {
		if i == 0 || n.project != unknown[i-1].project {
			in.add(n.project)
		}
	}
	const query = "SELECT s.project, s.version FROM n CROSS JOIN issue_settings s WHERE s.project = n.project"
	err = s.selectRows(ctx, s.tx, in, query, func(scan func(...any) error) error {
		var project string
		var version int64
		err := scan(&project, &version)
		versions[project] = version
		return err
	})
	for _, n := range unknown {
		p := s.spots[n]
		for _, i := range p.told {
			if v := &s.sightings[i]; v.Key != "" && v.Settings == versions[n.project] {
				p.teller, p.key = i, nameOf(v.Key)
				fresh = append(fresh, n)
				break
			}
		}
	}
	return fresh, err
}

// createKeys returns which issue each key belongs to.
func (s *seeing) createKeys(ctx context.Context, fresh []named) (issueOf map[named]string, err error) {
	issueOf = map[named]string{}
	for _, n := range fresh {
		key := s.spots[n].key
		issueOf[named{n.project, key}] = millrace.IssueID(n.project, key)
	}
	in := newInput("project t", "key t", "issue t")
	for _, k := range sortedNames(issueOf) {
		in.add(k.project, k.name, issueOf[k])
	}
	err = s.writeRows(ctx, s.tx, "keys", in, "INSERT INTO issue_keys (project, key, issue) SELECT project, key, issue FROM n WHERE true ON CONFLICT DO NOTHING", nil)
	if err != nil {
		return nil, err
	}
	const query = "SELECT k.project, k.key, k.issue FROM n CROSS JOIN issue_keys k WHERE k.project = n.project AND k.key = n.key"
	err = s.selectRows(ctx, s.tx, in, query, func(scan func(...any) error) error {
		var k named
		var issue string
		err := scan(&k.project, &k.name, &issue)
		issueOf[k] = issue
		return err
	})
	return issueOf, err
}

func (s *seeing) createFingerprints(ctx context.Context, fresh []named, issueOf map[named]string) error {
	in := newInput("project t", "fingerprint t", "issue t", "key t", "first_seen i", "first_release t",
		"type t", "title t", "culprit t", "level t", "service t", "language t")
	for _, n := range fresh {
		p := s.spots[n]
		p.issue = issueOf[named{n.project, p.key}]
		in.add(append([]any{n.project, n.name, p.issue, p.key}, firstArgs(&p.first)...)...)
	}
	return s.writeRows(ctx, s.tx, "fingerprints", in, "INSERT INTO issue_fingerprints ("+in.names+") SELECT "+in.names+
		" FROM n WHERE true ON CONFLICT DO NOTHING RETURNING project, fingerprint", func(scan func(...any) error) error {
		var n named
		if err := scan(&n.project, &n.name); err != nil {
			return err
		}
		s.spots[n].added = true
		return nil
	})
}

// firstArgs are the columns first_seen, first_release, type … language.
func firstArgs(f *firstOf) []any {
	out := []any{f.seen, f.release}
	for _, t := range f.texts {
		out = append(out, t)
	}
	return out
}

func (s *seeing) createReports(ctx context.Context, fresh []named) error {
	in := newInput("project t", "fingerprint t", "report b")
	for _, n := range fresh {
		if p := s.spots[n]; p.added {
			in.add(n.project, n.name, notNil(s.sightings[p.teller].Report))
		}
	}
	return s.writeRows(ctx, s.tx, "reports", in, "INSERT INTO issue_reports (project, fingerprint, report) SELECT project, fingerprint, report FROM n WHERE true ON CONFLICT DO NOTHING", nil)
}

// createIssues makes the issues of new fingerprints that do not exist. Their
// times and texts follow with writeIssues.
func (s *seeing) createIssues(ctx context.Context, fresh []named) error {
	owners := map[named]string{}
	for _, n := range fresh {
		p := s.spots[n]
		id := named{n.project, p.issue}
		if _, have := owners[id]; !have && p.added {
			owners[id] = plain(s.sightings[p.teller].Owner)
		}
	}
	in := newInput("project t", "id t", "owner t", "created i")
	for _, id := range sortedNames(owners) {
		in.add(id.project, id.name, owners[id], s.now)
	}
	return s.writeRows(ctx, s.tx, "issues", in, `INSERT INTO issues (project, id, owner, created) SELECT project, id, owner, created
		FROM n WHERE true ON CONFLICT DO NOTHING RETURNING project, id`, func(scan func(...any) error) error {
		var id named
		err := scan(&id.project, &id.name)
		s.made[id] = true
		return err
	})
}
