package meta

import (
	"context"

	"github.com/millrace/millrace"
)

// namesOf is input of one project's names.
func namesOf(project string, names []string) *input {
	project = nameOf(project)
	in := newInput("project t", "name t")
	for _, name := range names {
		in.add(project, nameOf(name))
	}
	return in
}

// IssuesOf implements millrace.Issues.
func (r *records) IssuesOf(ctx context.Context, project string, fingerprints []string) (map[string]string, error) {
	return r.lookUp(ctx, "find issues", project, fingerprints, `SELECT f.fingerprint, f.issue FROM n CROSS JOIN issue_fingerprints f
		WHERE f.project = n.project AND f.fingerprint = n.name`)
}

// IssueKeys implements millrace.Issues.
func (r *records) IssueKeys(ctx context.Context, project string, keys []string) (map[string]string, error) {
	const op = "find keys of issues"
	if keys != nil {
		return r.lookUp(ctx, op, project, keys, "SELECT k.key, k.issue FROM n CROSS JOIN issue_keys k WHERE k.project = n.project AND k.key = n.name")
	}
	out := map[string]string{}
	err := r.repeat(ctx, op, func(ctx context.Context) error {
		clear(out)
		rows, err := r.read.QueryContext(ctx, "SELECT key, issue FROM issue_keys WHERE project = $1", nameOf(project))
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			var key, issue string
			err := scan(&key, &issue)
			out[key] = issue
			return err
		})
	})
	return out, err
}

// lookUp returns what a query says of names, by the names that were asked for.
func (r *records) lookUp(ctx context.Context, op, project string, names []string, query string) (map[string]string, error) {
	out := map[string]string{}
	err := r.repeat(ctx, op, func(ctx context.Context) error {
		found := map[string]string{}
		err := r.selectRows(ctx, r.read, namesOf(project, names), query, func(scan func(...any) error) error {
			var name, value string
			err := scan(&name, &value)
			found[name] = value
			return err
		})
		clear(out)
		for _, name := range names {
			if v, ok := found[nameOf(name)]; ok {
				out[name] = v
			}
		}
		return err
	})
	return out, err
}

// Fingerprints implements millrace.Issues.
func (r *records) Fingerprints(ctx context.Context, project string, issues []string) (out []millrace.IssueFingerprint, err error) {
	err = r.repeat(ctx, "list fingerprints", func(ctx context.Context) (err error) {
		out, err = r.fingerprintsOf(ctx, r.read, project, issues)
		return err
	})
	return out, err
}

// fingerprintsOf reads fingerprints; when they were seen last is what the
// environments say.
func (r *records) fingerprintsOf(ctx context.Context, q querier, project string, issues []string) ([]millrace.IssueFingerprint, error) {
	where := "f.project = n.project AND f.issue = n.name"
	if issues == nil {
		where, issues = "f.project = n.project", []string{""}
	}
	query := `SELECT f.project, f.fingerprint, f.key, f.issue, f.first_seen, f.first_release, f.type, f.title, f.culprit, f.level, f.service, f.language,
		s.last_seen, s.last_release
		FROM n CROSS JOIN issue_fingerprints f CROSS JOIN issue_sights s
		WHERE s.project = f.project AND s.fingerprint = f.fingerprint AND ` + where + " ORDER BY f.issue, f.first_seen, f.fingerprint"
	var out []millrace.IssueFingerprint
	err := r.selectRows(ctx, q, namesOf(project, issues), query, func(scan func(...any) error) error {
		var f millrace.IssueFingerprint
		var last lastOf
		err := scan(&f.Project, &f.Fingerprint, &f.Key, &f.Issue, &f.FirstSeen, &f.FirstRelease, &f.Type, &f.Title, &f.Culprit, &f.Level, &f.Service, &f.Language,
			&last.seen, &last.release)
		if err != nil {
			return err
		}
		f.LastSeen, f.LastRelease = last.seen, last.release
		if n := len(out); n > 0 && out[n-1].Fingerprint == f.Fingerprint { // in another environment
			if before := (lastOf{out[n-1].LastSeen, out[n-1].LastRelease}); before.less(last) {
				out[n-1].LastSeen, out[n-1].LastRelease = last.seen, last.release
			}
			return nil
		}
		out = append(out, f)
		return nil
	})
	return out, err
}

// FingerprintReports implements millrace.Issues.
func (r *records) FingerprintReports(ctx context.Context, project string, fingerprints []string) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := r.repeat(ctx, "read reports of fingerprints", func(ctx context.Context) error {
		clear(out)
		asked := map[string]string{}
		for _, f := range fingerprints {
			asked[nameOf(f)] = f
		}
		const query = `SELECT r.fingerprint, r.report FROM n CROSS JOIN issue_reports r WHERE r.project = n.project AND r.fingerprint = n.name`
		return r.selectRows(ctx, r.read, namesOf(project, fingerprints), query, func(scan func(...any) error) error {
			var name string
			var report blob
			err := scan(&name, &report)
			out[asked[name]] = report
			return err
		})
	})
	return out, err
}

// Sights implements millrace.Issues.
func (r *records) Sights(ctx context.Context, project, issue string) (out []millrace.Sight, err error) {
	err = r.repeat(ctx, "read environments of an issue", func(ctx context.Context) error {
		out = nil
		rows, err := r.read.QueryContext(ctx, `SELECT s.fingerprint, s.env, s.first_seen, s.last_seen, s.first_release, s.last_release
			FROM issue_fingerprints f JOIN issue_sights s ON s.project = f.project AND s.fingerprint = f.fingerprint
			WHERE f.project = $1 AND f.issue = $2 ORDER BY s.fingerprint, s.env`, nameOf(project), nameOf(issue))
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			var s millrace.Sight
			err := scan(&s.Fingerprint, &s.Env, &s.FirstSeen, &s.LastSeen, &s.FirstRelease, &s.LastRelease)
			out = append(out, s)
			return err
		})
	})
	return out, err
}

// IssueReleases implements millrace.Issues.
func (r *records) IssueReleases(ctx context.Context, project string) (out []millrace.IssueRelease, err error) {
	err = r.repeat(ctx, "list releases", func(ctx context.Context) error {
		out = nil
		rows, err := r.read.QueryContext(ctx, "SELECT release, first_seen, last_seen FROM issue_releases WHERE project = $1 ORDER BY first_seen, release", nameOf(project))
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			var v millrace.IssueRelease
			err := scan(&v.Release, &v.FirstSeen, &v.LastSeen)
			out = append(out, v)
			return err
		})
	})
	return out, err
}
