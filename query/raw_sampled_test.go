package query

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/memory"
)

// TestRawOfSampled: what only raw rows could tell is refused if exceptions were sampled
// that it may count, and answered otherwise.
func TestRawOfSampled(t *testing.T) {
	w := newWorld(t, 3, 300, func(testing.TB) millrace.Store { return memory.New() })
	ask := func(name, where string) error {
		_, err := w.service.Rollup(t.Context(), RollupRequest{
			Rollup: name, Metrics: names("pv"), By: names("plan"), Where: where, Range: Range{w.start, w.start.AddDate(0, 0, 5)},
		})
		return err
	}
	sample := func(at time.Time) {
		t.Helper()
		fail(t, w.store.WriteEvents(t.Context(), &millrace.EventRows{}, &millrace.Commit{Sink: millrace.SinkEvents, Ledger: []millrace.LedgerEntry{{
			Sink: millrace.SinkEvents, Minute: at.Unix(), Outcome: millrace.OutcomeSampled, Reason: millrace.ReasonExceptionSamples, Events: 7, Weight: 7,
		}}}))
	}
	sample(w.start.Add(-millrace.MaxAhead - 2*time.Minute)) // before anything of the range
	for _, name := range []string{"r0", "r1"} {
		fail(t, ask(name, ""))
	}
	sample(w.start.Add(time.Hour))
	fail(t, ask("r0", "")) // access lines only
	err := ask("r1", "")
	if millrace.ErrorCode(err) != millrace.ErrInvalid || !strings.Contains(err.Error(), "details of 7 exceptions") {
		t.Errorf("error %v, want that details are missing", err)
	}
	fail(t, ask("r1", "kind:access"))
	fail(t, ask("r1", "service:web NOT kind:exception kind:log"))
	for _, where := range []string{"kind:exception", "kind:access OR service:web", "NOT kind:access", "service:web"} {
		if err := ask("r1", where); millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("where %s: %v", where, err)
		}
	}
}
