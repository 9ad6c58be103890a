package query

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// MaxSQLBytes bounds one statement: far above what people write, far below
// what makes a parser slow.
const MaxSQLBytes = 64 << 10

// SQLRequest is one read-only statement.
type SQLRequest struct {
	SQL string
	// Timeout and Rows lower the configured limits for this statement; 0 keeps them.
	Timeout time.Duration
	Rows    int
}

// SQL runs the statement in the Store's sandbox.
func (s *Service) SQL(ctx context.Context, req SQLRequest) (*millrace.Table, error) {
	stmt := strings.TrimSpace(req.SQL)
	if stmt == "" {
		return nil, millrace.Errorf(millrace.ErrInvalid, "sql: the statement is empty")
	}
	if len(stmt) > MaxSQLBytes {
		return nil, millrace.Errorf(millrace.ErrTooLarge, "sql: the statement has %d bytes, over %d", len(stmt), MaxSQLBytes)
	}
	lim := millrace.SQLLimits{Timeout: s.opts.SQLTimeout.Std(), Rows: s.opts.SQLRows}
	if req.Timeout > 0 {
		lim.Timeout = min(lim.Timeout, req.Timeout)
	}
	if req.Rows > 0 {
		lim.Rows = min(lim.Rows, req.Rows)
	}
	return s.deps.Store.SQL(ctx, stmt, lim)
}

// JSONTable is the wire form of a table: every value is one that JSON has.
type JSONTable struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

// JSON returns the table with times as RFC 3339 and numbers that are none
// (NaN, infinities) as strings. Rows are new; the table is left alone.
func JSON(t *millrace.Table) JSONTable {
	out := JSONTable{Columns: t.Columns, Rows: make([][]any, len(t.Rows))}
	if out.Columns == nil {
		out.Columns = []string{}
	}
	for i, row := range t.Rows {
		r := make([]any, len(row))
		for j, v := range row {
			r[j] = jsonValue(v)
		}
		out.Rows[i] = r
	}
	return out
}

func jsonValue(v any) any {
	switch x := v.(type) {
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return strconv.FormatFloat(x, 'g', -1, 64)
		}
	case float32:
		return jsonValue(float64(x))
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case []byte:
		return string(x)
	case json.Number:
		return x
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = jsonValue(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = jsonValue(e)
		}
		return out
	}
	return v
}
