package meta

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// lockIssues is shared by See, which says what it saw under the issues as they
// are, and alone for who changes what belongs together.
func (e *postgresEngine) lockIssues(ctx context.Context, tx *sql.Tx, alone bool) error {
	query := "SELECT pg_advisory_xact_lock_shared($1)"
	if alone {
		query = "SELECT pg_advisory_xact_lock($1)"
	}
	_, err := tx.ExecContext(ctx, query, int64(lockIssues))
	return err
}

func (e *postgresEngine) forUpdate(table string, order ...string) string {
	return " ORDER BY " + strings.Join(order, ", ") + " FOR UPDATE OF " + table
}

func (e *postgresEngine) contains(column, parameter string) string {
	return "strpos(" + column + ", " + parameter + ") > 0"
}

// source hands each column over as an array.
func (e *postgresEngine) source(in *input, from int) (with string, args []any) {
	types := map[byte]string{'t': "text[]", 'i': "bigint[]", 'b': "bytea[]"}
	var b strings.Builder
	fmt.Fprintf(&b, "WITH n (%s, nth) AS (SELECT %s, nth - 1 FROM unnest(", in.names, in.names)
	for i := range in.types {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d::%s", from+i, types[in.types[i]])
		args = append(args, arrayOf(in, i))
	}
	fmt.Fprintf(&b, ") WITH ORDINALITY AS u (%s, nth)) ", in.names)
	return b.String(), args
}

func arrayOf(in *input, column int) any {
	switch in.types[column] {
	case 'i':
		return columnOf[int64](in, column)
	case 'b':
		return columnOf[[]byte](in, column)
	}
	return columnOf[string](in, column)
}

func columnOf[T any](in *input, column int) []T {
	out := make([]T, len(in.rows))
	for i, row := range in.rows {
		out[i] = row[column].(T)
	}
	return out
}

// bulkPart bounds the bytes of one statement: what both ends hold in memory at once.
const bulkPart = 8 << 20

func (e *postgresEngine) bulkWrite(ctx context.Context, tx *sql.Tx, in *input, stmt string, scan func(func(...any) error) error) error {
	for rest := in.rows; len(rest) > 0; {
		part := *in
		part.rows = rest[:partOf(rest)]
		rest = rest[len(part.rows):]
		with, args := e.source(&part, 1)
		if scan == nil {
			if _, err := tx.ExecContext(ctx, with+stmt, args...); err != nil {
				return err
			}
			continue
		}
		rows, err := tx.QueryContext(ctx, with+stmt, args...)
		if err != nil {
			return err
		}
		if err := eachRow(rows, scan); err != nil {
			return err
		}
	}
	return nil
}

// partOf returns how many of rows go into one statement, at least one.
func partOf(rows [][]any) int {
	size := 0
	for i, row := range rows {
		for _, v := range row {
			switch v := v.(type) {
			case string:
				size += len(v)
			case []byte:
				size += len(v)
			}
		}
		if size > bulkPart && i > 0 {
			return i
		}
	}
	return len(rows)
}
