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

// ListRequest asks for the issues of a project that occurred in a range.
type ListRequest struct {
	Project string
	Env     string // EnvProduction or "", EnvAll, else the one named
	Range   query.Range
	Phases  []string // of new, ongoing, regressed, resolved, ignored; empty is all
	Owner   *string  // nil is any, "" those of nobody
	Text    string   // part of type, title, culprit or id, in any case
	// Where is a further condition on service, host or release, in the search
	// language. Cells must answer it: ErrInvalid names what can be asked.
	Where      string
	ErrorClass string // business or system; "" is any
	Order      string // OrderCount (or ""), OrderUsers, OrderLastSeen, OrderFirstSeen, OrderTrend
	Limit      int    // 0 is 50, at most MaxList
	Offset     int
	Silent     bool // also issues that did not occur in the range, with zeros
	Sparkline  bool
	Step       time.Duration // of sparklines, whole minutes; 0: about 30 points
}

// MaxList is the most issues of one page.
const MaxList = 1000

// The orders of a list, each with the greatest, newest or fastest growing first.
const (
	OrderCount     = "count"
	OrderUsers     = "users"
	OrderLastSeen  = "last_seen"
	OrderFirstSeen = "first_seen"
	OrderTrend     = "trend" // by how much more than in as long a time before
)

// Row is an issue with its numbers. Counts are exact, by weight, in the
// environments and the range asked for; users are estimates (standard error 1-2%).
type Row struct {
	*millrace.Issue
	Phase string
	Count int64
	Users int64
	// Before is the count of as long a time before the range; Yesterday and
	// LastWeek are those of the range one and seven days earlier. -1: not known,
	// since nothing was counted by issue then.
	Before, Yesterday, LastWeek int64
	Spark                       []float64 // counts by Page.Times; nil unless asked for
	Fingerprints                []string  // in the order of first seen
}

// Page is one page of a list.
type Page struct {
	Rows  []Row
	Total int // issues on all pages
	Count int64
	// Other is what is counted, in the range and environments, under fingerprints
	// that the rollup folded into "(other)", since it keeps only so many: it
	// belongs to no issue. Unknown is what no issue has yet.
	Other, Unknown      int64
	UnknownFingerprints int         // of Unknown: told too fast, see Options.NewPerHour
	Times               []time.Time // beginnings of the sparklines' steps
	Step                time.Duration
	CompleteUntil       time.Time // zero: not known
	// CompleteFrom is since when exceptions are counted such that this can be
	// answered, if that is later than the range's beginning; zero: all of it.
	CompleteFrom time.Time
}

// phases are the states of issues as people read them.
var phases = map[string]millrace.IssueState{
	"new": millrace.IssueOpen, "ongoing": millrace.IssueOpen, "regressed": millrace.IssueRegressed,
	"resolved": millrace.IssueResolved, "ignored": millrace.IssueIgnored,
}

func (req *ListRequest) check() error {
	for _, p := range req.Phases {
		if phases[p] == "" {
			return millrace.Errorf(millrace.ErrInvalid, "phase %q: must be new, ongoing, regressed, resolved or ignored", p)
		}
	}
	req.Order = cmp.Or(req.Order, OrderCount)
	if !slices.Contains([]string{OrderCount, OrderUsers, OrderLastSeen, OrderFirstSeen, OrderTrend}, req.Order) {
		return millrace.Errorf(millrace.ErrInvalid, "order %q: must be count, users, last_seen, first_seen or trend", req.Order)
	}
	if req.Limit == 0 {
		req.Limit = 50
	}
	if req.Limit < 1 || req.Limit > MaxList || req.Offset < 0 {
		return millrace.Errorf(millrace.ErrInvalid, "limit %d from %d: must be between 1 and %d, from 0 on", req.Limit, req.Offset, MaxList)
	}
	return checkRange(req.Range)
}

func checkRange(r query.Range) error {
	if !r.From.Before(r.To) {
		return millrace.Errorf(millrace.ErrInvalid, "the range ends at or before its beginning")
	}
	return nil
}

