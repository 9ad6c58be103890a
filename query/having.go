package query

import (
	"slices"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/formula"
)

// Bounds of order: more keys than an answer has columns decide nothing.
const maxOrder = 16

// orderKey is what rows are ordered by: a metric's value, else a dimension, else
// the step.
type orderKey struct {
	metric *ref
	dim    int // index in By, -1 for the step
	desc   bool
}

// parseHaving reads the condition on metrics. Those that the answer does not
// show are computed for it.
func (q *question) parseHaving() error {
	if strings.TrimSpace(q.req.Having) == "" {
		return nil
	}
	e, err := formula.Condition(q.req.Having)
	if err != nil {
		return millrace.Errorf(millrace.ErrInvalid, "having: %s", err)
	}
	q.having, q.refs = e, map[string]ref{}
	for _, n := range e.Names() {
		x, err := q.metricRef(n)
		if err != nil {
			return prefix("having", err)
		}
		q.refs[n] = x
	}
	return nil
}

// metricRef resolves the name of a metric of the answer, or of the rollup.
func (q *question) metricRef(name string) (ref, error) {
	if i := q.cols.find(name); i >= 0 {
		return ref{col: i}, nil
	}
	base, earlier := strings.CutSuffix(name, before)
	if earlier && !q.cols.known(name) {
		if q.req.Compare == 0 {
			return ref{}, millrace.Errorf(millrace.ErrInvalid, "%s is a value of an earlier period; give compare, such as -1d", name)
		}
		name = base
	}
	at, err := q.cols.named(name)
	if err != nil {
		return ref{}, err
	}
	if len(at) != 1 {
		return ref{}, millrace.Errorf(millrace.ErrInvalid, "%s is quantiles; name one, such as %s_p95", name, name)
	}
	return ref{at[0], earlier && name == base}, nil
}

// filter drops the rows that having does not take.
func (q *question) filter(rows []resultRow) []resultRow {
	if q.having == nil {
		return rows
	}
	return slices.DeleteFunc(rows, func(r resultRow) bool {
		return !q.having.Holds(func(name string) float64 { return Float(r.value(q.refs[name])) }, 1)
	})
}

// parseOrder reads what rows are ordered by: "-pv", "pv desc", "service".
func (q *question) parseOrder() error {
	if len(q.req.Order) > maxOrder {
		return millrace.Errorf(millrace.ErrInvalid, "order: %d keys, at most %d", len(q.req.Order), maxOrder)
	}
	for _, item := range q.req.Order {
		name, desc := strings.CutPrefix(strings.TrimSpace(item), "-")
		if words := strings.Fields(name); len(words) == 2 && !desc {
			switch words[1] {
			case "desc", "asc":
				name, desc = words[0], words[1] == "desc"
			default:
				return millrace.Errorf(millrace.ErrInvalid, "order: %q: must be a column, with asc, desc or a leading -", item)
			}
		}
		key, err := q.orderKey(name, desc)
		if err != nil {
			return err
		}
		q.order = append(q.order, key)
	}
	return nil
}

func (q *question) orderKey(name string, desc bool) (orderKey, error) {
	if name == "bucket" && q.req.Step > 0 {
		return orderKey{dim: -1, desc: desc}, nil
	}
	if i := slices.Index(q.req.By, name); i >= 0 {
		return orderKey{dim: i, desc: desc}, nil
	}
	x, err := q.metricRef(name)
	if err != nil {
		return orderKey{}, millrace.Errorf(millrace.ErrInvalid, "order: the answer has no column %q; there are %s", name, nameList(q.columns()))
	}
	return orderKey{metric: &x, desc: desc}, nil
}

// sort orders rows. Equal ones stay in the order of steps and dimensions, so that
// an answer is the same every time. Missing values come last either way.
func (q *question) sort(rows []resultRow) {
	if len(q.order) == 0 {
		return
	}
	slices.SortStableFunc(rows, func(a, b resultRow) int {
		for _, k := range q.order {
			if c := k.compare(&a, &b); c != 0 {
				return c
			}
		}
		return 0
	})
}

func (k *orderKey) compare(a, b *resultRow) int {
	var x, y any = a.bucket, b.bucket
	switch {
	case k.metric != nil:
		x, y = a.value(*k.metric), b.value(*k.metric)
	case k.dim >= 0:
		x, y = a.dims[k.dim], b.dims[k.dim]
	}
	switch {
	case x == nil || y == nil:
		return boolInt(x == nil) - boolInt(y == nil)
	case k.desc:
		x, y = y, x
	}
	return compareValues(x, y)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
