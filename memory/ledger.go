package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/millrace/millrace"
)

// account is the key of a ledger entry.
type account struct {
	sink            millrace.Sink
	project, source string
	minute          int64
	outcome         millrace.Outcome
	reason          string
}

func keyOf(e *millrace.LedgerEntry) account {
	return account{e.Sink, e.Project, e.Source, e.Minute, e.Outcome, e.Reason}
}

func (s *Store) addAccount(e millrace.LedgerEntry) {
	k := keyOf(&e)
	old := s.ledger[k]
	e.Events += old.Events
	e.Weight += old.Weight
	e.Example = cmp.Or(old.Example, e.Example)
	s.ledger[k] = e
}

// Ledger implements millrace.Store. Equal minutes, sources, sinks, outcomes and
// reasons are ordered by project. A sum over minutes has the earliest example.
func (s *Store) Ledger(ctx context.Context, q millrace.LedgerQuery) ([]millrace.LedgerEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []millrace.LedgerEntry
	for _, e := range s.ledger {
		if q.From != 0 && e.Minute < q.From || q.To != 0 && e.Minute >= q.To ||
			q.Project != "" && e.Project != q.Project ||
			q.Source != "" && e.Source != q.Source ||
			q.Sink != "" && e.Sink != q.Sink {
			continue
		}
		out = append(out, e)
	}
	slices.SortFunc(out, compareAccounts)
	if !q.ByMinute {
		out = sumMinutes(out)
	}
	return out, ctx.Err()
}

func sumMinutes(in []millrace.LedgerEntry) []millrace.LedgerEntry {
	var out []millrace.LedgerEntry
	at := map[account]int{}
	for _, e := range in {
		e.Minute = 0
		i, ok := at[keyOf(&e)]
		if !ok {
			at[keyOf(&e)] = len(out)
			out = append(out, e)
			continue
		}
		out[i].Events += e.Events
		out[i].Weight += e.Weight
		out[i].Example = cmp.Or(out[i].Example, e.Example)
	}
	slices.SortFunc(out, compareAccounts)
	return out
}

func compareAccounts(a, b millrace.LedgerEntry) int {
	return cmp.Or(
		cmp.Compare(a.Minute, b.Minute), cmp.Compare(a.Source, b.Source),
		cmp.Compare(a.Sink, b.Sink), cmp.Compare(a.Outcome, b.Outcome),
		cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Project, b.Project))
}
