package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// CountCells implements millrace.Store: one statement that reads the columns of
// set and bucket only, which are packed to next to nothing.
func (db *DB) CountCells(ctx context.Context, rollup string, parts []millrace.CellPart) ([]int64, error) {
	k, err := db.cubeOf(ctx, rollup)
	if err != nil || len(parts) == 0 {
		return nil, err
	}
	if err := rollupdef.CheckParts(&k.schema, parts); err != nil {
		return nil, err
	}
	selects := make([]string, len(parts))
	for i := range parts {
		p := &parts[i]
		selects[i] = fmt.Sprintf("SELECT %d AS i, count(*) AS n FROM %s t%s WHERE set_id = %d AND %s",
			i, k.source(p.Granularity), spanJoin(p.Spans), k.setID(p.Set), spansSQL("bucket", p.Spans))
	}
	out := make([]int64, len(parts))
	err = db.snapshot(ctx, "count cells of "+rollup, func(c *conn) error {
		return each(ctx, c, strings.Join(selects, " UNION ALL "), func(r *rows) error {
			out[r.int64(0)] = r.int64(1)
			return nil
		})
	})
	return out, err
}

func (db *DB) cubeOf(ctx context.Context, rollup string) (*cube, error) {
	cubes, err := db.loadCubes(ctx)
	if err != nil {
		return nil, err
	}
	if k := cubes[rollup]; k != nil {
		return k, nil
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "there is no rollup %q", rollup)
}

// fewSpans are compared one by one; more are joined.
const fewSpans = 4

// spansSQL returns the condition that a bucket lies in one of the spans. Its
// bounds come first: DuckDB skips row groups by them.
func spansSQL(bucket string, spans []millrace.Span) string {
	between := func(from, to int64) string {
		return fmt.Sprintf("%[1]s >= %[2]s AND %[1]s < %[3]s", bucket, timestamp(clampSecond(from)), timestamp(clampSecond(to)))
	}
	bounds := between(spans[0].From, spans[len(spans)-1].To)
	switch {
	case len(spans) == 1:
		return bounds
	case len(spans) > fewSpans:
		return bounds + " AND " + bucket + " < s.until"
	}
	each := make([]string, len(spans))
	for i, s := range spans {
		each[i] = "(" + between(s.From, s.To) + ")"
	}
	return bounds + " AND (" + strings.Join(each, " OR ") + ")"
}

// spanJoin finds the span that begins last before a bucket, for spansSQL. The
// spans are apart, so that no other can have the bucket.
func spanJoin(spans []millrace.Span) string {
	if len(spans) <= fewSpans {
		return ""
	}
	rows := make([]string, len(spans))
	for i, s := range spans {
		rows[i] = fmt.Sprintf("(%s, %s)", timestamp(clampSecond(s.From)), timestamp(clampSecond(s.To)))
	}
	return " ASOF JOIN (VALUES " + list(rows) + ") s(since, until) ON t.bucket >= s.since"
}

// Coverage implements millrace.Store.
func (db *DB) Coverage(ctx context.Context, rollup string, from, to int64) (*millrace.Coverage, error) {
	k, err := db.cubeOf(ctx, rollup)
	if err != nil {
		return nil, err
	}
	def := rollupdef.Clone(&k.schema)
	out := &millrace.Coverage{Dimensions: def.Dimensions, Sets: def.Sets, Metrics: def.Metrics}
	query := fmt.Sprintf(`SELECT granularity, bucket FROM cell_periods WHERE rollup = %s AND state IN (%d, %d) AND bucket > %s AND bucket < %s`,
		quote(rollup), periodSealed, periodGone, timestamp(clampSecond(from-int64(millrace.Day))), timestamp(clampSecond(to)))
	err = db.snapshot(ctx, "coverage of "+rollup, func(c *conn) error {
		return each(ctx, c, query, func(r *rows) error {
			g, start := r.int64(0), r.int64(1)/1e6
			s := millrace.Span{From: start, To: start + g}
			if s.To <= from {
				return nil
			}
			out.NoMinutes = append(out.NoMinutes, s)
			if g == int64(millrace.Day) {
				out.NoHours = append(out.NoHours, s)
			}
			return nil
		})
	})
	out.NoMinutes, out.NoHours = rollupdef.MergeSpans(out.NoMinutes), rollupdef.MergeSpans(out.NoHours)
	return out, err
}

// newcomers returns since when what a definition adds now is complete.
func newcomers(w *writer) (int64, error) {
	old, err := exists(w.ctx, w.c, "SELECT 1 FROM positions WHERE sink = "+quote(string(millrace.SinkRollup)))
	if err != nil || !old {
		return 0, err
	}
	return rollupdef.Newcomers(w.now), nil
}

// sealedUntil returns the end of the last hour whose minutes are dropped, 0 if
// there is none.
func sealedUntil(w *writer, rollup string) (end int64, err error) {
	query := fmt.Sprintf(`SELECT max(bucket) FROM cell_periods WHERE rollup = %s AND granularity = %d AND state IN (%d, %d)`,
		quote(rollup), millrace.Hour, periodSealed, periodGone)
	err = each(w.ctx, w.c, query, func(r *rows) error {
		if !r.isNull(0) {
			end = max(0, r.int64(0)/1e6+int64(millrace.Hour))
		}
		return nil
	})
	return end, err
}

// leave notes that a rollup is not defined any more. What it has stays readable.
func (k *cube) leave(w *writer) error {
	def := rollupdef.Clone(&k.schema)
	if !rollupdef.Leave(&def) {
		return nil
	}
	text, err := json.Marshal(&def)
	if err != nil {
		return fmt.Errorf("definition: %w", err)
	}
	_, err = w.exec("UPDATE rollups SET definition = ? WHERE name = ?", string(text), def.Name)
	return err
}
