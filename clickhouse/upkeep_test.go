package clickhouse_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/storetest"
)

func ledgerOf(minute int64, outcome millrace.Outcome, n int64, example string) []millrace.LedgerEntry {
	return []millrace.LedgerEntry{{
		Sink: millrace.SinkEvents, Project: "p", Source: fmt.Sprint("s", minute/60%50), Minute: minute, Outcome: outcome, Events: n, Weight: 2 * n, Example: example,
	}}
}

func maintainAll(t testing.TB, db *clickhouse.DB, now time.Time) {
	t.Helper()
	for range 1000 {
		more, err := db.Maintain(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
	}
	t.Fatal("Maintain has more to do for ever")
}

// TestLedgerIsMerged: accounts stay the same while their deltas are added up,
// deleted, and followed by later ones of the same minutes.
func TestLedgerIsMerged(t *testing.T) {
	opt := database(t, server(t))
	commits := committest.New(clock)
	db := open(t, opt, commits)
	defer db.Close()
	name := databaseOf(opt)
	rows := func(table string) int64 { return count(t, name+"."+table, "1") }
	want := int64(0)
	write := func(n int, example string) {
		t.Helper()
		var all []millrace.LedgerEntry
		for i := range n {
			all = append(all, ledgerOf(storetest.Base.Unix()+int64(i%300)*60, millrace.OutcomeStored, 3, example)...)
		}
		want += int64(n) * 3
		if err := db.WriteEvents(t.Context(), nil, &millrace.Commit{Sink: millrace.SinkEvents, Ledger: all}); err != nil {
			t.Fatal(err)
		}
	}
	same := func(when string) {
		t.Helper()
		got, err := db.Ledger(t.Context(), millrace.LedgerQuery{ByMinute: true})
		if err != nil {
			t.Fatal(err)
		}
		var events, weight int64
		for _, e := range got {
			events, weight = events+e.Events, weight+e.Weight
			if e.Example != "first" {
				t.Fatalf("%s: example %q", when, e.Example)
			}
		}
		if len(got) != 300 || events != want || weight != 2*want {
			t.Fatalf("%s: %d accounts with %d events of weight %d, want 300 with %d", when, len(got), events, weight, want)
		}
	}
	write(900, "first")
	write(900, "second")
	same("before")
	now := storetest.Base.Add(time.Hour)
	maintainAll(t, db, now)
	same("merged")
	if n := rows("ledger_merged"); n != 300 {
		t.Fatalf("%d merged accounts", n)
	}
	write(600, "third") // fewer than are worth merging
	same("with later ones")
	now = now.Add(20 * time.Minute)
	maintainAll(t, db, now)
	if n := rows("ledger_rows"); n != 600 {
		t.Fatalf("%d deltas after those that were merged are deleted", n)
	}
	same("deleted")
	write(900, "fourth")
	now = now.Add(20 * time.Minute)
	maintainAll(t, db, now)
	same("merged again")
	now = now.Add(20 * time.Minute)
	maintainAll(t, db, now)
	if n := rows("ledger_rows"); n != 0 {
		t.Fatalf("%d deltas at the end", n)
	}
	same("at the end")
	again := open(t, opt, commits)
	defer again.Close()
	db = again
	same("opened again")
	maintainAll(t, db, storetest.Base.Add(800*24*time.Hour))
	if got, err := db.Ledger(t.Context(), millrace.LedgerQuery{}); err != nil || len(got) != 0 {
		t.Fatalf("accounts past retention: %v (%v)", got, err)
	}
}

// TestMergeThatFails leaves the accounts as they were.
func TestMergeThatFails(t *testing.T) {
	opt := database(t, server(t))
	commits := committest.New(clock)
	db := open(t, opt, commits)
	defer db.Close()
	var all []millrace.LedgerEntry
	for i := range 1500 {
		all = append(all, ledgerOf(storetest.Base.Unix()+int64(i%10)*60, millrace.OutcomeStored, 1, "")...)
	}
	if err := db.WriteEvents(t.Context(), nil, &millrace.Commit{Sink: millrace.SinkEvents, Ledger: all}); err != nil {
		t.Fatal(err)
	}
	now := storetest.Base.Add(time.Hour)
	for _, where := range []string{"settle", "settle.after", "begin.after"} {
		failed := false
		commits.Fault = func(at string) error {
			if at == where && !failed {
				failed = true
				return fmt.Errorf("no answer")
			}
			return nil
		}
		_, err := db.Maintain(t.Context(), now)
		if !failed || (err == nil) != (where == "settle.after") {
			t.Fatalf("%s: struck %v, error %v", where, failed, err)
		}
		now = now.Add(30 * time.Minute)
		got, err := db.Ledger(t.Context(), millrace.LedgerQuery{})
		if err != nil || sum(got) != 1500 {
			t.Fatalf("%s: %d events (%v)", where, sum(got), err)
		}
		if where == "settle.after" { // it was done; the next needs something to do
			maintainAll(t, db, now)
			now = now.Add(30 * time.Minute)
			for i := range all {
				all[i].Events = 0
			}
			if err := db.WriteEvents(t.Context(), nil, &millrace.Commit{Sink: millrace.SinkEvents, Ledger: all}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func sum(entries []millrace.LedgerEntry) (n int64) {
	for _, e := range entries {
		n += e.Events
	}
	return n
}

// TestHiddenRowsGo: rows of an abandoned flush are deleted after a day, their id
// only when nothing of it is left.
func TestHiddenRowsGo(t *testing.T) {
	opt := database(t, server(t))
	opt.Retention.Events = millrace.Duration(36_000 * 24 * time.Hour) // not what this is about
	commits := committest.New(clock)
	db := open(t, opt, commits)
	defer db.Close()
	name := databaseOf(opt)
	commits.Fault = func(where string) error {
		if where == "commit" {
			return fmt.Errorf("no")
		}
		return nil
	}
	w := &worker{t: t, db: db, end: perFlush}
	if w.write(millrace.Position{}) == nil {
		t.Fatal("the write succeeded")
	}
	commits.Fault = nil
	w.run()
	state := func() [2]int64 {
		return [2]int64{count(t, name+".events_rows", "1"), count(t, name+".hidden_flushes", "1")}
	}
	now := clock()
	for _, step := range []struct {
		after time.Duration
		want  [2]int64
	}{
		{time.Minute, [2]int64{2 * perFlush, 1}},
		{25 * time.Hour, [2]int64{perFlush, 1}},
		{26 * time.Hour, [2]int64{perFlush, 0}},
	} {
		if _, err := db.Maintain(t.Context(), now.Add(step.after)); err != nil {
			t.Fatal(err)
		}
		if got := state(); got != step.want {
			t.Fatalf("after %v: %v rows and hidden flushes, want %v", step.after, got, step.want)
		}
	}
}

// TestDeadNodes: rows of a node that died between its insertion and its commit
// disappear when the next one claims, and a dead maintainer holds up nobody.
func TestDeadNodes(t *testing.T) {
	opt := database(t, server(t))
	opt.Retention.Events = millrace.Duration(36_000 * 24 * time.Hour) // not what this is about
	commits := committest.New(clock)
	db := open(t, opt, commits)
	defer db.Close()
	for _, sink := range []millrace.Sink{millrace.SinkEvents, "upkeep"} {
		f, err := commits.Begin(t.Context(), sink, []int32{0}, "a node that died")
		if err != nil {
			t.Fatal(err)
		}
		admin(t, server(t), fmt.Sprintf("INSERT INTO %s.events_rows (flush, time, arrived, attrs) VALUES (%d, 1, 1, '{}')", databaseOf(opt), f.ID))
	}
	(&worker{t: t, db: db, end: perFlush}).run()
	if _, err := db.Maintain(t.Context(), clock()); err != nil {
		t.Fatal(err)
	}
	counts, err := db.CountEvents(t.Context(), millrace.EventQuery{From: 0, To: 1<<63 - 1}, 0)
	if err != nil || len(counts) != 1 || counts[0].Events != perFlush {
		t.Fatalf("%v (%v)", counts, err)
	}
}
