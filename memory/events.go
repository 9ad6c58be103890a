package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// maxPage is the most events one page may hold, as EventQuery.Limit says.
const maxPage = 10_000

type event struct {
	millrace.StoredEvent
	time, arrived int64 // ns
}

func (s *Store) addEvents(rows *millrace.EventRows) {
	for i := range rows.Len() {
		s.events = append(s.events, event{
			time: rows.Time[i], arrived: rows.Arrived[i],
			StoredEvent: millrace.StoredEvent{
				Time:    time.Unix(0, rows.Time[i]).UTC(),
				Arrived: time.Unix(0, rows.Arrived[i]).UTC(),
				Project: string(rows.Project.At(i)), Source: string(rows.Source.At(i)),
				Kind:    rows.Kind[i].String(),
				Service: string(rows.Service.At(i)), Host: string(rows.Host.At(i)),
				Env: string(rows.Env.At(i)), Release: string(rows.Release.At(i)),
				Level: string(rows.Level.At(i)), TraceID: string(rows.TraceID.At(i)),
				Message: string(rows.Message.At(i)), Weight: rows.Weight[i],
				Attrs:     rows.AppendAttrs(nil, i),
				Partition: rows.Partition[i], Offset: rows.Offset[i], Ordinal: rows.Ordinal[i],
			},
		})
	}
}

// newestFirst orders by event time, then place in the queue, all descending.
func newestFirst(a, b *event) int {
	return -cmp.Or(
		cmp.Compare(a.time, b.time),
		cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset),
		cmp.Compare(a.Ordinal, b.Ordinal))
}

// Events implements millrace.Store. The cursor is the number of events already
// returned: it is exact only while nothing is written.
func (s *Store) Events(ctx context.Context, q millrace.EventQuery) (*millrace.EventPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Limit < 1 || q.Limit > maxPage {
		return nil, millrace.Errorf(millrace.ErrInvalid, "limit %d: must be between 1 and %d", q.Limit, maxPage)
	}
	skip := 0
	if q.Cursor != "" {
		n, err := strconv.Atoi(q.Cursor)
		if err != nil || n < 0 {
			return nil, millrace.Errorf(millrace.ErrInvalid, "cursor %q was not issued by this server", q.Cursor)
		}
		skip = n
	}
	found := s.match(q)
	slices.SortFunc(found, newestFirst)
	found = found[min(skip, len(found)):]
	page := &millrace.EventPage{}
	if len(found) > q.Limit {
		found = found[:q.Limit]
		page.Next = strconv.Itoa(skip + q.Limit)
	}
	for _, e := range found {
		page.Events = append(page.Events, e.StoredEvent)
	}
	return page, ctx.Err()
}

// CountEvents implements millrace.Store. With step 0 the one point has time 0.
func (s *Store) CountEvents(ctx context.Context, q millrace.EventQuery, step int64) ([]millrace.TimeCount, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if step < 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "step %d: must not be negative", step)
	}
	at := map[int64]*millrace.TimeCount{}
	for _, e := range s.match(q) {
		t := floor(e.time, step, 0)
		if at[t] == nil {
			at[t] = &millrace.TimeCount{Time: t}
		}
		at[t].Events++
		at[t].Weight += e.Weight
	}
	var out []millrace.TimeCount
	for _, c := range at {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b millrace.TimeCount) int { return cmp.Compare(a.Time, b.Time) })
	return out, ctx.Err()
}

// floor rounds t down to a multiple of step; a step of 0 puts all at from.
func floor(t, step, from int64) int64 {
	if step == 0 {
		return from
	}
	return millrace.Granularity(step).Floor(t)
}

func (s *Store) match(q millrace.EventQuery) []*event {
	var out []*event
	for i := range s.events {
		e := &s.events[i]
		if e.time < q.From || e.time >= q.To || q.Project != "" && e.Project != q.Project {
			continue
		}
		if q.Filter.Match(e.field) {
			out = append(out, e)
		}
	}
	return out
}

// field returns a column or attribute as text. Columns win.
func (e *event) field(name string) string {
	switch name {
	case "project":
		return e.Project
	case "source":
		return e.Source
	case "kind":
		return e.Kind
	case "service":
		return e.Service
	case "host":
		return e.Host
	case "env":
		return e.Env
	case "release":
		return e.Release
	case "level":
		return e.Level
	case "trace_id":
		return e.TraceID
	case "message":
		return e.Message
	case "weight":
		return strconv.FormatInt(e.Weight, 10)
	}
	return attrText(e.Attrs, name)
}

// attrText returns a member of a JSON object as text: strings without quotes,
// anything else as written.
func attrText(attrs []byte, name string) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(attrs, &members) != nil {
		return ""
	}
	raw := string(members[name])
	if !strings.HasPrefix(raw, `"`) {
		return raw
	}
	var text string
	if json.Unmarshal([]byte(raw), &text) != nil {
		return ""
	}
	return text
}
