package clickhouse

import (
	"context"
	"fmt"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
	"github.com/millrace/millrace/sketch"
)

// cellSettings are those of statements that merge cells. Numbers of dimensions are
// compared exactly. Compiling expressions saves little here, and gives wrong
// numbers for some (see aggregates).
var cellSettings = ch.Settings{"precise_float_parsing": 1, "compile_expressions": 0, "max_query_size": 64 << 20}

// Cells implements millrace.Store: one statement, over the rows that counted when
// it began. With step 0 the bucket of the answer is q.From. Sketches are merged by
// the servers; what crosses the network is one of each per row of the answer.
func (db *DB) Cells(ctx context.Context, q millrace.CellQuery) (*millrace.CellBatch, error) {
	s, err := db.rollups(ctx)
	if err != nil {
		return nil, err
	}
	k, err := s.cube(q.Rollup)
	if err != nil {
		return nil, err
	}
	if err := rollupdef.CheckQuery(&k.schema, &q); err != nil {
		return nil, err
	}
	r := newCellReader(k, &q)
	query := db.cellsSQL(k, &q)
	if err := db.query(ctx, "read cells of "+q.Rollup, query, r.row, cellSettings); err != nil {
		return nil, err
	}
	return r.out, nil
}

// cellsSQL returns the statement of a query that was checked: bucket in Unix
// seconds, dimensions, states.
func (db *DB) cellsSQL(k *cube, q *millrace.CellQuery) string {
	var aggregates, answer []string
	for _, st := range k.statesOf(q) {
		aggregates = append(aggregates, st.aggregates()...)
		answer = append(answer, st.answer()...)
	}
	keys := []string{"step"}
	for i := range q.By {
		keys = append(keys, fmt.Sprintf("g%d", i))
	}
	var parts []string
	for _, p := range q.Pieces() {
		parts = append(parts, db.partSQL(k, q, &p)...)
	}
	inner := fmt.Sprintf("SELECT %s FROM (%s) GROUP BY %s", list(keys, unique(aggregates)), strings.Join(parts, "\nUNION ALL "), list(keys))
	mid := inner
	if m := k.mergedOf(q); len(m) > 0 {
		mid = fmt.Sprintf("SELECT %s FROM (%s)", list(keys, unique(m)), inner)
	}
	return fmt.Sprintf("SELECT %s FROM (%s) ORDER BY %s", list(keys, answer), mid, list(keys))
}

func (k *cube) statesOf(q *millrace.CellQuery) []state {
	out := make([]state, len(q.States))
	for j, i := range q.States {
		out[j] = k.state(i)
	}
	return out
}

func (k *cube) mergedOf(q *millrace.CellQuery) (out []string) {
	for _, st := range k.statesOf(q) {
		out = append(out, st.merged()...)
	}
	return out
}

