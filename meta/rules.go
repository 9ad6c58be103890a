package meta

import (
	"context"
	"database/sql"
	"errors"

	"github.com/millrace/millrace"
)

const rulesColumns = "version, project, source, text, learned, author, created, note"

// AddRules implements millrace.Meta. The only writer's transaction takes
// SQLite's lock at once (see dsn), so nobody adds a version between the look
// and the insertion.
func (s *SQLite) AddRules(ctx context.Context, v *millrace.RuleVersion, after int64) error {
	const op = "add rules"
	if len(v.Text) > millrace.MaxRulesText || len(v.Learned) > millrace.MaxRulesText {
		return &millrace.Error{Code: millrace.ErrTooLarge, Op: op, Message: "rules of " + v.Source + " are over the limit of " + millrace.Bytes(millrace.MaxRulesText).String()}
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return wrap(op, err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	var highest, newest int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM rules").Scan(&highest); err != nil {
		return wrap(op, err)
	}
	err = tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM rules WHERE project = ? AND source = ?",
		v.Project, v.Source).Scan(&newest)
	if err != nil {
		return wrap(op, err)
	}
	if newest != after {
		e := millrace.Errorf(millrace.ErrConflict, "the rules of %s were changed meanwhile: version %d is the newest, not %d", v.Source, newest, after)
		e.Op = op
		return e
	}
	version := max(highest+1, v.Created.Unix())
	_, err = tx.ExecContext(ctx, "INSERT INTO rules ("+rulesColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		version, v.Project, v.Source, v.Text, v.Learned, v.Author, nanos(v.Created), v.Note)
	if err == nil {
		err = tx.Commit()
	}
	if err == nil {
		v.Version = version
	}
	return wrap(op, err)
}

// Rules implements millrace.Meta.
func (s *SQLite) Rules(ctx context.Context, version int64) (*millrace.RuleVersion, error) {
	row := s.read.QueryRowContext(ctx, "SELECT "+rulesColumns+" FROM rules WHERE version = ?", version)
	v, err := scanRules(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		e := millrace.Errorf(millrace.ErrNotFound, "there are no rules of version %d", version)
		e.Op = "find rules"
		return nil, e
	}
	return v, wrap("find rules", err)
}

// CurrentRules implements millrace.Meta.
func (s *SQLite) CurrentRules(ctx context.Context) ([]*millrace.RuleVersion, error) {
	return s.listRules(ctx, "list current rules", "SELECT "+rulesColumns+" FROM rules WHERE version IN "+
		"(SELECT max(version) FROM rules GROUP BY project, source) ORDER BY project, source")
}

// RulesHistory implements millrace.Meta.
func (s *SQLite) RulesHistory(ctx context.Context, project, source string, before int64, limit int) ([]*millrace.RuleVersion, error) {
	return s.listRules(ctx, "list rules", "SELECT "+rulesColumns+" FROM rules WHERE project = ? AND source = ? AND "+
		"(version < ?3 OR ?3 = 0) ORDER BY version DESC LIMIT ?4", project, source, before, limit)
}

func (s *SQLite) listRules(ctx context.Context, op, query string, args ...any) ([]*millrace.RuleVersion, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, wrap(op, err)
	}
	defer func() { _ = rows.Close() }()
	var out []*millrace.RuleVersion
	for rows.Next() {
		v, err := scanRules(rows.Scan)
		if err != nil {
			return nil, wrap(op, err)
		}
		out = append(out, v)
	}
	return out, wrap(op, rows.Err())
}

func scanRules(scan func(...any) error) (*millrace.RuleVersion, error) {
	var (
		v       millrace.RuleVersion
		created int64
	)
	if err := scan(&v.Version, &v.Project, &v.Source, &v.Text, &v.Learned, &v.Author, &created, &v.Note); err != nil {
		return nil, err
	}
	v.Created = fromNanos(created)
	return &v, nil
}
