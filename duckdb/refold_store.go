package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// fold gives f the rows between what it has and a mark, and returns how many.
func (r *refold) fold(ctx context.Context, c *conn, m mark) (n int64, err error) {
	if !m.continues(r.done) {
		return 0, millrace.Errorf(millrace.ErrUnavailable, "refold %s: the queue was replaced meanwhile; try again", r.k.schema.Name)
	}
	segs, err := loadSegments(ctx, c)
	if err != nil {
		return 0, err
	}
	from, to := r.q.From*1e9, r.q.To*1e9
	where := fmt.Sprintf("time >= make_timestamp_ns(%d) AND time < make_timestamp_ns(%d) AND %s AND NOT %s", from, to, m.below(), r.done.below())
	for _, g := range overlapping(segs, from, to) {
		err := scanTable(ctx, c, g.name, r.q.Fields, where, func(arrived int64, events []millrace.Event) error {
			n, r.arrived = n+int64(len(events)), max(r.arrived, arrived)
			return r.f.Fold(events)
		})
		if err != nil {
			return n, fmt.Errorf("fold %s: %w", g.name, err)
		}
	}
	// A partition that this mark lacks has nothing new.
	if r.done == nil {
		r.done = mark{}
	}
	maps.Copy(r.done, m)
	r.out.Events += n
	return n, nil
}

// store replaces the cells of the range by what was drained, as deltas: from
// there on they are what any late deltas are.
func (r *refold) store(w *writer, cells []*millrace.CellBatch) ([]pledge, error) {
	db, k := r.db, r.k
	for _, b := range cells {
		if err := rollupdef.CheckBatch(&k.schema, b); err != nil {
			return nil, err
		}
		r.out.Cells += int64(b.Len())
	}
	// What upkeep has planned for these cells is void.
	db.backlogOf(k).job, db.rollups.job = nil, nil
	if err := r.remove(w); err != nil {
		return nil, fmt.Errorf("remove cells: %w", err)
	}
	m, pledged, err := db.periods(w)
	if err != nil {
		return nil, fmt.Errorf("periods: %w", err)
	}
	// Hours that lost cells and got none are to be computed again, too.
	hours := map[int64]bool{}
	for key := range m.states {
		if key.rollup == r.k.schema.Name && key.granularity == millrace.Hour && key.start < r.q.To && key.start+int64(millrace.Hour) > r.q.From {
			hours[key.start] = true
		}
	}
	if err := db.touch(w, m, r.k.schema.Name, hours, r.arrived/1e9); err != nil {
		return nil, fmt.Errorf("hours: %w", err)
	}
	mine, err := db.writeDeltas(w, m, k, cells, r.arrived/1e9)
	if err != nil {
		return nil, fmt.Errorf("deltas: %w", err)
	}
	return []pledge{pledged, mine}, r.complete(w)
}

// remove deletes the cells of the range, of the sets of the definition: those of
// its minutes, and the hours of which nothing else is left.
func (r *refold) remove(w *writer) error {
	ids := strings.Trim(strings.ReplaceAll(fmt.Sprint(r.k.setIDs), " ", ","), "[]")
	span := fmt.Sprintf("bucket >= %s AND bucket < %s AND set_id IN (%s)", timestamp(r.q.From), timestamp(r.q.To), ids)
	sealed := fmt.Sprintf(" AND bucket IN (SELECT bucket FROM cell_periods WHERE rollup = %s AND granularity = 3600 AND state = %d)",
		quote(r.k.schema.Name), periodSealed)
	for _, stmt := range []string{
		"DELETE FROM " + r.k.deltas() + " WHERE " + span,
		"DELETE FROM " + r.k.minutes() + " WHERE " + span,
		"DELETE FROM " + r.k.hours() + " WHERE " + span + sealed,
	} {
		if _, err := w.exec(stmt); err != nil {
			return fmt.Errorf("%.60s: %w", stmt, err)
		}
	}
	return nil
}

// complete lowers since when the rollup's sets and metrics are complete. A range
// that ends before that time leaves a hole, so that it changes nothing there.
func (r *refold) complete(w *writer) error {
	earlier, err := exists(w.ctx, w.c, fmt.Sprintf(`SELECT 1 FROM (SELECT epoch_ns(min_time) AS least FROM segments
		UNION ALL SELECT min_time FROM dropped_days) WHERE least < %d`, r.q.From*1e9))
	if err != nil {
		return err
	}
	s := rollupdef.Clone(&r.def)
	if !rollupdef.Refolded(&s, r.q.From, r.q.To, !earlier) {
		return nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("definition: %w", err)
	}
	_, err = w.exec("UPDATE rollups SET definition = ? WHERE name = ?", string(text), s.Name)
	return err
}
