package meta

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"

	"github.com/millrace/millrace"
)

// ChangeIssue implements millrace.Issues.
func (r *records) ChangeIssue(ctx context.Context, i *millrace.Issue, activities ...millrace.Activity) error {
	resolution, err := toText(i.Resolution)
	if err != nil {
		return err
	}
	ignored, err := toText(i.Ignore)
	if err != nil {
		return err
	}
	list := slices.Clone(activities)
	for n := range list {
		list[n].Project, list[n].Issue = i.Project, i.ID
	}
	err = r.inTransaction(ctx, "change issue", r.once, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE issues SET state = $1, resolution = $2, ignored = $3, regressed = $4, owner = $5, version = version + 1
			WHERE project = $6 AND id = $7 AND version = $8`,
			string(i.State), plain(resolution), plain(ignored), i.Regressed, plain(i.Owner), nameOf(i.Project), nameOf(i.ID), i.Version)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			if err != nil {
				return err
			}
			return r.addActivities(ctx, tx, list)
		}
		if err := checkIssue(ctx, tx, i.Project, i.ID); err != nil {
			return err
		}
		return millrace.Errorf(millrace.ErrConflict, "issue %s was changed meanwhile", i.ID)
	})
	if err == nil {
		i.Version++
		copy(activities, list)
	}
	return err
}

// checkIssue returns ErrNotFound if there is no such issue.
func checkIssue(ctx context.Context, tx *sql.Tx, project, id string) error {
	var there int
	err := tx.QueryRowContext(ctx, "SELECT 1 FROM issues WHERE project = $1 AND id = $2", nameOf(project), nameOf(id)).Scan(&there)
	if errors.Is(err, sql.ErrNoRows) {
		return noIssue(id)
	}
	return err
}

const activityColumns = "project, issue, at, author, kind, data, text, regrouping"

func activityInput(list []millrace.Activity) *input {
	in := newInput("project t", "issue t", "at i", "author t", "kind t", "data b", "text t", "regrouping i")
	for i := range list {
		a := &list[i]
		in.add(nameOf(a.Project), nameOf(a.Issue), a.At, plain(a.Author), plain(a.Kind), notNil(a.Data), plain(a.Text), a.Regrouping)
	}
	return in
}

// addActivities also sets their ids, which ascend.
func (r *records) addActivities(ctx context.Context, tx *sql.Tx, list []millrace.Activity) error {
	var ids []int64
	err := r.writeRows(ctx, tx, "activities", activityInput(list), "INSERT INTO issue_activities ("+activityColumns+") SELECT "+activityColumns+" FROM n RETURNING id",
		func(scan func(...any) error) error {
			var id int64
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	if err != nil {
		return err
	}
	slices.Sort(ids)
	for i := range list {
		list[i].ID = ids[i]
	}
	return nil
}

// AddActivity implements millrace.Issues.
func (r *records) AddActivity(ctx context.Context, a *millrace.Activity) error {
	list := []millrace.Activity{*a}
	err := r.inTransaction(ctx, "add activity", r.once, func(ctx context.Context, tx *sql.Tx) error {
		if err := checkIssue(ctx, tx, a.Project, a.Issue); err != nil {
			return err
		}
		return r.addActivities(ctx, tx, list)
	})
	if err == nil {
		a.ID = list[0].ID
	}
	return err
}

// Activities implements millrace.Issues.
func (r *records) Activities(ctx context.Context, project, issue string, before int64, limit int) (out []millrace.Activity, err error) {
	err = r.repeat(ctx, "list activities", func(ctx context.Context) error {
		out = nil
		args := []any{nameOf(project), beforeOf(before), int64(max(limit, 0))}
		of := ""
		if issue != "" {
			of, args = " AND issue = $4", append(args, nameOf(issue))
		}
		rows, err := r.read.QueryContext(ctx, "SELECT id, "+activityColumns+" FROM issue_activities WHERE project = $1 AND id < $2"+of+" ORDER BY id DESC LIMIT $3", args...)
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			var a millrace.Activity
			err := scan(&a.ID, &a.Project, &a.Issue, &a.At, &a.Author, &a.Kind, (*blob)(&a.Data), &a.Text, &a.Regrouping)
			out = append(out, a)
			return err
		})
	})
	return out, err
}

// beforeOf is the id that a page ends before, of which 0 is the newest's.
func beforeOf(id int64) int64 {
	if id == 0 {
		return math.MaxInt64
	}
	return id
}
