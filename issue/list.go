package issue

import (
	"context"
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
	Other, Unknown int64
	Times          []time.Time // beginnings of the sparklines' steps
	Step           time.Duration
	CompleteUntil  time.Time // zero: not known
	// CompleteFrom is since when exceptions are counted such that this can be
	// answered, if that is later than the range's beginning; zero: all of it.
	CompleteFrom time.Time
}

// List answers a request. ErrInvalid: a bad range, phase, order, condition.
func (s *Service) List(ctx context.Context, req ListRequest) (*Page, error) { return nil, errNotYet }
