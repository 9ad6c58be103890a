package meta

import (
	"context"
	"database/sql"
)

// records keeps what people change, in SQL that SQLite and PostgreSQL both
// speak: millrace.Meta but for Close, and millrace.Issues.
type records struct {
	read, write *sql.DB // may be the same
	engine
}

// engine is where the two differ.
type engine interface {
	// repeat runs what may be done twice, and again if it failed for a reason
	// that may pass. The error has a code and the operation's name.
	repeat(ctx context.Context, op string, fn func(context.Context) error) error
	// once is the same, but runs fn again only if nothing of it has happened.
	once(ctx context.Context, op string, fn func(context.Context) error) error
	// duplicate reports whether a row was refused since another has its key.
	duplicate(err error) bool
	// lockRules keeps others from adding rules until the transaction's end.
	lockRules(ctx context.Context, tx *sql.Tx) error
	// lockIssues keeps others from changing what belongs to which issue until the
	// transaction's end; alone keeps those out, too, who only look at it.
	lockIssues(ctx context.Context, tx *sql.Tx, alone bool) error
	// forUpdate is what a SELECT ends with to lock the rows of a table, in order.
	forUpdate(table string, order ...string) string
	// contains is a condition: column has the text of the parameter in it.
	contains(column, parameter string) string
	bulk
}
