package query

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// unsampled refuses what raw rows cannot tell exactly: of exceptions only samples are
// stored. Accounts know when an event arrived, not when it happened, so any that was
// sampled since the beginning of the range may be of it.
func (s *Service) unsampled(ctx context.Context, q *question, from int64) error {
	if kind, ok := rollup.WhereKind(q.schema.Where); ok && kind != millrace.KindException || withoutExceptions(q.where) {
		return nil
	}
	entries, err := s.deps.Store.Ledger(ctx, millrace.LedgerQuery{
		Sink: millrace.SinkEvents, From: millrace.Minute.Floor((from - int64(millrace.MaxAhead)) / 1e9),
	})
	if err != nil {
		return err
	}
	var sampled int64
	for _, e := range entries {
		if e.Outcome == millrace.OutcomeSampled {
			sampled += e.Events
		}
	}
	if sampled == 0 {
		return nil
	}
	return &millrace.Error{
		Code: millrace.ErrInvalid,
		Message: fmt.Sprintf("no set of rollup %s has what is asked for, and raw rows cannot tell it exactly: details of %d exceptions that arrived since %s were not stored",
			q.schema.Name, sampled, time.Unix(0, from).UTC().Format(time.RFC3339)),
		Hint: "add the set to the rollup's configuration: it counts all from then on; a condition on kind leaves exceptions out",
	}
}

// withoutExceptions reports whether a condition takes no exceptions for sure.
func withoutExceptions(f *millrace.Filter) bool {
	if f == nil {
		return false
	}
	name := millrace.KindException.String()
	switch f.Op {
	case millrace.FilterAnd:
		for _, sub := range f.Sub {
			if withoutExceptions(sub) {
				return true
			}
		}
	case millrace.FilterEq:
		return f.Field == "kind" && f.Value != name
	case millrace.FilterNe:
		return f.Field == "kind" && f.Value == name
	}
	return false
}