// unique drops repetitions: a state may be asked for twice.
func unique(all []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// partSQL returns the rows of one part, one statement for each table that has some:
// step, g0... for the dimensions, and the columns of the states.
func (db *DB) partSQL(k *cube, q *millrace.CellQuery, p *millrace.CellPart) []string {
	var out []string
	for _, r := range k.sources(p.Granularity, []int64{k.setID(p.Set)}, p.Spans) {
		columns := []string{stepSQL(q, p.Granularity, floorSQL(p.Granularity, r.table)) + " AS step"}
		for i, d := range q.By {
			columns = append(columns, fmt.Sprintf("%s AS g%d", dimColumn(k.schema.Dimensions[d]), i))
		}
		for _, st := range k.statesOf(q) {
			columns = append(columns, st.read(r.table)...)
		}
		out = append(out, fmt.Sprintf("SELECT %s FROM %s AS d WHERE %s AND %s",
			list(unique(columns)), db.table(k.table(r.table)), db.where(k, &r), k.dimFilter(p.Set, q.Where)))
	}
	return out
}

// stepSQL returns the start of the step that a bucket belongs to, in seconds.
func stepSQL(q *millrace.CellQuery, g millrace.Granularity, bucket string) string {
	floor := func(from, width int64) string {
		return fmt.Sprintf("(%[1]s - positiveModulo(%[1]s - (%[3]d), %[2]d))", bucket, width, from)
	}
	switch {
	case len(q.Steps) > 0:
		return stepsSQL(q.Steps, bucket, floor)
	case q.Step == 0:
		return fmt.Sprintf("toInt64(%d)", q.From)
	case q.Step <= int64(g) && int64(g)%q.Step == 0:
		return bucket
	}
	return floor(0, q.Step)
}

// stepsSQL returns millrace.StepStart as SQL, the last run first.
func stepsSQL(runs []millrace.StepRun, bucket string, floor func(from, width int64) string) string {
	start := func(r millrace.StepRun) string {
		if r.Width == 0 {
			return fmt.Sprintf("toInt64(%d)", r.From)
		}
		return floor(r.From, r.Width)
	}
	var b strings.Builder
	b.WriteString("multiIf(")
	for i := len(runs) - 1; i > 0; i-- {
		fmt.Fprintf(&b, "%s >= %d, %s, ", bucket, runs[i].From, start(runs[i]))
	}
	if len(runs) == 1 {
		return start(runs[0])
	}
	return b.String() + start(runs[0]) + ")"
}

// answer returns the columns of a merged state as cellReader takes them.
func (s state) answer() []string {
	col := func(prefix string) string { return ident(prefix + s.metric) }
	switch s.kind {
	case millrace.StateMin, millrace.StateMax:
		return []string{"ifNull(" + col("f_") + ", nan)"}
	case millrace.StateHist:
		return []string{"mapKeys(" + col("h_") + ")", "mapValues(" + col("h_") + ")"}
	case millrace.StateHLL:
		return []string{col("e_"), col("z_"), "arrayStringConcat(arrayMap(x -> char(x), " + col("r_") + "))"}
	}
	return []string{col(s.prefix)}
}

// cellReader makes a CellBatch of the rows of an answer.
type cellReader struct {
	out   *millrace.CellBatch
	step  int64
	dims  []string
	into  []any
	ints  []int64
	float []float64
	hists []histRow
	hlls  []hllRow
}

type histRow struct {
	buckets []uint16
	counts  []uint64
}

type hllRow struct {
	parts     sketch.HLLParts
	registers string
}

func newCellReader(k *cube, q *millrace.CellQuery) *cellReader {
	n := len(q.States)
	r := &cellReader{
		dims: make([]string, len(q.By)), ints: make([]int64, n), float: make([]float64, n), hists: make([]histRow, n), hlls: make([]hllRow, n),
		out: &millrace.CellBatch{Rollup: q.Rollup, Set: q.Set, Dims: make([][]string, len(q.By)), States: make([]millrace.StateColumn, n)},
	}
	r.into = append(r.into, &r.step)
	for i := range r.dims {
		r.into = append(r.into, &r.dims[i])
	}
	for j, i := range q.States {
		kind := k.states[i].Kind
		r.out.States[j].Kind = kind
		switch kind {
		case millrace.StateSum:
			r.into = append(r.into, &r.ints[j])
		case millrace.StateMin, millrace.StateMax:
			r.into = append(r.into, &r.float[j])
		case millrace.StateHist:
			r.into = append(r.into, &r.hists[j].buckets, &r.hists[j].counts)
		case millrace.StateHLL:
			r.into = append(r.into, &r.hlls[j].parts.Indexes, &r.hlls[j].parts.Long, &r.hlls[j].registers)
		}
	}
	return r
}

func (r *cellReader) row(rows driver.Rows) error {
	if err := rows.Scan(r.into...); err != nil {
		return err
	}
	r.out.Bucket = append(r.out.Bucket, r.step)
	for i, d := range r.dims {
		r.out.Dims[i] = append(r.out.Dims[i], d)
	}
	for j := range r.out.States {
		if err := r.state(&r.out.States[j], j); err != nil {
			return &millrace.Error{Code: millrace.ErrCorrupt, Op: "read cells of " + r.out.Rollup, Message: "a stored sketch cannot be read", Err: err}
		}
	}
	return nil
}

func (r *cellReader) state(c *millrace.StateColumn, j int) (err error) {
	switch c.Kind {
	case millrace.StateSum:
		c.Ints = append(c.Ints, r.ints[j])
		return nil
	case millrace.StateMin, millrace.StateMax:
		c.Floats = append(c.Floats, r.float[j])
		return nil
	}
	var blob []byte
	if c.Kind == millrace.StateHist {
		if h := &r.hists[j]; len(h.buckets) > 0 {
			blob, err = sketch.AppendHist(nil, h.buckets, h.counts)
		}
	} else {
		h := &r.hlls[j]
		if h.parts.Registers = []byte(h.registers); !h.parts.Empty() {
			blob, err = h.parts.AppendTo(nil)
		}
	}
	c.Blobs = append(c.Blobs, blob)
	return err
}

// CountCells implements millrace.Store: it reads the columns of set, bucket and
// flush only.
func (db *DB) CountCells(ctx context.Context, rollup string, parts []millrace.CellPart) ([]int64, error) {
	s, err := db.rollups(ctx)
	if err != nil {
		return nil, err
	}
	k, err := s.cube(rollup)
	if err != nil || len(parts) == 0 {
		return nil, err
	}
	if err := rollupdef.CheckParts(&k.schema, parts); err != nil {
		return nil, err
	}
	var selects []string
	for i := range parts {
		p := &parts[i]
		for _, r := range k.sources(p.Granularity, []int64{k.setID(p.Set)}, p.Spans) {
			selects = append(selects, fmt.Sprintf("SELECT toInt64(%d) AS i, toInt64(count()) AS n FROM %s WHERE %s",
				i, db.table(k.table(r.table)), db.where(k, &r)))
		}
	}
	out := make([]int64, len(parts))
	err = db.query(ctx, "count cells of "+rollup, strings.Join(selects, "\nUNION ALL "), func(rows driver.Rows) error {
		var i, n int64
		if err := rows.Scan(&i, &n); err != nil {
			return err
		}
		out[i] += n
		return nil
	}, cellSettings)
	return out, err
}

// Coverage implements millrace.Store.
func (db *DB) Coverage(ctx context.Context, rollup string, from, to int64) (*millrace.Coverage, error) {
	s, err := db.rollups(ctx)
	if err != nil {
		return nil, err
	}
	k, err := s.cube(rollup)
	if err != nil {
		return nil, err
	}
	def := rollupdef.Clone(&k.schema)
	out := &millrace.Coverage{Dimensions: def.Dimensions, Sets: def.Sets, Metrics: def.Metrics}
	within := func(spans []millrace.Span) (out []millrace.Span) {
		for _, s := range spans {
			if s.From < to && s.To > from {
				out = append(out, s)
			}
		}
		return out
	}
	out.NoHours = within(k.levels.Hours)
	out.NoMinutes = rollupdef.MergeSpans(append(within(k.levels.Minutes), out.NoHours...))
	return out, nil
}
