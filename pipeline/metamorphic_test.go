package pipeline

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// The metamorphic test of the rollups. Whatever happens to a stream on its way,
// cells and accounts must be those that a naive program computes from the same
// events: late by minutes, days or years, sent twice, lost by kills and read
// again, folded in other orders and portions, by definitions that change in
// between, beyond the caps of dimensions and sets. Sums, counts, minima and
// maxima are compared exactly, quantiles and distinct counts within the errors
// that the sketches state. See scenario, driver and oracle.
func TestRollupsAgainstOracle(t *testing.T) {
	t.Parallel()
	n := uint64(1000)
	if testing.Short() {
		n = 150
	}
	var mu sync.Mutex
	var sum driveStats
	var next atomic.Uint64
	t.Run("seed", func(t *testing.T) {
		const lanes = 2 // processors of a small machine
		for lane := range uint64(lanes) {
			t.Run(fmt.Sprint("lane", lane), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1) - 1; seed < n; seed = next.Add(1) - 1 {
					stats := checkSeed(t, seed, sizeOf(seed))
					mu.Lock()
					sum.add(stats)
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d cases: %+v", n, sum)
	if sum.WideUniques > 3+sum.Uniques/100 {
		t.Errorf("%d of %d estimates are off by more than 3 standard errors", sum.WideUniques, sum.Uniques)
	}
	tame := sum.Sessions < int(n) || sum.Early < int(n)/20 || sum.Poisoned == 0
	if tame || sum.FoldedDims < int(n)/20 || sum.FoldedSets < int(n)/20 || sum.Retired == 0 {
		t.Errorf("the cases are too tame: %+v", sum)
	}
}

// TestLargeRollupsAgainstOracle has enough events for whole chunks of the engine
// and for plans that change; with MILLRACE_SOAK=1 also more than a chunk at once.
func TestLargeRollupsAgainstOracle(t *testing.T) {
	if raceDetector {
		t.Skip("takes a minute under the race detector")
	}
	t.Parallel()
	var sum driveStats
	for seed := range uint64(2) {
		sum.add(checkSeed(t, 2_000_000+seed, 20_000))
	}
	if os.Getenv("MILLRACE_SOAK") != "" {
		sum.add(checkSeed(t, 3_000_000, 300_000))
	}
	t.Logf("%+v", sum)
}

// TestRollupsSeed runs the case that MILLRACE_SEED names, of MILLRACE_SIZE events.
func TestRollupsSeed(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("MILLRACE_SEED"), 10, 64)
	if err != nil {
		t.Skip("MILLRACE_SEED names no case")
	}
	size, err := strconv.Atoi(os.Getenv("MILLRACE_SIZE"))
	if err != nil {
		size = sizeOf(seed)
	}
	t.Logf("%+v", checkSeed(t, seed, size))
}

// FuzzRollups runs cases without end: go test -fuzz FuzzRollups ./pipeline.
func FuzzRollups(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(1_000_000 + seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { checkSeed(t, seed, sizeOf(seed)) })
}

// sizeOf makes most cases small: they reach as many corners and fail clearer.
func sizeOf(seed uint64) int {
	switch {
	case seed%100 == 99:
		return 1500
	case seed%10 == 9:
		return 250
	}
	return 5 + int(seed%7)*9
}

// checkSeed runs a case. One that fails is made smaller first, by leaving out
// half of the records as long as it still fails.
func checkSeed(t *testing.T, seed uint64, size int) driveStats {
	t.Helper()
	sc := newScenario(seed, size)
	stats, err := runScenario(t.Context(), sc)
	if err == nil {
		return stats
	}
	t.Errorf("seed %d (MILLRACE_SEED=%d MILLRACE_SIZE=%d): %v", seed, seed, size, err)
	for n := len(sc.records) / 2; n > 0; {
		smaller := false
		for from := 0; from < len(sc.records) && !smaller; from += n {
			part := newScenario(seed, size) // offsets and events are written to
			keep := sc.records
			part.records = append(append([]*entry{}, keep[:from]...), keep[min(len(keep), from+n):]...)
			if _, e := runScenario(t.Context(), part); e != nil && len(part.records) > 0 {
				sc, err, smaller = part, e, true
			}
		}
		if n = min(n, len(sc.records)/2); !smaller {
			n /= 2
		}
	}
	report(t, sc, err)
	return stats
}

// report prints a case that fails, in short.
func report(t *testing.T, sc *scenario, err error) {
	t.Helper()
	t.Logf("with these %d records: %v", len(sc.records), err)
	for _, e := range sc.records[:min(10, len(sc.records))] {
		line := fmt.Sprintf("partition %d, offset %d, %s %d: %d events", e.rec.Partition, e.rec.Offset, e.rec.Client, e.rec.Seq, len(e.events))
		if len(e.events) > 0 {
			line += fmt.Sprintf(", first %+v", e.events[0])
		}
		t.Logf("%.300s", line)
	}
	for i, v := range sc.versions {
		t.Logf("version %d: %+v", i, v.defs)
	}
	t.Logf("options: %+v", sc.opts)
}
