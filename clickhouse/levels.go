package clickhouse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// Levels. WriteCells inserts minute deltas into deltas_NAME. Settling merges those
// of all flushes up to some id into minutes_NAME, later these into hours_NAME, and
// these into days_NAME. Rows are copied upwards, never moved, and
// all tables hold sums: a late delta is one more row in each. What a row counts for
// is decided by its flush and three numbers, Merged:
//
//	minutes:  all of minutes_NAME, and deltas above Merged[0]
//	hours:    all of hours_NAME, minutes above Merged[1], deltas above Merged[0]
//	days:     all of days_NAME, hours above Merged[2], minutes above Merged[1], ...
//
// where minutes and deltas are floored to hours or days. Settling inserts under a
// flush above Last, which no reader looks at, and then sets Merged and Last at once,
// in the transaction that ends the flush: that is the switch. If anything fails in
// between, the flush is abandoned and its rows are hidden like all others. What was
// merged upwards is dropped some time later: readers with an older view still read it.
//
// A refold, and the end of a day's life, replace rows: those of a time and up to a
// flush do not count any more (levels.Replaced), until they are deleted.

var granularities = [tables]millrace.Granularity{millrace.Minute, millrace.Minute, millrace.Hour, millrace.Day}

// tableOf returns the table that has a granularity when everything is merged.
func tableOf(g millrace.Granularity) int {
	switch g {
	case millrace.Minute:
		return tableMinutes
	case millrace.Hour:
		return tableHours
	}
	return tableDays
}

// cellRows says which rows of a table are wanted.
type cellRows struct {
	table int
	above int64 // flush
	upto  int64 // flush; 0: no bound
	spans []millrace.Span
	sets  []int64 // nil: all
	g     millrace.Granularity
	only  int64 // if not 0, the rows of this flush, whether they count or not, and none else
}

// sources returns the rows that make up the cells of a granularity in some spans.
func (k *cube) sources(g millrace.Granularity, sets []int64, spans []millrace.Span) []cellRows {
	spans = k.levels.kept(g, spans)
	var out []cellRows
	above := int64(0)
	for i := tableOf(g); i >= 0; i-- {
		if i > tableDeltas && k.levels.Newest[i-1] <= above {
			above = k.levels.Merged[i-1]
			continue
		}
		r := cellRows{table: i, above: above, upto: k.levels.Last, spans: spans, sets: sets, g: g}
		if i == tableDeltas {
			r.upto = 0
		} else {
			above = k.levels.Merged[i-1]
		}
		out = append(out, r)
	}
	return out
}

// kept returns the parts of spans of which retention has not dropped the
// granularity, aligned to its buckets.
func (l *levels) kept(g millrace.Granularity, spans []millrace.Span) []millrace.Span {
	var out []millrace.Span
	for _, s := range spans {
		s = millrace.Span{From: ceil(clampSecond(s.From), g), To: ceil(clampSecond(s.To), g)}
		if s.From < s.To {
			out = append(out, s)
		}
	}
	if g == millrace.Minute {
		out = without(out, l.Minutes)
	}
	if g != millrace.Day {
		out = without(out, l.Hours)
	}
	return out
}

// without returns spans but for what is in gone; both ascend and are apart.
func without(spans, gone []millrace.Span) []millrace.Span {
	var out []millrace.Span
	i := 0
	for _, s := range spans {
		for i > 0 && gone[i-1].To > s.From {
			i--
		}
		for i < len(gone) && gone[i].To <= s.From {
			i++
		}
		for ; i < len(gone) && gone[i].From < s.To; i++ {
			if gone[i].From > s.From {
				out = append(out, millrace.Span{From: s.From, To: gone[i].From})
			}
			s.From = max(s.From, gone[i].To)
		}
		if s.From < s.To {
			out = append(out, s)
		}
	}
	return out
}

// contains reports whether one of spans, ascending and apart, has sec.
func contains(spans []millrace.Span, sec int64) bool {
	i, found := slices.BinarySearchFunc(spans, sec, func(s millrace.Span, sec int64) int {
		switch {
		case s.To <= sec:
			return -1
		case s.From > sec:
			return 1
		}
		return 0
	})
	return found && i < len(spans)
}

func ceil(sec int64, g millrace.Granularity) int64 { return -g.Floor(-sec) }

