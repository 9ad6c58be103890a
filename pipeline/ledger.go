package pipeline

import (
	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// accounts adds up a sink's ledger between two commits.
type accounts struct {
	sink    millrace.Sink
	entries map[accountKey]*millrace.LedgerEntry
}

type accountKey struct {
	project, source string
	minute          int64
	outcome         millrace.Outcome
	reason          string
}

func newAccounts(sink millrace.Sink) *accounts {
	return &accounts{sink: sink, entries: map[accountKey]*millrace.LedgerEntry{}}
}

// add counts events of a record; the first example given for an account is kept.
func (a *accounts) add(r *millrace.Record, o millrace.Outcome, reason string, events, weight int64, example string) {
	if events == 0 {
		return
	}
	key := accountKey{r.Project, r.Source, r.Arrived / 60e9 * 60, o, reason}
	e := a.entries[key]
	if e == nil {
		e = &millrace.LedgerEntry{
			Sink: a.sink, Project: r.Project, Source: r.Source, Minute: key.minute,
			Outcome: o, Reason: reason, Example: example,
		}
		a.entries[key] = e
	}
	e.Events += events
	e.Weight += weight
}

// received counts events of a record that end with the given outcome, on both
// sides of the identity received = stored + … + rejected.
func (a *accounts) received(r *millrace.Record, o millrace.Outcome, reason string, events, weight int64, example string) {
	a.add(r, millrace.OutcomeReceived, "", events, weight, "")
	a.add(r, o, reason, events, weight, example)
}

// take returns the entries and forgets them.
func (a *accounts) take() []millrace.LedgerEntry {
	out := make([]millrace.LedgerEntry, 0, len(a.entries))
	for _, e := range a.entries {
		out = append(out, *e)
	}
	clear(a.entries)
	return out
}

// FoldedAt names where weight was folded, as accounts do: ROLLUP.DIMENSION or
// ROLLUP [SET].
func FoldedAt(f rollup.Folded) string {
	if f.Dimension == "" {
		return f.Rollup + " [" + f.Set + "]"
	}
	return f.Rollup + "." + f.Dimension
}

// foldedEntries accounts for weight that the rollups show under "(other)". An
// event may be folded in many dimensions and sets, and by then its cells do not
// know its source: these entries have a weight only, no project and no source,
// and the minute in which the newest event of the barrier arrived.
func foldedEntries(folded []rollup.Folded, arrived int64) []millrace.LedgerEntry {
	out := make([]millrace.LedgerEntry, len(folded))
	for i, f := range folded {
		out[i] = millrace.LedgerEntry{
			Sink: millrace.SinkRollup, Minute: arrived / 60e9 * 60,
			Outcome: millrace.OutcomeFolded, Reason: FoldedAt(f), Weight: f.Weight,
		}
	}
	return out
}
