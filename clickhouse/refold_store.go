package clickhouse

import (
	"context"
	"fmt"
	"maps"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// check refuses a definition that is not the one to fold by any more, and what
// raw rows no longer tell.
func (r *refold) check(ctx context.Context) error {
	s, err := r.db.rollups(ctx)
	if err != nil {
		return err
	}
	if r.k, err = s.cube(r.q.Rollup.Name); err != nil {
		return err
	}
	if !rollupdef.Same(&r.q.Rollup, &r.k.schema) {
		return r.changed()
	}
	refuse := func(why string) error {
		return millrace.Errorf(millrace.ErrConflict, "rollup %s from %s to %s cannot be folded again exactly: %s", r.k.name, utc(r.q.From), utc(r.q.To), why)
	}
	gone, err := r.db.rowsDropped(ctx, r.q.From*1e9, r.q.To*1e9)
	if err != nil {
		return err
	}
	if gone {
		return refuse("raw rows of that time have been dropped")
	}
	// What is of the range arrived after its beginning, but for clocks ahead.
	m, _, err := r.db.loadMerged(ctx)
	if err != nil {
		return err
	}
	where := fmt.Sprintf("sink = %s AND outcome = %s AND minute >= %d", quote(string(millrace.SinkEvents)),
		quote(string(millrace.OutcomeSampled)), r.q.From-int64(millrace.MaxAhead.Seconds())-60)
	if r.q.NoExceptions {
		where += " AND reason != " + quote(millrace.ReasonExceptionSamples)
	}
	sampled, err := r.db.scalar(ctx, "look for sampled rows", "SELECT toInt64(sum(events)) FROM "+r.db.ledgerRows(m, where))
	if err != nil {
		return err
	}
	if sampled > 0 {
		return refuse("raw rows were sampled since then")
	}
	return r.checkDropped(refuse)
}

// checkDropped refuses what is no longer kept finely enough.
func (r *refold) checkDropped(refuse func(string) error) error {
	lv := r.k.levels
	all := millrace.Span{From: r.q.From, To: r.q.To}
	if left := without([]millrace.Span{all}, lv.Hours); len(left) != 1 || left[0] != all {
		return refuse("it is kept by day only")
	}
	for _, sec := range []int64{r.q.From, r.q.To} {
		if h := millrace.Hour.Floor(sec); h != sec && contains(lv.Minutes, h) {
			return refuse("it is kept by hour only, so that whole hours are needed")
		}
	}
	return nil
}

// fold gives f the rows between what it has and a mark, and returns how many.
func (r *refold) fold(ctx context.Context, m mark) (n int64, err error) {
	if !m.continues(r.done) {
		return 0, millrace.Errorf(millrace.ErrUnavailable, "refold %s: the queue was replaced meanwhile; try again", r.k.name)
	}
	if err := r.db.hideAbandoned(ctx); err != nil {
		return 0, err
	}
	where := fmt.Sprintf("%s AND %s AND NOT %s", r.db.selection(millrace.EventQuery{}, r.q.From*1e9, r.q.To*1e9)[0], m.below(), r.done.below())
	err = r.db.query(ctx, "look at rows of "+r.k.name, "SELECT toUnixTimestamp64Nano(max(arrived)) FROM "+r.db.table("events_rows")+" WHERE "+where,
		func(rows driver.Rows) error {
			var last int64
			err := rows.Scan(&last)
			r.arrived = max(r.arrived, last)
			return err
		})
	if err != nil {
		return 0, err
	}
	err = r.db.scanWhere(ctx, "fold events of "+r.k.name, []string{where}, r.q.Fields, func(events []millrace.Event) error {
		n += int64(len(events))
		return r.f.Fold(events)
	})
	if err != nil {
		return n, err
	}
	// A partition that this mark lacks has nothing new.
	if r.done == nil {
		r.done = mark{}
	}
	maps.Copy(r.done, m)
	r.out.Events += n
	return n, nil
}

// insert stores the new cells as rows of minutes under the flush. They are sent as
// deltas under a flush that never counts, from where ClickHouse makes rows of them.
func (r *refold) insert(ctx context.Context, f *millrace.Flush, cells []*millrace.CellBatch) error {
	n := 0
	for _, b := range cells {
		n += b.Len()
	}
	if n == 0 {
		return nil
	}
	db, k := r.db, r.k
	sent, err := db.commits.Begin(ctx, sinkRefold, nil, db.node)
	if err != nil {
		return fmt.Errorf("begin a flush: %w", err)
	}
	if err := db.commits.Abandon(ctx, sent.ID); err != nil {
		return fmt.Errorf("abandon flush %d: %w", sent.ID, err)
	}
	if err := db.hide(ctx, sent.ID); err != nil {
		return err
	}
	if err := db.insertDeltas(ctx, k, sent, r.arrived/1e9, cells); err != nil {
		return err
	}
	if err := db.syncReplicas(ctx, k.table(tableDeltas)); err != nil {
		return err
	}
	rows := &cellRows{table: tableDeltas, only: sent.ID, g: millrace.Minute}
	if err := db.notePeriods(ctx, k, f, rows); err != nil {
		return err
	}
	return db.mergeUp(ctx, k, f, rows, tableMinutes)
}

// insertRest stores what is left of hours and days of which only a part is
// replaced: their rows count no more. Of days it is the hours that are not touched;
// what is left of touched ones is in the new rows of hours, which are merged into
// days later.
func (r *refold) insertRest(ctx context.Context, f *millrace.Flush) error {
	lv := r.k.levels
	hours := millrace.Span{From: millrace.Hour.Floor(r.q.From), To: ceil(r.q.To, millrace.Hour)}
	days := millrace.Span{From: millrace.Day.Floor(r.q.From), To: ceil(r.q.To, millrace.Day)}
	for _, rest := range []struct {
		table      int
		whole, not millrace.Span
	}{
		{tableMinutes, hours, millrace.Span{From: r.q.From, To: r.q.To}},
		{tableHours, days, hours},
	} {
		spans := without([]millrace.Span{rest.whole}, []millrace.Span{rest.not})
		if len(spans) == 0 {
			continue
		}
		rows := &cellRows{table: rest.table, upto: lv.Merged[rest.table], spans: spans, sets: r.k.setIDs, g: granularities[rest.table+1]}
		if err := r.db.syncReplicas(ctx, r.k.table(rest.table)); err != nil {
			return err
		}
		if err := r.db.mergeUp(ctx, r.k, f, rows, rest.table+1); err != nil {
			return err
		}
	}
	return nil
}

// earlierEvents reports whether there are, or were, events before the range.
func (r *refold) earlierEvents(ctx context.Context) (bool, error) {
	gone, err := r.db.rowsDropped(ctx, -1<<63, r.q.From*1e9)
	if err != nil || gone {
		return gone, err
	}
	n, err := r.db.scalar(ctx, "look for earlier events", fmt.Sprintf("SELECT toInt64(count()) FROM (SELECT 1 FROM %s WHERE slot <= %d AND time < %s AND %s LIMIT 1)",
		r.db.table("events_rows"), slotOf(r.q.From*1e9), instant(r.q.From*1e9), r.db.visible()))
	return n > 0, err
}