// clampSecond bounds Unix seconds to what a bucket can be.
func clampSecond(sec int64) int64 {
	return min(max(sec, -rollupdef.MaxBucket-1), rollupdef.MaxBucket+1)
}

// where returns the condition of the rows.
func (db *DB) where(k *cube, r *cellRows) string {
	if r.only > 0 {
		return fmt.Sprintf("flush = %d", r.only)
	}
	parts := []string{setsSQL(r.sets), spansSQL(r.spans)}
	if r.above > 0 {
		parts = append(parts, fmt.Sprintf("flush > %d", r.above))
	}
	if r.upto > 0 {
		parts = append(parts, fmt.Sprintf("flush <= %d", r.upto))
	} else if r.table != tableDeltas {
		parts = append(parts, "false") // nothing was merged yet
	}
	for i := range k.levels.Replaced {
		if p := &k.levels.Replaced[i]; p.touches(r) {
			parts = append(parts, "NOT ("+p.where(r.table)+")")
		}
	}
	return strings.Join(append(parts, db.visible()), " AND ")
}

// touches reports whether rows could be replaced ones.
func (p *replaced) touches(r *cellRows) bool {
	if r.above >= p.Upto || p.Sets != nil && r.sets != nil && !slices.ContainsFunc(r.sets, func(s int64) bool { return slices.Contains(p.Sets, s) }) {
		return false
	}
	s := p.span(max(granularities[r.table], r.g))
	return slices.ContainsFunc(r.spans, func(t millrace.Span) bool { return t.From < s.To && s.From < t.To })
}

// span returns the buckets that have a part in the replaced time.
func (p *replaced) span(g millrace.Granularity) millrace.Span {
	return millrace.Span{From: g.Floor(p.From), To: ceil(p.To, g)}
}

// where returns the condition of rows that were replaced. Of hours and days that
// were replaced in part nothing counts: what was left of them was stored anew.
func (p *replaced) where(table int) string {
	s := p.span(granularities[table])
	return fmt.Sprintf("bucket >= %d AND bucket < %d AND %s AND %s", s.From, s.To, p.flushes(), setsSQL(p.Sets))
}

// flushes returns the condition of the flushes whose rows were replaced.
func (p *replaced) flushes() string {
	out := fmt.Sprintf("flush <= %d", p.Upto)
	if len(p.Except) > 0 {
		out += " AND flush NOT IN (" + numbers(p.Except) + ")"
	}
	return out
}

func setsSQL(sets []int64) string {
	switch {
	case sets == nil:
		return "true"
	case len(sets) == 0:
		return "false"
	case len(sets) == 1:
		return fmt.Sprintf("set_id = %d", sets[0])
	}
	return "set_id IN (" + numbers(sets) + ")"
}

// fewSpans are compared one by one.
const fewSpans = 16

// spansSQL returns the condition that a bucket lies in one of the spans. Its bounds
// come first: by these granules are skipped.
func spansSQL(spans []millrace.Span) string {
	if len(spans) == 0 {
		return "false"
	}
	between := func(from, to int64) string { return fmt.Sprintf("bucket >= %d AND bucket < %d", from, to) }
	bounds := between(spans[0].From, spans[len(spans)-1].To)
	switch {
	case len(spans) == 1:
		return bounds
	case len(spans) > fewSpans:
		from, to := make([]int64, len(spans)), make([]int64, len(spans))
		for i, s := range spans {
			from[i], to[i] = s.From, s.To
		}
		return fmt.Sprintf("%s AND arrayExists((f, t) -> bucket >= f AND bucket < t, CAST([%s], 'Array(Int64)'), CAST([%s], 'Array(Int64)'))",
			bounds, numbers(from), numbers(to))
	}
	each := make([]string, len(spans))
	for i, s := range spans {
		each[i] = "(" + between(s.From, s.To) + ")"
	}
	return bounds + " AND (" + strings.Join(each, " OR ") + ")"
}

// floorSQL returns the start of the bucket of a granularity that a row's bucket is
// in; table is where the row is.
func floorSQL(g millrace.Granularity, table int) string {
	if granularities[table] == g {
		return "bucket"
	}
	return fmt.Sprintf("(bucket - positiveModulo(bucket, %d))", int64(g))
}
