package duckdb

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// runSlices runs upkeep until nothing is due and returns how many calls it took
// and the longest of them.
func runSlices(t testing.TB, db *DB, now time.Time) (n int, longest time.Duration) {
	t.Helper()
	for more := true; more; n++ {
		start := time.Now()
		var err error
		if more, err = db.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(start))
		if n > 3000 {
			t.Fatal("upkeep does not converge")
		}
	}
	return n, longest
}

// totals returns count and sum per granularity and set, which upkeep must not
// change.
func totals(t *testing.T, db *DB, g string) []string {
	t.Helper()
	return text(t, db, fmt.Sprintf(`SELECT dimension_set, sum(pv)::BIGINT, sum(bytes)::BIGINT, count(DISTINCT concat_ws('|', service, url))
		FROM rollup_wide WHERE granularity = '%s' GROUP BY 1 ORDER BY 1`, g))
}

// TestThousandsOfHours: a flush whose cells belong to 5,000 hours of two years,
// and another to the same ones when they are computed, cost about as much as
// cells of one hour would.
func TestThousandsOfHours(t *testing.T) {
	db, s := defineWide(t, 20)
	cells := wideCells(s, rand.New(rand.NewPCG(1, 1)), viewBase.Unix(), 1, 20_000)
	n := 0
	for _, b := range cells {
		for i := range b.Bucket {
			b.Bucket[i] -= int64(n%5000) * 3 * 3600
			n++
		}
	}
	base := viewBase
	for round := range 3 {
		start := time.Now()
		if err := db.WriteCells(t.Context(), cells, rollupCommit(base)); err != nil {
			t.Fatal(err)
		}
		wrote := time.Since(start)
		want := totals(t, db, "1m")
		same(t, "hours before upkeep", totals(t, db, "1h"), want...)
		base = base.Add(2 * time.Hour)
		n, longest := runSlices(t, db, base)
		t.Logf("round %d: %d cells written in %v; %d slices, the longest %v", round, countCells(cells), wrote, n, longest)
		if n > 60 {
			t.Errorf("%d slices", n)
		}
		for _, g := range []string{"1m", "1h", "1d"} {
			same(t, g+" after upkeep", totals(t, db, g), want...)
		}
		if got := text(t, db, "SELECT state, count(*) FROM cell_periods WHERE granularity = 3600 GROUP BY 1"); len(got) != 1 || got[0] != "1|5000" {
			t.Fatalf("states of hours: %v", got)
		}
	}
}

// TestLargeSlices: a minute with far more cells than a slice takes is compacted
// and computed in slices of bounded size, with late deltas in between.
func TestLargeSlices(t *testing.T) {
	db, s := defineWide(t, 70)
	db.rollups.firstPace = 20_000
	rng := rand.New(rand.NewPCG(1, 1))
	write := func(start time.Time, events int) {
		t.Helper()
		if err := db.WriteCells(t.Context(), wideCells(s, rng, start.Unix(), 1, events), rollupCommit(start)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		write(viewBase, 10_000)
	}
	count := func(table string) (n int64) {
		t.Helper()
		if _, err := fmt.Sscan(text(t, db, "SELECT count(*) FROM "+table)[0], &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	deltas, most, n := count("deltas_wide"), int64(0), 0
	for left := deltas; left > 0; n++ {
		pace := db.paceOf("compact", &cube{schema: s}).rows
		if _, err := db.compact(t.Context(), viewBase.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		next := count("deltas_wide")
		if done := left - next; done > 2*pace {
			t.Fatalf("a slice took %d of %d deltas, the pace was %d", done, deltas, pace)
		}
		most, left = max(most, left-next), next
	}
	t.Logf("%d deltas in %d slices of up to %d", deltas, n, most)
	if n < 5 {
		t.Errorf("%d deltas were compacted in %d slices", deltas, n)
	}
	write(viewBase.Add(time.Minute), 2000)
	want := totals(t, db, "1m")
	n, longest := runSlices(t, db, viewBase.Add(3*time.Hour))
	t.Logf("the rest in %d slices, the longest %v", n, longest)
	st, err := db.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Slices < 5 || st.LongestSlice <= 0 {
		t.Errorf("statistics tell of %d slices, the longest %v", st.Slices, st.LongestSlice)
	}
	for _, g := range []string{"1h", "1d"} {
		same(t, g, totals(t, db, g), want...)
	}
}

// TestSortedDay: the hours of a computed day lie together by set, none is lost
// or doubled, and late deltas still reach them.
func TestSortedDay(t *testing.T) {
	db, s := defineWide(t, 30)
	rng := rand.New(rand.NewPCG(1, 1))
	for h := range 24 {
		cells := wideCells(s, rng, viewBase.Unix()+int64(h)*3600, 1, 400)
		if err := db.WriteCells(t.Context(), cells, rollupCommit(viewBase.Add(time.Duration(h)*time.Hour))); err != nil {
			t.Fatal(err)
		}
		runSlices(t, db, viewBase.Add(time.Duration(h+1)*time.Hour+9*time.Minute))
	}
	const runs = "SELECT count(*) FROM (SELECT set_id, lag(set_id) OVER (ORDER BY rowid) AS before FROM hours_wide) WHERE before IS DISTINCT FROM set_id"
	if n := text(t, db, "SELECT count(*) FROM hours_wide")[0]; len(n) < 5 {
		t.Fatalf("%s hour cells are too few to be sorted", n)
	}
	if runs := text(t, db, runs)[0]; len(runs) < 3 {
		t.Fatalf("%s runs of sets before the day is computed", runs)
	}
	want := totals(t, db, "1m")
	runSlices(t, db, viewBase.Add(26*time.Hour))
	same(t, "sets one after the other", text(t, db, runs), "30")
	for _, g := range []string{"1m", "1h", "1d"} {
		same(t, g, totals(t, db, g), want...)
	}
	if err := db.WriteCells(t.Context(), wideCells(s, rng, viewBase.Unix()+7200, 1, 100), rollupCommit(viewBase.Add(27*time.Hour))); err != nil {
		t.Fatal(err)
	}
	want = totals(t, db, "1m")
	runSlices(t, db, viewBase.Add(29*time.Hour))
	for _, g := range []string{"1h", "1d"} {
		same(t, g+" with late deltas", totals(t, db, g), want...)
	}
}
