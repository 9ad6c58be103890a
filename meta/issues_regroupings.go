package meta

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/millrace/millrace"
)

const regroupingColumns = "r.id, r.project, r.at, r.author, r.kind, r.note, r.moves, r.settings, r.undoes, r.undone_by"

func scanRegrouping(scan func(...any) error) (*millrace.Regrouping, error) {
	g := &millrace.Regrouping{}
	var moves, settings blob
	if err := scan(&g.ID, &g.Project, &g.At, &g.Author, &g.Kind, &g.Note, &moves, &settings, &g.Undoes, &g.UndoneBy); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(moves, &g.Moves); err != nil {
		return nil, err
	}
	var both bothSettings
	if len(settings) > 0 {
		if err := json.Unmarshal(settings, &both); err != nil {
			return nil, err
		}
	}
	g.SettingsBefore, g.SettingsAfter = both.Before, both.After
	return g, nil
}

// Regroupings implements millrace.Issues.
func (r *records) Regroupings(ctx context.Context, project, issue string, before int64, limit int) (out []millrace.Regrouping, err error) {
	err = r.repeat(ctx, "list changes of issues", func(ctx context.Context) error {
		out = nil
		args := []any{nameOf(project), beforeOf(before), int64(max(limit, 0))}
		of := ""
		if issue != "" {
			of = " AND r.id IN (SELECT regrouping FROM issue_regrouped WHERE project = $1 AND issue = $4)"
			args = append(args, nameOf(issue))
		}
		rows, err := r.read.QueryContext(ctx, "SELECT "+regroupingColumns+" FROM issue_regroupings r WHERE r.project = $1 AND r.id < $2"+of+" ORDER BY r.id DESC LIMIT $3", args...)
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			g, err := scanRegrouping(scan)
			if err == nil {
				out = append(out, *g)
			}
			return err
		})
	})
	return out, err
}

// Regrouping implements millrace.Issues.
func (r *records) Regrouping(ctx context.Context, project string, id int64) (g *millrace.Regrouping, err error) {
	err = r.repeat(ctx, "read change of issues", func(ctx context.Context) error {
		row := r.read.QueryRowContext(ctx, "SELECT "+regroupingColumns+" FROM issue_regroupings r WHERE r.project = $1 AND r.id = $2", nameOf(project), id)
		var err error
		g, err = scanRegrouping(row.Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return noRegrouping(id)
		}
		return err
	})
	return g, err
}