// List answers a request. ErrInvalid: a bad range, phase, order, condition.
func (s *Service) List(ctx context.Context, req ListRequest) (*Page, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	step, err := stepOf(req.Range, req.Step, 30)
	if err != nil {
		return nil, err
	}
	sc, err := s.scope(ctx, req.Project, req.Env, req.Where, req.ErrorClass, "fingerprint")
	if err != nil {
		return nil, err
	}
	l := &listing{s: s, req: &req, scope: sc, page: &Page{Step: step}}
	if err := l.count(ctx); err != nil {
		return nil, err
	}
	rows, err := l.choose(ctx)
	if err != nil {
		return nil, err
	}
	l.page.Total = len(rows)
	for i := range rows {
		l.page.Count += rows[i].Count
	}
	rows = rows[min(req.Offset, len(rows)):]
	l.page.Rows = rows[:min(req.Limit, len(rows))]
	if err := l.fill(ctx); err != nil {
		return nil, err
	}
	return l.page, nil
}

// listing is one request being answered.
type listing struct {
	s     *Service
	req   *ListRequest
	scope *scope
	page  *Page
	now   *answer // by issue
	// before is as long a time before the range, if the order needs it.
	before *answer
}

// unknownPrefix names what belongs to no issue.
const unknownPrefix = "\x00"

// count asks how often each fingerprint occurred, by issue. It is one question, which
// reads sketches of users only if the order needs them or there are few.
func (l *listing) count(ctx context.Context) error {
	r := l.req.Range
	periods := []period{{r: r, users: l.req.Order == OrderUsers || l.s.members.few(l.req.Project)}}
	if l.req.Order == OrderTrend {
		periods = append(periods, period{r: earlier(r, r.To.Sub(r.From))})
	}
	all, err := l.scope.ask(ctx, question{by: "fingerprint", fold: l.byIssue(ctx)}, periods...)
	if err != nil {
		return err
	}
	l.now, l.before = all[0], all[len(all)-1]
	l.page.CompleteUntil = l.now.complete
	if !l.now.known {
		l.page.CompleteFrom = l.scope.since
	}
	l.page.Other = l.now.count[other]
	delete(l.now.count, other)
	for name, n := range l.now.count {
		if strings.HasPrefix(name, unknownPrefix) {
			l.page.Unknown += n
			l.page.UnknownFingerprints++
			delete(l.now.count, name)
		}
	}
	return nil
}

// byIssue names fingerprints after their issues, such that what has none stays apart.
func (l *listing) byIssue(ctx context.Context) func([]string) (map[string]string, error) {
	return func(values []string) (map[string]string, error) {
		values = slices.DeleteFunc(values, func(f string) bool { return f == other })
		of, err := l.s.issuesOf(ctx, l.req.Project, values)
		if err != nil {
			return nil, err
		}
		for _, f := range values {
			if _, ok := of[f]; !ok {
				of[f] = unknownPrefix + f
			}
		}
		of[other] = other
		return of, nil
	}
}

// choose returns the rows of all pages in order, with the count that orders them.
// Issues are read only as far as filters or the order need them.
func (l *listing) choose(ctx context.Context) ([]Row, error) {
	req := l.req
	var rows []Row
	byIssue := req.Order == OrderLastSeen || req.Order == OrderFirstSeen
	if len(req.Phases) == 0 && req.Owner == nil && req.Text == "" && !req.Silent && !byIssue {
		for id, n := range l.now.count {
			rows = append(rows, Row{Issue: &millrace.Issue{ID: id}, Count: n})
		}
	} else {
		list, err := l.s.deps.Store.ListIssues(ctx, l.filter())
		if err != nil {
			return nil, err
		}
		now := l.s.deps.Now()
		for _, i := range list {
			n, occurred := l.now.count[i.ID]
			if (occurred || req.Silent) && (len(req.Phases) == 0 || slices.Contains(req.Phases, i.Phase(now))) {
				rows = append(rows, Row{Issue: i, Count: n})
			}
		}
	}
	l.sort(rows)
	return rows, nil
}

// filter returns which issues can be rows.
func (l *listing) filter() millrace.IssueQuery {
	req := l.req
	q := millrace.IssueQuery{Project: req.Project, Owner: req.Owner, Text: req.Text, Order: "id"}
	for _, p := range req.Phases {
		if state := phases[p]; !slices.Contains(q.States, state) {
			q.States = append(q.States, state)
		}
	}
	if !req.Silent {
		q.SeenSince = millrace.Minute.Floor(max(req.Range.From.Unix(), 0)) * 1e9 // as cells are widened
		if q.SeenSince > 0 {
			q.SeenSince -= int64(day) // or further, where minutes are gone
		}
	}
	if len(req.Phases) == 1 && req.Phases[0] == "new" {
		q.NewSince = l.s.deps.Now().UnixNano() - int64(millrace.IssueNewFor)
	}
	return q
}

