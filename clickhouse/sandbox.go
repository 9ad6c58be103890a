package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
)

// Limits of users' statements besides those of SQLLimits and Options.
const (
	maxSQLText   = 16 << 10 // longer ones are generated
	maxSQLAnswer = 64 << 20 // bytes of values in an answer, which is held in memory
	// Defaults serve callers that set none.
	defaultSQLTimeout = 30 * time.Second
	defaultSQLRows    = 10000
	// sqlConcurrency is how many statements run at once, from this process.
	sqlConcurrency = 4
)

// SQL implements millrace.Store. The sandbox has layers, each of which would do
// against an honest mistake:
//
//   - ClickHouse's own parser must see one SELECT that names documented tables and
//     harmless functions only (checkStatement);
//   - the documented tables are common table expressions put before the
//     statement: it names no table of the database itself;
//   - it runs with readonly=1, which refuses everything that writes and any change
//     of a setting;
//   - time, memory, what is read and what is returned are bounded by settings, and
//     only a few statements run at once.
func (db *DB) SQL(ctx context.Context, query string, lim millrace.SQLLimits) (*millrace.Table, error) {
	if lim.Timeout <= 0 {
		lim.Timeout = defaultSQLTimeout
	}
	if lim.Rows <= 0 {
		lim.Rows = defaultSQLRows
	}
	switch {
	case len(query) > maxSQLText:
		return nil, millrace.Errorf(millrace.ErrTooLarge, "sql: the statement has %d bytes; at most %d are allowed", len(query), maxSQLText)
	case strings.ContainsRune(query, 0) || !utf8.ValidString(query):
		return nil, millrace.Errorf(millrace.ErrInvalid, "sql: the statement contains a NUL byte or is not UTF-8")
	}
	slow := millrace.Errorf(millrace.ErrTimeout, "sql: the statement ran longer than %v", lim.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, lim.Timeout, slow)
	defer cancel()
	select {
	case db.sqlSlots <- struct{}{}:
		defer func() { <-db.sqlSlots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	statement, err := db.compose(ctx, query)
	if err != nil {
		return nil, sqlError(ctx, slow, err)
	}
	t, err := db.answer(ctx, statement, lim)
	if err != nil {
		return nil, sqlError(ctx, slow, err)
	}
	return t, nil
}

// compose checks a statement and puts what its names stand for before it.
func (db *DB) compose(ctx context.Context, query string) (string, error) {
	text, err := scanSQL(query)
	if err != nil {
		return "", err
	}
	tree, err := db.parse(ctx, text.statement)
	if err != nil {
		return "", err
	}
	used, err := db.checkStatement(ctx, tree, text.defined)
	if err != nil {
		return "", err
	}
	var with []string
	for _, name := range slices.Sorted(maps.Keys(used)) {
		body, err := db.publicTable(ctx, name)
		if err != nil {
			return "", err
		}
		with = append(with, ident(name)+" AS (\n"+body+"\n)")
	}
	return text.compose(with), nil
}

// sqlSettings bound a statement. readonly comes last in the alphabet of what they
// need, and the server takes them together.
func (db *DB) sqlSettings(lim millrace.SQLLimits) ch.Settings {
	return ch.Settings{
		"readonly":                                  1,
		"max_execution_time":                        int(math.Ceil(lim.Timeout.Seconds())),
		"timeout_overflow_mode":                     "throw",
		"max_result_rows":                           lim.Rows + 1, // one more tells that there are too many
		"max_result_bytes":                          int64(maxSQLAnswer),
		"result_overflow_mode":                      "throw",
		"max_memory_usage":                          int64(db.opt.SQLMemory),
		"max_bytes_to_read":                         int64(db.opt.SQLRead),
		"max_block_size":                            8192, // so that limits are looked at often
		"precise_float_parsing":                     1,
		"output_format_json_escape_forward_slashes": 0,
		"output_format_json_quote_64bit_integers":   0,
	}
}

// answer runs a statement and reads the whole answer.
func (db *DB) answer(ctx context.Context, statement string, lim millrace.SQLLimits) (*millrace.Table, error) {
	rows, err := db.conn.Query(with(ctx, []ch.Settings{db.sqlSettings(lim)}), statement)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // errors are those of Err
	t := &millrace.Table{Columns: rows.Columns(), Rows: [][]any{}}
	types := rows.ColumnTypes()
	for _, c := range types {
		t.Types = append(t.Types, c.DatabaseTypeName())
	}
	size := 0
	dest := destinations(types)
	for rows.Next() {
		if len(t.Rows) == lim.Rows {
			return nil, millrace.Errorf(millrace.ErrTooLarge, "sql: the answer has more than %d rows; use LIMIT or an aggregate", lim.Rows)
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, millrace.Errorf(millrace.ErrInvalid, "sql: a value cannot be returned; cast it to String: %v", err)
		}
		row := make([]any, len(dest))
		for i := range dest {
			row[i] = sqlValue(dest[i], &size)
		}
		if size > maxSQLAnswer {
			return nil, millrace.Errorf(millrace.ErrTooLarge, "sql: the answer has more than %d MiB; select fewer columns or rows", maxSQLAnswer>>20)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, rows.Err()
}

// sqlError says what a user may know: what the server says of a statement that
// parsed as a query is the statement's fault.
func sqlError(ctx context.Context, slow, err error) error {
	if e, ok := errors.AsType[*millrace.Error](err); ok && !errors.Is(err, context.DeadlineExceeded) {
		return e
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	x, ok := errors.AsType[*ch.Exception](err)
	if !ok {
		return wrap(ctx, "sql", err)
	}
	switch x.Code {
	case codeTimeout, codeTooSlow:
		return slow
	case codeMemory:
		return &millrace.Error{
			Code: millrace.ErrTooLarge, Message: "sql: the statement needs more memory than statements may use",
			Hint: "ask for fewer rows or groups, or raise clickhouse.sql_memory", Err: err,
		}
	case codeTooManyRows, codeTooManyBytes, codeTooManyRowsBytes:
		return &millrace.Error{
			Code: millrace.ErrTooLarge, Message: "sql: the statement reads or returns more than statements may",
			Hint: "use LIMIT or an aggregate, or a shorter time; what may be read is clickhouse.sql_read", Err: err,
		}
	}
	if e, known := explanations[x.Code]; known && e.code != millrace.ErrInvalid {
		return wrap(ctx, "sql", err)
	}
	return millrace.Errorf(millrace.ErrInvalid, "sql: %s", sqlMessage(x.Message))
}

// sqlMessage shortens what the server says: without its version, and without the
// text of the statement, of which the user has not written all.
func sqlMessage(s string) string {
	s, _, _ = strings.Cut(s, "(version ")
	for _, mark := range []string{": While processing ", ": while executing ", " In scope "} {
		s, _, _ = strings.Cut(s, mark)
	}
	s = strings.TrimSpace(strings.TrimPrefix(s, "DB::Exception: "))
	if len(s) > 1000 {
		s = strings.ToValidUTF8(s[:1000], "") + "…"
	}
	return s
}

// parse returns the tree that ClickHouse makes of a statement, a line per node.
func (db *DB) parse(ctx context.Context, statement string) ([]string, error) {
	var out []string
	err := db.query(ctx, "parse", "EXPLAIN AST "+statement, func(rows driver.Rows) error {
		var line string
		err := rows.Scan(&line)
		out = append(out, line)
		return err
	}, ch.Settings{"readonly": 1})
	if x, ok := errors.AsType[*ch.Exception](err); ok {
		return nil, millrace.Errorf(millrace.ErrInvalid, "sql: %s", sqlMessage(x.Message))
	}
	if err != nil {
		return nil, fmt.Errorf("parse a statement: %w", err)
	}
	return out, nil
}
