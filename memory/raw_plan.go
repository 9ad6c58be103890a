package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// CountCells implements millrace.Store. Everything is merged here, so that the
// answer is the number of distinct cells.
func (s *Store) CountCells(ctx context.Context, name string, parts []millrace.CellPart) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rollups[name]
	if r == nil {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no rollup %q", name)
	}
	if err := rollupdef.CheckParts(&r.schema, parts); err != nil {
		return nil, err
	}
	out := make([]int64, len(parts))
	for i := range parts {
		seen := map[cellKey]bool{}
		r.eachCell(&parts[i], func(bucket int64, key cellKey, _ *cell) {
			key.bucket = bucket
			seen[key] = true
		})
		out[i] = int64(len(seen))
	}
	return out, ctx.Err()
}

// Coverage implements millrace.Store.
func (s *Store) Coverage(ctx context.Context, name string, from, to int64) (*millrace.Coverage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rollups[name]
	if r == nil {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no rollup %q", name)
	}
	sealed := func(periods map[int64]*period, g millrace.Granularity) (out []millrace.Span) {
		for start, p := range periods {
			if p.sealed && start+int64(g) > from && start < to {
				out = append(out, millrace.Span{From: start, To: start + int64(g)})
			}
		}
		return out
	}
	hours, days := sealed(r.hours, millrace.Hour), sealed(r.days, millrace.Day)
	def := rollupdef.Clone(&r.schema)
	return &millrace.Coverage{
		NoMinutes: rollupdef.MergeSpans(append(hours, days...)), NoHours: rollupdef.MergeSpans(days),
		Dimensions: def.Dimensions, Sets: def.Sets, Metrics: def.Metrics,
	}, ctx.Err()
}

// sealedUntil returns the end of the last hour whose minutes are dropped, 0 if
// there is none.
func (r *rollup) sealedUntil() int64 {
	end := int64(0)
	for start, p := range r.hours {
		if p.sealed {
			end = max(end, start+int64(millrace.Hour))
		}
	}
	return end
}

// newcomers returns since when what a definition adds now is complete. Time is
// the latest arrival here.
func (s *Store) newcomers() int64 {
	if st := s.sinks[millrace.SinkRollup]; st == nil || len(st.positions) == 0 {
		return 0
	}
	return rollupdef.Newcomers(time.Unix(s.lastArrival, 0))
}

// ScanEvents implements millrace.Store.
func (s *Store) ScanEvents(ctx context.Context, q millrace.EventScan, take func([]millrace.Event) error) error {
	s.mu.Lock()
	if slices.ContainsFunc(s.dropped, func(d millrace.Span) bool { return d.From < q.To && d.To >= q.From }) {
		s.mu.Unlock()
		return rollupdef.RowsDropped()
	}
	found := s.match(millrace.EventQuery{From: q.From, To: q.To, Project: q.Project, Filter: q.Filter})
	events := make([]event, len(found))
	for i, e := range found {
		events[i] = *e
	}
	s.mu.Unlock()
	if int64(len(events)) > q.MaxRows {
		return rollupdef.TooManyRows(q.MaxRows)
	}
	for part := range slices.Chunk(events, 1000) {
		batch := make([]millrace.Event, len(part))
		for i := range part {
			part[i].restore(&batch[i], q.Fields)
		}
		if err := cmp.Or(ctx.Err(), take(batch)); err != nil {
			return err
		}
	}
	return nil
}

// restore makes the event again, with the attributes that are asked for.
func (e *event) restore(into *millrace.Event, fields []string) {
	kind, _ := millrace.ParseKind(e.Kind)
	*into = millrace.Event{
		Time: e.time, Weight: e.Weight, Kind: kind, Ordinal: e.Ordinal, HasTime: true,
		Project: e.Project, Source: e.Source, Service: e.Service, Host: e.Host, Env: e.Env, Release: e.Release,
		Level: e.Level, TraceID: e.TraceID, Message: e.Message,
	}
	millrace.EachAttr(e.Attrs, func(key, raw []byte) bool {
		if slices.Contains(fields, string(key)) {
			into.Attrs = append(into.Attrs, millrace.Attr{Key: string(key), Value: millrace.ParseAttr(raw)})
		}
		return true
	})
}
