package query

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// LedgerRequest selects accounts by time of arrival; empty fields match all.
type LedgerRequest struct {
	Range           Range // whole minutes; zero times are unbounded
	Project, Source string
	Sink            string
}

// Count is a number of events and of the occurrences they stand for.
type Count struct {
	Events int64 `json:"events"`
	Weight int64 `json:"weight"`
}

func (c *Count) add(e millrace.LedgerEntry) {
	c.Events += e.Events
	c.Weight += e.Weight
}

// Account is what became of the events of one source, as one sink counts them:
// Received = Stored + Sampled + Filtered + Duplicate + Rejected.
type Account struct {
	Sink       millrace.Sink `json:"sink"`
	Project    string        `json:"project"`
	Source     string        `json:"source"`
	Received   Count         `json:"received"`
	Stored     Count         `json:"stored"`
	Sampled    Count         `json:"sampled"`
	Filtered   Count         `json:"filtered"`
	Duplicate  Count         `json:"duplicate"`
	Rejected   Count         `json:"rejected"`
	Refused    Count         `json:"refused"`    // at the door; not part of received
	Difference Count         `json:"difference"` // received less the sum of the others; not 0 is a bug
	Reasons    []Reason      `json:"reasons"`
}

// Balanced reports whether the account adds up.
func (a *Account) Balanced() bool { return a.Difference == Count{} }

// Reason is why events were not stored, with an example.
type Reason struct {
	Outcome millrace.Outcome `json:"outcome"`
	Reason  string           `json:"reason"`
	Count
	Example string `json:"example"`
}

// Ledger is the accounts of a range.
type Ledger struct {
	Balanced bool      `json:"balanced"` // every account adds up
	Accounts []Account `json:"accounts"` // by project, source, sink
	Folded   []Folded  `json:"folded"`   // heaviest first; not attributed to projects and sources, so empty if the request names one
}

// Folded is weight that a rollup counts under "(other)" because a dimension or
// a set of dimensions is at its cap. It is part of what is stored: totals are
// exact, and an event may be folded in several places.
type Folded struct {
	Where  string `json:"where"` // ROLLUP.DIMENSION or ROLLUP [SET]
	Weight int64  `json:"weight"`
	Hint   string `json:"hint"` // the setting that raises the cap
}

// FoldedHint says how to keep more of what is folded at a place.
func FoldedHint(where string) string {
	if strings.HasSuffix(where, "]") {
		return "more combinations than pipeline.set_cells in an hour; raise it or take a dimension out of the set"
	}
	return "more values than pipeline.dimension_values; raise it or use a field with fewer values"
}

// Ledger returns the accounts, one per project, source and sink.
func (s *Service) Ledger(ctx context.Context, req LedgerRequest) (*Ledger, error) {
	entries, err := s.ledgerEntries(ctx, req, false)
	if err != nil {
		return nil, err
	}
	type key struct {
		sink            millrace.Sink
		project, source string
	}
	index := map[key]int{}
	out := &Ledger{Balanced: true, Accounts: []Account{}, Folded: []Folded{}}
	for _, e := range entries {
		if e.Outcome == millrace.OutcomeFolded {
			out.Folded = append(out.Folded, Folded{e.Reason, e.Weight, FoldedHint(e.Reason)})
			continue
		}
		k := key{e.Sink, e.Project, e.Source}
		i, ok := index[k]
		if !ok {
			i = len(out.Accounts)
			index[k] = i
			out.Accounts = append(out.Accounts, Account{Sink: e.Sink, Project: e.Project, Source: e.Source, Reasons: []Reason{}})
		}
		out.Accounts[i].add(e)
	}
	for i := range out.Accounts {
		a := &out.Accounts[i]
		a.close()
		out.Balanced = out.Balanced && a.Balanced()
	}
	slices.SortFunc(out.Folded, func(a, b Folded) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Where, b.Where))
	})
	slices.SortFunc(out.Accounts, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Sink, b.Sink))
	})
	return out, nil
}

