package duckdb

import (
	"context"
	"fmt"
	"math"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// Cells implements millrace.Store: one statement, which sees one state of the
// database, whatever Maintain does meanwhile. With step 0 the bucket of the
// answer is q.From.
func (db *DB) Cells(ctx context.Context, q millrace.CellQuery) (*millrace.CellBatch, error) {
	cubes, err := db.loadCubes(ctx)
	if err != nil {
		return nil, err
	}
	k := cubes[q.Rollup]
	if k == nil {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no rollup %q", q.Rollup)
	}
	if err := rollupdef.CheckQuery(&k.schema, &q); err != nil {
		return nil, err
	}
	out := &millrace.CellBatch{
		Rollup: q.Rollup, Set: q.Set,
		Dims: make([][]string, len(q.By)), States: make([]millrace.StateColumn, len(q.States)),
	}
	for j, i := range q.States {
		out.States[j].Kind = k.states[i].Kind
	}
	err = db.read(ctx, "read cells of "+q.Rollup, func(c *conn) error {
		query, args := k.cellsSQL(&q)
		r, err := c.query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer r.close()
		for r.next() {
			appendCell(out, r)
		}
		return r.err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// cellsSQL returns the statement and parameters for a query that was checked:
// bucket in Unix seconds, dimensions, states. Cells are merged by number, then
// the few that remain get their texts.
func (k *cube) cellsSQL(q *millrace.CellQuery) (string, []any) {
	inner, outer, joins := []string{stepSQL(q) + " AS step"}, []string{"c.step"}, ""
	for i, d := range q.By {
		inner = append(inner, fmt.Sprintf("%s AS g%d", k.keyOf(q.Set, d), i))
		outer = append(outer, fmt.Sprintf("v%d.value", i))
		joins += fmt.Sprintf(" LEFT JOIN %s v%d ON v%d.code = c.g%d", k.values(), i, i, i)
	}
	for j, i := range q.States {
		column := ident(stateColumn(&k.schema, k.states[i]))
		inner = append(inner, fmt.Sprintf("%s AS m%d", merged(k.states[i].Kind, column), j))
		outer = append(outer, fmt.Sprintf("c.m%d", j))
	}
	var where condition
	cellFilter(&where, k, q)
	groups := ordinals(1 + len(q.By))
	return fmt.Sprintf(`SELECT %s FROM (
		SELECT %s FROM %s WHERE set_id = %d AND bucket >= %s AND bucket < %s AND %s GROUP BY %s) c%s ORDER BY %s`,
		list(outer), list(inner), k.source(q.Granularity), k.setID(q.Set),
		timestamp(clampSecond(q.From)), timestamp(clampSecond(q.To)), where.sql.String(), groups, joins, groups), where.args
}

// clampSecond bounds Unix seconds to what a bucket can be and TIMESTAMP holds.
func clampSecond(sec int64) int64 {
	return min(max(sec, -rollupdef.MaxBucket-1), rollupdef.MaxBucket+1)
}

// stepSQL returns the start of the step that a bucket belongs to, in seconds.
func stepSQL(q *millrace.CellQuery) string {
	const sec = "(epoch_us(bucket) // 1000000)"
	switch {
	case q.Step == 0:
		return fmt.Sprintf("%d::BIGINT", q.From)
	case q.Step <= int64(q.Granularity) && int64(q.Granularity)%q.Step == 0:
		return sec
	}
	// % takes the sign of the dividend; buckets before 1970 are negative.
	return fmt.Sprintf("%[1]s - ((%[1]s %% %[2]d) + %[2]d) %% %[2]d", sec, q.Step)
}

func appendCell(out *millrace.CellBatch, r *rows) {
	out.Bucket = append(out.Bucket, r.int64(0))
	col := 1
	for j := range out.Dims {
		out.Dims[j] = append(out.Dims[j], r.str(col))
		col++
	}
	for j := range out.States {
		s := &out.States[j]
		switch s.Kind {
		case millrace.StateSum:
			s.Ints = append(s.Ints, r.int64(col))
		case millrace.StateMin, millrace.StateMax:
			v := math.NaN()
			if !r.isNull(col) {
				v = r.float64(col)
			}
			s.Floats = append(s.Floats, v)
		default:
			s.Blobs = append(s.Blobs, append([]byte(nil), r.bytes(col)...))
		}
		col++
	}
}
