package meta

import (
	"context"
	"database/sql"
	"errors"

	"github.com/millrace/millrace"
)

// IssueSettings implements millrace.Issues.
func (r *records) IssueSettings(ctx context.Context, project string) (s *millrace.IssueSettings, err error) {
	err = r.repeat(ctx, "read settings of issues", func(ctx context.Context) error {
		s = &millrace.IssueSettings{Project: project}
		err := r.read.QueryRowContext(ctx, "SELECT version, grouping_rules, owners, author, at FROM issue_settings WHERE project = $1", nameOf(project)).
			Scan(&s.Version, (*blob)(&s.Grouping), (*blob)(&s.Owners), &s.Author, &s.At)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return s, err
}

// SetIssueSettings implements millrace.Issues.
func (r *records) SetIssueSettings(ctx context.Context, s *millrace.IssueSettings) error {
	err := r.inTransaction(ctx, "set settings of issues", r.once, func(ctx context.Context, tx *sql.Tx) error {
		if err := r.lockIssues(ctx, tx, true); err != nil {
			return err
		}
		return setIssueSettings(ctx, tx, s, s.Version)
	})
	if err == nil {
		s.Version++
	}
	return err
}

// setIssueSettings stores settings as the version after the one given, while the
// caller has issues locked.
func setIssueSettings(ctx context.Context, tx *sql.Tx, s *millrace.IssueSettings, after int64) error {
	var newest int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM issue_settings WHERE project = $1", nameOf(s.Project)).Scan(&newest); err != nil {
		return err
	}
	if newest != after {
		return millrace.Errorf(millrace.ErrConflict, "the settings of %s's issues were changed meanwhile: version %d is the newest, not %d", s.Project, newest, after)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO issue_settings (project, version, grouping_rules, owners, author, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (project) DO UPDATE SET version = excluded.version, grouping_rules = excluded.grouping_rules, owners = excluded.owners,
			author = excluded.author, at = excluded.at`,
		nameOf(s.Project), newest+1, notNil(s.Grouping), notNil(s.Owners), plain(s.Author), s.At)
	return err
}
