package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// testLateDeltas lets deltas arrive for hours and days that are already
// computed, and looks before and after they are computed again.
func testLateDeltas(t *testing.T, s millrace.Store) {
	def := define(t, s)
	all := sample(Base, 6*time.Minute, 400) // 40 hours
	store(t, s, def, Base.Add(40*time.Hour), all)
	settle(t, s, Base.Add(50*time.Hour))
	sameCells(t, s, def, all)
	for i := range 4 {
		now := Base.Add(time.Duration(50+i) * time.Hour)
		late := sample(Base.Add(time.Duration(i)*7*time.Hour), 11*time.Minute, 30)
		store(t, s, def, now, late)
		all = slices.Concat(all, late)
		sameCells(t, s, def, all)
		// One slice of work after the other, all of them exact.
		for range 20 {
			more, err := s.Maintain(t.Context(), now.Add(5*time.Minute))
			check(t, err)
			sameCells(t, s, def, all)
			if !more {
				break
			}
		}
		if i == 2 {
			continue // leave work for the next round
		}
		settle(t, s, now.Add(5*time.Minute))
		st, err := s.Stats(t.Context())
		check(t, err)
		if st.DirtyHours != 0 || st.Deltas != 0 {
			t.Fatalf("%d dirty hours and %d deltas are left although nothing is due", st.DirtyHours, st.Deltas)
		}
		sameCells(t, s, def, all)
	}
}

// testManyDays writes one flush that touches thousands of different days.
func testManyDays(t *testing.T, s millrace.Store) {
	def := define(t, s)
	def.Sets = def.Sets[:2]
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{def}))
	all := sample(Base.Add(-5000*24*time.Hour), 24*time.Hour+time.Hour, 5000)
	store(t, s, def, Base, all[:4500])
	store(t, s, def, Base, all[4000:])
	all = slices.Concat(all, all[4000:4500])
	sameCells(t, s, def, all)
	start := time.Now()
	settle(t, s, Base.Add(24*time.Hour))
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("computing 5000 days took %v", took)
	}
	sameCells(t, s, def, all)
}

// testCellRetention follows cells until they are gone. Retention counts from
// arrival: minutes 8 days, hours 90 days, days 730 days.
func testCellRetention(t *testing.T, s millrace.Store) {
	day := 24 * time.Hour
	def := define(t, s)
	first := sample(Base, 10*time.Minute, 300) // two days and two hours
	store(t, s, def, Base.Add(50*time.Hour), first)
	all := first

	f := func(after time.Duration, minutes, hours, days []obs) {
		t.Helper()
		settle(t, s, Base.Add(after))
		for _, set := range def.Sets {
			for _, g := range set.Granularities {
				want := map[millrace.Granularity][]obs{millrace.Minute: minutes, millrace.Hour: hours, millrace.Day: days}[g]
				sameQuery(t, s, def, want, everything(def, set, g))
			}
		}
	}
	f(9*day, all, all, all)
	f(50*time.Hour+8*day-time.Minute, all, all, all)
	f(11*day, nil, all, all)

	// A late delta to a sealed hour: it counts in the hour and the day at once,
	// and its minute is not shown as if it were whole.
	late := sample(Base.Add(30*time.Minute), time.Minute, 20)
	store(t, s, def, Base.Add(20*day), late)
	all = slices.Concat(first, late)
	for _, set := range def.Sets {
		for _, g := range set.Granularities {
			if g != millrace.Minute {
				sameQuery(t, s, def, all, everything(def, set, g))
			}
		}
	}
	f(20*day+time.Hour, nil, all, all)
	// The late arrival prolongs the hours of its own day only.
	f(96*day, nil, onDay(all, 0), all)
	f(111*day, nil, nil, all)
	// A late delta to a sealed day.
	later := sample(Base.Add(26*time.Hour), time.Minute, 7)
	store(t, s, def, Base.Add(120*day), later)
	all = slices.Concat(all, later)
	f(120*day+time.Hour, nil, nil, all)
	f(735*day, nil, nil, slices.Concat(onDay(all, 0), onDay(all, 1)))
	f(760*day, nil, nil, onDay(all, 1))
	f(851*day, nil, nil, nil)
	// What comes after the end begins anew.
	again := sample(Base.Add(time.Hour), time.Minute, 5)
	store(t, s, def, Base.Add(852*day), again)
	f(853*day, again, again, again)
}

// onDay returns the observations of the n-th day after Base.
func onDay(all []obs, n int) []obs {
	var out []obs
	for _, o := range all {
		if millrace.Day.Floor(o.at) == Base.AddDate(0, 0, n).Unix() {
			out = append(out, o)
		}
	}
	return out
}

func testOldTimes(t *testing.T, s millrace.Store) {
	def := define(t, s)
	all := sample(time.Date(1995, 7, 1, 0, 0, 0, 0, time.UTC), 7*time.Hour, 60)
	all = append(all, sample(time.Unix(-90000, 0), time.Hour, 50)...)
	store(t, s, def, Base, all)
	for _, after := range []time.Duration{time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour} {
		settle(t, s, Base.Add(after))
		sameCells(t, s, def, all)
	}
}

func testReopen(t *testing.T, h Harness) {
	if h.Volatile {
		t.Skip("the store keeps nothing when closed")
	}
	dir := t.TempDir()
	reopened := func(f func(s millrace.Store)) {
		t.Helper()
		s := h.Open(t, dir)
		f(s)
		check(t, s.Close())
	}
	def := schema()
	all := sample(Base, 10*time.Minute, 200)
	late := sample(Base, 10*time.Minute, 20)
	reopened(func(s millrace.Store) {
		define(t, s)
		store(t, s, def, Base.Add(33*time.Hour), all)
		writeEvents(t, s, []ev{{time: 5, message: "kept"}})
	})
	reopened(func(s millrace.Store) {
		define(t, s)
		sameCells(t, s, def, all)
		if got := readEvents(t, s, allEvents()); len(got) != 1 || got[0].Message != "kept" {
			t.Fatalf("after reopening there are events %+v", got)
		}
		settle(t, s, Base.Add(36*time.Hour))
	})
	reopened(func(s millrace.Store) {
		define(t, s)
		sameCells(t, s, def, all)
		store(t, s, def, Base.Add(36*time.Hour), late)
	})
	all = slices.Concat(all, late)
	reopened(func(s millrace.Store) {
		bad := schema()
		bad.Metrics[0].Func = millrace.FuncSum
		wantCode(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{bad}), millrace.ErrConflict)
		define(t, s)
		sameCells(t, s, def, all)
		st, err := s.Load(t.Context(), millrace.SinkRollup)
		check(t, err)
		if len(st.Positions) != 1 || st.Positions[0].Offset != 1 {
			t.Fatalf("after reopening the positions are %+v", st.Positions)
		}
		settle(t, s, Base.Add(60*time.Hour))
		sameCells(t, s, def, all)
	})
}
