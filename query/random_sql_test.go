package query

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// sqlOf writes a question as SQL over the raw rows.
func sqlOf(req RollupRequest, where string) string {
	columns, groups := []string{}, []string{}
	if req.Step > 0 {
		sec := int64(req.Step / time.Second)
		columns = append(columns, fmt.Sprintf("(epoch_ns(time) // 1000000000) // %d * %d AS bucket", sec, sec))
	}
	for _, d := range req.By {
		columns = append(columns, map[string]string{
			"service": "service", "host": "host", "status": "coalesce(attrs->>'status', '')", "city": "coalesce(attrs->>'city', '')",
		}[d]+" AS by_"+d)
	}
	for i := range columns {
		groups = append(groups, fmt.Sprint(i+1))
	}
	columns = append(columns,
		"sum(weight)::BIGINT", "coalesce(sum(weight) FILTER (WHERE (attrs->>'status')::INTEGER >= 500), 0)::BIGINT",
		"sum(weight * (attrs->>'bytes')::BIGINT)::BIGINT", "min((attrs->>'rt')::DOUBLE)",
		"sum(weight * (attrs->>'price')::DECIMAL(18, 2))::DOUBLE",
	)
	sql := fmt.Sprintf("SELECT %s FROM events WHERE time >= make_timestamp_ns(%d) AND time < make_timestamp_ns(%d) AND %s",
		strings.Join(columns, ", "), req.Range.From.UnixNano(), req.Range.To.UnixNano(), where)
	if len(groups) > 0 {
		return sql + " GROUP BY " + strings.Join(groups, ", ") + " ORDER BY " + strings.Join(groups, ", ")
	}
	return sql + " HAVING count(*) > 0"
}

// TestRandomQueriesEqualSQL compares answers with those of SQL over raw rows.
func TestRandomQueriesEqualSQL(t *testing.T) {
	wheres := [][2]string{
		{"", "true"},
		{"service:web", "service = 'web'"},
		{"status>=404", "(attrs->>'status')::INTEGER >= 404"},
		{"NOT host:a", "host <> 'a'"},
		{"city:(rome OR l*)", "((attrs->>'city') = 'rome' OR (attrs->>'city') LIKE 'l%')"},
	}
	w := newWorld(t, 11, 1_500, openDuckDB)
	for i := range 100 {
		req := w.request()
		req.Metrics, req.Having, req.Order, req.Limit, req.Zone = names("pv", "errors", "bytes", "least", "cost"), "", nil, 0, time.UTC
		req.By = slices.DeleteFunc(req.By, func(d string) bool { return d == "plan" })
		if req.Step%(7*24*time.Hour) == 0 && req.Step > 0 {
			req.Step = 24 * time.Hour
		}
		where := wheres[w.rng.IntN(len(wheres))]
		req.Where = where[0]
		if req.Rollup[1]%2 == 0 {
			where[1] += " AND kind = 'access'"
		}
		res, err := w.service.Rollup(t.Context(), req)
		fail(t, err)
		table, err := w.store.SQL(t.Context(), sqlOf(req, where[1]), millrace.SQLLimits{Timeout: time.Minute, Rows: 100_000})
		fail(t, err)
		for _, row := range table.Rows {
			if req.Step > 0 {
				row[0] = time.Unix(row[0].(int64), 0)
			}
		}
		if diff := sameRows(res.Rows, table.Rows); diff != "" {
			t.Fatalf("question %d, %+v, from %s: %s", i, req, res.Source, diff)
		}
	}
}
