package issue

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/query"
)

// Events returns the stored events of an issue in env and range, newest first, at
// most limit (0 is 100): the samples that were kept, not all that was counted.
// cursor is Next of the page before.
func (s *Service) Events(ctx context.Context, project, id, env, cursor string, limit int, r query.Range) (*query.LogsResult, error) {
	i, err := s.follow(ctx, project, id)
	if err != nil {
		return nil, err
	}
	return s.events(ctx, i, query.LogsRequest{Range: r, Limit: limit, Cursor: cursor}, env)
}

// events asks for rows of an issue.
func (s *Service) events(ctx context.Context, i *millrace.Issue, req query.LogsRequest, env string) (*query.LogsResult, error) {
	if s.deps.Query == nil {
		return nil, millrace.Errorf(millrace.ErrUnavailable, "this node answers no questions: ask one with the role query")
	}
	prints, err := s.deps.Store.Fingerprints(ctx, i.Project, []string{i.ID})
	if err != nil {
		return nil, err
	}
	if len(prints) == 0 {
		return &query.LogsResult{Events: []millrace.StoredEvent{}}, nil
	}
	names := make([]string, len(prints))
	for k := range prints {
		names[k] = prints[k].Fingerprint
	}
	f := &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{
		equal("kind", millrace.KindException.String()), anyOf(millrace.AttrFingerprint, names),
	}}
	if e := s.envFilter(env); e != nil {
		f.Sub = append(f.Sub, e)
	}
	req.Project, req.Filter = i.Project, f
	return s.deps.Query.Logs(ctx, req)
}

// Roles of samples.
const (
	RoleNewest = "newest"
	RoleOldest = "oldest"
	RoleRandom = "random"
)

// Sample is an event picked to stand for an issue.
type Sample struct {
	Role  string // RoleNewest, …
	Event millrace.StoredEvent
}

// Bounds of what Samples reads: rows have reports of up to 64 KiB and more.
const (
	sampleRows    = 100
	samplesMinute = 20 // per fingerprint and minute, at most what was kept
)

// Samples picks of the stored events of an issue in env and range the newest, the
// oldest and at most random others, from the newest hundred: of those that were
// kept by chance each is as likely as any other. The same events give the same
// choice. Newest first; fewer if there are fewer.
func (s *Service) Samples(ctx context.Context, project, id, env string, random int, r query.Range) ([]Sample, error) {
	i, err := s.follow(ctx, project, id)
	if err != nil {
		return nil, err
	}
	page, err := s.events(ctx, i, query.LogsRequest{Range: r, Limit: sampleRows}, env)
	if err != nil || len(page.Events) == 0 {
		return []Sample{}, err
	}
	out := []Sample{{RoleNewest, page.Events[0]}}
	last := page.Events[len(page.Events)-1]
	if page.Next != "" {
		if last, err = s.oldest(ctx, i, env, r, last); err != nil {
			return nil, err
		}
	}
	if placeOf(&last) != placeOf(&page.Events[0]) {
		out = append(out, Sample{RoleOldest, last})
	}
	for _, e := range chosen(i, page.Events, random+len(out)) {
		if len(out) == random+2 || placeOf(e) == placeOf(&out[0].Event) || placeOf(e) == placeOf(&last) {
			continue
		}
		out = append(out, Sample{RoleRandom, *e})
	}
	slices.SortStableFunc(out, func(a, b Sample) int { return b.Event.Time.Compare(a.Event.Time) })
	return out, nil
}

// oldest returns the oldest stored event in a range: it lies between the beginning
// and the first that is known, and ranges that begin there are tried, each wider
// than the one before.
func (s *Service) oldest(ctx context.Context, i *millrace.Issue, env string, r query.Range, known millrace.StoredEvent) (millrace.StoredEvent, error) {
	if first := time.Unix(0, i.FirstSeen); r.From.Before(first) {
		r.From = first
	}
	for width := time.Minute; ; width *= 8 {
		to := r.From.Add(width)
		if !to.Before(known.Time) {
			return known, nil
		}
		page, err := s.events(ctx, i, query.LogsRequest{Range: query.Range{From: r.From, To: to}, Limit: sampleRows}, env)
		if err != nil {
			return known, err
		}
		if n := len(page.Events); n > 0 {
			known = page.Events[n-1] // of a full page the oldest on it will do
			if page.Next == "" {
				return known, nil
			}
			width = max(known.Time.Sub(r.From)/64, time.Millisecond)
			if width == time.Millisecond {
				return known, nil
			}
		}
	}
}

