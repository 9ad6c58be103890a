package meta

import (
	"context"
	"database/sql"
	"errors"

	"github.com/millrace/millrace"
)

const rulesColumns = "version, project, source, text, learned, author, created, note"

// AddRules implements millrace.Meta. Nobody adds a version between the look and
// the insertion: SQLite's transaction takes its lock at once (see dsn),
// PostgreSQL's locks the table.
func (r *records) AddRules(ctx context.Context, v *millrace.RuleVersion, after int64) error {
	const op = "add rules"
	if len(v.Text) > millrace.MaxRulesText || len(v.Learned) > millrace.MaxRulesText {
		return &millrace.Error{Code: millrace.ErrTooLarge, Op: op, Message: "rules of " + v.Source + " are over the limit of " + millrace.Bytes(millrace.MaxRulesText).String()}
	}
	return r.once(ctx, op, func(ctx context.Context) error {
		tx, err := r.write.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		if err := r.lockRules(ctx, tx); err != nil {
			return err
		}
		version, err := addRules(ctx, tx, v, after)
		if err != nil {
			return err
		}
		if err := commit(tx); err != nil {
			return err
		}
		v.Version = version
		return nil
	})
}

func addRules(ctx context.Context, tx *sql.Tx, v *millrace.RuleVersion, after int64) (version int64, err error) {
	var highest, newest int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM rules").Scan(&highest); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM rules WHERE project = $1 AND source = $2",
		v.Project, v.Source).Scan(&newest)
	if err != nil {
		return 0, err
	}
	if newest != after {
		return 0, millrace.Errorf(millrace.ErrConflict, "the rules of %s were changed meanwhile: version %d is the newest, not %d", v.Source, newest, after)
	}
	version = max(highest+1, v.Created.Unix())
	_, err = tx.ExecContext(ctx, "INSERT INTO rules ("+rulesColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		version, v.Project, v.Source, v.Text, v.Learned, v.Author, nanos(v.Created), v.Note)
	return version, err
}

// Rules implements millrace.Meta.
func (r *records) Rules(ctx context.Context, version int64) (v *millrace.RuleVersion, err error) {
	err = r.repeat(ctx, "find rules", func(ctx context.Context) error {
		row := r.read.QueryRowContext(ctx, "SELECT "+rulesColumns+" FROM rules WHERE version = $1", version)
		var err error
		v, err = scanRules(row.Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return millrace.Errorf(millrace.ErrNotFound, "there are no rules of version %d", version)
		}
		return err
	})
	return v, err
}

// NewestRules implements millrace.Meta.
func (r *records) NewestRules(ctx context.Context) (version int64, err error) {
	err = r.repeat(ctx, "find the newest rules", func(ctx context.Context) error {
		return r.read.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM rules").Scan(&version)
	})
	return version, err
}

// CurrentRules implements millrace.Meta.
func (r *records) CurrentRules(ctx context.Context) ([]*millrace.RuleVersion, error) {
	return r.listRules(ctx, "list current rules", "SELECT "+rulesColumns+" FROM rules WHERE version IN "+
		"(SELECT max(version) FROM rules GROUP BY project, source) ORDER BY project, source")
}

// RulesHistory implements millrace.Meta.
func (r *records) RulesHistory(ctx context.Context, project, source string, before int64, limit int) ([]*millrace.RuleVersion, error) {
	return r.listRules(ctx, "list rules", "SELECT "+rulesColumns+" FROM rules WHERE project = $1 AND source = $2 AND "+
		"(version < $3 OR $3 = 0) ORDER BY version DESC LIMIT $4", project, source, before, limit)
}

func (r *records) listRules(ctx context.Context, op, query string, args ...any) (out []*millrace.RuleVersion, err error) {
	err = r.repeat(ctx, op, func(ctx context.Context) error {
		rows, err := r.read.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		out = nil
		for rows.Next() {
			v, err := scanRules(rows.Scan)
			if err != nil {
				return err
			}
			out = append(out, v)
		}
		return rows.Err()
	})
	return out, err
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
