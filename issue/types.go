package issue

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// TypesRequest asks which types of exception occurred in a range.
type TypesRequest struct {
	Project    string
	Env        string // as in ListRequest
	Range      query.Range
	Step       time.Duration // of series, whole minutes; 0: about 60 points
	Where      string        // as in ListRequest
	ErrorClass string
	Text       string // part of the type, in any case
	Order      string // OrderCount (or ""), OrderUsers, OrderTrend
	Limit      int    // 0 is 20, at most MaxList
	Hosts      bool   // also the hosts of each type
}

// TypeRow is one type of exception; see Row for the numbers.
type TypeRow struct {
	Type                        string
	Count, Users                int64
	Before, Yesterday, LastWeek int64
	Series                      []float64 // counts by Types.Times
	Hosts                       []Share   // the most first, at most MaxShares; nil unless asked for
}

// Types is the answer.
type Types struct {
	Rows                        []TypeRow
	Total                       int       // types that there are
	Count                       int64     // of all types
	Before, Yesterday, LastWeek int64     // of all types
	Series                      []float64 // of all types
	Times                       []time.Time
	Step                        time.Duration
	Other                       int64 // of types folded into "(other)"
	CompleteUntil, CompleteFrom time.Time
}

func (req *TypesRequest) check() error {
	req.Order = cmp.Or(req.Order, OrderCount)
	if !slices.Contains([]string{OrderCount, OrderUsers, OrderTrend}, req.Order) {
		return millrace.Errorf(millrace.ErrInvalid, "order %q: must be count, users or trend", req.Order)
	}
	if req.Limit == 0 {
		req.Limit = 20
	}
	if req.Limit < 1 || req.Limit > MaxList {
		return millrace.Errorf(millrace.ErrInvalid, "limit %d: must be between 1 and %d", req.Limit, MaxList)
	}
	return checkRange(req.Range)
}

// Types answers a request. ErrInvalid as for List.
func (s *Service) Types(ctx context.Context, req TypesRequest) (*Types, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	step, err := stepOf(req.Range, req.Step, 60)
	if err != nil {
		return nil, err
	}
	sc, err := s.scope(ctx, req.Project, req.Env, req.Where, req.ErrorClass, "type")
	if err != nil {
		return nil, err
	}
	out := &Types{Step: step, Times: timesOf(req.Range, step), Rows: []TypeRow{}}
	all, err := sc.ask(ctx, question{by: "type"}, append(trendOf(req.Range), period{r: req.Range, users: true}, period{r: req.Range, step: step})...)
	if err != nil {
		return nil, err
	}
	was, now, series := newTrend(all), all[3], all[4]
	out.CompleteUntil, out.Other, out.Count = now.complete, now.count[other], now.total()
	if !now.known {
		out.CompleteFrom = sc.since
	}
	out.Before, out.Yesterday, out.LastWeek = was.before.sum(), was.yesterday.sum(), was.lastWeek.sum()
	out.Series = make([]float64, len(out.Times))
	for name := range series.count {
		for i, n := range series.spark(name, out.Times) {
			out.Series[i] += n
		}
	}
	out.choose(&req, now, &was, series)
	if req.Hosts {
		err = out.hosts(ctx, sc, req.Range)
	}
	return out, err
}

// choose makes the rows.
func (out *Types) choose(req *TypesRequest, now *answer, was *trend, series *answer) {
	key := func(name string) int64 {
		switch req.Order {
		case OrderUsers:
			return now.users[name]
		case OrderTrend:
			return now.count[name] - was.before.count[name]
		}
		return now.count[name]
	}
	var names []string
	for name := range now.count {
		if name != other && strings.Contains(strings.ToLower(name), strings.ToLower(req.Text)) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(key(b), key(a)), cmp.Compare(now.count[b], now.count[a]), strings.Compare(a, b))
	})
	out.Total = len(names)
	for _, name := range names[:min(req.Limit, len(names))] {
		out.Rows = append(out.Rows, TypeRow{
			Type: name, Count: now.count[name], Users: now.users[name], Before: was.before.of(name),
			Yesterday: was.yesterday.of(name), LastWeek: was.lastWeek.of(name), Series: series.spark(name, out.Times),
		})
	}
}

// hosts adds where each type occurred.
func (out *Types) hosts(ctx context.Context, sc *scope, r query.Range) error {
	for i := range out.Rows {
		row := &out.Rows[i]
		a, err := sc.ask(ctx, question{by: "host", only: equal("type", row.Type)}, period{r: r, users: true})
		if err != nil {
			return err
		}
		row.Hosts = a[0].shares()
	}
	return nil
}