func (l *listing) sort(rows []Row) {
	key := map[string]int64{}
	switch l.req.Order {
	case OrderUsers:
		key = l.now.users
	case OrderTrend:
		for i := range rows {
			key[rows[i].ID] = rows[i].Count - l.before.count[rows[i].ID]
		}
	default:
		for i := range rows {
			switch l.req.Order {
			case OrderLastSeen:
				key[rows[i].ID] = rows[i].LastSeen
			case OrderFirstSeen:
				key[rows[i].ID] = rows[i].FirstSeen
			}
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(key[b.ID], key[a.ID]), cmp.Compare(b.Count, a.Count), strings.Compare(a.ID, b.ID))
	})
}

// maxOnly is up to how many fingerprints a question names them rather than to read
// all and drop what is not asked for.
const maxOnly = 2000

// fill reads what the rows of the page lack.
func (l *listing) fill(ctx context.Context) error {
	rows := l.page.Rows
	if len(rows) == 0 {
		l.page.Rows = []Row{}
		return nil
	}
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	if err := l.read(ctx, ids); err != nil {
		return err
	}
	of := map[string]string{}
	prints, err := l.s.deps.Store.Fingerprints(ctx, l.req.Project, ids)
	if err != nil {
		return err
	}
	slices.SortStableFunc(prints, func(a, b millrace.IssueFingerprint) int { return cmp.Compare(a.FirstSeen, b.FirstSeen) })
	list := map[string][]string{}
	for i := range prints {
		f := &prints[i]
		of[f.Fingerprint] = f.Issue
		list[f.Issue] = append(list[f.Issue], f.Fingerprint)
	}
	return l.numbers(ctx, of, list)
}

// numbers asks for the numbers of the page's rows. of has the issues of their
// fingerprints.
func (l *listing) numbers(ctx context.Context, of map[string]string, list map[string][]string) error {
	q := question{by: "fingerprint", only: only(of), fold: func([]string) (map[string]string, error) { return of, nil }}
	periods := trendOf(l.req.Range)
	if l.req.Sparkline {
		periods = append(periods, period{r: l.req.Range, step: l.page.Step})
		l.page.Times = timesOf(l.req.Range, l.page.Step)
	}
	users := l.now.users
	if users == nil {
		periods = append(periods, period{r: l.req.Range, users: true})
	}
	all, err := l.scope.ask(ctx, q, periods...)
	if err != nil {
		return err
	}
	if users == nil {
		users = all[len(all)-1].users
	}
	was, now := newTrend(all), l.s.deps.Now()
	for i := range l.page.Rows {
		r := &l.page.Rows[i]
		r.Fingerprints, r.Users, r.Phase = list[r.ID], users[r.ID], r.Issue.Phase(now)
		r.Before, r.Yesterday, r.LastWeek = was.before.of(r.ID), was.yesterday.of(r.ID), was.lastWeek.of(r.ID)
		if l.req.Sparkline {
			r.Spark = all[3].spark(r.ID, l.page.Times)
		}
	}
	return nil
}

// only is the condition that selects fingerprints, nil if there are too many.
func only[T any](of map[string]T) *millrace.Filter {
	if len(of) > maxOnly {
		return nil
	}
	names := make([]string, 0, len(of))
	for f := range of {
		names = append(names, f)
	}
	slices.Sort(names)
	return anyOf("fingerprint", names)
}

// read reads the issues of rows that have only their ids. One that was merged away
// meanwhile stays as it is.
func (l *listing) read(ctx context.Context, ids []string) error {
	if l.page.Rows[0].Issue.Project != "" {
		return nil
	}
	list, err := l.s.deps.Store.ListIssues(ctx, millrace.IssueQuery{Project: l.req.Project, IDs: ids, Order: "id"})
	if err != nil {
		return err
	}
	byID := map[string]*millrace.Issue{}
	for _, i := range list {
		byID[i.ID] = i
	}
	for k := range l.page.Rows {
		r := &l.page.Rows[k]
		if r.Issue = byID[r.ID]; r.Issue == nil {
			if r.Issue, err = l.s.deps.Store.Issue(ctx, l.req.Project, ids[k]); err != nil {
				return err
			}
		}
	}
	return nil
}
