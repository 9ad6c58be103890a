package query

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// resultRow is one step and combination of dimensions, with a value per column of
// columnSet.all.
type resultRow struct {
	bucket int64
	dims   []string
	now    []any
	before []any // values of the earlier period, nil if it was not asked for
}

// places returns where each state that was read stands.
func (q *question) places() map[int]int {
	at := map[int]int{}
	for i, st := range q.cols.states() {
		at[st] = i
	}
	return at
}

// rows finishes the states that were read.
func (q *question) rows(r *reading) ([]resultRow, error) {
	at := q.places()
	out := make([]resultRow, r.cells.Len())
	for i := range out {
		row := resultRow{bucket: r.cells.Bucket[i], dims: make([]string, len(r.cells.Dims))}
		for d := range row.dims {
			row.dims[d] = r.cells.Dims[d][i]
		}
		var err error
		if row.now, err = q.cols.values(r.cells.States, at, i, r.line.seconds(row.bucket)); err != nil {
			return nil, err
		}
		out[i] = row
	}
	return out, nil
}

// compare joins the rows of two periods, step by step. What only one of them has
// is nothing in the other: no occurrences, no quantiles.
func (q *question) compare(now, was *reading) ([]resultRow, error) {
	rows, err := q.rows(now)
	if err != nil {
		return nil, err
	}
	earlier, err := q.rows(was)
	if err != nil {
		return nil, err
	}
	steps := now.line.aligned(was.line)
	index := make(map[string]int, len(rows))
	for i := range rows {
		index[rows[i].key(rows[i].bucket)] = i
	}
	for i := range earlier {
		e := &earlier[i]
		bucket, ok := steps[e.bucket]
		if !ok {
			continue // its day has such a step, the later one does not
		}
		at, ok := index[e.key(bucket)]
		if !ok {
			nothing, err := q.cols.values(nil, nil, -1, now.line.seconds(bucket))
			if err != nil {
				return nil, err
			}
			at = len(rows)
			rows = append(rows, resultRow{bucket: bucket, dims: e.dims, now: nothing})
		}
		rows[at].before = e.now
	}
	for i := range rows {
		if rows[i].before != nil {
			continue
		}
		if rows[i].before, err = q.cols.values(nil, nil, -1, now.line.seconds(rows[i].bucket)); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(rows, byPlace)
	return rows, nil
}

// byPlace is the order of answers that ask for none.
func byPlace(a, b resultRow) int {
	return cmp.Or(cmp.Compare(a.bucket, b.bucket), slices.Compare(a.dims, b.dims))
}

// key tells rows apart.
func (r *resultRow) key(bucket int64) string {
	b := strconv.AppendInt(nil, bucket, 10)
	for _, d := range r.dims {
		b = append(strconv.AppendInt(append(b, ' '), int64(len(d)), 10), ' ')
		b = append(b, d...)
	}
	return string(b)
}

// value returns a referenced value.
func (r *resultRow) value(x ref) any {
	if x.before {
		return r.before[x.col]
	}
	return r.now[x.col]
}

// columns names the columns of the answer.
func (q *question) columns() []string {
	var out []string
	if q.req.Step > 0 {
		out = append(out, "bucket")
	}
	out = append(out, q.req.By...)
	for _, i := range q.cols.shown {
		out = append(out, q.cols.all[i].name)
		if q.req.Compare > 0 {
			out = append(out, q.cols.all[i].name+before)
		}
	}
	return out
}

// row puts a row of the answer together.
func (q *question) row(r *resultRow) []any {
	out := make([]any, 0, 1+len(r.dims)+2*len(q.cols.shown))
	if q.req.Step > 0 {
		out = append(out, time.Unix(r.bucket, 0).In(q.req.Zone))
	}
	for _, d := range r.dims {
		out = append(out, d)
	}
	for _, i := range q.cols.shown {
		out = append(out, r.now[i])
		if q.req.Compare > 0 {
			out = append(out, r.before[i])
		}
	}
	return out
}

// limit cuts the rows, which are in order.
func limit(rows []resultRow, n int) ([]resultRow, error) {
	if n == 0 && len(rows) > DefaultRows {
		return nil, millrace.Errorf(millrace.ErrTooLarge,
			"the answer has %d rows, over %d; give limit (at most %d), a longer step, a having or a narrower where", len(rows), DefaultRows, MaxRows)
	}
	if n > 0 && len(rows) > n {
		rows = rows[:n]
	}
	return rows, nil
}

func compareValues(x, y any) int {
	switch a := x.(type) {
	case string:
		b, _ := y.(string)
		return strings.Compare(a, b)
	case int64:
		if b, ok := y.(int64); ok {
			return cmp.Compare(a, b)
		}
	}
	return cmp.Compare(Float(x), Float(y))
}

// Float returns a value of an answer as a number, NaN if it is none.
func Float(v any) float64 {
	switch x := v.(type) {
	case int64:
		return float64(x)
	case float64:
		return x
	case json.Number:
		if f, err := x.Float64(); err == nil {
			return f
		}
	}
	return math.NaN()
}
