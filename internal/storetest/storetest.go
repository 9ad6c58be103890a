// Package storetest is the contract of millrace.Store as tests: every
// implementation runs the same suite (Run), and two implementations fed with
// the same random operations must give the same answers (Equal).
package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// Harness tells Run how to get stores.
type Harness struct {
	// Open opens the store that lives in dir, a new one if dir is empty. The
	// suite closes what it opens.
	Open func(t *testing.T, dir string) millrace.Store
	// Volatile stores forget everything when closed.
	Volatile bool
}

// Base is the beginning of the suite's time: a Monday, 00:00 UTC.
var Base = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// Run runs the whole suite. It sets failpoints, so it must not run in parallel
// with other tests of the process.
func Run(t *testing.T, h Harness) {
	f := func(name string, test func(t *testing.T, s millrace.Store)) {
		t.Run(name, func(t *testing.T) { test(t, h.open(t, t.TempDir())) })
	}
	f("commit/state", testState)
	f("commit/stale positions", testStale)
	f("commit/retired values", testRetired)
	f("commit/empty", testEmptyWrites)
	f("commit/invalid cells leave nothing", testInvalidCells)
	f("commit/failure leaves nothing", testFailedCommit)
	f("commit/cancelled", testCancelled)
	f("commit/readers see whole transactions", testIsolation)
	f("ledger", testLedger)
	f("gaps", testGaps)
	f("set aside", testSetAside)
	f("events/round trip", testEventRoundTrip)
	f("events/extreme times", testExtremeTimes)
	f("events/pages", testPages)
	f("events/filters", testEventFilters)
	f("events/well-known attributes", testWellKnownAttrs)
	f("events/filters of well-known attributes", testAttrFilters)
	f("events/counts", testCounts)
	f("events/fingerprints", testFingerprints)
	f("events/invalid queries", testInvalidEventQueries)
	f("events/retention", testEventRetention)
	f("rollups/definitions", testDefinitions)
	f("rollups/growing definitions", testGrowingDefinitions)
	f("cells/states", testStates)
	f("cells/queries", testCellQueries)
	f("cells/strange dimensions", testStrangeDimensions)
	f("cells/errors", testCellErrors)
	f("cells/parts", testParts)
	f("cells/uneven steps", testUnevenSteps)
	f("cells/coverage", testCoverage)
	f("events/scan", testScan)
	f("cells/late deltas", testLateDeltas)
	f("cells/thousands of days", testManyDays)
	f("cells/retention", testCellRetention)
	f("cells/old times are not dropped at once", testOldTimes)
	f("refold/sets that joined later", testRefold)
	f("refold/rows not yet counted", testRefoldBetween)
	f("refold/hours without minutes", testRefoldSealed)
	f("refold/refused", testRefoldRefused)
	f("refold/rows dropped", testRefoldDropped)
	t.Run("reopen", func(t *testing.T) { testReopen(t, h) })
}

func (h Harness) open(t *testing.T, dir string) millrace.Store {
	t.Helper()
	s := h.Open(t, dir)
	closed := false
	t.Cleanup(func() {
		if !closed {
			closed = true
			check(t, s.Close())
		}
	})
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, want millrace.Code) {
	t.Helper()
	if got := millrace.ErrorCode(err); got != want {
		t.Fatalf("error %v has code %q, want %q", err, got, want)
	}
	if e, ok := errors.AsType[*millrace.Error](err); want != "" && (!ok || e.Message == "") {
		t.Fatalf("error %v has no message for users", err)
	}
}

// settle runs Maintain at now until nothing is due.
func settle(t *testing.T, s millrace.Store, now time.Time) {
	t.Helper()
	for range 100_000 {
		more, err := s.Maintain(t.Context(), now)
		check(t, err)
		if !more {
			return
		}
	}
	t.Fatal("Maintain reports more work for ever")
}

// withFailpoint runs f while the failpoints of spec are set.
func withFailpoint(t *testing.T, spec string, f func()) {
	t.Helper()
	check(t, failpoint.Set(spec))
	defer func() { check(t, failpoint.Set("")) }()
	f()
}
