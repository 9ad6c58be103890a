package duckdb

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// CellsVersion tells when answers of Cells, CountCells and Coverage may differ from
// those before: not while it stays. It grows behind each transaction that is not of
// raw rows alone, before the write returns: what was read after asking for it is of
// that version or newer. It is of this process.
func (db *DB) CellsVersion() uint64 { return db.rollups.commits.Load() }

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
	err = db.snapshot(ctx, "read cells of "+q.Rollup, func(c *conn) error {
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
	inner, outer, joins := []string{"step"}, []string{"c.step"}, ""
	for i := range q.By {
		inner = append(inner, fmt.Sprintf("g%d", i))
		outer = append(outer, fmt.Sprintf("v%d.value", i))
		joins += fmt.Sprintf(" LEFT JOIN %s v%d ON v%d.code = c.g%d", k.values(), i, i, i)
	}
	for j, i := range q.States {
		inner = append(inner, fmt.Sprintf("%s AS m%d", merged(k.states[i].Kind, fmt.Sprintf("s%d", j)), j))
		outer = append(outer, fmt.Sprintf("c.m%d", j))
	}
	var parts []string
	var args []any
	for _, p := range q.Pieces() {
		sql, a := k.partSQL(q, &p)
		parts, args = append(parts, sql), append(args, a...)
	}
	groups := ordinals(1 + len(q.By))
	return fmt.Sprintf("SELECT %s FROM (\n\t\tSELECT %s FROM (%s) GROUP BY %s) c%s ORDER BY %s",
		list(outer), list(inner), strings.Join(parts, "\n\t\tUNION ALL "), groups, joins, groups), args
}

// partSQL returns the cells of one part: step, g0.. for the dimensions, whose
// key columns differ from set to set, and s0.. for the states.
func (k *cube) partSQL(q *millrace.CellQuery, p *millrace.CellPart) (string, []any) {
	columns := []string{stepSQL(q, p.Granularity) + " AS step"}
	for i, d := range q.By {
		columns = append(columns, fmt.Sprintf("%s AS g%d", k.keyOf(p.Set, d), i))
	}
	for j, i := range q.States {
		columns = append(columns, fmt.Sprintf("%s AS s%d", ident(stateColumn(&k.schema, k.states[i])), j))
	}
	var where condition
	cellFilter(&where, k, p.Set, q.Where)
	return fmt.Sprintf("SELECT %s FROM %s t%s WHERE set_id = %d AND %s AND %s", list(columns), k.source(p.Granularity),
		spanJoin(p.Spans), k.setID(p.Set), spansSQL("bucket", p.Spans), where.sql.String()), where.args
}

// clampSecond bounds Unix seconds to what a bucket can be and TIMESTAMP holds.
func clampSecond(sec int64) int64 {
	return min(max(sec, -rollupdef.MaxBucket-1), rollupdef.MaxBucket+1)
}

// stepSQL returns the start of the step that a bucket belongs to, in seconds.
func stepSQL(q *millrace.CellQuery, g millrace.Granularity) string {
	const sec = "(epoch_us(bucket) // 1000000)"
	// % takes the sign of the dividend; differences may be negative.
	floor := func(from, width int64) string {
		return fmt.Sprintf("%[1]s - ((%[1]s - (%[3]d)) %% %[2]d + %[2]d) %% %[2]d", sec, width, from)
	}
	switch {
	case len(q.Steps) > 0:
		return stepsSQL(q.Steps, sec, floor)
	case q.Step == 0:
		return fmt.Sprintf("(%d)::BIGINT", q.From)
	case q.Step <= int64(g) && int64(g)%q.Step == 0:
		return sec
	}
	return floor(0, q.Step)
}

// stepsSQL returns millrace.StepStart as SQL, the last run first.
func stepsSQL(runs []millrace.StepRun, sec string, floor func(from, width int64) string) string {
	start := func(r millrace.StepRun) string {
		if r.Width == 0 {
			return fmt.Sprintf("(%d)::BIGINT", r.From)
		}
		return floor(r.From, r.Width)
	}
	var b strings.Builder
	b.WriteString("CASE")
	for i := len(runs) - 1; i > 0; i-- {
		fmt.Fprintf(&b, " WHEN %s >= %d THEN %s", sec, runs[i].From, start(runs[i]))
	}
	if len(runs) == 1 {
		return start(runs[0])
	}
	return b.String() + " ELSE " + start(runs[0]) + " END"
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
