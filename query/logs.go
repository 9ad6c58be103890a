package query

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// MaxLogs is the most rows one page of logs has, the Store's own limit.
const MaxLogs = 10_000

// maxHistogram bounds the points of a histogram: wider than any screen.
const maxHistogram = 5_000

// LogsRequest asks for raw rows.
type LogsRequest struct {
	Query   string           // search language
	Filter  *millrace.Filter // a further condition, as in RollupRequest
	Project string           // empty is all
	Range   Range
	Limit   int    // 0 is 100
	Cursor  string // LogsResult.Next of the page before
}

// LogsResult is one page, newest first.
type LogsResult struct {
	Events []millrace.StoredEvent `json:"events"`
	Next   string                 `json:"next"` // cursor of the next page, empty on the last
}

// Histogram counts rows over time; steps without rows are left out.
type Histogram struct {
	CompleteUntil time.Time        `json:"complete_until,omitzero"`
	Step          float64          `json:"step"` // seconds
	Points        []HistogramPoint `json:"points"`
}

// HistogramPoint is one step of a Histogram.
type HistogramPoint struct {
	Time   time.Time `json:"time"`
	Events int64     `json:"events"`
	Weight int64     `json:"weight"` // occurrences these events stand for
}

// Logs returns stored events. ErrInvalid: bad query, limit or cursor.
func (s *Service) Logs(ctx context.Context, req LogsRequest) (*LogsResult, error) {
	q, err := eventQuery(&req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	page, err := s.deps.Store.Events(ctx, q)
	if err != nil {
		return nil, timedOut(ctx, "log search", err)
	}
	res := &LogsResult{Events: page.Events, Next: page.Next}
	if res.Events == nil {
		res.Events = []millrace.StoredEvent{}
	}
	return res, nil
}

// Histogram counts the rows that Logs would return. A step of 0 picks one that
// gives about 60 points.
func (s *Service) Histogram(ctx context.Context, req LogsRequest, step time.Duration) (*Histogram, error) {
	q, err := eventQuery(&req)
	if err != nil {
		return nil, err
	}
	span := req.Range.To.Sub(req.Range.From)
	if step == 0 {
		step = NiceStep(span, 60)
	}
	if step < time.Second || span/step > maxHistogram {
		return nil, millrace.Errorf(millrace.ErrInvalid, "step %s: must be at least 1s and give at most %d points", step, maxHistogram)
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	h := &Histogram{CompleteUntil: s.CompleteUntil(), Step: step.Seconds(), Points: []HistogramPoint{}}
	counts, err := s.deps.Store.CountEvents(ctx, q, int64(step))
	if err != nil {
		return nil, timedOut(ctx, "log histogram", err)
	}
	for _, c := range counts {
		h.Points = append(h.Points, HistogramPoint{time.Unix(0, c.Time).UTC(), c.Events, c.Weight})
	}
	return h, nil
}

func eventQuery(req *LogsRequest) (millrace.EventQuery, error) {
	if err := req.Range.check(); err != nil {
		return millrace.EventQuery{}, err
	}
	if req.Limit == 0 {
		req.Limit = 100
	}
	if req.Limit < 1 || req.Limit > MaxLogs {
		return millrace.EventQuery{}, millrace.Errorf(millrace.ErrInvalid, "limit %d: must be between 1 and %d", req.Limit, MaxLogs)
	}
	f, err := Parse(req.Query)
	if err != nil {
		return millrace.EventQuery{}, err
	}
	f = both(f, req.Filter)
	return millrace.EventQuery{
		From: req.Range.From.UnixNano(), To: req.Range.To.UnixNano(),
		Project: req.Project, Filter: f, Limit: req.Limit, Cursor: req.Cursor,
	}, nil
}

// niceSteps are the widths charts use, so that ticks fall on round times.
var niceSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	7 * 24 * time.Hour, 28 * 24 * time.Hour,
}

// NiceStep returns the round width that divides span into at most points
// steps; beyond the widest it is a multiple of that.
func NiceStep(span time.Duration, points int) time.Duration {
	for _, s := range niceSteps {
		if span <= s*time.Duration(points) {
			return s
		}
	}
	widest := niceSteps[len(niceSteps)-1]
	return widest * (1 + span/(widest*time.Duration(points)))
}
