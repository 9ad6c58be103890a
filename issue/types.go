package issue

import (
	"context"
	"time"

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

// Types answers a request. ErrInvalid as for List.
func (s *Service) Types(ctx context.Context, req TypesRequest) (*Types, error) {
	return nil, errNotYet
}
