package duckdb

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
	"github.com/millrace/millrace/internal/storetest"
	"github.com/millrace/millrace/memory"
)

// faulty fails one in so many writes and slices of upkeep, before or after
// their commit, and tries again until they succeed; a write that failed after
// its commit is not repeated, as the pipeline would find out from Load.
type faulty struct {
	*DB
	t   *testing.T
	rng *rand.Rand
}

func (f *faulty) fail(point string) (after bool) {
	name := point
	switch f.rng.IntN(6) {
	case 0:
		name += ".commit=error"
	case 1:
		name, after = name+".commit.after=error", true
	case 2:
		name += "=error"
	default:
		return false
	}
	if err := failpoint.Set(name); err != nil {
		f.t.Fatal(err)
	}
	return after
}

func (f *faulty) WriteCells(ctx context.Context, cells []*millrace.CellBatch, c *millrace.Commit) error {
	after := f.fail("rollup")
	err := f.DB.WriteCells(ctx, cells, c)
	if resetErr := failpoint.Set(""); resetErr != nil {
		return resetErr
	}
	if err != nil && !after {
		return f.DB.WriteCells(ctx, cells, c)
	}
	return nil
}

func (f *faulty) Maintain(ctx context.Context, now time.Time) (bool, error) {
	f.fail([]string{"compaction", "hours", "retention"}[f.rng.IntN(3)])
	more, err := f.DB.Maintain(ctx, now)
	if resetErr := failpoint.Set(""); resetErr != nil {
		return false, resetErr
	}
	return more || err != nil, nil
}

// TestUpkeepSurvivesFaults: whatever fails, and however small the parts are
// into which hours and minutes are cut, the answers are those of the oracle.
func TestUpkeepSurvivesFaults(t *testing.T) {
	db := openTest(t)
	db.rollups.firstPace = 7
	storetest.Equal(t, 11, memory.New(), &faulty{db, t, rand.New(rand.NewPCG(1, 2))})
}

// TestLargeHourIsComputedInParts: a job goes on from part to part, and a delta
// that arrives between two of them makes it start over.
func TestLargeHourIsComputedInParts(t *testing.T) {
	db, s := trafficStore(t)
	rng := rand.New(rand.NewPCG(3, 3))
	write := func(start time.Time, n int) {
		t.Helper()
		if err := db.WriteCells(t.Context(), trafficCells(s, rng, start.Unix(), 50, n), rollupCommit(start)); err != nil {
			t.Fatal(err)
		}
	}
	write(viewBase, 5000)
	now := viewBase.Add(80 * time.Minute)
	maintain(t, db, viewBase.Add(30*time.Minute)) // compacted, not yet due
	db.rollups.firstPace = 900
	clear(db.rollups.pace)
	count := func() string {
		return text(t, db, "SELECT count(*) || ' ' || (SELECT state FROM cell_periods WHERE granularity = 3600) FROM hours_traffic")[0]
	}
	for range 3 {
		if _, err := db.computePeriods(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	if db.rollups.job == nil || count() == "0 0" {
		t.Fatalf("after three slices: job %v, hours and state %s", db.rollups.job, count())
	}
	write(viewBase.Add(5*time.Minute), 100)
	if db.rollups.job != nil {
		t.Fatal("a late delta did not cancel the job")
	}
	want := text(t, db, "SELECT dimension_set, sum(pv)::BIGINT, count(DISTINCT concat_ws('|', service, url, status)) FROM rollup_traffic WHERE granularity = '1m' GROUP BY 1 ORDER BY 1")
	maintain(t, db, now.Add(10*time.Minute))
	got := text(t, db, "SELECT dimension_set, sum(pv)::BIGINT, count(*) FROM rollup_traffic WHERE granularity = '1h' GROUP BY 1 ORDER BY 1")
	same(t, "hours", got, want...)
	if state := text(t, db, "SELECT state FROM cell_periods WHERE granularity = 3600")[0]; state != "1" {
		t.Fatalf("the hour has state %s, want clean", state)
	}
}
