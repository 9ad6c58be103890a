package meta

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
)

func (sqliteEngine) lockIssues(context.Context, *sql.Tx, bool) error { return nil } // who writes is alone

func (sqliteEngine) forUpdate(string) string { return "" }

func (sqliteEngine) contains(column, parameter string) string {
	return "instr(" + column + ", " + parameter + ") > 0"
}

// source hands rows over as one JSON text: a statement's parameters are bounded.
func (sqliteEngine) source(in *input, from int) (with string, args []any) {
	var b strings.Builder
	fmt.Fprintf(&b, "WITH n (%s) AS (SELECT ", in.names)
	for i := range in.types {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "value->>%d", i)
	}
	fmt.Fprintf(&b, " FROM json_each($%d)) ", from)
	rows := in.rows
	if rows == nil {
		rows = [][]any{}
	}
	text, err := json.Marshal(rows)
	if err != nil {
		panic(err) // rows are texts and numbers
	}
	return b.String(), []any{string(text)}
}

// bulkWrite prepares the statement for one row: that is as fast as many rows of
// parameters, and twice as fast as JSON.
func (sqliteEngine) bulkWrite(ctx context.Context, tx *sql.Tx, in *input, stmt string, scan func(func(...any) error) error) error {
	var with strings.Builder
	fmt.Fprintf(&with, "WITH n (%s) AS (VALUES (", in.names)
	for i := range in.types {
		if i > 0 {
			with.WriteString(", ")
		}
		fmt.Fprintf(&with, "$%d", i+1)
	}
	with.WriteString(")) ")
	prepared, err := tx.PrepareContext(ctx, with.String()+stmt)
	if err != nil {
		return err
	}
	defer func() { _ = prepared.Close() }()
	for _, row := range in.rows {
		if scan == nil {
			if _, err := prepared.ExecContext(ctx, row...); err != nil {
				return err
			}
			continue
		}
		rows, err := prepared.QueryContext(ctx, row...)
		if err != nil {
			return err
		}
		if err := eachRow(rows, scan); err != nil {
			return err
		}
	}
	return nil
}