func (s *Service) ledgerEntries(ctx context.Context, req LedgerRequest, byMinute bool) ([]millrace.LedgerEntry, error) {
	q := millrace.LedgerQuery{Project: req.Project, Source: req.Source, Sink: millrace.Sink(req.Sink), ByMinute: byMinute}
	switch q.Sink {
	case "", millrace.SinkEvents, millrace.SinkRollup:
	default:
		return nil, millrace.Errorf(millrace.ErrInvalid, "sink %q: must be %s or %s", req.Sink, millrace.SinkEvents, millrace.SinkRollup)
	}
	if !req.Range.From.IsZero() {
		q.From = millrace.Minute.Floor(req.Range.From.Unix())
	}
	if !req.Range.To.IsZero() {
		q.To = millrace.Minute.Floor(ceilSeconds(req.Range.To) + 59)
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	entries, err := s.deps.Store.Ledger(ctx, q)
	if err != nil {
		return nil, timedOut(ctx, "ledger", err)
	}
	return entries, nil
}

func (a *Account) add(e millrace.LedgerEntry) {
	if c := a.count(e.Outcome); c != nil {
		c.add(e)
	}
	if e.Reason == "" && e.Outcome != millrace.OutcomeRejected && e.Outcome != millrace.OutcomeRefused {
		return
	}
	for i := range a.Reasons {
		if r := &a.Reasons[i]; r.Outcome == e.Outcome && r.Reason == e.Reason {
			r.add(e)
			return
		}
	}
	a.Reasons = append(a.Reasons, Reason{e.Outcome, e.Reason, Count{e.Events, e.Weight}, e.Example})
}

func (a *Account) count(o millrace.Outcome) *Count {
	switch o {
	case millrace.OutcomeReceived:
		return &a.Received
	case millrace.OutcomeStored:
		return &a.Stored
	case millrace.OutcomeSampled:
		return &a.Sampled
	case millrace.OutcomeFiltered:
		return &a.Filtered
	case millrace.OutcomeDuplicate:
		return &a.Duplicate
	case millrace.OutcomeRejected:
		return &a.Rejected
	case millrace.OutcomeRefused:
		return &a.Refused
	}
	return nil
}

func (a *Account) close() {
	a.Difference = a.Received
	for _, c := range []Count{a.Stored, a.Sampled, a.Filtered, a.Duplicate, a.Rejected} {
		a.Difference.Events -= c.Events
		a.Difference.Weight -= c.Weight
	}
	slices.SortFunc(a.Reasons, func(x, y Reason) int {
		return cmp.Or(cmp.Compare(y.Events, x.Events), cmp.Compare(x.Outcome, y.Outcome), cmp.Compare(x.Reason, y.Reason))
	})
}

// ArrivalPoint is what arrived in one minute, as one sink counts it.
type ArrivalPoint struct {
	Minute time.Time
	Account
}

// Arrivals returns what arrived per minute and sink, summed over sources,
// ordered by minute, then sink.
func (s *Service) Arrivals(ctx context.Context, req LedgerRequest) ([]ArrivalPoint, error) {
	entries, err := s.ledgerEntries(ctx, req, true)
	if err != nil {
		return nil, err
	}
	type key struct {
		minute int64
		sink   millrace.Sink
	}
	index := map[key]int{}
	var out []ArrivalPoint
	for _, e := range entries {
		if e.Outcome == millrace.OutcomeFolded {
			continue
		}
		k := key{e.Minute, e.Sink}
		i, ok := index[k]
		if !ok {
			i = len(out)
			index[k] = i
			out = append(out, ArrivalPoint{time.Unix(e.Minute, 0).UTC(), Account{Sink: e.Sink}})
		}
		if c := out[i].count(e.Outcome); c != nil {
			c.add(e)
		}
	}
	slices.SortFunc(out, func(a, b ArrivalPoint) int {
		return cmp.Or(a.Minute.Compare(b.Minute), cmp.Compare(a.Sink, b.Sink))
	})
	return out, nil
}

// Gap is a range of the queue that a sink could not read, in JSON's terms.
type Gap struct {
	Sink       millrace.Sink `json:"sink"`
	Partition  int32         `json:"partition"`
	Generation int64         `json:"generation"`
	From       int64         `json:"from"`
	To         int64         `json:"to"` // -1 if unknown
	Found      time.Time     `json:"found"`
	Reason     string        `json:"reason"`
}

// Gaps returns all gaps, oldest first.
func (s *Service) Gaps(ctx context.Context) ([]Gap, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	gaps, err := s.deps.Store.Gaps(ctx)
	out := make([]Gap, len(gaps))
	for i, g := range gaps {
		out[i] = Gap{g.Sink, g.Partition, g.Generation, g.From, g.To, time.Unix(0, g.Found).UTC(), g.Reason}
	}
	return out, err
}

// SetAside is a record taken out of the stream, in JSON's terms.
type SetAside struct {
	Sink       millrace.Sink `json:"sink"`
	Partition  int32         `json:"partition"`
	Generation int64         `json:"generation"`
	Offset     int64         `json:"offset"`
	Ordinal    int32         `json:"ordinal"` // -1: the whole record
	Time       time.Time     `json:"time"`
	Project    string        `json:"project"`
	Source     string        `json:"source"`
	Stage      string        `json:"stage"`
	Reason     string        `json:"reason"`
	Bytes      int           `json:"bytes"`   // of the payload that is kept
	Example    string        `json:"example"` // its beginning
}

// maxSetAside bounds one answer: people read the newest few.
const maxSetAside = 1000

// SetAside returns the newest records taken out of the stream; limit 0 is 100.
func (s *Service) SetAside(ctx context.Context, limit int) ([]SetAside, error) {
	if limit == 0 {
		limit = 100
	}
	if limit < 1 || limit > maxSetAside {
		return nil, millrace.Errorf(millrace.ErrInvalid, "limit %d: must be between 1 and %d", limit, maxSetAside)
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	list, err := s.deps.Store.SetAside(ctx, limit)
	out := make([]SetAside, len(list))
	for i, r := range list {
		out[i] = SetAside{
			r.Sink, r.Partition, r.Generation, r.Offset, r.Ordinal, time.Unix(0, r.Time).UTC(),
			r.Project, r.Source, r.Stage, r.Reason, len(r.Payload), millrace.Example(r.Payload),
		}
	}
	return out, err
}