func placeOf(e *millrace.StoredEvent) exception.Place {
	return exception.Place{Partition: e.Partition, Offset: e.Offset, Ordinal: e.Ordinal}
}

// chosen returns a fair choice of events: of each fingerprint and minute the ones
// that were kept by chance, and of these some by chance again. What was kept for
// being the oldest or newest of its minute does not count twice.
func chosen(i *millrace.Issue, events []millrace.StoredEvent, n int) []*millrace.StoredEvent {
	type cell struct{ seed uint64 }
	cells := map[cell]*exception.Reservoir[*millrace.StoredEvent]{}
	var order []cell
	for k := range events {
		e := &events[k]
		f := attrOf(e, millrace.AttrFingerprint)
		c := cell{exception.SampleSeed(exception.FingerprintHash(i.Project, f), e.Time.UnixNano())}
		if cells[c] == nil {
			cells[c] = exception.NewReservoir[*millrace.StoredEvent](c.seed, samplesMinute)
			order = append(order, c)
		}
		cells[c].Offer(placeOf(e), e.Time.UnixNano(), e)
	}
	all := exception.NewReservoir[*millrace.StoredEvent](exception.FingerprintHash(i.Project, i.ID), max(n, 1))
	for _, c := range order {
		_, _, random, _ := cells[c].Samples()
		for _, one := range random {
			all.Offer(one.Place, one.Time, one.Detail)
		}
	}
	_, _, random, _ := all.Samples()
	slices.SortFunc(random, func(a, b exception.Sample[*millrace.StoredEvent]) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(b.Place.Offset, a.Place.Offset), cmp.Compare(b.Place.Ordinal, a.Place.Ordinal))
	})
	var out []*millrace.StoredEvent
	for _, one := range random {
		out = append(out, one.Detail)
	}
	return out
}

// attrOf returns an attribute that is text, "" if there is none.
func attrOf(e *millrace.StoredEvent, name string) (text string) {
	var attrs map[string]json.RawMessage
	if json.Unmarshal(e.Attrs, &attrs) == nil && json.Unmarshal(attrs[name], &text) != nil {
		return ""
	}
	return text
}

// SampleReport returns the report that an event was stored with: what attribute
// exception_report says, or for rows of older versions what frames, type and
// message tell. ok is false if e is no exception or has neither.
func SampleReport(e *millrace.StoredEvent) (r millrace.Report, ok bool) {
	var attrs struct {
		Report  json.RawMessage  `json:"exception_report"`
		Frames  []millrace.Frame `json:"frames"`
		Type    string           `json:"type"`
		Message string           `json:"exception_message"`
	}
	if e.Kind != millrace.KindException.String() || json.Unmarshal(e.Attrs, &attrs) != nil {
		return r, false
	}
	if len(attrs.Report) > 0 {
		text := ""
		if json.Unmarshal(attrs.Report, &text) == nil { // a rule made a text of it
			attrs.Report = json.RawMessage(text)
		}
		if r, err := exception.ParseReport(attrs.Report); err == nil {
			return r, r.Exception != nil || len(r.Threads) > 0
		}
	}
	if r, ok = exception.Read(e.Message); ok && r.Exception != nil && (attrs.Type == "" || r.Exception.Type == attrs.Type) {
		exception.MarkInApp(&r)
		return r, true
	}
	if len(attrs.Frames) == 0 && attrs.Type == "" {
		return millrace.Report{}, false
	}
	return millrace.Report{Exception: &millrace.Exception{Type: attrs.Type, Message: attrs.Message, Frames: attrs.Frames}}, true
}
